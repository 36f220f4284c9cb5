package ladder

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"afterlive.alt/internal/flv"
)

// Auto is the profile name, and that of jobs that name none, that lets the recording choose: video of exactly
// 2:1 gets "360", any other "flat".
const Auto = "auto"

// Profile is a way to publish recordings, read from YAML.
type Profile struct {
	Name        string          `yaml:"name"`
	GOP         time.Duration   `yaml:"gop"`     // between keyframes
	Segment     time.Duration   `yaml:"segment"` // a multiple of GOP
	Chunk       time.Duration   `yaml:"chunk"`   // a multiple of Segment: the work of one task; 0: see [ChunkEnds]
	Live        Live            `yaml:"live"`    // what viewers have of a recording while it grows
	Audio       AudioProfile    `yaml:"audio"`
	Container   Container       `yaml:"container"`   // of segments
	Fit         bool            `yaml:"fit"`         // whether samples of the recording decide which rungs there are; not of cubes
	Source      string          `yaml:"source"`      // "copy": the first ladder's top rendition is not encoded, where the recording allows
	Loudness    float64         `yaml:"loudness"`    // LUFS (EBU R128) to which the audio is brought; 0: left as it is
	Deinterlace Deinterlace     `yaml:"deinterlace"` // how often an interlaced recording shows a frame
	Quality     int             `yaml:"quality"`     // frames to compare with the recording after publishing; of spheres
	Captions    string          `yaml:"captions"`    // the language of closed captions that recordings carry, as BCP 47 has it
	Accept      []string        `yaml:"accept"`      // what may be missing of a recording: see [Missing]
	Keep        Keep            `yaml:"keep"`        // for how long what is made is kept, if prune runs
	Ladders     []ProfileLadder `yaml:"ladders"`     // none: the audio alone
}

// Live is what viewers have of a recording while it grows.
type Live string

// Event: they watch it from its beginning, a few seconds behind. VOD: nothing until it has ended. That costs less,
// since no playlist is written anew for each segment, and chunks are as long as [liveChunk].
const (
	Event Live = "event"
	VOD   Live = "vod"
)

// ProfileLadder is one set of rungs with one projection.
type ProfileLadder struct {
	Name           string     `yaml:"name"`
	Projection     Projection `yaml:"projection"`
	Faces          float64    `yaml:"faces"`         // of cubes: the largest face's edge as a share of the source's width
	Interpolation  string     `yaml:"interpolation"` // of cubes: v360's
	Sharpen        float64    `yaml:"sharpen"`       // of cubes: 0 to 1, how much of what interpolation softens is restored
	Layout         Layout     `yaml:"layout"`        // of cubemaps
	ReqVideoLayout bool       `yaml:"req_video_layout"`
	Rungs          []Rung     `yaml:"rungs"` // largest first, and the best first of one size
}

// Rung is one step of a ladder: capped constant quality.
type Rung struct {
	Height  int     `yaml:"height"`  // pixels; of cubes instead:
	Face    int     `yaml:"face"`    // a face's edge in pixels, a multiple of 16
	CRF     float64 `yaml:"crf"`     // x264's constant rate factor, 1 to 51
	Maxrate Bitrate `yaml:"maxrate"` // at up to 30 fps; 1.4 times as much above
	Bufsize Bitrate `yaml:"bufsize"`
	Preset  string  `yaml:"preset"` // x264's
	Audio   Bitrate `yaml:"audio"`  // of an audio rendition of its own: for a rung whose sum must stay below something
}

// Bitrate is in bits per second; in YAML "2400k", "6M" or a plain number.
type Bitrate int

// UnmarshalYAML reads the forms that ffmpeg's users write.
func (b *Bitrate) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	return b.parse(text)
}

func (b *Bitrate) parse(text string) error {
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

// Choose finds the profile that a job names; "" and [Auto] look at the video.
func (all Profiles) Choose(name string, x *flv.Index) (Profile, error) {
	if name == "" || name == Auto {
		name = "flat"
		if x.Video != nil {
			if w, h := newVideoFormat(x.Video, Frames, x.Open).size(); w == 2*h {
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
	if p.Live == "" {
		p.Live = Event
	}
	if p.Audio.Bitrate == 0 {
		p.Audio.Bitrate = 128_000
	}
	if p.Audio.Mode == "" {
		p.Audio.Mode = AudioAuto
	}
	if p.Container == "" {
		p.Container = FMP4
	}
	if p.Captions == "" {
		p.Captions = undetermined
	}
	if p.Deinterlace == "" {
		p.Deinterlace = Frames
	}
	for i := range p.Ladders {
		p.Ladders[i] = p.Ladders[i].withDefaults()
	}
	return p
}
