package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/ffmpeg"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/segment"
	"afterlive.alt/ladder"
)

// encodeSmall encodes the first chunk and the audio of a small recording into a
// folder, as a worker would.
func encodeSmall(t *testing.T) (*ladder.Plan, ladder.Chunk, string) {
	t.Helper()
	recording := smallRecording(t)
	index, err := flv.Scan(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	p, _, _ := newSmall(t, recording)
	plan, err := ladder.New(index, p.Profiles["stitch"], ladder.Trim{})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	chunks := plan.Due(index, nil)
	w := chunkWork(plan, chunks[0], 0)
	must(t, w.makeFolders(folder))
	cut := w.chunk.Cut
	if _, err := p.FFmpeg.Run(t.Context(), folder, w.args, cut.Reader(bytes.NewReader(recording[cut.From:cut.To])), func(ffmpeg.Progress) {}); err != nil {
		t.Fatal(err)
	}
	// Audio is cut into segments here, but they are verified as if ffmpeg had.
	for _, o := range w.audio {
		o.Folder = filepath.Join(folder, o.Track.Ladder, o.Track.Rendition)
		must(t, os.MkdirAll(o.Folder, 0o755))
	}
	audio := w.chunk.Audio
	sidecar, err := newSidecar(audio, t.TempDir())
	must(t, err)
	must(t, sidecar.From(bytes.NewReader(recording[audio.From:audio.To])))
	must(t, p.stretch(t.Context(), plan, w, plan.Stretches(*w.chunk)[0], folder, sidecar, &ladder.Part{}, &usage{}))
	return plan, chunks[0], folder
}

// takeAll verifies one output as a worker would.
func takeAll(ctx context.Context, o *segment.Output, folder string) error {
	o.Folder = filepath.Join(folder, o.Track.Ladder, o.Track.Rendition)
	_, err := o.Ready(ctx, "attempt", true)
	return err
}

// ffmpeg exits with 0 after much that is not well: what it wrote is measured, and
// whatever is wrong with it is found.
func TestVerifyFindsFaults(t *testing.T) {
	plan, chunk, whole := encodeSmall(t)
	video := func() *segment.Output {
		return segment.Video(plan, chunk, plan.Ladders[0], plan.Ladders[0].Renditions[0])
	}
	audio := func() *segment.Output { return segment.Audio(plan, chunk, plan.Audio.Renditions[0]) }
	const videoDir, audioDir = "flat/48p/", "audio/aac/"

	for _, tc := range []struct {
		name  string
		of    func() *segment.Output
		spoil func(t *testing.T, file func(string) string)
		want  string // in the error; "": none
	}{
		{"good video", video, nil, ""},
		{"good audio", audio, nil, ""},
		{"segment missing", video, func(t *testing.T, file func(string) string) { remove(t, file(videoDir+"s00000.m4s")) }, "no segments"},
		{"segment empty", video, func(t *testing.T, file func(string) string) { truncate(t, file(videoDir+"s00000.m4s"), 0) }, "frames"},
		{"segment torn", video, func(t *testing.T, file func(string) string) { truncate(t, file(videoDir+"s00000.m4s"), -100) }, "s00000.m4s"},
		{"segment with something behind it", video, func(t *testing.T, file func(string) string) { grow(t, file(videoDir+"s00000.m4s")) }, "s00000.m4s"},
		{"a segment too many", video, func(t *testing.T, file func(string) string) {
			link(t, file(videoDir+"s00000.m4s"), file(videoDir+"s00001.m4s"))
		}, "segment 1"},
		{"init segment missing", video, func(t *testing.T, file func(string) string) { remove(t, file(videoDir+"init.mp4")) }, "init.mp4"},
		{"init segment empty", video, func(t *testing.T, file func(string) string) { truncate(t, file(videoDir+"init.mp4"), 0) }, "no track"},
		{"init segment of audio", video, func(t *testing.T, file func(string) string) {
			link(t, file(audioDir+"init.mp4"), file(videoDir+"init.mp4"))
		}, "doesn't say H.264"},
		{"another rendition's video", video, func(t *testing.T, file func(string) string) {
			link(t, file("flat/32p/init.mp4"), file(videoDir+"init.mp4"))
		}, "doesn't say H.264 of 88x48"},
		{"audio with a hole", audio, func(t *testing.T, file func(string) string) {
			link(t, file(audioDir+"s00000.m4s"), file(audioDir+"s00001.m4s"))
		}, "packet"},
		{"audio too short", audio, func(t *testing.T, file func(string) string) { remove(t, file(audioDir+"s00000.m4s")) }, "no segments"},
		{"audio with an init segment of video", audio, func(t *testing.T, file func(string) string) {
			link(t, file(videoDir+"init.mp4"), file(audioDir+"init.mp4"))
		}, "doesn't say AAC"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			if tc.spoil != nil {
				tc.spoil(t, func(name string) string { return filepath.Join(folder, name) })
			}
			err := takeAll(t.Context(), tc.of(), folder)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The same files, measured against plans that ask for something else.
func TestVerifyAgainstThePlan(t *testing.T) {
	plan, chunk, folder := encodeSmall(t)
	for _, tc := range []struct {
		name   string
		change func(p *ladder.Plan, c *ladder.Chunk)
		want   string
	}{
		{"another place", func(_ *ladder.Plan, c *ladder.Chunk) { c.From += 150; c.To += 150 }, "no segments"},
		{"a frame more", func(p *ladder.Plan, c *ladder.Chunk) { p.SegmentFrames++; c.To++ }, "the plan 151"},
		{"a frame less", func(_ *ladder.Plan, c *ladder.Chunk) { c.To-- }, "the plan 149"},
		{"another GOP", func(p *ladder.Plan, _ *ladder.Chunk) { p.GOPFrames = 25 }, "keyframe"},
		{"another rate", func(p *ladder.Plan, _ *ladder.Chunk) { p.Rate = flv.Rate{Num: 50, Den: 1} }, "it lasts"},
		{"a rate that the timescale cannot say", func(p *ladder.Plan, _ *ladder.Chunk) { p.Rate = flv.Rate{Num: 30000, Den: 1001} }, "not a whole number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, c := *plan, chunk
			tc.change(&p, &c)
			err := takeAll(t.Context(), segment.Video(&p, c, p.Ladders[0], p.Ladders[0].Renditions[0]), folder)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	longer := chunk
	longer.To++
	if err := takeAll(t.Context(), segment.Audio(plan, longer, plan.Audio.Renditions[0]), folder); err == nil || !strings.Contains(err.Error(), "the plan") {
		t.Errorf("audio for a longer chunk: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) { must(t, os.Remove(file)) }

// truncate to size, or by -size bytes.
func truncate(t *testing.T, file string, size int64) {
	if size < 0 {
		info, err := os.Stat(file)
		must(t, err)
		size += info.Size()
	}
	must(t, os.Truncate(file, size))
}

func grow(t *testing.T, file string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(make([]byte, 100))
	must(t, err)
	must(t, f.Close())
}

// link puts one file in the place of another.
func link(t *testing.T, from, to string) {
	body, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, body, 0o644))
}
