package ladder

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	ffmpeg "github.com/u2takey/ffmpeg-go"

	"afterlive.alt/internal/flv"
)

// Names in a task's scratch folder, where ffmpeg is run: every rendition has a
// folder <ladder>/<rendition> with these in it.
const (
	AudioLadder    = "audio"
	InitFile       = "init.mp4"
	segmentPattern = "s%05d"
)

// SegmentFile is the name of segment n of a rendition in the scratch folder.
func SegmentFile(n int) string { return FMP4.SegmentFile(n) }

// StartOffset is where every rendition's presentation time starts, in seconds.
// Chunk 0 has decode times below its first frame; with no room for them the
// muxer would shift it, and only it.
const StartOffset = 10

// ChunkArgs is the ffmpeg command line that encodes a chunk: one decode, every
// rung. It reads the chunk's cut on standard input and writes to the working
// directory. threads is x264's; 0 lets it choose.
//
// Frames are numbered on one global grid (constant rate, from the recording's
// first moment) and trimmed by number, so chunks encoded apart join up exactly.
func (p *Plan) ChunkArgs(c Chunk, threads int) []string {
	images, imageOutputs := p.images(c)
	args := p.decoderArgs(c.Cut, threads)
	args = append(args, "-filter_complex", p.filters(c, images))
	for i, l := range p.Ladders {
		for j, r := range l.Renditions {
			if r.Copy {
				args = append(args, output(l.Name+"/"+r.Name, p.copyArgs(c))...)
				continue
			}
			args = append(args, output(l.Name+"/"+r.Name, p.hls(c.From/p.SegmentFrames), p.x264(r, c.Number > 0), ffmpeg.KwArgs{
				"map":     fmt.Sprintf("[v%d_%d]", i, j),
				"threads": threads,
			})...)
		}
		if l.IFrames != nil {
			args = append(args, output(l.Name+"/"+IFramesRendition, p.hls(c.From/p.SegmentFrames), p.iframesArgs(*l.IFrames), ffmpeg.KwArgs{
				"map":     fmt.Sprintf("[k%d]", i),
				"threads": 1,
			})...)
		}
	}
	return append(args, imageOutputs...)
}

// filters is the graph from the decoded frames to every rendition and image.
func (p *Plan) filters(c Chunk, images []string) string {
	var taps, graph []string // of the video as it is; what is made of them
	for i, image := range images {
		tap := fmt.Sprintf("[i%d]", i)
		taps = append(taps, tap)
		graph = append(graph, tap+image)
	}
	for i, l := range p.Ladders {
		var rungs, scales []string
		for j, r := range l.Renditions {
			if r.Copy {
				continue
			}
			id := fmt.Sprintf("%d_%d", i, j)
			rungs = append(rungs, "[s"+id+"]")
			scales = append(scales, fmt.Sprintf("[s%s]scale=%d:%d:flags=bicubic:out_range=tv,setsar=1,format=yuv420p[v%s]", id, r.Width, r.Height, id))
		}
		if r := l.IFrames; r != nil {
			id := fmt.Sprint(i)
			rungs = append(rungs, "[f"+id+"]")
			scales = append(scales, fmt.Sprintf("[f%s]%s,scale=%d:%d:flags=bicubic:out_range=tv,setsar=1,format=yuv420p[k%s]", id, p.iframesFilter(), r.Width, r.Height, id))
		}
		if l.Projection.cube() {
			tap := fmt.Sprintf("[p%d]", i)
			graph = append(graph, fmt.Sprintf("%s%s,split=%d%s", tap, l.v360(), len(rungs), strings.Join(rungs, "")))
			rungs = []string{tap}
		}
		taps = append(taps, rungs...)
		graph = append(graph, scales...)
	}
	return fmt.Sprintf("[0:v:0]%s,split=%d%s;%s", p.grid(c, c.From, c.To), len(taps), strings.Join(taps, ""), strings.Join(graph, ";"))
}

// grid is the filter that puts the decoded frames of a chunk onto the output's grid
// and leaves those of [from, to).
func (p *Plan) grid(c Chunk, from, to int) string {
	fps := "fps=" + p.Rate.String()
	if c.PadStart {
		fps += ":start_time=" + decimal(p.seconds(c.From))
	}
	if c.PadEnd {
		fps += ",tpad=stop_mode=clone:stop=-1"
	}
	return fmt.Sprintf("%s,%s,trim=start_pts=%d:end_pts=%d", p.Source.Video.filters(), fps, from, to)
}

