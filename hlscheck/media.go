package hlscheck

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"

	avc264 "afterlive/internal/h264"
)

// initSegment is what an EXT-X-MAP names.
type initSegment struct {
	entry     string // type of the sample entry: avc1, hvc1, mp4a, …
	profile   byte   // of H.264
	level     byte
	timescale uint32
	channels  int
	trex      *mp4.TrexBox
}

const entryAAC = "mp4a"

func parseInit(body []byte) (*initSegment, error) {
	file, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read init segment: %w", err)
	}
	if file.Moov == nil || file.Moov.Trak == nil || file.Moov.Mvex == nil {
		return nil, errors.New("read init segment: it has no track, or is none of a fragmented file")
	}
	stsd := file.Moov.Trak.Mdia.Minf.Stbl.Stsd
	i := &initSegment{timescale: file.Moov.Trak.Mdia.Mdhd.Timescale, trex: file.Moov.Mvex.Trex}
	if len(stsd.Children) > 0 {
		i.entry = stsd.Children[0].Type()
	}
	if e := stsd.AvcX; e != nil && e.AvcC != nil {
		i.profile, i.level = e.AvcC.AVCProfileIndication, e.AvcC.AVCLevelIndication
	}
	if e := stsd.Mp4a; e != nil && e.Esds != nil && e.Esds.DecConfigDescriptor != nil && e.Esds.DecConfigDescriptor.DecSpecificInfo != nil {
		// The sample entry says 2 whatever there is.
		config, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(e.Esds.DecConfigDescriptor.DecSpecificInfo.DecConfig))
		if err != nil {
			return nil, fmt.Errorf("read init segment: %w", err)
		}
		i.channels = int(config.ChannelConfiguration)
	}
	return i, nil
}

// media is what a segment holds, in ticks of its timescale.
type media struct {
	start, end int64   // decode times
	keys       []int64 // where it can be entered: from the first picture, in ticks
	ticks      int64   // a second; 0: the times are not known
	first      bool    // the first picture is one of these
	ts         bool    // an MPEG transport stream
	fragment   bool    // it begins with a moof, or what comes before one
}

func parseMP4(body []byte, init *initSegment) (*media, error) {
	file, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("it is no fMP4: %w", err)
	}
	m := &media{ticks: int64(init.timescale), start: -1}
	for _, s := range file.Segments {
		for _, f := range s.Fragments {
			m.fragment = m.fragment || f.Moof != nil
			if err := m.add(f, init); err != nil {
				return nil, err
			}
		}
	}
	if m.start < 0 {
		return nil, errors.New("it holds no samples")
	}
	return m, nil
}

func (m *media) add(f *mp4.Fragment, init *initSegment) error {
	if f.Moof == nil || f.Moof.Traf == nil || f.Moof.Traf.Tfdt == nil || f.Mdat == nil {
		return errors.New("a fragment lacks its time or its data")
	}
	traf := f.Moof.Traf
	at := int64(traf.Tfdt.BaseMediaDecodeTime()) //nolint:gosec // no presentation lasts so long
	if m.start < 0 {
		m.start = at
	} else if at != m.end {
		return fmt.Errorf("a fragment begins at %d, the one before ends at %d (1/%d s)", at, m.end, m.ticks)
	}
	data := f.Mdat.Data
	for _, trun := range traf.Truns {
		trun.AddSampleDefaultValues(traf.Tfhd, init.trex)
		flags, has := trun.FirstSampleFlags()
		for i, s := range trun.GetSamples() {
			if i == 0 && has {
				s.Flags = flags
			}
			if uint64(s.Size) > uint64(len(data)) {
				return errors.New("it ends in the middle of a sample")
			}
			one := data[:s.Size]
			data = data[s.Size:]
			if mp4.IsSyncSampleFlags(s.Flags) && (init.profile == 0 || isIDR(one)) {
				m.first = m.first || at == m.start
				m.keys = append(m.keys, at-m.start)
			}
			at += int64(s.Dur)
		}
	}
	m.end = at
	return nil
}

