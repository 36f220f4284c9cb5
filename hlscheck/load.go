package hlscheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// presentation is all of one, as it was read.
type presentation struct {
	uri      string // of the multivariant playlist
	object   Object
	list     *m3u8.MasterPlaylist
	depth    Depth
	variants []variant
	iframes  []variant
	media    []alternative
	tracks   map[string]*track // by URI
	order    []string
	unread   [][2]string // segments that could not be read, and why
}

// variant is an EXT-X-STREAM-INF or EXT-X-I-FRAME-STREAM-INF.
type variant struct {
	*m3u8.Variant

	track         *track
	width, height int
}

// alternative is an EXT-X-MEDIA.
type alternative struct {
	*m3u8.Alternative

	track *track // nil: it has no URI
}

// name is the multivariant playlist's, as findings have it.
func (p *presentation) name() string { return path.Base(p.uri) }

// track is a rendition: a media playlist, and what it names.
type track struct {
	uri      string // relative to the multivariant playlist
	object   Object
	list     *m3u8.MediaPlaylist
	segments []segment
	target   int          // EXT-X-TARGETDURATION, seconds
	init     *initSegment // the first, or what the first transport stream says itself; nil: none of these
	inits    map[string]initFile
	picture  bool // a variant, or its I-frames
}

// initFile is what an EXT-X-MAP names.
type initFile struct {
	Object

	segment *initSegment
}

type segment struct {
	*m3u8.MediaSegment

	uri   string // relative to the multivariant playlist
	init  string // URI of its EXT-X-MAP
	bytes int64
	media *media // at depth Media
	kind  string // MIME type, if a server told it
}

func (t *track) duration() (seconds float64) {
	for _, s := range t.segments {
		seconds += s.Duration
	}
	return seconds
}

// bandwidth is measured as RFC 8216 (4.1) has it: the peak is the largest rate of any
// run of segments that lasts 0.5 to 1.5 target durations.
func (t *track) bandwidth() (average, peak float64) {
	target, bits, total := float64(t.target), 0.0, 0.0
	for i, first := range t.segments {
		runBits, runTime := 0.0, 0.0
		for _, s := range t.segments[i:] {
			runBits += 8 * float64(s.bytes)
			if runTime += s.Duration; runTime > 1.5*target {
				break
			}
			if runTime >= 0.5*target {
				peak = math.Max(peak, runBits/runTime)
			}
		}
		bits += 8 * float64(first.bytes)
		total += first.Duration
	}
	if total > 0 {
		average = bits / total
	}
	return average, math.Max(peak, average)
}

func (p *presentation) renditions() []*track {
	all := make([]*track, len(p.order))
	for i, uri := range p.order {
		all[i] = p.tracks[uri]
	}
	return all
}

func load(ctx context.Context, source Source, master string, depth Depth) (*presentation, error) {
	p := &presentation{uri: master, depth: depth, tracks: map[string]*track{}}
	var err error
	if p.object, err = source.Read(ctx, master); err != nil {
		return nil, err
	}
	list, kind, err := m3u8.DecodeFrom(bytes.NewReader(p.object.Body), true)
	if err != nil {
		return nil, fmt.Errorf("it is no playlist: %w", err)
	}
	if kind != m3u8.MASTER {
		return nil, errors.New("it is a media playlist; the multivariant one is wanted, which names it")
	}
	p.list = list.(*m3u8.MasterPlaylist) //nolint:forcetypeassert // by kind
	seen := map[*m3u8.Alternative]bool{}
	for _, v := range p.list.Variants {
		one := variant{Variant: v}
		w, h, _ := strings.Cut(v.Resolution, "x")
		one.width, _ = strconv.Atoi(w) // no RESOLUTION: 0, and a finding
		one.height, _ = strconv.Atoi(h)
		if one.track, err = p.track(ctx, source, v.URI); err != nil {
			return nil, err
		}
		one.track.picture = v.Resolution != "" || strings.Contains(v.Codecs, "avc") || strings.Contains(v.Codecs, "hvc")
		if v.Iframe {
			p.iframes = append(p.iframes, one)
		} else {
			p.variants = append(p.variants, one)
		}
		for _, a := range v.Alternatives {
			if seen[a] {
				continue
			}
			seen[a] = true
			other := alternative{Alternative: a}
			if a.URI != "" {
				if other.track, err = p.track(ctx, source, a.URI); err != nil {
					return nil, err
				}
			}
			p.media = append(p.media, other)
		}
	}
	return p, nil
}

