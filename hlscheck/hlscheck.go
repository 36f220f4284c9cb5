// Package hlscheck applies the mechanical rules of Apple's HLS Authoring Specification
// for Apple Devices (revision of 2025-05-08), and those of RFC 8216 on which players
// depend, to a presentation for video on demand, or of an event that is under way: its
// multivariant playlist, and all that it names.
//
// Rules have Apple's numbers; those of the RFC begin with "RFC". What only applies to
// some devices, or can only be seen by looking at frames, is not here.
package hlscheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Severity is how binding a rule is, in the words of RFC 2119.
type Severity string

// Severities.
const (
	Must   Severity = "MUST"
	Should Severity = "SHOULD"
)

// Finding is a rule that is broken.
type Finding struct {
	Rule     string   `json:"rule"` // its number
	Severity Severity `json:"severity"`
	Where    string   `json:"where"` // the playlist or segment, relative to the multivariant playlist
	Text     string   `json:"text"`
}

func (f Finding) String() string {
	return fmt.Sprintf("%-6s %-12s %s: %s", f.Severity, f.Rule, f.Where, f.Text)
}

// Report is what was found, and measured.
type Report struct {
	Findings   []Finding  `json:"findings"`
	Renditions []Measured `json:"renditions"`
}

// Measured is a rendition's playlist: its length in seconds, and bits per second, on
// average and at the peak as RFC 8216 (4.1) defines it.
type Measured struct {
	Playlist string  `json:"playlist"`
	Segments int     `json:"segments"`
	Duration float64 `json:"duration_s"`
	Average  float64 `json:"average_bandwidth"`
	Peak     float64 `json:"peak_bandwidth"`

	Encrypted string `json:"encrypted,omitempty"` // its first key's method
}

// Broken are the findings of a severity.
func (r *Report) Broken(s Severity) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity != s })
}

// Err is an error that names every MUST that is broken, or nil.
func (r *Report) Err() error {
	var faults []error
	for _, f := range r.Broken(Must) {
		faults = append(faults, errors.New(f.String()))
	}
	return errors.Join(faults...)
}

// Rule is one of those that are applied.
type Rule struct {
	Number   string   `json:"rule"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`

	check func(p *presentation, say say)
}

// say reports a breach.
type say func(where, format string, args ...any)

// Rules are all rules, as "hlscheck --rules" lists them.
func Rules() []Rule {
	return slices.Concat(multivariantRules, playlistRules, protectionRules, trickplayRules, mediaRules, deliveryRules)
}

// Depth is how closely to look.
type Depth int

// Depths.
const (
	Playlists Depth = iota // playlists, init segments, and the segments' sizes
	Media                  // every segment too
)

// Check checks the presentation of a multivariant playlist, whose name is a reference as
// playlists have them. An error means that it could not be looked at, not that a rule is
// broken: it is no playlist, it is live, it is on a server that doesn't answer.
func Check(ctx context.Context, source Source, master string, depth Depth) (*Report, error) {
	p, err := load(ctx, source, master, depth)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", master, err)
	}
	r := &Report{Findings: []Finding{}}
	for _, rule := range Rules() {
		rule.check(p, func(where, format string, args ...any) {
			r.Findings = append(r.Findings, Finding{rule.Number, rule.Severity, where, fmt.Sprintf(format, args...)})
		})
	}
	for _, t := range p.renditions() {
		r.Renditions = append(r.Renditions, Measured{t.uri, len(t.segments), t.duration(), t.average, t.peak, t.encryption()})
	}
	return r, nil
}
