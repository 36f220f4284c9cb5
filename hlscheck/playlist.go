package hlscheck

import (
	"cmp"
	"fmt"
	"math"
	"mime"
	"path"
	"slices"
	"strings"
)

// eachTrack is a check of every media playlist.
func eachTrack(check func(t *track, say say)) func(p *presentation, say say) {
	return func(p *presentation, say say) {
		for _, t := range p.renditions() {
			check(t, say)
		}
	}
}

// The values of EXT-X-PLAYLIST-TYPE.
const vod, eventKind = "VOD", "EVENT"

// media tells whether it is played by itself: neither I-frames nor subtitles, whose
// target durations are their own affair (5.7, 6.12).
func (t *track) media() bool { return !t.list.iframes && !t.subtitles }

// same tells whether two segments have one init segment.
func (m *mapTag) same(other *mapTag) bool {
	return m == other || m != nil && other != nil && m.URI == other.URI && m.part == other.part
}

func (m *mapTag) String() string {
	switch {
	case m == nil:
		return "none"
	case m.part.Length > 0:
		return fmt.Sprintf("%s (%d@%d)", m.URI, m.part.Length, m.part.Offset)
	}
	return m.URI
}

func eachName(p *presentation, say say) {
	for _, u := range p.unnamed {
		say(u[0], "%s", u[1])
	}
	without := 0
	for _, v := range p.variants {
		for kind, group := range map[string]string{audioType: v.Audio, videoType: v.Video, subtitlesType: v.Subtitles, captionsType: v.Captions} {
			if kind == captionsType && group == none {
				without++
				continue
			}
			if group != "" && !slices.ContainsFunc(p.list.media, func(m mediaTag) bool { return m.Type == kind && m.GroupID == group }) {
				say(v.URI, "there is no EXT-X-MEDIA of TYPE=%s and GROUP-ID=%q", kind, group)
			}
		}
	}
	if without > 0 && without < len(p.variants) {
		say(p.name(), "some variants have CLOSED-CAPTIONS=NONE, and others have not")
	}
}

// none is what CLOSED-CAPTIONS is where there are none.
const none = "NONE"

var playlistRules = []Rule{
	{Number: "RFC8216-4.1", Severity: Must, Text: "Every segment is there, and is what its playlist says", check: func(p *presentation, say say) {
		for _, u := range p.unread {
			say(u[0], "%s", u[1])
		}
	}},
	{Number: "RFC8216-7", Severity: Must, Text: "EXT-X-VERSION is what the tags need", check: func(p *presentation, say say) {
		check := func(name string, has int64, asks need) {
			if has < asks.version {
				say(name, "it is %d, %s needs %d", has, asks.why, asks.version)
			}
		}
		check(p.name(), p.list.version, p.list.need)
		for _, t := range p.renditions() {
			check(t.uri, t.list.version, t.list.needs())
		}
	}},
	{Number: "RFC8216-4.3.4.2", Severity: Must, Text: "What a multivariant playlist names is a media playlist, and groups are there", check: eachName},
	{Number: "8.6", Severity: Must, Text: "EXT-X-PLAYLIST-TYPE is VOD, or, of an event under way, EVENT (8.8)", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if t.list.kind != vod && !p.event {
				say(t.uri, "it is %s", cmp.Or(t.list.kind, "not there"))
			}
		}
	}},
	{Number: "RFC8216-4.3.3.4", Severity: Must, Text: "It ends with EXT-X-ENDLIST, if not all of an event is still under way", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if !t.list.closed && !p.event {
				say(t.uri, "it doesn't")
			}
		}
	}},
	{Number: "8.4", Severity: Must, Text: "While it is live, EXT-X-PROGRAM-DATE-TIME says when it was", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if p.event && !slices.ContainsFunc(t.list.segments, func(s listed) bool { return s.dated }) {
				say(t.uri, "it is not there")
			}
		}
	}},
	{Number: "8.11", Severity: Must, Text: "While it is live, there are six segments at least", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if n := len(t.list.segments); p.event && n < 6 {
				say(t.uri, "there are %d", n)
			}
		}
	}},
	{Number: "7.7", Severity: Must, Text: "No segment is longer than the target duration by more than half a second", check: eachTrack(func(t *track, say say) {
		for _, s := range t.segments {
			if s.Duration > float64(t.target)+0.5 {
				say(s.uri, "it lasts %.3f s, the target is %d", s.Duration, t.target)
			}
		}
	})},
	{Number: "7.5", Severity: Should, Text: "The target duration is 6 s", check: eachTrack(func(t *track, say say) {
		if t.target != 6 && t.duration() > 6 && !t.list.iframes {
			say(t.uri, "it is %d", t.target)
		}
	})},
	{Number: "8.2", Severity: Must, Text: "Audio and video have one target duration", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			if first := p.renditions()[0]; t.media() && first.media() && t.target != first.target {
				say(t.uri, "it is %d, that of %s is %d", t.target, first.uri, first.target)
			}
		}
	}},
	{Number: "8.3", Severity: Must, Text: "All renditions last as long", check: func(p *presentation, say say) {
		for _, t := range p.renditions() {
			first := p.renditions()[0]
			if p.event { // one is written after the other
				continue
			}
			if !t.subtitles && math.Abs(t.duration()-first.duration()) > 0.25 { // audio ends with a frame of its own
				say(t.uri, "%.3f s, %s lasts %.3f s", t.duration(), first.uri, first.duration())
			}
		}
	}},
	{Number: "8.20", Severity: Must, Text: "Segments of fMP4 have an EXT-X-MAP", check: eachTrack(func(t *track, say say) {
		for _, s := range t.list.segments {
			if ext := extension(s.URI); s.initial == nil && (ext == ".m4s" || ext == ".mp4" || ext == ".m4a" || ext == ".m4v") {
				say(t.uri, "it has none")
				return
			}
		}
	})},
	{Number: "8.22", Severity: Should, Text: "Segments of all video renditions begin at the same times", check: func(p *presentation, say say) {
		var first *track
		for _, v := range p.variants {
			switch {
			case !v.track.video:
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
			if i > 0 && !s.initial.same(t.segments[i-1].initial) && !s.Discontinuity {
				say(s.uri, "%s after %s", s.initial, t.segments[i-1].initial)
			}
		}
	})},
}

