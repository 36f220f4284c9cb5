package hlscheck

import (
	"errors"
	"strings"
)

// need is the EXT-X-VERSION that a playlist's tags ask for (RFC 8216, 7, and its draft's 8).
type need struct {
	version int64
	why     string
}

func (n *need) raise(version int64, why string) {
	if version > n.version {
		*n = need{version, why}
	}
}

// multivariantList is a multivariant playlist, as it is written.
type multivariantList struct {
	version     int64
	need        need
	independent bool
	variants    []streamInf
	media       []mediaTag
	values      map[string]string // of variables
}

// streamInf is an EXT-X-STREAM-INF or EXT-X-I-FRAME-STREAM-INF.
type streamInf struct {
	URI                               string
	Bandwidth, AverageBandwidth       int64
	FrameRate                         float64
	Codecs, Resolution                string
	VideoRange, ReqVideoLayout        string
	Audio, Video, Subtitles, Captions string // groups
	iframes                           bool
}

// mediaTag is an EXT-X-MEDIA.
type mediaTag struct{ Type, GroupID, Name, Language, URI string }

const iframeVariant = "EXT-X-I-FRAME-STREAM-INF"

var errNotMultivariant = errors.New("it is a media playlist; the multivariant one is wanted, which names it")

func readMultivariant(body []byte, name string) (*multivariantList, error) {
	all, err := linesOf(body)
	if err != nil {
		return nil, err
	}
	m := &multivariantList{version: 1, values: map[string]string{}}
	r := &reader{values: m.values}
	open := false // a variant waits for its URI
	for _, l := range all {
		l = r.take(l)
		switch l.tag {
		case "":
			if open {
				m.variants[len(m.variants)-1].URI, open = l.value, false
			}
		case "EXT-X-STREAM-INF", iframeVariant:
			v := m.variant(r)
			m.variants, open = append(m.variants, v), !v.iframes
		case "EXT-X-MEDIA":
			m.rendition(r)
		case "EXT-X-VERSION":
			m.version = r.integer(l.value)
		case "EXT-X-INDEPENDENT-SEGMENTS":
			m.independent = true
		case "EXT-X-DEFINE":
			m.need.define(r.attributes())
			r.define(nil, name)
		case "EXTINF", "EXT-X-TARGETDURATION":
			return nil, errNotMultivariant
		}
	}
	if r.fault == nil && len(m.variants) == 0 {
		return nil, errors.New("it names no variant: it has no EXT-X-STREAM-INF")
	}
	return m, r.fault
}

func (n *need) define(a map[string]string) {
	n.raise(8, "EXT-X-DEFINE")
	if a["QUERYPARAM"] != "" {
		n.raise(11, "EXT-X-DEFINE with QUERYPARAM")
	}
}

func (m *multivariantList) variant(r *reader) streamInf {
	a := r.attributes()
	for name := range a {
		if strings.HasPrefix(name, "REQ-") {
			m.need.raise(12, name)
		}
	}
	return streamInf{
		URI: a["URI"], iframes: r.at.tag == iframeVariant,
		Bandwidth: r.integer(a["BANDWIDTH"]), AverageBandwidth: r.integer(a["AVERAGE-BANDWIDTH"]), FrameRate: r.number(a["FRAME-RATE"]),
		Codecs: a["CODECS"], Resolution: a["RESOLUTION"], VideoRange: a["VIDEO-RANGE"], ReqVideoLayout: a["REQ-VIDEO-LAYOUT"],
		Audio: a["AUDIO"], Video: a["VIDEO"], Subtitles: a["SUBTITLES"], Captions: a["CLOSED-CAPTIONS"],
	}
}

func (m *multivariantList) rendition(r *reader) {
	a := r.attributes()
	if strings.HasPrefix(a["INSTREAM-ID"], "SERVICE") {
		m.need.raise(7, "INSTREAM-ID of a SERVICE")
	}
	if a["INSTREAM-ID"] != "" && a["TYPE"] != captionsType {
		m.need.raise(13, "INSTREAM-ID beside TYPE="+a["TYPE"])
	}
	m.media = append(m.media, mediaTag{Type: a["TYPE"], GroupID: a["GROUP-ID"], Name: a["NAME"], Language: a["LANGUAGE"], URI: a["URI"]})
}

// Types of EXT-X-MEDIA.
const (
	audioType     = "AUDIO"
	videoType     = "VIDEO"
	subtitlesType = "SUBTITLES"
	captionsType  = "CLOSED-CAPTIONS"
)
