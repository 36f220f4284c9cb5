package hlscheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/asticode/go-astits"
)

const (
	packet     = 188     // bytes, of a transport stream
	clockWraps = 1 << 33 // ticks of 1/90000 s
	aacFrame   = 1024    // samples
)

// parseTS looks at a transport stream: whether every packet is in its place, and when its
// video, or else its audio, is decoded. Of others than H.264 and AAC nothing more is
// known. The second is what an init segment would say.
func parseTS(ctx context.Context, body []byte) (*media, *initSegment, error) {
	if err := checkPackets(body); err != nil {
		return nil, nil, err
	}
	s := stream{media: media{ts: true, first: true, start: -1}}
	demuxer := astits.NewDemuxer(ctx, bytes.NewReader(body), astits.DemuxerOptPacketSkipper(s.skip))
	for {
		d, err := demuxer.NextData()
		if errors.Is(err, astits.ErrNoMorePackets) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read transport stream: %w", err)
		}
		switch {
		case d.PAT != nil:
			for _, program := range d.PAT.Programs {
				s.tables = append(s.tables, program.ProgramMapID)
			}
		case d.PMT != nil:
			s.choose(d.PMT)
		case d.PES != nil && d.FirstPacket.Header.PID == s.pid && s.kind != 0:
			if err := s.add(d.PES); err != nil {
				return nil, nil, err
			}
		}
	}
	if s.kind != 0 && s.start < 0 {
		return nil, nil, errors.New("it holds no samples")
	}
	s.end = s.last + s.step
	return &s.media, s.init, nil
}

// isTS tells a transport stream by its first byte.
func isTS(body []byte) bool { return len(body) >= packet && body[0] == 0x47 }

// checkPackets wants whole packets, none of them missing.
func checkPackets(body []byte) error {
	if len(body) == 0 || len(body)%packet != 0 {
		return fmt.Errorf("%d bytes are not whole packets of a transport stream, and there is no EXT-X-MAP for fMP4", len(body))
	}
	counters := map[int]byte{}
	for n := 0; n < len(body); n += packet {
		p := body[n : n+packet]
		if p[0] != 0x47 {
			return fmt.Errorf("packet %d doesn't begin with a sync byte", n/packet)
		}
		pid := int(p[1]&0x1f)<<8 | int(p[2])
		if payload := p[3]&0x10 != 0; !payload || pid == 0x1fff {
			continue
		}
		counter := p[3] & 0x0f
		jumps := p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x80 != 0 // and says so: discontinuity_indicator
		if before, ok := counters[pid]; ok && !jumps && counter != (before+1)&0x0f {
			return fmt.Errorf("packet %d of stream %d has continuity counter %d after %d", n/packet, pid, counter, before)
		}
		counters[pid] = counter
	}
	return nil
}

// stream is one of a transport stream, as it is read. Times are as the clock has them,
// and go on where it wraps.
type stream struct {
	media

	tables      []uint16 // where those are that tell of streams
	read        int      // packets of tables
	pid         uint16
	kind        astits.StreamType // 0: none was found yet
	last, step  int64             // when the last one is decoded, and how long it lasts
	audioTracks []audioTrack      // of which only the kind is known
	init        *initSegment
}

const enoughTables = 1000 // packets: who has more of them before a stream means no good

// skip leaves out what is of no interest: one bad packet of that would end all.
func (s *stream) skip(p *astits.Packet) bool {
	if s.kind != 0 {
		return p.Header.PID != s.pid
	}
	if p.Header.PID != 0 && !slices.Contains(s.tables, p.Header.PID) {
		return true
	}
	s.read++
	return s.read > enoughTables
}

// choose takes the video if there is one, else the audio. Beside video of a kind
// that is not looked into, nothing is.
func (s *stream) choose(pmt *astits.PMTData) {
	if s.kind != 0 {
		return
	}
	s.audioTracks = nil
	var best *astits.PMTElementaryStream
	for _, e := range pmt.ElementaryStreams {
		aac := e.StreamType == astits.StreamTypeAACAudio
		if e.StreamType.IsAudio() {
			s.audioTracks = append(s.audioTracks, audioTrack{aac: aac || e.StreamType == astits.StreamTypeAACLATMAudio})
		}
		if e.StreamType.IsVideo() || aac && best == nil {
			best = e
		}
	}
	if best == nil || best.StreamType != astits.StreamTypeH264Video && best.StreamType != astits.StreamTypeAACAudio {
		s.init = &initSegment{audioTracks: s.audioTracks}
		return
	}
	s.pid, s.kind, s.ticks = best.ElementaryPID, best.StreamType, 90_000
	s.first, s.init = false, nil
}

func (s *stream) add(pes *astits.PESData) error {
	h := pes.Header.OptionalHeader
	if h == nil || h.PTS == nil {
		return nil // it goes on with what the one before began
	}
	at := h.PTS.Base
	if h.DTS != nil {
		at = h.DTS.Base
	}
	if s.start < 0 {
		s.start = at
	} else {
		for at < s.last-clockWraps/2 {
			at += clockWraps
		}
		if at <= s.last {
			return fmt.Errorf("one packet is decoded at %d, the next at %d (1/90000 s)", s.last, at)
		}
		s.step = at - s.last
		s.longest = max(s.longest, s.step)
	}
	s.last = at
	if s.kind == astits.StreamTypeAACAudio {
		s.audio(pes.Data, at)
		return nil
	}
	return s.frame(pes.Data, at)
}

func (s *stream) frame(data []byte, at int64) error {
	if s.init == nil {
		sps, _ := avc.GetParameterSetsFromByteStream(data)
		if len(sps) > 0 {
			parsed, err := avc.ParseSPSNALUnit(sps[0], false) // some have a damaged VUI
			if err != nil {
				return fmt.Errorf("read parameter sets: %w", err)
			}
			s.describe(sps[0], parsed)
		}
	}
	for _, unit := range avc.ExtractNalusOfTypeFromByteStream(avc.NALU_SEI, data, false) {
		s.captions = s.captions || len(unit) > 1 && seiHasCaptions(unit[1:])
	}
	if len(avc.ExtractNalusOfTypeFromByteStream(avc.NALU_IDR, data, false)) > 0 {
		s.first = s.first || at == s.start
		s.keys = append(s.keys, at-s.start)
	}
	return nil
}

// describe is what an init segment would say of the video.
func (s *stream) describe(sps []byte, parsed *avc.SPS) {
	s.init = &initSegment{
		entry: "avc1", video: true, h264: true, transfer: transferOfAVC(sps), audioTracks: s.audioTracks,
		profile: byte(parsed.Profile), level: byte(parsed.Level), //nolint:gosec // they have eight bits
	}
}

// audio counts the frames of AAC in a packet. Where one goes on in the next packet, the
// last one's length is what the one before had.
func (s *stream) audio(data []byte, at int64) {
	frames, rate, channels := adts(data)
	if s.init == nil && frames > 0 {
		s.init = &initSegment{entry: entryAAC, audioTracks: []audioTrack{{aac: true, channels: channels}}}
	}
	if rate > 0 {
		s.step = frames * aacFrame * s.ticks / rate
		s.longest = max(s.longest, aacFrame*s.ticks/rate)
	}
	s.first = true
	s.keys = append(s.keys, at-s.start)
}
