package hlscheck

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// line is one of a playlist: a tag and what is behind its colon, or a URI.
type line struct{ tag, value string }

// linesOf are a playlist's lines, without comments and tags of others.
func linesOf(body []byte) ([]line, error) {
	const byteOrderMark = "\ufeff"
	text := string(body)
	if strings.HasPrefix(text, byteOrderMark) {
		return nil, errors.New("it begins with a byte order mark, which RFC 8216 (4) forbids")
	}
	if first, _, _ := strings.Cut(text, "\n"); strings.TrimSpace(first) != "#EXTM3U" {
		return nil, errors.New("it is not a playlist: its first line is not #EXTM3U")
	}
	var all []line
	for one := range strings.SplitSeq(text, "\n") {
		one = strings.TrimSpace(one)
		if tag, ok := strings.CutPrefix(one, "#"); ok {
			if strings.HasPrefix(tag, "EXT") {
				name, value, _ := strings.Cut(tag, ":")
				all = append(all, line{name, value})
			}
		} else if one != "" {
			all = append(all, line{value: one})
		}
	}
	return all, nil
}

// reader understands the values of a playlist's lines. It keeps the first fault, after
// which values are zero.
type reader struct {
	at     line
	values map[string]string // of variables
	fault  error
}

func (r *reader) failf(format string, args ...any) {
	if r.fault == nil {
		r.fault = fmt.Errorf("#"+r.at.tag+": "+format, args...)
	}
}

var variable = regexp.MustCompile(`\{\$([a-zA-Z0-9_-]+)\}`)

// take takes a line, with variables replaced (EXT-X-DEFINE).
func (r *reader) take(l line) line {
	r.at = l
	r.at.value = variable.ReplaceAllStringFunc(l.value, func(reference string) string {
		value, ok := r.values[reference[2:len(reference)-1]]
		if !ok {
			r.failf("the variable %s is not defined", reference)
		}
		return value
	})
	return r.at
}

// define is an EXT-X-DEFINE. Of the multivariant playlist's variables, a media playlist
// may import some; others come from the query of its own URL.
func (r *reader) define(above map[string]string, name string) {
	a := r.attributes()
	var ok bool
	switch {
	case a["IMPORT"] != "":
		r.values[a["IMPORT"]], ok = above[a["IMPORT"]]
	case a["QUERYPARAM"] != "":
		u, err := url.Parse(name)
		ok = err == nil && u.Query().Has(a["QUERYPARAM"])
		if ok {
			r.values[a["QUERYPARAM"]] = u.Query().Get(a["QUERYPARAM"])
		}
	default:
		ok = a["NAME"] != ""
		r.values[a["NAME"]] = a["VALUE"]
	}
	if !ok {
		r.failf("nothing gives the variable its value: %s", r.at.value)
	}
}

// attributes reads an attribute list (RFC 8216, 4.2); quotes are taken off.
func (r *reader) attributes() map[string]string {
	all := map[string]string{}
	for rest := r.at.value; strings.TrimSpace(rest) != ""; {
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			r.failf("%q is not an attribute", rest)
			return all
		}
		if quoted, isQuoted := strings.CutPrefix(value, `"`); isQuoted {
			value, rest, ok = strings.Cut(quoted, `"`)
			if !ok {
				r.failf("a quotation mark is missing in %s", name)
				return all
			}
			rest = strings.TrimPrefix(strings.TrimSpace(rest), ",")
		} else {
			value, rest, _ = strings.Cut(value, ",")
		}
		all[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return all
}

// integer is a decimal-integer; an absent one is 0.
func (r *reader) integer(text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		r.failf("%q is not a whole number", text)
		return 0
	}
	return n
}

// number is a decimal-floating-point; an absent one is 0.
func (r *reader) number(text string) float64 {
	if text == "" {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		r.failf("%q is not a number", text)
		return 0
	}
	return f
}

// byteRange is "length" or "length@offset"; begins tells whether there is an offset.
func (r *reader) byteRange(text string) (part Range, begins bool) {
	length, offset, begins := strings.Cut(text, "@")
	part = Range{Offset: r.integer(offset), Length: r.integer(length)}
	if length == "" || begins && offset == "" || part.End() < part.Offset {
		r.failf("%q is not a byte range", text)
	}
	return part, begins
}
