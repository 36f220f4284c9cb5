package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/asticode/go-astits"

	"afterlive.alt/internal/h264"
	"afterlive.alt/ladder"
)

// muxer writes segments that were verified in fMP4 anew as MPEG transport streams
// (ISO/IEC 13818-1): what was checked of those holds for these. Continuity counters go on
// through a chunk; its beginning is marked as a discontinuity of theirs.
type muxer struct {
	*astits.Muxer

	out       bytes.Buffer
	timescale int64    // of the samples
	sets      [][]byte // SPS and PPS of H.264, which have no place of their own in a transport stream
	rate      int      // of AAC, samples a second; 0: it is H.264
	began     bool
}

const (
	mainPID     = 256           // as ffmpeg numbers it
	clockRate   = 90_000        // ticks a second
	clockWraps  = 1 << 33       // ticks, after a day and two hours
	clockAhead  = clockRate / 5 // of when something is to be decoded: so much time has it to arrive
	aacTogether = 4             // frames of AAC in one PES packet: 85 ms, and the clock must be told every 100
)

// mux is for transport streams of a track's segments.
func (o *Output) mux(ctx context.Context, trak *mp4.TrakBox) error {
	m := &muxer{timescale: int64(o.Track.Timescale)}
	stream := astits.PMTElementaryStream{ElementaryPID: mainPID, StreamType: astits.StreamTypeH264Video}
	switch stsd := trak.Mdia.Minf.Stbl.Stsd; {
	case stsd.AvcX != nil && stsd.AvcX.AvcC != nil:
		m.sets = slices.Concat(stsd.AvcX.AvcC.SPSnalus, stsd.AvcX.AvcC.PPSnalus)
	case stsd.Mp4a != nil:
		stream.StreamType, m.rate = astits.StreamTypeAACAudio, o.Track.Timescale
	}
	m.Muxer = astits.NewMuxer(context.WithoutCancel(ctx), &m.out)
	m.SetPCRPID(mainPID)
	o.muxer = m
	return m.AddElementaryStream(stream)
}

// transport writes a segment anew, as a transport stream.
func (o *Output) transport(n int, s Packed) ([]Packed, error) {
	all, err := o.fullSamples(s.File)
	if err != nil {
		return nil, err
	}
	one, err := o.toTS(n, all, s.Ticks)
	return []Packed{one}, errors.Join(err, os.Remove(filepath.Join(o.Folder, s.File)))
}

// splitPerSample gives each frame of a segment of I-frames a file, with the number that it has in
// the presentation.
func (o *Output) splitPerSample(s Packed, all []mp4.FullSample, first int) (out []Packed, err error) {
	for i := range all {
		lasts := min(int64(all[i].Dur), s.Ticks-int64(i)*int64(all[i].Dur))
		one, err := o.toTS(first+i, all[i:i+1], lasts)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, os.Remove(filepath.Join(o.Folder, s.File))
}

// toTS writes a transport stream of samples.
func (o *Output) toTS(n int, samples []mp4.FullSample, ticks int64) (one Packed, err error) {
	body, err := o.muxer.segment(samples)
	if err != nil {
		return one, fmt.Errorf("make a transport stream: %w", err)
	}
	one.File, one.Ticks, one.Bytes = ladder.TS.SegmentFile(n), ticks, int64(len(body))
	return one, os.WriteFile(filepath.Join(o.Folder, one.File), body, 0o644)
}

// segment is a transport stream of samples, which is good until the next is made.
func (m *muxer) segment(samples []mp4.FullSample) ([]byte, error) {
	m.out.Reset()
	together := 1
	if m.rate > 0 {
		together = aacTogether
	}
	first := true
	for group := range slices.Chunk(samples, together) {
		var data []byte
		for _, s := range group {
			unit, err := m.unit(s)
			if err != nil {
				return nil, err
			}
			data = append(data, unit...)
		}
		decode := int64(group[0].DecodeTime) //nolint:gosec // no presentation lasts so long
		clock := func(ticks int64) int64 { return (ticks*clockRate + m.timescale/2) / m.timescale }
		enter := first || m.rate == 0 && group[0].IsSync()
		if err := m.write(data, clock(decode), clock(decode+int64(group[0].CompositionTimeOffset)), enter); err != nil {
			return nil, err
		}
		first = false
	}
	return m.out.Bytes(), nil
}

// unit is a sample as transport streams have it: an AAC frame with its header (ADTS), or
// a video frame's NAL units behind start codes (H.264, annex B), a delimiter first.
func (m *muxer) unit(s mp4.FullSample) ([]byte, error) {
	if m.rate > 0 {
		header, err := aac.NewADTSHeader(m.rate, 2, aac.AAClc, uint16(len(s.Data))) //nolint:gosec // far below
		if err != nil {
			return nil, err
		}
		return slices.Concat(header.Encode(), s.Data), nil
	}
	unit := []byte{0, 0, 0, 1, byte(avc.NALU_AUD), 0xf0} // 0xf0: any type of slice
	add := func(nalu []byte) { unit = append(append(unit, 0, 0, 0, 1), nalu...) }
	if s.IsSync() {
		for _, set := range m.sets {
			add(set)
		}
	}
	for nalu := range h264.Units(s.Data, 4) {
		if avc.GetNaluType(nalu[0]) != avc.NALU_AUD {
			add(nalu)
		}
	}
	return unit, nil
}

// write adds a PES packet. Times are in ticks of clockRate. A player can enter where the
// tables are.
func (m *muxer) write(data []byte, decode, shown int64, enter bool) error {
	at := func(ticks int64) *astits.ClockReference { return &astits.ClockReference{Base: ticks % clockWraps} }
	header := &astits.PESOptionalHeader{
		MarkerBits: 2, DataAlignmentIndicator: true,
		PTSDTSIndicator: astits.PTSDTSIndicatorOnlyPTS, PTS: at(shown),
	}
	if shown != decode {
		header.PTSDTSIndicator, header.DTS = astits.PTSDTSIndicatorBothPresent, at(decode)
	}
	_, err := m.WriteData(&astits.MuxerData{
		PID: mainPID,
		AdaptationField: &astits.PacketAdaptationField{
			RandomAccessIndicator: enter, DiscontinuityIndicator: !m.began, HasPCR: true, PCR: at(max(0, decode-clockAhead)),
		},
		PES: &astits.PESData{Data: data, Header: &astits.PESHeader{OptionalHeader: header}},
	})
	m.began = true
	return err
}
