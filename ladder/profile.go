package ladder

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"afterlive/internal/flv"
)

// Auto is the profile name, and that of jobs that name none, that lets the recording choose: a picture of exactly
// 2:1 gets "360", any other "flat".
const Auto = "auto"

// Profile is a way to publish recordings, read from YAML.
type Profile struct {
	Name    string          `yaml:"name"`
	GOP     time.Duration   `yaml:"gop"`     // between keyframes
	Segment time.Duration   `yaml:"segment"` // a multiple of GOP
	Chunk   time.Duration   `yaml:"chunk"`   // a multiple of Segment: the work of one task
	Audio   Bitrate         `yaml:"audio"`
	Ladders []ProfileLadder `yaml:"ladders"`
}

// ProfileLadder is one set of rungs with one projection.
type ProfileLadder struct {
	Name       string     `yaml:"name"`
	Projection Projection `yaml:"projection"`
	Faces      float64    `yaml:"faces"`  // of cubes: the largest face's edge as a share of the source's width
	Layout     Layout     `yaml:"layout"` // of cubemaps
	Rungs      []Rung     `yaml:"rungs"`  // largest first
}

// Rung is one step of a ladder: capped constant quality.
type Rung struct {
	Height  int     `yaml:"height"`  // pixels; of cubes instead:
	Face    int     `yaml:"face"`    // a face's edge in pixels, a multiple of 16
	CRF     float64 `yaml:"crf"`     // x264's constant rate factor, 0 to 51
	Maxrate Bitrate `yaml:"maxrate"` // at up to 30 fps; 1.4 times as much above
	Bufsize Bitrate `yaml:"bufsize"`
	Preset  string  `yaml:"preset"` // x264's
}

// Bitrate is in bits per second; in YAML "2400k", "6M" or a plain number.
type Bitrate int

// UnmarshalYAML reads the forms that ffmpeg's users write.
func (b *Bitrate) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	digits, scale := text, 1
	switch {
	case strings.HasSuffix(text, "k"):
		digits, scale = text[:len(text)-1], 1000
	case strings.HasSuffix(text, "M"):
		digits, scale = text[:len(text)-1], 1_000_000
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return fmt.Errorf("bitrate %q: write 2400k, 6M or a number of bits per second", text)
	}
	*b = Bitrate(n * scale)
	return nil
}

//go:embed profiles.yaml
var builtin []byte

// Profiles are the ways to publish that a worker knows, by name.
type Profiles map[string]Profile

// ParseProfiles reads the built-in profiles and then the user's own file (nil:
// none), whose profiles replace built-in ones of the same name. All faults are
// reported together.
func ParseProfiles(own []byte) (Profiles, error) {
	all := Profiles{}
	var faults []error
	for _, source := range [][]byte{builtin, own} {
		var list []Profile
		if err := yaml.UnmarshalWithOptions(source, &list, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("read profiles: %w", err)
		}
		for _, p := range list {
			p = p.withDefaults()
			faults = append(faults, p.validate())
			all[p.Name] = p
		}
	}
	return all, errors.Join(faults...)
}

// Choose finds the profile that a job names; "" and [Auto] look at the picture.
func (all Profiles) Choose(name string, x *flv.Index) (Profile, error) {
	if name == "" || name == Auto {
		name = "flat"
		if x.Video != nil {
			if w, h := displaySize(x.Video); w == 2*h {
				name = "360"
			}
		}
	}
	p, ok := all[name]
	if !ok {
		var names []string
		for n := range all {
			names = append(names, n)
		}
		slices.Sort(names)
		return Profile{}, fmt.Errorf("there is no profile %q; there are %s and %s", name, strings.Join(names, ", "), Auto)
	}
	return p, nil
}

func (p Profile) withDefaults() Profile {
	if p.GOP == 0 {
		p.GOP = 2 * time.Second
	}
	if p.Segment == 0 {
		p.Segment = 6 * time.Second
	}
	if p.Chunk == 0 {
		p.Chunk = time.Minute
	}
	if p.Audio == 0 {
		p.Audio = 128_000
	}
	for i := range p.Ladders {
		p.Ladders[i] = p.Ladders[i].withDefaults()
	}
	return p
}

