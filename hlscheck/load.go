package hlscheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// presentation is all of one, as it was read.
type presentation struct {
	uri      string // of the multivariant playlist
	base     string // to which its references are: where it was found
	object   Object
	list     *multivariantList
	source   Source
	depth    Depth
	event    bool // it is under way
	variants []variant
	iframes  []variant
	media    []alternative
	tracks   map[string]*track // by URI; nil: it is no media playlist
	order    []string
	sizes    map[string]int64 // of files, once one was asked for
	unread   [][2]string      // segments that could not be read, and why
	unnamed  [][2]string      // the same of media playlists
}

// variant is one that has a playlist.
type variant struct {
	streamInf

	track         *track
	width, height int
}

// alternative is an EXT-X-MEDIA.
type alternative struct {
	mediaTag

	track *track // nil: it has no URI, or none that can be read
}

// name is the multivariant playlist's, as findings have it.
func (p *presentation) name() string {
	file, _, _ := strings.Cut(p.uri, "?")
	return path.Base(file)
}

func (p *presentation) renditions() []*track {
	var all []*track
	for _, uri := range p.order {
		if t := p.tracks[uri]; t != nil {
			all = append(all, t)
		}
	}
	return all
}

func load(ctx context.Context, source Source, master string, depth Depth) (*presentation, error) {
	p := &presentation{uri: master, base: master, source: source, depth: depth, tracks: map[string]*track{}, sizes: map[string]int64{}}
	var err error
	if p.object, err = source.Read(ctx, master, Range{}); err != nil {
		return nil, err
	}
	if p.object.Moved != "" {
		p.base = p.object.Moved
	}
	if p.list, err = readMultivariant(p.object.Body, master); err != nil {
		return nil, err
	}
	for _, v := range p.list.variants {
		if err := p.addVariant(ctx, v); err != nil {
			return nil, err
		}
	}
	for _, m := range p.list.media {
		a := alternative{mediaTag: m}
		if m.URI != "" {
			if a.track, err = p.track(ctx, m.URI); err != nil && !errors.Is(err, errNoPlaylist) {
				return nil, err
			}
		}
		if a.track != nil && m.Type == subtitlesType {
			a.track.subtitles = true
		}
		p.media = append(p.media, a)
	}
	for _, t := range p.renditions() {
		t.video = t.video || t.init != nil && t.init.video
		t.measure()
	}
	if p.event = !p.finished(); p.event && !p.grows() {
		return nil, errors.New("it is live: no media playlist has EXT-X-ENDLIST, and not all are events; the rules are those of what is finished, or only grows")
	}
	return p, nil
}

// grows tells whether playlists only ever get longer.
func (p *presentation) grows() bool {
	return !slices.ContainsFunc(p.renditions(), func(t *track) bool { return t.list.kind != eventKind })
}

// finished tells a presentation from a live one. That one of its playlists forgot its end
// is a finding.
func (p *presentation) finished() bool {
	all := p.renditions()
	return len(all) == 0 || slices.ContainsFunc(all, func(t *track) bool { return t.list.closed || t.list.kind == vod })
}

func (p *presentation) addVariant(ctx context.Context, v streamInf) error {
	t, err := p.track(ctx, v.URI)
	if errors.Is(err, errNoPlaylist) {
		return nil
	}
	if err != nil {
		return err
	}
	w, h, _ := strings.Cut(v.Resolution, "x")
	one := variant{streamInf: v, track: t}
	one.width, _ = strconv.Atoi(w) // no RESOLUTION: 0, and a finding
	one.height, _ = strconv.Atoi(h)
	t.video = t.video || v.Resolution != "" || hasVideo(v.Codecs)
	if v.iframes {
		p.iframes = append(p.iframes, one)
	} else {
		p.variants = append(p.variants, one)
	}
	return nil
}

// errNoPlaylist is that there is no media playlist: a finding.
var errNoPlaylist = errors.New("no media playlist")

// track reads a media playlist and what it names, once.
func (p *presentation) track(ctx context.Context, uri string) (*track, error) {
	if t, ok := p.tracks[uri]; ok {
		if t == nil {
			return nil, errNoPlaylist
		}
		return t, nil
	}
	p.tracks[uri], p.order = nil, append(p.order, uri)
	if uri == "" {
		p.unnamed = append(p.unnamed, [2]string{p.name(), "a variant has no URI"})
		return nil, errNoPlaylist
	}
	name := resolve(p.base, uri)
	object, err := p.source.Read(ctx, name, Range{})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list *mediaList
	if err == nil {
		list, err = readMedia(object.Body, name, p.list.values)
	}
	if err != nil {
		p.unnamed = append(p.unnamed, [2]string{uri, err.Error()})
		return nil, errNoPlaylist
	}
	t := &track{uri: uri, object: object, list: list, target: list.target, inits: map[string]initFile{}}
	p.tracks[uri] = t
	return t, p.readSegments(ctx, t)
}

func (p *presentation) readSegments(ctx context.Context, t *track) error {
	base := t.uri
	if t.object.Moved != "" {
		base = t.object.Moved
	}
	for _, l := range t.list.segments {
		one := segment{listed: l, uri: resolve(base, l.URI)}
		if l.initial != nil {
			one.init = resolve(base, l.initial.URI)
		}
		err := p.readSegment(ctx, t, &one)
		if errors.Is(err, errElsewhere) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", one.uri, err)
		}
		if err != nil {
			p.unread = append(p.unread, [2]string{one.uri, err.Error()})
			continue
		}
		t.segments = append(t.segments, one)
	}
	return nil
}
