package pipeline

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// Nothing that ffmpeg wrote is believed: the fragments themselves must hold
// exactly the samples that the plan asks for, at exactly their times.

// measureVideo checks a chunk's rendition frame by frame and returns its track.
func measureVideo(folder string, plan *ladder.Plan, c ladder.Chunk, r ladder.Rendition) (ladder.Track, error) {
	o, err := openOutput(folder)
	if err != nil {
		return ladder.Track{}, err
	}
	entry := o.trak.Mdia.Minf.Stbl.Stsd.AvcX
	if entry == nil || int(entry.Width) != r.Width || int(entry.Height) != r.Height {
		return ladder.Track{}, fmt.Errorf("the init segment doesn't say H.264 of %dx%d", r.Width, r.Height)
	}
	avc := entry.AvcC.DecConfRec
	o.track.Codecs = fmt.Sprintf("avc1.%02x%02x%02x", avc.AVCProfileIndication, avc.ProfileCompatibility, avc.AVCLevelIndication)
	tick := o.track.Timescale * plan.Rate.Den / plan.Rate.Num // a frame's length
	if tick*plan.Rate.Num != o.track.Timescale*plan.Rate.Den {
		return ladder.Track{}, fmt.Errorf("a frame at %s fps is no whole number of 1/%d s", plan.Rate, o.track.Timescale)
	}
	first := c.From / plan.SegmentFrames
	count := (c.To - c.From + plan.SegmentFrames - 1) / plan.SegmentFrames
	for n := first; n < first+count; n++ {
		from := n * plan.SegmentFrames
		to := min(from+plan.SegmentFrames, c.To)
		samples, err := o.segment(n)
		if err != nil {
			return ladder.Track{}, err
		}
		if err := checkFrames(samples, plan, from, to, tick, o.track.Timescale); err != nil {
			return ladder.Track{}, fmt.Errorf("segment %d: %w", n, err)
		}
	}
	return o.track, o.nothingElse(count)
}

// checkFrames wants the frames [from, to), each shown at its place on the grid
// and for one tick, with a keyframe every GOPFrames and nowhere else.
func checkFrames(samples []sample, plan *ladder.Plan, from, to, tick, timescale int) error {
	if len(samples) != to-from {
		return fmt.Errorf("it has %d frames, the plan %d", len(samples), to-from)
	}
	for i, s := range samples {
		if key := (from+i)%plan.GOPFrames == 0; s.sync != key {
			return fmt.Errorf("frame %d: keyframe is %t, by the plan %t", from+i, s.sync, key)
		}
		if s.duration != int64(tick) || (i > 0 && s.decode != samples[i-1].decode+int64(tick)) {
			return fmt.Errorf("frame %d: it lasts %d ticks and is decoded at %d, a frame is %d", from+i, s.duration, s.decode, tick)
		}
	}
	shown := slices.Clone(samples)
	slices.SortFunc(shown, func(a, b sample) int { return int(a.shown - b.shown) })
	for i, s := range shown {
		if at := int64(ladder.StartOffset*timescale + (from+i)*tick); s.shown != at {
			return fmt.Errorf("frame %d: it is shown at %d, by the plan at %d (1/%d s)", from+i, s.shown, at, timescale)
		}
	}
	return nil
}

// aacFrame is the number of samples in an AAC frame, and how many of silence
// ffmpeg's encoder puts before the first.
const aacFrame = 1024

// measureAudio checks that the sound has no hole and is as long as the plan.
func measureAudio(folder string, plan *ladder.Plan) (ladder.Track, error) {
	o, err := openOutput(folder)
	if err != nil {
		return ladder.Track{}, err
	}
	if o.trak.Mdia.Minf.Stbl.Stsd.Mp4a == nil {
		return ladder.Track{}, errors.New("the init segment doesn't say AAC")
	}
	o.track.Codecs = "mp4a.40.2"
	rate := o.track.Timescale
	start := int64(ladder.StartOffset*rate - aacFrame)
	next, n := start, 0
	for ; ; n++ {
		samples, err := o.segment(n)
		if errors.Is(err, os.ErrNotExist) && n > 0 {
			break
		}
		if err != nil {
			return ladder.Track{}, err
		}
		for _, s := range samples {
			if s.decode != next {
				return ladder.Track{}, fmt.Errorf("segment %d: sound at %d, expected at %d (1/%d s)", n, s.decode, next, rate)
			}
			next += s.duration
		}
	}
	// The last frame is filled up: up to one more than the sound needs.
	want := int64(plan.Duration*float64(rate)) + aacFrame
	if got := next - start; got < want-1 || got > want+2*aacFrame {
		return ladder.Track{}, fmt.Errorf("it has %d samples of sound, the plan %d", got, want)
	}
	return o.track, o.nothingElse(n)
}

