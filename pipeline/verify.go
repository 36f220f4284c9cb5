package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// videoOutput wants a chunk's frames, each at its place.
func videoOutput(plan *ladder.Plan, c ladder.Chunk, l ladder.Ladder, r ladder.Rendition) *output {
	first := c.From / plan.SegmentFrames
	o := newOutput(plan, l.Name, r.Name, first)
	tick := o.pictureHeader(plan, l, r)
	o.check = func(n int, samples []sample) error {
		from := n * plan.SegmentFrames
		return checkFrames(samples, plan, from, min(from+plan.SegmentFrames, c.To), *tick, o.track.Timescale)
	}
	if r.Copy {
		o.snap = func(n int) error { return o.snapped(plan, n, *tick) }
	}
	o.whole = o.allSegments(c, plan.SegmentFrames)
	return o
}

// allSegments wants as many segments as a chunk has, of so many frames each.
func (o *output) allSegments(c ladder.Chunk, span int) func() error {
	return func() error {
		want := (c.To - c.From + span - 1) / span
		if got := len(o.track.Segments); got != want {
			return fmt.Errorf("it has %d segments, the plan %d", got, want)
		}
		return nil
	}
}

// pictureHeader wants an init segment of a rendition. A frame's length, in the track's
// timescale, is there once it was read.
func (o *output) pictureHeader(plan *ladder.Plan, l ladder.Ladder, r ladder.Rendition) (tick *int) {
	tick = new(int)
	o.header = func(trak *mp4.TrakBox) error {
		entry := trak.Mdia.Minf.Stbl.Stsd.AvcX
		if entry == nil || int(entry.Width) != r.Width || int(entry.Height) != r.Height {
			return fmt.Errorf("the init segment doesn't say H.264 of %dx%d", r.Width, r.Height)
		}
		avc := entry.AvcC.DecConfRec
		o.track.Codecs = fmt.Sprintf("avc1.%02x%02x%02x", avc.AVCProfileIndication, avc.ProfileCompatibility, avc.AVCLevelIndication)
		*tick = o.track.Timescale * plan.Rate.Den / plan.Rate.Num
		if *tick*plan.Rate.Num != o.track.Timescale*plan.Rate.Den {
			return fmt.Errorf("a frame at %s fps is no whole number of 1/%d s", plan.Rate, o.track.Timescale)
		}
		markSphere(entry, l)
		if c := plan.Source.Picture.Colour; r.Copy && plan.Copy.Untagged { // its stream doesn't say it, and players must not have to guess
			entry.AddChild(&mp4.ColrBox{
				ColorType: "nclx", ColorPrimaries: uint16(c.Primaries), TransferCharacteristics: uint16(c.Transfer), MatrixCoefficients: uint16(c.Matrix),
			})
		}
		return nil
	}
	return tick
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

// checkAAC wants stereo AAC-LC.
func checkAAC(entry *mp4.AudioSampleEntryBox) error {
	if entry == nil || entry.Esds == nil || entry.Esds.DecConfigDescriptor == nil || entry.Esds.DecConfigDescriptor.DecSpecificInfo == nil {
		return errors.New("the init segment doesn't say AAC")
	}
	config, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(entry.Esds.DecConfigDescriptor.DecSpecificInfo.DecConfig))
	if err != nil {
		return fmt.Errorf("read the init segment: %w", err)
	}
	if config.ObjectType != aac.AAClc || config.ChannelConfiguration != 2 {
		return fmt.Errorf("the init segment says AAC of type %d with %d channels, not AAC-LC in stereo", config.ObjectType, config.ChannelConfiguration)
	}
	return nil
}

// soundOutput wants a chunk's packets of sound, each at its place.
func soundOutput(plan *ladder.Plan, c ladder.Chunk, r ladder.AudioRendition) *output {
	first := c.From / plan.SegmentFrames
	o := newOutput(plan, ladder.AudioLadder, r.Name, first)
	o.copied = r.Copy
	o.header = func(trak *mp4.TrakBox) error {
		if err := checkAAC(trak.Mdia.Minf.Stbl.Stsd.Mp4a); err != nil {
			return err
		}
		if o.track.Timescale != plan.Audio.Rate {
			return fmt.Errorf("the init segment says sound of %d Hz, the plan %d", o.track.Timescale, plan.Audio.Rate)
		}
		o.track.Codecs = "mp4a.40.2"
		return nil
	}
	o.check = func(n int, samples []sample) error {
		from, to := packetsOf(plan, c, n)
		if len(samples) != to-from {
			return fmt.Errorf("it has %d packets, the plan %d", len(samples), to-from)
		}
		for i, s := range samples {
			if at := plan.PacketTicks(from + i); s.decode != at || s.duration != ladder.PacketSamples {
				return fmt.Errorf("packet %d: it is heard at %d for %d, by the plan at %d for %d (1/%d s)", from+i, s.decode, s.duration, at, ladder.PacketSamples, plan.Audio.Rate)
			}
		}
		return nil
	}
	o.whole = func() error {
		want := 0
		for n := first; n*plan.SegmentFrames < c.To; n++ {
			if from, to := packetsOf(plan, c, n); from < to { // the last one of a recording may be shorter than a packet
				want++
			}
		}
		if got := len(o.track.Segments); got != want {
			return fmt.Errorf("it has %d segments, the plan %d", got, want)
		}
		return nil
	}
	return o
}

// packetsOf are those of a chunk's segment: [from, to).
func packetsOf(plan *ladder.Plan, c ladder.Chunk, segment int) (from, to int) {
	return plan.Packet(segment * plan.SegmentFrames), plan.Packet(min((segment+1)*plan.SegmentFrames, c.To))
}

// sample is a frame, in ticks of the track's timescale.
type sample struct {
	decode, shown, duration int64
	sync                    bool
}

// readSegment reads a segment's index, and how long the file is.
func (o *output) readSegment(name string) (samples []sample, size int64, err error) {
	f, err := os.Open(filepath.Join(o.folder, name))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	file, err := mp4.DecodeFile(f, mp4.WithDecodeMode(mp4.DecModeLazyMdat))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	var boxes uint64
	for _, box := range file.Children {
		boxes += box.Size()
	}
	if boxes != uint64(info.Size()) {
		return nil, 0, fmt.Errorf("read %s: it is %d bytes long, its boxes %d", name, info.Size(), boxes)
	}
	samples, err = o.samples(file)
	return samples, info.Size(), err
}

func (o *output) samples(file *mp4.File) (samples []sample, err error) {
	var data, want uint64
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			traf := fragment.Moof.Traf
			if traf == nil || traf.Tfdt == nil || fragment.Mdat == nil {
				return nil, errors.New("a fragment lacks its time or its data")
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
					want += uint64(s.Size)
				}
			}
			data += fragment.Mdat.GetLazyDataSize()
		}
	}
	if data != want {
		return nil, fmt.Errorf("it holds %d bytes of samples, its index says %d", data, want)
	}
	return samples, nil
}
