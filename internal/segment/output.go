// Package segment verifies, sample by sample, that ffmpeg wrote of a chunk what the plan asks for, and writes the segments that are published (fMP4 or
// MPEG-TS). pipeline/part.go calls it; begin with [Output.Ready].
package segment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Output is one rendition of a part, as ffmpeg writes it into a folder. Nothing of
// what ffmpeg says is believed: the fragments themselves must hold exactly the
// samples that the plan asks for, at exactly their times.
type Output struct {
	Folder string       // in the scratch, once there is one
	Track  ladder.Track // what was taken so far
	Own    bool         // the recording's own audio packets

	next   int // number of the segment to take next
	trex   *mp4.TrexBox
	header func(*mp4.TrakBox) error                // checks the init segment, and adds what ffmpeg left out
	snap   func(n int) error                       // of copies: puts segment n on the grid
	check  func(n int, s []sample) error           // checks segment n
	pack   func(n int, s Packed) ([]Packed, error) // of those that are not published as ffmpeg wrote them: writes segment n anew
	whole  func() error                            // checks that nothing is missing

	container ladder.Container
	muxer     *muxer // of transport streams
}

// newOutput is one whose segments begin with a number.
func newOutput(plan *ladder.Plan, in, rendition string, first int) *Output {
	o := &Output{Track: ladder.Track{Ladder: in, Rendition: rendition}, next: first, container: plan.Container}
	if o.container == ladder.TS {
		o.pack = o.transport
	}
	return o
}

// Ready are the segments that are finished, verified and not yet given; in the end, all
// of them, and the init segment.
func (o *Output) Ready(ctx context.Context, attempt string, end bool) (all []Packed, err error) {
	for o.finished(end) {
		made, err := o.take(ctx, attempt)
		if err != nil {
			return nil, o.Fault(err)
		}
		all = append(all, made...)
	}
	if !end {
		return all, nil
	}
	if err := o.complete(); err != nil {
		return nil, o.Fault(err)
	}
	if o.muxer == nil {
		all = append(all, Packed{File: ladder.InitFile, Segment: ladder.Segment{URI: o.Track.Init}})
	}
	return all, nil
}

// finished tells whether the next segment is there, and whole: ffmpeg has begun
// another, or ended.
func (o *Output) finished(end bool) bool {
	n := o.next
	if !end {
		n++
	}
	_, err := os.Stat(filepath.Join(o.Folder, ladder.SegmentFile(n)))
	return err == nil
}

// Packed is a segment as it is published, in a file in the scratch folder.
type Packed struct {
	ladder.Segment

	File string // in the output's folder
}

// take verifies the next segment and adds it to the track; what it gives is to be
// uploaded. In the track, names have the attempt in them.
func (o *Output) take(ctx context.Context, attempt string) (all []Packed, err error) {
	if o.trex == nil {
		if err := o.readInit(ctx); err != nil {
			return nil, err
		}
	}
	one, err := o.verified(o.next)
	all = []Packed{one}
	if err == nil && o.pack != nil {
		all, err = o.pack(o.next, one)
	}
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", o.next, err)
	}
	for i := range all {
		s := &all[i]
		s.URI = strings.TrimSuffix(s.File, path.Ext(s.File)) + "-" + attempt + path.Ext(s.File)
		o.Track.Segments = append(o.Track.Segments, s.Segment)
	}
	o.next++
	return all, nil
}

// verified is segment n as ffmpeg wrote it.
func (o *Output) verified(n int) (one Packed, err error) {
	one.File = ladder.SegmentFile(n)
	if o.snap != nil {
		if err := o.snap(n); err != nil {
			return one, err
		}
	}
	samples, size, err := o.readSegment(one.File)
	if err == nil {
		err = o.check(n, samples)
	}
	one.Bytes = size
	for _, s := range samples {
		one.Ticks += s.duration
	}
	return one, err
}

// complete checks that all of the plan was taken.
func (o *Output) complete() error {
	if o.trex == nil {
		return errors.New("it has no segments")
	}
	return o.whole()
}

func (o *Output) readInit(ctx context.Context) error {
	body, err := os.ReadFile(filepath.Join(o.Folder, ladder.InitFile))
	if err != nil {
		return err
	}
	file, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read %s: %w", ladder.InitFile, err)
	}
	if file.Moov == nil || file.Moov.Trak == nil || file.Moov.Mvex == nil || file.Moov.Mvex.Trex == nil {
		return fmt.Errorf("read %s: it has no track", ladder.InitFile)
	}
	o.Track.Timescale = int(file.Moov.Trak.Mdia.Mdhd.Timescale)
	if err := o.header(file.Moov.Trak); err != nil {
		return err
	}
	if body, err = Anonymous(file); err != nil {
		return fmt.Errorf("write %s: %w", ladder.InitFile, err)
	}
	if err := os.WriteFile(filepath.Join(o.Folder, ladder.InitFile), body, 0o644); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	o.trex = file.Moov.Mvex.Trex
	if o.container == ladder.TS {
		if err := o.mux(ctx, file.Moov.Trak); err != nil {
			return err
		}
	}
	o.Track.Init = fmt.Sprintf("init-%x.mp4", sum[:6])
	return nil
}

// Anonymous is an init segment without the names and versions of the programs that
// made it: workers of different builds must be able to share one job.
func Anonymous(file *mp4.File) ([]byte, error) {
	moov := file.Moov
	moov.Children = slices.DeleteFunc(moov.Children, func(b mp4.Box) bool { return b.Type() == "udta" })
	if entry := moov.Trak.Mdia.Minf.Stbl.Stsd.AvcX; entry != nil {
		entry.CompressorName = ""
	}
	var out bytes.Buffer
	err := file.Init.Encode(&out)
	return out.Bytes(), err
}

// Fault is what is wrong with an output. ffmpeg says nothing of a disk that is
// full: it exits with 0 and leaves files short.
func (o *Output) Fault(err error) error {
	var disk syscall.Statfs_t
	reason := "bad_output"
	if syscall.Statfs(o.Folder, &disk) == nil && disk.Bavail*uint64(disk.Bsize) < fullDisk {
		reason, err = "scratch_full", fmt.Errorf("the disk is full: %w", err)
	}
	return job.Transient(reason, fmt.Errorf("verify %s/%s: %w", o.Track.Ladder, o.Track.Rendition, err))
}

const fullDisk = 64 << 10 // bytes left