// output is a rendition as ffmpeg left it.
type output struct {
	folder string
	trak   *mp4.TrakBox
	trex   *mp4.TrexBox
	track  ladder.Track
}

// sample is a frame, in ticks of the track's timescale.
type sample struct {
	decode, shown, duration int64
	sync                    bool
}

func openOutput(folder string) (*output, error) {
	body, err := os.ReadFile(filepath.Join(folder, ladder.InitFile))
	if err != nil {
		return nil, err
	}
	file, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ladder.InitFile, err)
	}
	if file.Moov == nil || file.Moov.Trak == nil || file.Moov.Mvex == nil || file.Moov.Mvex.Trex == nil {
		return nil, fmt.Errorf("read %s: it has no track", ladder.InitFile)
	}
	o := &output{folder: folder, trak: file.Moov.Trak, trex: file.Moov.Mvex.Trex}
	sum := sha256.Sum256(body)
	o.track.Init = fmt.Sprintf("init-%x.mp4", sum[:6])
	o.track.Timescale = int(o.trak.Mdia.Mdhd.Timescale)
	return o, nil
}

// segment reads segment n's samples and adds it to the track.
func (o *output) segment(n int) ([]sample, error) {
	name := ladder.SegmentFile(n)
	f, err := os.Open(filepath.Join(o.folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := mp4.DecodeFile(f, mp4.WithDecodeMode(mp4.DecModeLazyMdat))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var boxes uint64
	for _, box := range file.Children {
		boxes += box.Size()
	}
	if boxes != uint64(info.Size()) {
		return nil, fmt.Errorf("read %s: it is %d bytes long, its boxes %d", name, info.Size(), boxes)
	}
	samples, ticks, err := o.samples(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	o.track.Segments = append(o.track.Segments, ladder.Segment{URI: name, Bytes: info.Size(), Ticks: ticks})
	return samples, nil
}

func (o *output) samples(file *mp4.File) (samples []sample, ticks int64, err error) {
	var data, want uint64
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			traf := fragment.Moof.Traf
			if traf == nil || traf.Tfdt == nil || fragment.Mdat == nil {
				return nil, 0, errors.New("a fragment lacks its time or its data")
			}
			decode := int64(traf.Tfdt.BaseMediaDecodeTime())
			for _, trun := range traf.Truns {
				trun.AddSampleDefaultValues(traf.Tfhd, o.trex)
				firstFlags, has := trun.FirstSampleFlags()
				for i, s := range trun.GetSamples() {
					if i == 0 && has {
						s.Flags = firstFlags
					}
					samples = append(samples, sample{
						decode: decode, shown: decode + int64(s.CompositionTimeOffset), duration: int64(s.Dur),
						sync: mp4.IsSyncSampleFlags(s.Flags),
					})
					decode += int64(s.Dur)
					ticks += int64(s.Dur)
					want += uint64(s.Size)
				}
			}
			data += fragment.Mdat.GetLazyDataSize()
		}
	}
	if data != want {
		return nil, 0, fmt.Errorf("it holds %d bytes of samples, its index says %d", data, want)
	}
	return samples, ticks, nil
}

// nothingElse wants count segments, the init segment and the playlist.
func (o *output) nothingElse(count int) error {
	names, err := os.ReadDir(o.folder)
	if err != nil {
		return err
	}
	if len(names) != count+2 {
		return fmt.Errorf("ffmpeg left %d files, the plan has %d segments", len(names), count)
	}
	return nil
}
