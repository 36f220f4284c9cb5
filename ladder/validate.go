package ladder

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

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
		f.addf(p.Chunk != 0 && p.Chunk < p.Segment || p.Chunk%p.Segment != 0, "chunk is %s, it must be a multiple of the segment %s, or left out", p.Chunk, p.Segment)
	}
	f.addf(p.Live != Event && p.Live != VOD, "live is %q, it must be %q, or %q: viewers see nothing of a recording before it has ended", p.Live, Event, VOD)
	f.addf(p.Audio.Bitrate < 32_000 || p.Audio.Bitrate > maxAudioBps, "audio is %d bit/s, it must be 32k to 320k", p.Audio.Bitrate)
	f.addf(p.Container != FMP4 && p.Container != TS, "container is %q, it must be %q, or %q for players that know no other", p.Container, FMP4, TS)
	f.addf(p.Deinterlace != Frames && p.Deinterlace != Fields, "deinterlace is %q, it must be %q, or %q for one frame of every field", p.Deinterlace, Frames, Fields)
	f.addf(p.Loudness != 0 && (p.Loudness < quietest || p.Loudness > loudestTarget), "loudness is %g LUFS, it must be %g to %g, or 0: left as it is", p.Loudness, quietest, loudestTarget)
	f.addf(!languageTag.MatchString(p.Captions), "captions is %q, it must be the language of closed captions, such as en or pt-BR", p.Captions)
	f.addf(p.Keep.Check() != nil, "keep: %v", p.Keep.Check())
	f.addf(p.Source != "" && p.Source != SourceCopy, "source is %q, it must be %q or left out", p.Source, SourceCopy)
	f.addf(len(p.Ladders) == 0 && !slices.Contains(p.Accept, NoVideo), "it has no ladders; a profile for audio alone says accept: [%s]", NoVideo)
	for _, what := range p.Accept {
		f.addf(!slices.Contains(accepted, what), "accept has %q, it may have %s", what, strings.Join(accepted, ", "))
	}
	flat := slices.ContainsFunc(p.Ladders, func(l ProfileLadder) bool { return l.Projection == Flat })
	f.addf(p.Quality < 0 || p.Quality > 240 || p.Quality > 0 && flat, "quality is %d, it must be 0 to 240 frames, and 0 where a ladder is flat: it compares spheres", p.Quality)
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
	f.addf(l.ReqVideoLayout, "req_video_layout must stay off: players that heed REQ-VIDEO-LAYOUT want HEVC with a vexu box (HLS authoring rules), and this ladder is H.264")
	l.validateCube(f)
	above := Rung{Height: 1 << 30, Face: 1 << 30}
	for i, r := range l.Rungs {
		at := faultList{where: fmt.Sprintf("%s: rung %d", f.where, i+1)}
		r.validate(&at, l.Projection.cube(), above)
		f.all = append(f.all, at.all...)
		above = r
	}
}

var interpolations = []string{"linear", "cubic", "lanczos"}

// validateCube looks at the fields that only cubes have.
func (l ProfileLadder) validateCube(f *faultList) {
	l.Layout.validate(f, l.Projection)
	if !l.Projection.cube() {
		f.addf(l.Faces != 0 || l.Interpolation != "" || l.Sharpen != 0, "faces, interpolation and sharpen are for cubes")
		return
	}
	f.addf(l.Faces < 0.05 || l.Faces > maxFaces, "faces is %g, it must be 0.05 to %.3f (1/pi: beyond that, a face has more pixels than the source has for it)", l.Faces, maxFaces)
	f.addf(!slices.Contains(interpolations, l.Interpolation), "interpolation is %q, there are %s", l.Interpolation, strings.Join(interpolations, ", "))
	f.addf(l.Sharpen < 0 || l.Sharpen > 1, "sharpen is %g, it must be 0 to 1", l.Sharpen)
}

func (r Rung) validate(f *faultList, cube bool, above Rung) {
	if cube {
		f.addf(r.Height != 0 || r.Face < faceStep || r.Face%faceStep != 0, "face is %d, it must be a multiple of %d (and height has no place here)", r.Face, faceStep)
	} else {
		f.addf(r.Face != 0 || r.Height < 2 || r.Height%2 != 0, "height is %d, it must be even (and face is for cubes)", r.Height)
	}
	size, sizeAbove := r.Height+r.Face, above.Height+above.Face
	f.addf(size > sizeAbove || size == sizeAbove && r.CRF <= above.CRF, "it must be smaller than the one before, or have a higher crf")
	f.addf(r.CRF < 1 || r.CRF > 51, "crf is %g, it must be 1 to 51 (0 is lossless, which profile high has not)", r.CRF)
	f.addf(r.Maxrate < 10_000, "maxrate is %d bit/s, it must be at least 10k", r.Maxrate)
	f.addf(r.Bufsize < r.Maxrate/2 || r.Bufsize > 4*r.Maxrate, "bufsize is %d bit/s, it must be 0.5 to 4 times maxrate", r.Bufsize)
	f.addf(r.Audio != 0 && (r.Audio < 32_000 || r.Audio > maxAudioBps), "audio is %d bit/s, it must be 32k to 320k, or left out", r.Audio)
	f.addf(!slices.Contains(presets, r.Preset), "preset is %q, x264 has %s", r.Preset, strings.Join(presets, ", "))
}
