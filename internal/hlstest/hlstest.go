// Package hlstest looks at published HLS from outside, as a player would: with
// ffprobe and ffmpeg. Tests use it.
package hlstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Packet is one of a stream's packets; times in seconds.
type Packet struct {
	PTS, DTS float64
	Key      bool
}

// Run runs ffmpeg or ffprobe, and takes any word on its standard error for an
// error: call it with "-v error".
func Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && stderr.Len() > 0 {
		err = errors.New("it complains")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}

// Reading are the options with which ffmpeg and ffprobe read a file or URL. In
// HLS, segments may have any name.
func Reading(input string) []string {
	args := []string{"-v", "error"}
	if path.Ext(input) == ".m3u8" {
		args = append(args, "-allowed_extensions", "ALL")
	}
	return append(args, "-i", input)
}

// Packets lists the packets of a file's or URL's video ("v") or audio ("a").
func Packets(ctx context.Context, input, kind string) ([]Packet, error) {
	out, err := Run(ctx, "ffprobe", append(Reading(input), "-select_streams", kind, "-show_entries", "packet=pts_time,dts_time,flags", "-of", "csv=p=0")...)
	if err != nil {
		return nil, err
	}
	var all []Packet
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) < 3 {
			continue
		}
		pts, err1 := strconv.ParseFloat(f[0], 64)
		dts, err2 := strconv.ParseFloat(f[1], 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("ffprobe of %s: %q: %w", input, line, err)
		}
		all = append(all, Packet{pts, dts, strings.HasPrefix(f[2], "K")})
	}
	return all, nil
}

// Video says what is wrong with a video rendition: it must have exactly frames
// packets, shown at start + n/fps without gap or overlap, decoded in order, with
// keyframes every gop frames and nowhere else.
func Video(all []Packet, start, fps float64, frames, gop int) error {
	var faults []error
	if len(all) != frames {
		return fmt.Errorf("%d packets, want %d", len(all), frames)
	}
	var shown []float64
	for i, p := range all {
		if i > 0 && p.DTS <= all[i-1].DTS {
			faults = append(faults, fmt.Errorf("packet %d: dts %f after %f", i, p.DTS, all[i-1].DTS))
		}
		if n := int(math.Round((p.PTS - start) * fps)); p.Key != (n%gop == 0) {
			faults = append(faults, fmt.Errorf("frame %d: keyframe is %t", n, p.Key))
		}
		shown = append(shown, p.PTS)
	}
	slices.Sort(shown)
	for n, pts := range shown {
		if off := pts - start - float64(n)/fps; math.Abs(off) > 1e-5 {
			faults = append(faults, fmt.Errorf("frame %d is shown at %f: %f s off", n, pts, off))
			break
		}
	}
	return errors.Join(faults...)
}

// Audio says what is wrong with an audio rendition of AAC at a rate in Hz: it must have no
// hole and end within a tenth of a second of end.
func Audio(all []Packet, rate, end float64) error {
	frame := 1024 / rate
	for i := range all[1:] {
		if step := all[i+1].PTS - all[i].PTS; math.Abs(step-frame) > 1e-5 {
			return fmt.Errorf("packet %d comes %f s after the one before", i+1, step)
		}
	}
	if last := all[len(all)-1].PTS + frame; math.Abs(last-end) > 0.1 {
		return fmt.Errorf("it ends at %f, want %f", last, end)
	}
	return nil
}

// Decode decodes all of a file or URL, and fails at the first complaint.
func Decode(ctx context.Context, input string) error {
	_, err := Run(ctx, "ffmpeg", append(Reading(input), "-f", "null", "-")...)
	return err
}

var extinf = regexp.MustCompile(`#EXTINF:([0-9.]+),`)

// Durations are a media playlist's EXTINF values as they are written.
func Durations(playlist []byte) []string {
	var all []string
	for _, m := range extinf.FindAllSubmatch(playlist, -1) {
		all = append(all, string(m[1]))
	}
	return all
}