// input reads a cut from standard input, with its timestamps as they are but for what the
// cut adds. ffmpeg may open nothing but the pipe, as nothing but FLV, with no decoder but the
// named ones.
func input(decoders string, c flv.Cut, more ...ffmpeg.KwArgs) []string {
	options := ffmpeg.KwArgs{
		"format":             "flv",
		"copyts":             "",
		"protocol_whitelist": "pipe",
		"codec_whitelist":    decoders,
	}
	if !c.Audio {
		options["itsoffset"] = decimal(-flv.TimestampBias.Seconds() - float64(c.Bias)/1000)
	}
	args := ffmpeg.Input("pipe:0", ffmpeg.MergeKwArgs(append(more, options))).Output("x").GetArgs()
	return args[:len(args)-1]
}

// output is one HLS rendition. ffmpeg-go builds one at a time: with several
// outputs in one of its graphs it tells nodes apart by a hash that can collide.
func output(folder string, options ...ffmpeg.KwArgs) []string {
	all := ffmpeg.MergeKwArgs(options)
	all["hls_segment_filename"] = folder + "/" + segmentPattern + FMP4.Extension()
	return ffmpeg.Input("x").Output(folder+"/index.m3u8", all).GetArgs()[2:]
}

// x264 is capped constant quality with a keyframe every GOPFrames and nowhere
// else. A chunk after the first starts with its rate buffer as full as a running
// encoder would have it, or every seam would spend a buffer's worth of bits.
func (p *Plan) x264(r Rendition, later bool) ffmpeg.KwArgs {
	args := p.quality(r.CRF, r.Preset)
	args["maxrate"], args["bufsize"] = int(r.Maxrate), int(r.Bufsize)
	if later {
		args["rc_init_occupancy"] = int(r.Bufsize) * 3 / 10
	}
	return args
}

// bframes are how many B-frames x264 may have in a row.
const bframes = 2

// Reordered is by how many frames x264 decodes ahead of what is shown: it has two B-frames in a row, of which one may be referred to; fewer where a
// GOP has no room for them.
func (p *Plan) Reordered() int { return min(bframes, p.GOPFrames-1) }

// quality is constant quality without a cap.
func (p *Plan) quality(crf float64, preset string) ffmpeg.KwArgs {
	args := p.h264(crf, preset)
	args["g"], args["keyint_min"], args["sc_threshold"], args["flags"], args["bf"] = p.GOPFrames, p.GOPFrames, 0, "+cgop", bframes
	return args
}

// h264 is what all encoders of frames have in common.
func (p *Plan) h264(crf float64, preset string) ffmpeg.KwArgs {
	c := p.Source.Video.Colour
	return ffmpeg.KwArgs{
		"c:v": "libx264", "profile:v": "high", "preset": preset, "crf": decimal(crf), "fps_mode": "passthrough",
		"color_primaries": c.Primaries, "color_trc": c.Transfer, "colorspace": c.Matrix, "color_range": "tv",
	}
}

// hls is the muxer: fMP4 segments whose decode times are absolute, so that the
// init segment is the same whatever the chunk. hls_time is the exact length of a
// segment's frames: 6 s at 29.97 fps would drift.
func (p *Plan) hls(first int) ffmpeg.KwArgs {
	return ffmpeg.KwArgs{
		"format":                 "hls",
		"output_ts_offset":       StartOffset,
		"hls_time":               decimal(p.SegmentTime),
		"hls_playlist_type":      "vod",
		"hls_flags":              "independent_segments",
		"hls_segment_type":       "fmp4",
		"hls_fmp4_init_filename": InitFile,
		"hls_segment_options":    fmt.Sprintf("movflags=+frag_discont:use_editlist=0:avoid_negative_ts=disabled:fragment_index=%d", first+1),
		"start_number":           first,
	}
}

// Folders are those that a command line of ours writes to.
func Folders(args []string) []string {
	var all []string
	for _, a := range args {
		if folder := path.Dir(a); (path.Base(a) == MediaPlaylistFile || path.Ext(a) == path.Ext(PosterFile)) && !slices.Contains(all, folder) {
			all = append(all, folder)
		}
	}
	return all
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