var mediaRules = []Rule{
	{Number: "7.3", Severity: Must, Text: "The decode times of segments follow each other without a gap", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for i := 1; i < len(t.segments) && !t.list.Iframe; i++ {
				a, b := t.segments[i-1].media, t.segments[i].media
				if a != nil && b != nil && !a.before(b) && !t.segments[i].Discontinuity {
					say(t.segments[i].uri, "it begins at %d, the one before ends at %d (1/%d s)", b.start, a.end, b.ticks)
				}
			}
		}
	}},
	{Number: "7.4", Severity: Must, Text: "Every segment of a picture begins with an IDR picture", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if t.picture && s.media != nil && !s.media.first {
					say(s.uri, "its first picture is no IDR picture")
				}
			}
		}
	}},
	{Number: "1.13", Severity: Should, Text: "An IDR picture comes every two seconds", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if gap := s.longestGap(); t.picture && !t.list.Iframe && gap > 2.1 {
					say(s.uri, "%.2f s without one", gap)
				}
			}
		}
	}},
	{Number: "8.1", Severity: Must, Text: "EXTINF is what a segment lasts, to a picture", check: func(p *presentation, say say) {
		const picture = 0.042 // s: at 24 in a second
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if s.media == nil || s.media.ticks == 0 || t.list.Iframe {
					continue
				}
				if lasts := float64(s.media.end-s.media.start) / float64(s.media.ticks); math.Abs(lasts-s.Duration) > picture {
					say(s.uri, "EXTINF is %.3f, it lasts %.3f s", s.Duration, lasts)
				}
			}
		}
	}},
	{Number: "2.3", Severity: Must, Text: "There is stereo sound in AAC", check: func(p *presentation, say say) {
		stereo, some := false, false
		for _, t := range p.renditions() {
			if t.init != nil && t.init.entry == entryAAC {
				some = true
				stereo = stereo || t.init.channels == 2
			}
		}
		if some && !stereo {
			say(p.name(), "all sound is of one channel, or of more than two")
		}
	}},
	{Number: "1.10", Severity: Must, Text: "Parameter sets are in the sample entry: avc1 or hvc1, not avc3 or hev1", check: func(p *presentation, say say) {
		for _, v := range slices.Concat(p.variants, p.iframes) {
			entry := ""
			if v.track.init != nil {
				entry = v.track.init.entry
			}
			for _, bad := range []string{"avc3", "hev1"} {
				if entry == bad || strings.Contains(v.Codecs, bad) {
					say(v.URI, "it is %s", bad)
				}
			}
		}
	}},
}

// isIDR tells whether a picture, of NAL units behind lengths of four bytes, is an IDR
// picture.
func isIDR(picture []byte) bool {
	for unit := range avc264.Units(picture, 4) {
		if avc.GetNaluType(unit[0]) == avc.NALU_IDR {
			return true
		}
	}
	return false
}

// before tells whether another segment begins where this one ends. Times of transport
// streams are rounded, and their clock wraps.
func (m *media) before(next *media) bool {
	if !m.ts {
		return m.end == next.start
	}
	gap := (next.start - m.end) % clockWraps
	return m.ticks == 0 || gap > -m.ticks/1000 && gap < m.ticks/1000 || gap < m.ticks/1000-clockWraps
}

// longestGap is the longest time in a segment without an IDR picture, in seconds.
func (s segment) longestGap() float64 {
	m := s.media
	if m == nil || m.ticks == 0 || len(m.keys) == 0 {
		return 0
	}
	longest, last := int64(0), int64(0)
	for _, k := range append(slices.Clip(m.keys), m.end-m.start) {
		longest, last = max(longest, k-last), k
	}
	return float64(longest) / float64(m.ticks)
}
