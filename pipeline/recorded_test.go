package pipeline

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// source is a recording to be made by ffmpeg: bars that move, a tone in the background.
// Every second second, from 1 on, all is white for a moment, and there is a beep.
type source struct {
	size    string // 320x180
	rate    string // 25
	seconds int    // 8
	filter  string // after the bars
	video   []string
	audio   []string // nil: none
	layout  string   // of the audio; mono
	alter   func([]byte) []byte
}

func (s source) make(t *testing.T) []byte {
	t.Helper()
	mediaHeavy(t)
	if s.size == "" {
		s.size = "320x180"
	}
	if s.rate == "" {
		s.rate = "25"
	}
	if s.seconds == 0 {
		s.seconds = 8
	}
	if s.layout == "" {
		s.layout = "mono"
	}
	file := filepath.Join(t.TempDir(), "source.flv")
	pattern := fmt.Sprintf("testsrc2=s=%s:r=%s:d=%d,drawbox=c=white:t=fill:enable='lt(mod(t+1.001\\,2)\\,0.15)'%s", s.size, s.rate, s.seconds, s.filter)
	tone := fmt.Sprintf("aevalsrc='0.02*sin(880*PI*t)+0.7*sin(2000*PI*t)*lt(mod(t+1,2),0.1)':s=48000:d=%d,aformat=channel_layouts=mono,pan=%s|c0=c0%s",
		s.seconds, s.layout, map[string]string{"stereo": "|c1=c0"}[s.layout])
	args := []string{"-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", pattern}
	if s.audio != nil {
		args = append(args, "-f", "lavfi", "-i", tone)
	}
	if !slices.Contains(s.video, "-c:v") {
		args = append(args, "-c:v", "libx264")
	}
	if !slices.Contains(s.video, "-pix_fmt") {
		args = append(args, "-pix_fmt", "yuv420p")
	}
	args = append(args, "-preset", "ultrafast", "-crf", "18", "-g", "50", "-threads", "2")
	args = append(append(args, s.video...), s.audio...)
	runFFmpeg(t, append(args, "-f", "flv", file)...)
	body, err := os.ReadFile(file)
	must(t, err)
	if s.alter != nil {
		body = s.alter(body)
	}
	return body
}

var aacAudio = []string{"-c:a", "aac", "-b:a", "96k"}

const recordedProfile = `
- name: recorded
  chunk: 6s
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 1080, crf: 12, maxrate: 20000k, bufsize: 30000k, preset: ultrafast}
- name: fields
  chunk: 6s
  deinterlace: field
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 1080, crf: 12, maxrate: 20000k, bufsize: 30000k, preset: ultrafast}
- name: tolerant
  chunk: 6s
  accept: [no-video, no-audio, lost-frames, lost-audio, lost-time]
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 1080, crf: 12, maxrate: 20000k, bufsize: 30000k, preset: ultrafast}
- name: loud
  loudness: -16
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 1080, crf: 12, maxrate: 20000k, bufsize: 30000k, preset: ultrafast}
`

// outcome is what became of a recording, on disk.
type outcome struct {
	plan   *ladder.Job
	asset  ladder.Asset
	store  *testenv.Memory
	folder string // of the job
}

// publish does a recording with one of the profiles above, or a built-in one.
func publish(t *testing.T, recording []byte, profile string) (outcome, error) {
	t.Helper()
	return publishWith(t, recording, profile, func(*Pipeline) {})
}

// publishWith lets the workers be others.
func publishWith(t *testing.T, recording []byte, profile string, others func(*Pipeline)) (outcome, error) {
	t.Helper()
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, recording)
	p := newPipeline(t, store, queue, recordedProfile)
	p.FFmpeg.Threads = 1
	others(p)
	if profile == "" {
		profile = "recorded"
	}
	if err := p.Do(t.Context(), job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: profile}, nil); err != nil {
		return outcome{store: store}, err
	}
	for d := queue.Take(0); d != nil; d = queue.Take(0) {
		tasks, err := job.Parse(d.Body)
		must(t, err)
		if err := p.Do(t.Context(), tasks[0], nil); err != nil {
			return outcome{store: store, plan: onlyPlan(t, store)}, err
		}
		must(t, queue.Delete(t.Context(), d.Receipt))
	}
	out := outcome{plan: onlyPlan(t, store), store: store}
	_, err := ledger.Load(t.Context(), store, ladder.PointerKey(out.plan.Asset), &out.asset)
	must(t, err)
	out.folder = filepath.Join(export(t, store, "vod/"+out.plan.Asset+"/"), out.plan.Job)
	return out, nil
}

// top is the largest rendition, as one file.
func (p outcome) top(t *testing.T) string {
	return p.file(t, "flat/"+p.plan.Ladders[0].Renditions[0].Name)
}

// file is a rendition in one piece: ffmpeg reads that faster than a playlist.
func (p outcome) file(t *testing.T, rendition string) string {
	t.Helper()
	folder := filepath.Join(p.folder, rendition)
	inits, err := filepath.Glob(filepath.Join(folder, "init*.mp4"))
	must(t, err)
	segments, err := filepath.Glob(filepath.Join(folder, "s*.m4s"))
	must(t, err)
	var all []byte
	for _, name := range slices.Concat(inits, segments) {
		body, err := os.ReadFile(name)
		must(t, err)
		all = append(all, body...)
	}
	file := filepath.Join(folder, "whole.mp4")
	must(t, os.WriteFile(file, all, 0o644))
	return file
}

