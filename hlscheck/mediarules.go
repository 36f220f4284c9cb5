package hlscheck

import (
	"math"
	"slices"
)

var mediaRules = []Rule{
	{Number: "7.3", Severity: Must, Text: "The decode times of segments follow each other without a gap", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for i := 1; i < len(t.segments) && !t.list.iframes; i++ {
				a, b := t.segments[i-1].media, t.segments[i].media
				if a != nil && b != nil && !a.before(b) && !t.segments[i].Discontinuity {
					say(t.segments[i].uri, "it begins at %d, the one before ends at %d (1/%d s)", b.start, a.end, b.ticks)
				}
			}
		}
	}},
	{Number: "7.4", Severity: Must, Text: "Every segment of video begins with an IDR frame", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if t.video && s.media != nil && !s.media.first {
					say(s.uri, "its first frame is not an IDR frame")
				}
			}
		}
	}},
	{Number: "1.13", Severity: Should, Text: "An IDR frame comes every two seconds", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if gap := s.maxGap(); t.video && !t.list.iframes && gap > 2.1 {
					say(s.uri, "%.2f s without one", gap)
				}
			}
		}
	}},
	{Number: "8.1", Severity: Must, Text: "EXTINF is what a segment lasts, to a frame", check: func(p *presentation, say say) {
		const frame = 0.042 // s: at 24 in a second; where they come more slowly, as long as they last
		for _, t := range p.renditions() {
			for _, s := range t.segments {
				if s.media == nil || s.media.ticks == 0 || t.list.iframes {
					continue
				}
				if lasts := float64(s.media.end-s.media.start) / float64(s.media.ticks); math.Abs(lasts-s.Duration) > math.Max(frame, float64(s.media.longest)/float64(s.media.ticks)) {
					say(s.uri, "EXTINF is %.3f, it lasts %.3f s", s.Duration, lasts)
				}
			}
		}
	}},
	{Number: "2.3", Severity: Must, Text: "There is stereo audio in AAC", check: func(p *presentation, say say) {
		some := false
		for _, t := range p.renditions() {
			if t.init == nil {
				continue
			}
			for _, one := range t.init.audioTracks {
				if some = true; one.aac && (one.channels == 2 || one.channels == 0) { // 0: nobody can tell
					return
				}
			}
		}
		if some {
			say(p.name(), "all audio is of one channel, of more than two, or not AAC")
		}
	}},
	{Number: "1.10", Severity: Must, Text: "Parameter sets are in the sample entry: avc1 or hvc1, not avc3 or hev1", check: func(p *presentation, say say) {
		for _, v := range slices.Concat(p.variants, p.iframes) {
			entry := ""
			if v.track.init != nil {
				entry = v.track.init.entry
			}
			for _, bad := range []string{"avc3", "hev1"} {
				if entry == bad || hasCodec(v.Codecs, bad) {
					say(v.URI, "it is %s", bad)
				}
			}
		}
	}},
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

// maxGap is the longest time in a segment without an IDR frame, in seconds.
func (s segment) maxGap() float64 {
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
