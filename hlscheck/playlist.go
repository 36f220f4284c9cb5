package hlscheck

import (
	"math"
	"path"
	"regexp"
	"strings"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// eachTrack is a check of every media playlist.
func eachTrack(check func(t *track, say say)) func(p *presentation, say say) {
	return func(p *presentation, say say) {
		for _, t := range p.renditions() {
			check(t, say)
		}
	}
}

var playlistRules = []Rule{
	{Number: "RFC8216-4.1", Severity: Must, Text: "Every segment is there, and is what its playlist says", check: func(p *presentation, say say) {
		for _, u := range p.unread {
			say(u[0], "%s", u[1])
		}
	}},
	{Number: "RFC8216-7", Severity: Must, Text: "EXT-X-VERSION is what the tags need", check: func(p *presentation, say say) {
		if need, why := p.list.CalcMinVersion(); p.list.Version() < need {
			say(p.name(), "it is %d, %s needs %d", p.list.Version(), why, need)
		}
		for _, t := range p.renditions() {
			if need, why := t.list.CalcMinVersion(); t.list.Version() < need {
				say(t.uri, "it is %d, %s needs %d", t.list.Version(), why, need)
			}
		}
	}},
	{Number: "8.6", Severity: Must, Text: "EXT-X-PLAYLIST-TYPE is VOD", check: eachTrack(func(t *track, say say) {
		if t.list.MediaType != m3u8.VOD {
			say(t.uri, "it isn't")
		}
	})},
	{Number: "RFC8216-4.3.3.4", Severity: Must, Text: "It ends with EXT-X-ENDLIST", check: eachTrack(func(t *track, say say) {
		if !t.list.Closed {
			say(t.uri, "it doesn't")
		}
	})},
	{Number: "7.7", Severity: Must, Text: "No segment is longer than the target duration by more than half a second", check: eachTrack(func(t *track, say say) {
		for _, s := range t.segments {
			if s.Duration > float64(t.target)+0.5 {
				say(s.uri, "it lasts %.3f s, the target is %d", s.Duration, t.target)
			}
		}
	})},
	{Number: "7.5", Severity: Should, Text: "The target duration is 6 s", check: eachTrack(func(t *track, say say) {
		if t.target != 6 && t.duration() > 6 && !t.list.Iframe {
			say(t.uri, "it is %d", t.target)
		}
	})},
	{Number: "8.2", Severity: Must, Text: "Sound and pictures have one target duration", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if first := p.renditions()[0]; !t.list.Iframe && !first.list.Iframe && t.target != first.target {
				say(t.uri, "it is %d, that of %s is %d", t.target, first.uri, first.target)
			}
		}
	}},
	{Number: "8.3", Severity: Must, Text: "All renditions last as long", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			first := p.renditions()[0]
			if math.Abs(t.duration()-first.duration()) > 0.25 { // sound ends with a frame of its own
				say(t.uri, "%.3f s, %s lasts %.3f s", t.duration(), first.uri, first.duration())
			}
		}
	}},
	{Number: "8.20", Severity: Must, Text: "Segments of fMP4 have an EXT-X-MAP", check: eachTrack(func(t *track, say say) {
		for _, s := range t.list.GetAllSegments() {
			if ext := path.Ext(s.URI); t.init == nil && (ext == ".m4s" || ext == ".mp4" || ext == ".m4a" || ext == ".m4v") {
				say(t.uri, "it has none")
				return
			}
		}
	})},
	{Number: "8.22", Severity: Should, Text: "Segments of all pictures begin at the same times", check: func(p *presentation, say say) {
		var first *track
		for _, v := range p.variants {
			switch {
			case !v.track.picture:
			case first == nil:
				first = v.track
			default:
				for i, s := range v.track.segments {
					if i >= len(first.segments) || math.Abs(s.Duration-first.segments[i].Duration) > 0.001 {
						say(s.uri, "not as in %s", first.uri)
						break
					}
				}
			}
		}
	}},
	{Number: "RFC8216-4.3.2.5", Severity: Must, Text: "Init segments are the same throughout, or a discontinuity is told", check: eachTrack(func(t *track, say say) {
		for i, s := range t.segments {
			if i > 0 && s.init != t.segments[i-1].init && !s.Discontinuity {
				say(s.uri, "%s after %s", s.init, t.segments[i-1].init)
			}
		}
	})},
}

