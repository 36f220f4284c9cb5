package hlscheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"
)

// media is what a segment holds, in ticks of its timescale.
type media struct {
	start, end int64   // decode times
	keys       []int64 // where it can be entered: from the first frame, in ticks
	longest    int64   // the longest that a frame, or an audio packet, lasts
	ticks      int64   // a second; 0: the times are not known
	first      bool    // the first frame is one of these
	ts         bool    // its times are those of a transport stream
	fragment   bool    // it begins with a moof, or what comes before one
	captions   bool    // there are CEA-608 or CEA-708 captions in its frames
}

// parseMP4 looks into a segment. Those of an I-frame playlist may end within the mdat, as
// Apple's own do: behind the frame.
func parseMP4(body []byte, init *initSegment, iframe bool) (*media, error) {
	if iframe {
		body = closeLast(body)
	}
	file, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("it is not fMP4: %w", err)
	}
	m := &media{ticks: int64(init.timescale), start: -1}
	for _, s := range file.Segments {
		for _, f := range s.Fragments {
			m.fragment = m.fragment || f.Moof != nil
			if err := m.add(f, init, iframe); err != nil {
				return nil, err
			}
		}
	}
	if m.start < 0 {
		return nil, errors.New("it holds no samples")
	}
	return m, nil
}

// closeLast ends the last box where the body does.
func closeLast(body []byte) []byte {
	const header = 8
	for at := 0; at+header <= len(body); {
		size := int(binary.BigEndian.Uint32(body[at:]))
		if size < header { // one of 64 bits, or to the end: left as it is
			return body
		}
		if at+size > len(body) {
			body = slices.Clone(body)
			binary.BigEndian.PutUint32(body[at:], uint32(len(body)-at)) //nolint:gosec // it is less than size
			return body
		}
		at += size
	}
	return body
}

// add is a fragment; one that has nothing of the init segment's track is left out.
func (m *media) add(f *mp4.Fragment, init *initSegment, iframe bool) error {
	if f.Moof == nil || f.Mdat == nil {
		return errors.New("a fragment lacks its header or its data")
	}
	i := slices.IndexFunc(f.Moof.Trafs, func(t *mp4.TrafBox) bool { return t.Tfhd != nil && t.Tfhd.TrackID == init.track })
	if i < 0 && len(f.Moof.Trafs) > 1 {
		return nil
	}
	traf := f.Moof.Trafs[max(i, 0)]
	if traf.Tfhd == nil || traf.Tfdt == nil {
		return errors.New("a fragment lacks its time")
	}
	at := int64(traf.Tfdt.BaseMediaDecodeTime()) //nolint:gosec // no presentation lasts so long
	if m.start < 0 {
		m.start = at
	} else if at != m.end {
		return fmt.Errorf("a fragment begins at %d, the one before ends at %d (1/%d s)", at, m.end, m.ticks)
	}
	data := f.Mdat.Data
	for _, trun := range traf.Truns {
		if trun.HasDataOffset() && !traf.Tfhd.HasBaseDataOffset() {
			begin := int64(f.Moof.StartPos) + int64(trun.DataOffset) - int64(f.Mdat.PayloadAbsoluteOffset()) //nolint:gosec // positions in what was read
			if begin < 0 || begin > int64(len(f.Mdat.Data)) {
				return errors.New("its samples are not in its mdat")
			}
			data = f.Mdat.Data[begin:]
		}
		trun.AddSampleDefaultValues(traf.Tfhd, init.trex)
		flags, has := trun.FirstSampleFlags()
		for i, s := range trun.GetSamples() {
			if i == 0 && has {
				s.Flags = flags
			}
			if uint64(s.Size) > uint64(len(data)) {
				if iframe {
					break // it is of the others, that nobody reads
				}
				return errors.New("it ends in the middle of a sample")
			}
			m.sample(s, data[:s.Size], at, init)
			data = data[s.Size:]
			at += int64(s.Dur)
			m.longest = max(m.longest, int64(s.Dur))
		}
	}
	m.end = at
	return nil
}

func (m *media) sample(s mp4.Sample, data []byte, at int64, init *initSegment) {
	if isSync(s.Flags) && (!init.h264 || init.encrypted || isIDR(data, init.lengthSize)) {
		m.first = m.first || at == m.start
		m.keys = append(m.keys, at-m.start)
	}
	m.captions = m.captions || init.hasCaptions(data)
}

// isSync tells whether a sample can be entered (ISO/IEC 14496-12, 8.8.3.1). Not every
// packager says too that it depends on no other, for which the library asks.
func isSync(flags uint32) bool { return flags&mp4.NonSyncSampleFlags == 0 }