var targetDuration = regexp.MustCompile(`(?m)^#EXT-X-TARGETDURATION:(\d+)`)

// beside is a name, relative to the multivariant playlist, that a file names.
func beside(file, name string) string { return path.Join(path.Dir(file), name) }

// track reads a media playlist and what it names, once.
func (p *presentation) track(ctx context.Context, source Source, uri string) (*track, error) {
	if t := p.tracks[uri]; t != nil {
		return t, nil
	}
	t := &track{uri: uri, inits: map[string]initFile{}}
	p.tracks[uri], p.order = t, append(p.order, uri)
	name := beside(p.uri, uri)
	var err error
	if t.object, err = source.Read(ctx, name); err != nil {
		return nil, err
	}
	list, kind, err := m3u8.DecodeFrom(bytes.NewReader(t.object.Body), true)
	if err != nil || kind != m3u8.MEDIA {
		return nil, fmt.Errorf("%s is no media playlist: %w", uri, errors.Join(err))
	}
	t.list = list.(*m3u8.MediaPlaylist)                            //nolint:forcetypeassert // by kind
	if m := targetDuration.FindSubmatch(t.object.Body); m != nil { // the library raises it to the longest segment's
		t.target, _ = strconv.Atoi(string(m[1]))
	}
	current := ""
	if t.list.Map != nil {
		current = t.list.Map.URI
	}
	for _, s := range t.list.GetAllSegments() {
		if s.Map != nil {
			current = s.Map.URI
		}
		one := segment{MediaSegment: s, uri: beside(uri, s.URI), init: current}
		if err := p.readSegment(ctx, source, name, t, &one); err != nil {
			p.unread = append(p.unread, [2]string{one.uri, err.Error()})
			continue
		}
		t.segments = append(t.segments, one)
	}
	return t, nil
}

func (p *presentation) readSegment(ctx context.Context, source Source, playlist string, t *track, s *segment) (err error) {
	defer func() { // those who wrote the parsers have not seen everything
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be understood: %v", r)
		}
	}()
	file := beside(playlist, s.URI)
	if _, ok := t.inits[s.init]; !ok && s.init != "" {
		o, err := source.Read(ctx, beside(playlist, s.init))
		if err != nil {
			return err
		}
		parsed, err := parseInit(o.Body)
		if isTS(o.Body) { // the tables, for segments that lack them
			parsed, err = nil, nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.init, err)
		}
		t.inits[s.init] = initFile{o, parsed}
		if t.init == nil {
			t.init = parsed
		}
	}
	if s.Limit > 0 && p.depth == Playlists {
		s.bytes = s.Limit
		return nil
	}
	if p.depth == Playlists {
		s.bytes, err = source.Size(ctx, file)
		return err
	}
	o, err := source.Read(ctx, file)
	if err != nil {
		return err
	}
	body := o.Body
	if s.Limit > 0 {
		if s.Offset+s.Limit > int64(len(body)) {
			return fmt.Errorf("it has %d bytes, the range ends at %d", len(body), s.Offset+s.Limit)
		}
		body = body[s.Offset : s.Offset+s.Limit]
	}
	s.bytes, s.kind = int64(len(body)), o.Type
	init := t.inits[s.init]
	if init.segment != nil {
		s.media, err = parseMP4(body, init.segment)
		return err
	}
	var own *initSegment
	s.media, own, err = parseTS(ctx, slices.Concat(init.Body, body))
	if t.init == nil {
		t.init = own
	}
	return err
}