var trickplayRules = []Rule{
	{Number: "6.1", Severity: Must, Text: "There are I-frame playlists", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if v.track.picture && len(p.iframes) == 0 {
				say(p.name(), "there is no EXT-X-I-FRAME-STREAM-INF")
				return
			}
		}
	}},
	{Number: "6.2", Severity: Should, Text: "An I-frame playlist has a picture every second", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			if n := len(v.track.segments); float64(n) >= v.track.duration()*0.8 {
				return
			}
		}
		if len(p.iframes) > 0 {
			say(p.iframes[0].URI, "none has")
		}
	}},
	{Number: "6.8", Severity: Must, Text: "I-frame playlists, and no others, say EXT-X-I-FRAMES-ONLY", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			if !v.track.list.Iframe {
				say(v.URI, "it doesn't")
			}
		}
		for _, v := range p.variants {
			if v.track.list.Iframe {
				say(v.URI, "it does, and is a variant")
			}
		}
	}},
	{Number: "6.9", Severity: Must, Text: "BANDWIDTH of I-frames is within 10 % of the measured peak", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			if _, peak := v.track.bandwidth(); !near(v.Bandwidth, peak) {
				say(v.URI, "it says %d, %.0f are measured", v.Bandwidth, peak)
			}
		}
	}},
	{Number: "6.10", Severity: Must, Text: "An I-frame's segment has one picture, and in fMP4 its moof", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			for _, s := range v.track.segments {
				if v.track.init != nil && s.media != nil && (!s.media.fragment && !s.media.ts || len(s.media.keys) != 1) {
					say(s.uri, "%d@%d: moof %t, %d pictures", s.Limit, s.Offset, s.media.fragment, len(s.media.keys))
				}
			}
		}
	}},
	{Number: "RFC8216-4.3.2.2", Severity: Must, Text: "Byte ranges are not empty", check: eachTrack(func(t *track, say say) {
		if m := emptyRange.Find(t.object.Body); m != nil {
			say(t.uri, "%s", m)
		}
	})},
}

var emptyRange = regexp.MustCompile(`(?m)^#EXT-X-BYTERANGE:0(@.*)?$`)

// types are MIME types by extension (10.4).
var types = map[string]string{".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t", ".mp4": "video/mp4", ".m4s": "video/iso.segment"}

func typed(name, got string) (want string, ok bool) {
	want = types[path.Ext(strings.SplitN(name, "?", 2)[0])]
	return want, got == "" || want == "" || got == want || (want == "video/iso.segment" || want == "video/mp4") && got == "audio/mp4"
}

var deliveryRules = []Rule{
	{Number: "10.1", Severity: Must, Text: "Playlists come gzipped", check: func(p *presentation, say say) {
		if p.object.Type != "" && p.object.Encoding != packed {
			say(p.name(), "Content-Encoding is %q", p.object.Encoding)
		}
		for _, t := range p.renditions() {
			if t.object.Type != "" && t.object.Encoding != packed {
				say(t.uri, "Content-Encoding is %q", t.object.Encoding)
			}
		}
	}},
	{Number: "10.4", Severity: Must, Text: "MIME types are those of playlists and segments", check: func(p *presentation, say say) {
		one := func(name, got string) {
			if want, ok := typed(name, got); !ok {
				say(name, "it is %s, not %s", got, want)
			}
		}
		one(p.name(), p.object.Type)
		for _, t := range p.renditions() {
			one(t.uri, t.object.Type)
			for name, o := range t.inits {
				one(beside(t.uri, name), o.Type)
			}
			for _, s := range t.segments {
				one(s.uri, s.kind)
			}
		}
	}},
}
