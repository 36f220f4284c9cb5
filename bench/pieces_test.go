package bench

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/ladder"
)

// What it costs to encode in chunks, against one pass over the same: processor time and
// bits of all chunks, encoders of one thread in both cases.
func BenchmarkChunks(b *testing.B) {
	for b.Loop() {
		for _, file := range recordings(b) {
			body, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			whole := inChunks(b, body, planOf(b, file, nil))
			for _, chunk := range []time.Duration{12 * time.Second, 18 * time.Second, 30 * time.Second, time.Minute} {
				parts := inChunks(b, body, planOf(b, file, func(p *ladder.Profile) { p.Chunk = chunk }))
				subject := fmt.Sprintf("%s, chunks of %s", name(file), chunk)
				report(b, "chunks", subject, "processor time / one pass", parts.cpu.Seconds()/whole.cpu.Seconds(), "<= 1.03")
				report(b, "chunks", subject, "bits / one pass", float64(parts.bits)/float64(whole.bits), "<= 1.02")
			}
		}
	}
}

// What I-frames for trick play and the storyboard add to encoding.
func BenchmarkExtras(b *testing.B) {
	for b.Loop() {
		for _, file := range recordings(b) {
			plan := planOf(b, file, nil)
			whole := oneProcess(b, file, plan)
			plan.Storyboard = nil
			noStoryboard := oneProcess(b, file, plan)
			plan.Ladders[0].IFrames = nil
			bare := oneProcess(b, file, plan)
			report(b, "extras", name(file)+", I-frames", "processor time with / without", noStoryboard.cpu.Seconds()/bare.cpu.Seconds(), "")
			report(b, "extras", name(file)+", storyboard", "processor time with / without", whole.cpu.Seconds()/noStoryboard.cpu.Seconds(), "")
		}
	}
}

func inChunks(b *testing.B, recording []byte, plan planned) (all outcome) {
	b.Helper()
	for _, c := range plan.chunks {
		cut, err := io.ReadAll(c.Cut.Reader(bytes.NewReader(recording[c.Cut.From:c.Cut.To])))
		if err != nil {
			b.Fatal(err)
		}
		o, dir := ffmpeg(b, plan.ChunkArgs(c, 1), cut)
		all.cpu += o.cpu
		all.bits += bytesOf(b, dir, plan.Plan)
	}
	return all
}

// How fast a recording is indexed and planned, against reading it, and how much of that
// an index of the uploader's saves.
func BenchmarkPlanning(b *testing.B) {
	file := bars(b, "160x90", 10, 7200)
	_ = took(b, func() error { _, err := os.ReadFile(file); return err }) // from now on it is in memory
	for b.Loop() {
		read := took(b, func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 256<<10)) // as the scan reads
			return err
		})
		var index *flv.Index
		scan := took(b, func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			index, err = flv.Scan(f)
			return err
		})
		body, err := index.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		parse := took(b, func() error {
			_, err := flv.ParseIndex(body, index.Size)
			return err
		})
		report(b, "planning", "2 h", "time to scan / time to read", scan.Seconds()/read.Seconds(), "")
		report(b, "planning", "2 h", "time to parse the uploader's index / time to scan", parse.Seconds()/scan.Seconds(), "")
		report(b, "planning", "2 h", "bytes of the index / bytes of recording", float64(len(body))/float64(index.Size), "")
	}
}

func took(b *testing.B, do func() error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