var protectionRules = []Rule{
	{Number: "13.2", Severity: Must, Text: "The method of FairPlay Streaming is SAMPLE-AES", check: eachKey(func(k key) bool {
		return k.format == fairPlay && k.method != sampleAES
	})},
	{Number: "13.11", Severity: Must, Text: "Nothing is encrypted with SAMPLE-AES-CTR", check: eachKey(func(k key) bool { return k.method == "SAMPLE-AES-CTR" })},
}

// eachKey is a check of every key that some segment has.
func eachKey(bad func(k key) bool) func(p *presentation, say say) {
	return eachTrack(func(t *track, say say) {
		if i := slices.IndexFunc(t.list.keys, bad); i >= 0 {
			say(t.uri, "METHOD=%s, KEYFORMAT=%q", t.list.keys[i].method, t.list.keys[i].format)
		}
	})
}

var trickplayRules = []Rule{
	{Number: "6.1", Severity: Must, Text: "There are I-frame playlists", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if v.track.video && len(p.iframes) == 0 {
				say(p.name(), "there is no EXT-X-I-FRAME-STREAM-INF")
				return
			}
		}
	}},
	{Number: "6.2", Severity: Should, Text: "An I-frame playlist has a frame every second", check: func(p *presentation, say say) {
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
			if !v.track.list.iframes {
				say(v.URI, "it doesn't")
			}
		}
		for _, v := range p.variants {
			if v.track.list.iframes {
				say(v.URI, "it does, and is a variant")
			}
		}
	}},
	{Number: "6.9", Severity: Must, Text: "BANDWIDTH of I-frames is within 10 % of the measured peak", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			if !p.tells(v.Bandwidth, v.track.peak) {
				say(v.URI, "it says %d, %.0f are measured", v.Bandwidth, v.track.peak)
			}
		}
	}},
	{Number: "6.10", Severity: Must, Text: "An I-frame's segment has one frame, and in fMP4 its moof", check: func(p *presentation, say say) {
		for _, v := range p.iframes {
			for _, s := range v.track.segments {
				if v.track.init != nil && s.media != nil && (!s.media.fragment && !s.media.ts || len(s.media.keys) != 1) {
					say(s.uri, "%d@%d: moof %t, %d frames", s.part.Length, s.part.Offset, s.media.fragment, len(s.media.keys))
				}
			}
		}
	}},
	{Number: "RFC8216-4.3.2.2", Severity: Must, Text: "Byte ranges are not empty", check: eachTrack(func(t *track, say say) {
		for _, s := range t.segments {
			if s.ranged && s.part.Length == 0 {
				say(s.uri, "one is, at %d", s.part.Offset)
			}
		}
	})},
}

// types are MIME types by extension (10.4), the best first.
var types = map[string][]string{
	".m3u8": {"application/vnd.apple.mpegurl"}, ".m3u": {"audio/mpegurl"}, ".ts": {"video/mp2t"}, ".m4s": {"video/iso.segment", "video/mp4", "audio/mp4"},
	".mp4": {"video/mp4", "audio/mp4", "application/mp4"}, ".aac": {"audio/aac"}, ".mp3": {"audio/mpeg"}, ".ac3": {"audio/ac3"}, ".ec3": {"audio/eac3"},
	".vtt": {"text/vtt", "text/plain"},
}

// typed tells whether a file's type is that of its name; one without a server has none.
func typed(name, got string) (want string, ok bool) {
	all := types[extension(name)]
	if got == "" || len(all) == 0 {
		return "", true
	}
	kind, _, err := mime.ParseMediaType(got)
	return all[0], err == nil && slices.Contains(all, kind)
}

// extension is that of a reference's file.
func extension(reference string) string {
	file, _, _ := strings.Cut(reference, "?")
	return path.Ext(file)
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
	{Number: "10.4", Severity: Should, Text: "MIME types are those of playlists and segments", check: func(p *presentation, say say) {
		one := func(name, got string) {
			if want, ok := typed(name, got); !ok {
				say(name, "it is %s, not %s", got, want)
			}
		}
		one(p.name(), p.object.Type)
		for _, t := range p.renditions() {
			one(t.uri, t.object.Type)
			for _, init := range t.inits {
				one(init.uri, init.Type)
			}
			for _, s := range t.segments {
				one(s.uri, s.kind)
			}
		}
	}},
}
