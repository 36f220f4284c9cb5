package pipeline

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

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// output is one rendition of a part, as ffmpeg writes it into folder. Nothing of
// what ffmpeg says is believed: the fragments themselves must hold exactly the
// samples that the plan asks for, at exactly their times.
type output struct {
	folder string
	track  ladder.Track // what was taken so far
	next   int          // number of the segment to take next
	trex   *mp4.TrexBox
	header func(*mp4.TrakBox) error                // checks the init segment, and adds what ffmpeg left out
	snap   func(n int) error                       // of copies: puts segment n on the grid
	check  func(n int, s []sample) error           // checks segment n
	pack   func(n int, s packed) ([]packed, error) // of those that are not published as ffmpeg wrote them: writes segment n anew
	copied bool                                    // the recording's own packets of sound
	whole  func() error                            // checks that nothing is missing

	container ladder.Container
	muxer     *muxer // of transport streams
}

// newOutput is one whose segments begin with a number.
func newOutput(plan *ladder.Plan, in, rendition string, first int) *output {
	o := &output{track: ladder.Track{Ladder: in, Rendition: rendition}, next: first, container: plan.Container}
	if o.container == ladder.TS {
		o.pack = o.transport
	}
	return o
}

// ready are the segments that are finished, verified and not yet given; in the end, all
// of them, and the init segment.
func (o *output) ready(ctx context.Context, attempt string, end bool) (all []packed, err error) {
	for o.finished(end) {
		made, err := o.take(ctx, attempt)
		if err != nil {
			return nil, o.fault(err)
		}
		all = append(all, made...)
	}
	if !end {
		return all, nil
	}
	if err := o.complete(); err != nil {
		return nil, o.fault(err)
	}
	if o.muxer == nil {
		all = append(all, packed{file: ladder.InitFile, Segment: ladder.Segment{URI: o.track.Init}})
	}
	return all, nil
}

// finished tells whether the next segment is there, and whole: ffmpeg has begun
// another, or ended.
func (o *output) finished(end bool) bool {
	n := o.next
	if !end {
		n++
	}
	_, err := os.Stat(filepath.Join(o.folder, ladder.SegmentFile(n)))
	return err == nil
}

// packed is a segment as it is published, in a file in the scratch folder.
type packed struct {
	ladder.Segment

	file string
}

// take verifies the next segment and adds it to the track; what it gives is to be
// uploaded. In the track, names have the attempt in them.
func (o *output) take(ctx context.Context, attempt string) (all []packed, err error) {
	if o.trex == nil {
		if err := o.readInit(ctx); err != nil {
			return nil, err
		}
	}
	one, err := o.verified(o.next)
	all = []packed{one}
	if err == nil && o.pack != nil {
		all, err = o.pack(o.next, one)
	}
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", o.next, err)
	}
	for i := range all {
		s := &all[i]
		s.URI = strings.TrimSuffix(s.file, path.Ext(s.file)) + "-" + attempt + path.Ext(s.file)
		o.track.Segments = append(o.track.Segments, s.Segment)
	}
	o.next++
	return all, nil
}

// verified is segment n as ffmpeg wrote it.
func (o *output) verified(n int) (one packed, err error) {
	one.file = ladder.SegmentFile(n)
	if o.snap != nil {
		if err := o.snap(n); err != nil {
			return one, err
		}
	}
	samples, size, err := o.readSegment(one.file)
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
func (o *output) complete() error {
	if o.trex == nil {
		return errors.New("it has no segments")
	}
	return o.whole()
}

func (o *output) readInit(ctx context.Context) error {
	body, err := os.ReadFile(filepath.Join(o.folder, ladder.InitFile))
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
	o.track.Timescale = int(file.Moov.Trak.Mdia.Mdhd.Timescale)
	if err := o.header(file.Moov.Trak); err != nil {
		return err
	}
	if body, err = anonymous(file); err != nil {
		return fmt.Errorf("write %s: %w", ladder.InitFile, err)
	}
	if err := os.WriteFile(filepath.Join(o.folder, ladder.InitFile), body, 0o644); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	o.trex = file.Moov.Mvex.Trex
	if o.container == ladder.TS {
		if err := o.mux(ctx, file.Moov.Trak); err != nil {
			return err
		}
	}
	o.track.Init = fmt.Sprintf("init-%x.mp4", sum[:6])
	return nil
}

// anonymous is an init segment without the names and versions of the programs that
// made it: workers of different builds must be able to share one job.
func anonymous(file *mp4.File) ([]byte, error) {
	moov := file.Moov
	moov.Children = slices.DeleteFunc(moov.Children, func(b mp4.Box) bool { return b.Type() == "udta" })
	if entry := moov.Trak.Mdia.Minf.Stbl.Stsd.AvcX; entry != nil {
		entry.CompressorName = ""
	}
	var out bytes.Buffer
	err := file.Init.Encode(&out)
	return out.Bytes(), err
}
