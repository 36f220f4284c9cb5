package hlscheck

import (
	"errors"
	"strings"
)

// mediaList is a media playlist, as it is written.
type mediaList struct {
	version, target int64
	need            need
	kind            string // EXT-X-PLAYLIST-TYPE
	closed          bool   // it has EXT-X-ENDLIST
	iframes         bool
	keys            []key
	segments        []listed
}

// listed is a segment, as its playlist tells of it.
type listed struct {
	URI           string
	Duration      float64
	part          Range
	ranged        bool    // it has an EXT-X-BYTERANGE
	initial       *mapTag // nil: there is none
	key           key
	Discontinuity bool
	gap           bool
	dated         bool // it has an EXT-X-PROGRAM-DATE-TIME
}

// mapTag is an EXT-X-MAP, and the key under which it is.
type mapTag struct {
	URI  string
	part Range
	key  key
}

// key is an EXT-X-KEY; of no method: nothing is encrypted.
type key struct{ method, format string }

const (
	sampleAES = "SAMPLE-AES"
	fairPlay  = "com.apple.streamingkeydelivery"
)

// whole tells whether it is for whole files, and not for samples in them.
func (k key) whole() bool { return k.method == "AES-128" }

var errMultivariant = errors.New("it is a multivariant playlist; a media playlist is wanted in its place")

// mediaReader is a media playlist, while it is read.
type mediaReader struct {
	reader

	list  *mediaList
	next  listed // what is told of the next segment
	timed bool   // it has an EXTINF
	begin bool   // its byte range has an offset
	ends  map[string]int64
}

// readMedia reads a media playlist; above are the multivariant playlist's variables.
func readMedia(body []byte, name string, above map[string]string) (*mediaList, error) {
	all, err := linesOf(body)
	if err != nil {
		return nil, err
	}
	r := &mediaReader{reader: reader{values: map[string]string{}}, list: &mediaList{version: 1}, ends: map[string]int64{}}
	for _, l := range all {
		l = r.take(l)
		switch l.tag {
		case "EXT-X-STREAM-INF", iframeVariant, "EXT-X-MEDIA":
			return nil, errMultivariant
		case "EXT-X-DEFINE":
			r.list.need.define(r.attributes())
			r.define(above, name)
		case "":
			r.end(l.value)
		default:
			r.tag(l)
		}
	}
	if r.fault == nil && r.list.target == 0 && len(r.list.segments) == 0 {
		return nil, errors.New("it has neither EXT-X-TARGETDURATION nor segments")
	}
	return r.list, r.fault
}

func (r *mediaReader) tag(l line) {
	list := r.list
	switch l.tag {
	case "EXT-X-VERSION":
		list.version = r.integer(l.value)
	case "EXT-X-TARGETDURATION":
		list.target = r.integer(l.value)
	case "EXT-X-PLAYLIST-TYPE":
		list.kind = l.value
	case "EXT-X-ENDLIST":
		list.closed = true
	case "EXT-X-I-FRAMES-ONLY":
		list.iframes = true
		list.need.raise(4, l.tag)
	case "EXT-X-SKIP":
		r.failf("it is an update of a live playlist, and not whole")
	case "EXTINF":
		seconds, _, _ := strings.Cut(l.value, ",")
		r.next.Duration, r.timed = r.number(strings.TrimSpace(seconds)), true
		if strings.Contains(seconds, ".") {
			list.need.raise(3, "EXTINF with a fraction")
		}
	case "EXT-X-BYTERANGE":
		r.next.part, r.begin = r.byteRange(l.value)
		r.next.ranged = true
		list.need.raise(4, l.tag)
	case "EXT-X-DISCONTINUITY":
		r.next.Discontinuity = true
	case "EXT-X-GAP":
		r.next.gap = true
	case "EXT-X-PROGRAM-DATE-TIME":
		r.next.dated = true
	case "EXT-X-KEY":
		r.key()
	case "EXT-X-MAP":
		a := r.attributes()
		r.next.initial = &mapTag{URI: a["URI"], key: r.next.key}
		if a["BYTERANGE"] != "" {
			r.next.initial.part, _ = r.byteRange(a["BYTERANGE"])
		}
	}
}

// key is an EXT-X-KEY. Several at once are the same key in several formats.
func (r *mediaReader) key() {
	a := r.attributes()
	k := key{method: a["METHOD"], format: a["KEYFORMAT"]}
	if k.method == "NONE" {
		k = key{}
	}
	if a["IV"] != "" {
		r.list.need.raise(2, "EXT-X-KEY with IV")
	}
	if strings.HasPrefix(k.method, sampleAES) || k.format != "" || a["KEYFORMATVERSIONS"] != "" {
		r.list.need.raise(5, "EXT-X-KEY with SAMPLE-AES or KEYFORMAT")
	}
	r.next.key = k
	if k.method != "" {
		r.list.keys = append(r.list.keys, k)
	}
}

// end is a segment's URI, the last that is told of it. Key and EXT-X-MAP hold on.
func (r *mediaReader) end(uri string) {
	s := r.next
	s.URI = uri
	if !r.timed {
		r.failf("%s has no EXTINF", uri)
	}
	if s.ranged && !r.begin {
		end, ok := r.ends[uri]
		if !ok {
			r.failf("the range of %s says only how long it is, and no range of that file comes before it", uri)
		}
		s.part.Offset = end
	}
	clear(r.ends)
	if s.ranged {
		r.ends[uri] = s.part.End()
	}
	if s.initial != nil {
		r.list.need.raise(5, "EXT-X-MAP")
	}
	r.list.segments = append(r.list.segments, s)
	r.next, r.timed, r.begin = listed{initial: s.initial, key: s.key}, false, false
}

// needs is the version that the tags ask for: EXT-X-MAP was for I-frames first.
func (m *mediaList) needs() need {
	n := m.need
	for _, s := range m.segments {
		if s.initial != nil && !m.iframes {
			n.raise(6, "EXT-X-MAP without EXT-X-I-FRAMES-ONLY")
		}
	}
	return n
}
