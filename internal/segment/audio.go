package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/internal/audio"
	"afterlive.alt/internal/flv"
	"afterlive.alt/ladder"
)

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

// Audio wants a chunk's audio packets, each at its place.
func Audio(plan *ladder.Plan, c ladder.Chunk, r ladder.AudioRendition) *Output {
	first := c.From / plan.SegmentFrames
	o := newOutput(plan, ladder.AudioLadder, r.Name, first)
	o.Own = r.Copy
	o.header = func(trak *mp4.TrakBox) error {
		if err := checkAAC(trak.Mdia.Minf.Stbl.Stsd.Mp4a); err != nil {
			return err
		}
		if o.Track.Timescale != plan.Audio.Rate {
			return fmt.Errorf("the init segment says audio of %d Hz, the plan %d", o.Track.Timescale, plan.Audio.Rate)
		}
		o.Track.Codecs = "mp4a.40.2"
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
		if got := len(o.Track.Segments); got != want {
			return fmt.Errorf("it has %d segments, the plan %d", got, want)
		}
		return nil
	}
	return o
}

// packetsOf are those of a chunk's segment: [from, to).
func packetsOf(plan *ladder.Plan, c ladder.Chunk, segment int) (from, to int) {
	s := segmentOf(plan, c, segment)
	return plan.Packet(s.From), plan.Packet(s.To)
}

// TakeEncoded makes segments of a chunk of what was encoded of a stretch.
func (o *Output) TakeEncoded(ctx context.Context, plan *ladder.Plan, c ladder.Chunk, s ladder.Stretch) error {
	name := filepath.Join(o.Folder, ladder.EncodedFile)
	encoded, err := mp4.ReadMP4File(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", ladder.EncodedFile, err)
	}
	if o.trex == nil {
		if err := o.writeInit(ctx, encoded.Init); err != nil {
			return err
		}
	}
	all, err := o.samplesOf(encoded)
	if err != nil {
		return fmt.Errorf("read %s: %w", ladder.EncodedFile, err)
	}
	if want := s.Priming + s.To - s.From; len(all) < want {
		return fmt.Errorf("%d audio packets were encoded, at least %d are wanted", len(all), want)
	}
	return errors.Join(o.segmentAudio(plan, c, s, all[s.Priming:s.Priming+s.To-s.From]), os.Remove(name))
}

// writeInit leaves an init segment where ffmpeg does.
func (o *Output) writeInit(ctx context.Context, init *mp4.InitSegment) error {
	file, err := os.Create(filepath.Join(o.Folder, ladder.InitFile))
	if err != nil {
		return err
	}
	if err := errors.Join(init.Encode(file), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", ladder.InitFile, err)
	}
	return o.readInit(ctx)
}

// segmentAudio makes segments of a chunk of the packets of a stretch, whatever their times were.
func (o *Output) segmentAudio(plan *ladder.Plan, c ladder.Chunk, s ladder.Stretch, all []mp4.FullSample) error {
	for i := range all {
		all[i].DecodeTime, all[i].Dur = uint64(plan.PacketTicks(s.From+i)), ladder.PacketSamples //nolint:gosec // never below zero
	}
	for n := c.From / plan.SegmentFrames; len(all) > 0; n++ {
		from, to := packetsOf(plan, c, n)
		if from < s.From || from == to {
			continue
		}
		if _, err := o.writeFragments(ladder.SegmentFile(n), [][]mp4.FullSample{all[:to-from]}); err != nil {
			return err
		}
		all = all[to-from:]
	}
	return nil
}

// silentPacket is an AAC-LC packet of silence, in stereo: a channel pair whose two channels share a window and
// have no band (ISO/IEC 14496-3, 4.4.2.1), and the end.
var silentPacket = []byte{0x21, 0, 0, 0, 0, 0x1c}

// TakeOwn makes segments of a chunk of the recording's own packets, those of a stretch. Where the recording has
// none, or one that cannot be decoded, there is silence. It returns how many were decoded, and can't be published all the same.
func (o *Output) TakeOwn(ctx context.Context, plan *ladder.Plan, c ladder.Chunk, s ladder.Stretch, cut flv.Cut, from io.ReaderAt, decoded []audio.Frame) (unfit int, err error) {
	if err := o.plainInit(ctx, plan.Audio.Rate); err != nil {
		return 0, err
	}
	all := make([]mp4.FullSample, s.To-s.From)
	for i := range all {
		all[i] = packetOf(silentPacket)
	}
	if len(cut.Marks) > 0 {
		tag := s.From - plan.Audio.Copy.First // of the stretch's first packet
		packets, err := cut.Packets(io.NewSectionReader(from, cut.From, cut.To-cut.From), tag, tag+len(all))
		if err != nil {
			return 0, fmt.Errorf("read audio packets: %w", err)
		}
		for _, f := range decoded {
			switch n := cut.Marks[0].Tag + f.Tag - tag; {
			case n < 0 || n >= len(all):
			case packets[n] == nil:
				unfit++
			default:
				all[n] = packetOf(packets[n])
			}
		}
	}
	return unfit, o.segmentAudio(plan, c, s, all)
}

func packetOf(data []byte) mp4.FullSample {
	return mp4.FullSample{Sample: mp4.NewSample(mp4.SyncSampleFlags, ladder.PacketSamples, uint32(len(data)), 0), Data: data} //nolint:gosec // flv bounds packets
}

// plainInit leaves the init segment of AAC-LC in stereo, which is the same for all chunks.
func (o *Output) plainInit(ctx context.Context, rate int) error {
	if o.trex != nil {
		return nil
	}
	init := mp4.CreateEmptyInit()
	init.AddEmptyTrack(uint32(rate), "audio", "und") //nolint:gosec // the plan has 44,100 or 48,000
	if err := init.Moov.Trak.SetAACDescriptor(aac.AAClc, rate); err != nil {
		return fmt.Errorf("describe audio: %w", err)
	}
	return o.writeInit(ctx, init)
}
