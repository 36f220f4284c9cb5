package hlscheck

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
)

// track is a rendition: a media playlist, and what it names.
type track struct {
	uri           string // relative to the multivariant playlist
	object        Object
	list          *mediaList
	segments      []segment    // those that can be read
	target        int64        // EXT-X-TARGETDURATION, seconds
	init          *initSegment // the first, or what the first segment says itself; nil: nothing is known
	inits         map[string]initFile
	video         bool // a variant, or its I-frames
	subtitles     bool
	average, peak float64 // bits per second
}

// initFile is what an EXT-X-MAP names.
type initFile struct {
	Object

	uri     string
	segment *initSegment
	fault   error
}

type segment struct {
	listed

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

// maxRun is how many segments are looked at together for a peak. There are no more
// in 1.5 target durations but where most of them last no time at all.
const maxRun = 2000

// measure measures as RFC 8216 (4.1) has it: the peak is the largest rate of any run of
// segments that lasts 0.5 to 1.5 target durations.
func (t *track) measure() {
	target, bits := float64(t.target), 0.0
	t.peak = 0
	for i, first := range t.segments {
		runBits, runTime := 0.0, 0.0
		for _, s := range t.segments[i:min(len(t.segments), i+maxRun)] {
			runBits += 8 * float64(s.bytes)
			if runTime += s.Duration; runTime > 1.5*target {
				break
			}
			if runTime >= 0.5*target && runTime > 0 {
				t.peak = math.Max(t.peak, runBits/runTime)
			}
		}
		bits += 8 * float64(first.bytes)
	}
	if total := t.duration(); total > 0 {
		t.average = bits / total
	}
	t.peak = math.Max(t.peak, t.average)
}

// encryption is how its media are encrypted, or empty.
func (t *track) encryption() string {
	if len(t.list.keys) == 0 {
		return ""
	}
	return t.list.keys[0].method
}

// readSegment reads what depth asks for.
func (p *presentation) readSegment(ctx context.Context, t *track, s *segment) (err error) {
	defer func() { // those who wrote the parsers have not seen everything
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be understood: %v", r)
		}
	}()
	if s.gap || s.ranged && s.part.Length == 0 {
		return nil
	}
	init, err := p.readInit(ctx, t, s)
	if err != nil {
		return err
	}
	name := resolve(p.base, s.uri)
	if p.depth == Playlists {
		return p.measureSegment(ctx, name, s)
	}
	o, err := p.source.Read(ctx, name, s.part)
	if err != nil {
		return err
	}
	s.bytes, s.kind = int64(len(o.Body)), o.Type
	if s.key.whole() {
		return nil // nobody can look into it
	}
	own := init.segment
	if own != nil {
		s.media, err = parseMP4(o.Body, own, t.list.iframes)
	} else {
		s.media, own, err = parseOthers(ctx, slices.Concat(init.Body, o.Body))
	}
	if t.init == nil {
		t.init = own
	}
	return err
}

// measureSegment asks for a file's size, once.
func (p *presentation) measureSegment(ctx context.Context, name string, s *segment) (err error) {
	size, ok := p.sizes[name]
	if !ok {
		if size, err = p.source.Size(ctx, name); err != nil {
			return err
		}
		p.sizes[name] = size
	}
	s.bytes = size
	if s.ranged {
		s.bytes = s.part.Length
		if s.part.End() > size {
			return s.part.beyond(size)
		}
	}
	return nil
}

// readInit reads what a segment's EXT-X-MAP names, once.
func (p *presentation) readInit(ctx context.Context, t *track, s *segment) (initFile, error) {
	if s.initial == nil {
		return initFile{}, nil
	}
	id := fmt.Sprint(s.init, s.initial.part)
	file, ok := t.inits[id]
	if !ok {
		file = initFile{uri: s.init}
		if file.fault = file.read(ctx, p.source, resolve(p.base, s.init), s.initial); file.fault != nil {
			file.fault = fmt.Errorf("%s: %w", s.init, file.fault)
		}
		t.inits[id] = file
	}
	if t.init == nil {
		t.init = file.segment
	}
	return file, file.fault
}

func (f *initFile) read(ctx context.Context, source Source, name string, m *mapTag) (err error) {
	if f.Object, err = source.Read(ctx, name, m.part); err != nil {
		return err
	}
	if m.key.whole() || isTS(f.Body) { // nobody can look into it; or tables, for segments that lack them
		return nil
	}
	f.segment, err = parseInit(f.Body)
	return err
}

// parseOthers looks into what is no fMP4: a transport stream, packed audio, or text.
func parseOthers(ctx context.Context, body []byte) (*media, *initSegment, error) {
	switch {
	case bytes.HasPrefix(bytes.TrimPrefix(body, []byte("\ufeff")), []byte("WEBVTT")):
		return &media{first: true}, nil, nil
	case isPacked(body):
		return parsePacked(body)
	}
	return parseTS(ctx, body)
}