var (
	slug    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	presets = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"}
)

// faultList collects what is wrong with a profile.
type faultList struct {
	where string
	all   []error
}

func (f *faultList) addf(bad bool, format string, args ...any) {
	if bad {
		f.all = append(f.all, fmt.Errorf(f.where+": "+format, args...))
	}
}

func (p Profile) validate() error {
	f := faultList{where: fmt.Sprintf("profile %q", p.Name)}
	f.addf(!slug.MatchString(p.Name) || p.Name == Auto, "the name must be lower-case letters, digits, - and _, and not %q", Auto)
	f.addf(p.GOP < time.Second || p.GOP > 10*time.Second || p.GOP%time.Second != 0, "gop is %s, it must be whole seconds from 1s to 10s", p.GOP)
	if p.GOP > 0 {
		f.addf(p.Segment < p.GOP || p.Segment%p.GOP != 0, "segment is %s, it must be a multiple of the gop %s", p.Segment, p.GOP)
	}
	if p.Segment > 0 {
		f.addf(p.Chunk < p.Segment || p.Chunk%p.Segment != 0, "chunk is %s, it must be a multiple of the segment %s", p.Chunk, p.Segment)
	}
	f.addf(p.Audio < 32_000 || p.Audio > 320_000, "audio is %d bit/s, it must be 32k to 320k", p.Audio)
	f.addf(len(p.Ladders) == 0, "it has no ladders")
	names := map[string]bool{AudioLadder: true}
	for _, l := range p.Ladders {
		at := faultList{where: fmt.Sprintf("profile %q: ladder %q", p.Name, l.Name)}
		at.addf(!slug.MatchString(l.Name) || names[l.Name], "the name must be lower-case letters, digits, - and _, once, and not %q", AudioLadder)
		names[l.Name] = true
		l.validate(&at)
		f.all = append(f.all, at.all...)
	}
	return errors.Join(f.all...)
}

func (l ProfileLadder) validate(f *faultList) {
	f.addf(!slices.Contains(projections, l.Projection), "projection is %q, there are %s", l.Projection, strings.Join(projectionNames(), ", "))
	f.addf(len(l.Rungs) == 0, "it has no rungs")
	if cube := l.Projection.cube(); cube {
		f.addf(l.Faces < 0.05 || l.Faces > mostFaces, "faces is %g, it must be 0.05 to %.3f (1/pi: beyond that, a face has more pixels than the source has for it)", l.Faces, mostFaces)
	} else {
		f.addf(l.Faces != 0, "faces is for cubes")
	}
	l.Layout.validate(f, l.Projection)
	above := 1 << 30
	for i, r := range l.Rungs {
		at := fmt.Sprintf("rung %d", i+1)
		size := r.Height
		if l.Projection.cube() {
			size = r.Face
			f.addf(r.Height != 0 || size < faceStep || size%faceStep != 0 || size >= above, "%s: face is %d, it must be a multiple of %d and below the one before (and height has no place here)", at, size, faceStep)
		} else {
			f.addf(r.Face != 0 || size < 2 || size%2 != 0 || size >= above, "%s: height is %d, it must be even and below the one before (and face is for cubes)", at, size)
		}
		above = size
		f.addf(r.CRF < 0 || r.CRF > 51, "%s: crf is %g, it must be 0 to 51", at, r.CRF)
		f.addf(r.Maxrate < 10_000, "%s: maxrate is %d bit/s, it must be at least 10k", at, r.Maxrate)
		f.addf(r.Bufsize < r.Maxrate/2 || r.Bufsize > 4*r.Maxrate, "%s: bufsize is %d bit/s, it must be 0.5 to 4 times maxrate", at, r.Bufsize)
		f.addf(!slices.Contains(presets, r.Preset), "%s: preset is %q, x264 has %s", at, r.Preset, strings.Join(presets, ", "))
	}
}