// frame is one that was decoded.
type frame struct {
	at         float64
	red, green float64 // means, as a player would show them
	blue       float64
}

func (p frame) bright() float64 { return 0.2126*p.red + 0.7152*p.green + 0.0722*p.blue }

// frames decodes a video as a player does that takes what isn't said for untagged, and
// shows all in the middle of one shape. No filter drops or repeats any.
func frames(t *testing.T, file, untagged string) (all []frame, width, height int) {
	t.Helper()
	const columns, rows = 16, 9
	list := filepath.Join(t.TempDir(), "frames.rgb")
	out, err := hlstest.Run(t.Context(), "sh", "-c", `ffmpeg "$@" 2>&1`, "sh", "-hide_banner", "-nostdin", "-y", "-copyts", "-colorspace", untagged, "-i", file,
		"-map", "0:v:0", "-vf", fmt.Sprintf("showinfo,scale=%d:%d:flags=area:in_color_matrix=auto,format=rgb24", columns, rows),
		"-fps_mode", "passthrough", "-f", "rawvideo", list)
	must(t, err)
	body, err := os.ReadFile(list)
	must(t, err)
	const size = columns * rows * 3
	for i, m := range shownAt.FindAllSubmatch(out, -1) {
		if (i+1)*size > len(body) {
			break
		}
		p := frame{}
		p.at, _ = strconv.ParseFloat(string(m[1]), 64)
		width, _ = strconv.Atoi(string(m[2]))
		height, _ = strconv.Atoi(string(m[3]))
		for j := i * size; j < (i+1)*size; j += 3 {
			p.red, p.green, p.blue = p.red+float64(body[j]), p.green+float64(body[j+1]), p.blue+float64(body[j+2])
		}
		p.red, p.green, p.blue = p.red/columns/rows, p.green/columns/rows, p.blue/columns/rows
		all = append(all, p)
	}
	return all, width, height
}

var shownAt = regexp.MustCompile(`pts_time:\s*(-?[0-9.e+-]+) .* s:(\d+)x(\d+) `)

// flashes are when white frames begin.
func flashes(all []frame) (at []float64) {
	for i, p := range all {
		if p.bright() > 230 && (i == 0 || all[i-1].bright() <= 230) {
			at = append(at, p.at)
		}
	}
	return at
}

// beepTimes are when the audio becomes loud.
func beepTimes(t *testing.T, file string) (at []float64) {
	t.Helper()
	out, err := hlstest.Run(t.Context(), "sh", "-c", `ffmpeg -hide_banner -nostdin -copyts -i "$1" -vn -af silencedetect=n=-20dB:d=0.2 -f null - 2>&1`, "sh", file)
	must(t, err)
	for _, m := range silenceEnds.FindAllSubmatch(out, -1) {
		x, err := strconv.ParseFloat(string(m[1]), 64)
		must(t, err)
		at = append(at, x)
	}
	return at
}

var silenceEnds = regexp.MustCompile(`silence_end: (-?[0-9.]+)`)

// offset is by how much beeps come after flashes, on average; ok is false if the two don't
// belong together.
func offset(flashes, beeps []float64) (mean float64, ok bool) {
	n := 0
	for _, f := range flashes {
		for _, b := range beeps {
			if math.Abs(b-f) < 0.5 {
				mean += b - f
				n++
			}
		}
	}
	return mean / float64(max(1, n)), n > 0
}

// replacedAVC gives every NAL unit a length of n bytes instead of four.
func replacedAVC(b []byte, n int) []byte {
	var out []flvTag
	for _, tag := range split(b) {
		body := bytes.Clone(tag.body())
		if tag.kind() == 9 && body[1] == 0 {
			body[9] = body[9]&0xfc | byte(n-1)
		}
		if tag.kind() == 9 && body[1] == 1 {
			units := body[5:]
			body = bytes.Clone(body[:5])
			for len(units) >= 4 {
				size := int(units[0])<<24 | int(units[1])<<16 | int(units[2])<<8 | int(units[3])
				length := []byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}
				body = append(append(body, length[4-n:]...), units[4:4+size]...)
				units = units[4+size:]
			}
		}
		out = append(out, newTag(tag.kind(), tag.at(), body))
	}
	return joined(out...)
}

// inBand lets a second recording follow whose parameter sets are in its frames alone.
func inBand(first, second []byte, at uint32) []byte {
	tags := split(first)
	var sets []byte
	for _, tag := range split(second) {
		body := tag.body()
		if tag.kind() != 9 {
			continue
		}
		if body[1] == 0 {
			record := body[5:]
			n := int(record[6])<<8 | int(record[7])
			sps, rest := record[8:8+n], record[8+n:]
			pps := rest[3 : 3+int(rest[1])<<8+int(rest[2])]
			for _, set := range [][]byte{sps, pps} {
				sets = append(append(sets, 0, 0, byte(len(set)>>8), byte(len(set))), set...)
			}
			continue
		}
		if body[0]>>4 == 1 && body[1] == 1 {
			body = slices.Concat(body[:5], sets, body[5:])
		}
		tags = append(tags, newTag(9, tag.at()+at, body))
	}
	return joined(tags...)
}

// reasonOf is why a recording was refused.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	reason, _ := job.Verdict(err)
	return strings.TrimSpace(reason)
}
