package pipeline

import (
	"context"
	"fmt"
	"io"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive/ladder"
)

// silentPacket is a packet of AAC-LC in stereo without any sound: a channel pair whose two channels share a window and
// have no band (ISO/IEC 14496-3, 4.4.2.1), and the end.
var silentPacket = []byte{0x21, 0, 0, 0, 0, 0x1c}

// copyPackets makes segments of a chunk of the recording's own packets, those of a stretch. Where the recording has
// none, or one that cannot be decoded, there is silence.
func (o *output) copyPackets(ctx context.Context, plan *ladder.Plan, c ladder.Chunk, s ladder.Stretch, from io.ReaderAt, heard *decoded) error {
	if err := o.plainInit(ctx, plan.Audio.Rate); err != nil {
		return err
	}
	all := make([]mp4.FullSample, s.To-s.From)
	for i := range all {
		all[i] = packetOf(silentPacket)
	}
	cut := heard.cut
	if len(cut.Marks) > 0 {
		packets, err := cut.Packets(io.NewSectionReader(from, cut.From, cut.To-cut.From))
		if err != nil {
			return fmt.Errorf("read packets of sound: %w", err)
		}
		first := plan.Audio.Copy.First + cut.Marks[0].Tag - s.From
		for _, f := range heard.frames {
			if n := first + f.Tag; n >= 0 && n < len(all) && f.Tag < len(packets) && packets[f.Tag] != nil {
				all[n] = packetOf(packets[f.Tag])
			}
		}
	}
	return o.segmentSound(plan, c, s, all)
}

func packetOf(data []byte) mp4.FullSample {
	return mp4.FullSample{Sample: mp4.NewSample(mp4.SyncSampleFlags, ladder.PacketSamples, uint32(len(data)), 0), Data: data} //nolint:gosec // flv bounds packets
}

// plainInit leaves the init segment of AAC-LC in stereo, which is the same for all chunks.
func (o *output) plainInit(ctx context.Context, rate int) error {
	if o.trex != nil {
		return nil
	}
	init := mp4.CreateEmptyInit()
	init.AddEmptyTrack(uint32(rate), "audio", "und") //nolint:gosec // the plan has 44,100 or 48,000
	if err := init.Moov.Trak.SetAACDescriptor(aac.AAClc, rate); err != nil {
		return fmt.Errorf("describe sound: %w", err)
	}
	return o.writeInit(ctx, init)
}
