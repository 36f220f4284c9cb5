package twin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// memory is a file.
type memory struct{ body []byte }

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(m.body)) {
		return 0, io.EOF
	}
	n := copy(b, m.body[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) Write(b []byte) (int, error) {
	m.body = append(m.body, b...)
	return len(b), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made are recordings of 40 s, each made once. A still one has the same frames again and again, and silence.
var made = map[string]func() ([]byte, error){
	"moving": sync.OnceValues(func() ([]byte, error) { return record("testsrc2=s=320x180:r=25", "sine=b=4:r=44100") }),
	"other":  sync.OnceValues(func() ([]byte, error) { return record("mandelbrot=s=320x180:r=25", "anoisesrc=r=44100") }),
	"still":  sync.OnceValues(func() ([]byte, error) { return record("color=red:s=320x180:r=25", "anullsrc=r=44100") }),
}

func record(pattern, audio string) ([]byte, error) {
	return exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern, "-f", "lavfi", "-i", audio, "-t", "40",
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-c:a", "aac", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1").Output()
}

func source(t *testing.T, name string) []byte {
	t.Helper()
	body, err := made[name]()
	must(t, err)
	return body
}

// piece is how one of two recorders has seen a stream.
type piece struct {
	zero      int64      // ms: the stream's time at which its own clock began
	lost      [][2]int64 // ms of the stream's time
	onlyVideo bool       // what it lost are frames
	reconnect bool       // instead of a hole, the publisher was away
	until     int64      // ms; 0: the end
}

// seen is a stream as one recorder has seen it.
func seen(t *testing.T, whole []byte, p piece) []byte {
	t.Helper()
	return watch(t, whole, p).body
}

// view is what a recorder has written, and by when.
type view struct {
	body []byte
	tags []written
}

type written struct {
	at   int64 // ms of the stream's time
	size int
}

// by is what was written by then, and when the last of it was.
func (v view) by(at int64) (body []byte, last int64) {
	n := 0
	for _, w := range v.tags {
		if w.at <= at {
			n, last = w.size, w.at
		}
	}
	return v.body[:n], last
}

func watch(t *testing.T, whole []byte, p piece) (v view) {
	t.Helper()
	out := bytes.Clone(whole[:flv.HeaderSize])
	away, begun := false, false
	zero, gone := p.zero, int64(0)
	must(t, each(&memory{whole}, func(x flv.Tag) {
		lost := slices.ContainsFunc(p.lost, func(l [2]int64) bool { return x.Time >= l[0] && x.Time < l[1] })
		if p.onlyVideo && x.Kind == flv.AudioFrame {
			lost = false
		}
		frame := x.Kind == flv.VideoFrame || x.Kind == flv.AudioFrame
		switch {
		case !frame && p.until > 0 && x.Time >= p.until:
			return
		case frame && (lost || p.until > 0 && x.Time >= p.until):
			if !away {
				away, gone = true, x.Time
			}
			return
		case frame && (!begun || away && p.reconnect) && (x.Kind != flv.VideoFrame || !x.Key || x.Time < p.zero):
			return // a recorder begins with a keyframe
		case frame && away && p.reconnect:
			out = append(out, flv.ReconnectTag(time.Duration(x.Time-gone+300)*time.Millisecond)...)
			zero = x.Time
		}
		if frame {
			begun, away = true, false
		}
		tag := bytes.Clone(whole[x.Offset : x.Offset+x.Size])
		flv.Retime(tag, x.Time-zero)
		out = append(out, tag...)
		if begun {
			v.tags = append(v.tags, written{x.Time, len(out)})
		}
	}))
	v.body = out
	return v
}

// origins are recorders of one stream, and what they make of it together.
type origins struct {
	merged memory
	files  []*memory
	twins  []*Twin
	at     []int64 // ms of the stream's time at which each was written to last
	writer int
	turns  []int // how often another went on
}

// clocksDiffer is by how much the origins' clocks do.
const clocksDiffer = 700 * time.Millisecond

// read lets one take in what has come.
func (o *origins) read(t *testing.T, i int) {
	t.Helper()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	must(t, o.twins[i].Read(noon.Add(time.Duration(o.at[i])*time.Millisecond), noon.Add(clocksDiffer)))
}

func newOrigins(t *testing.T, n int) *origins {
	t.Helper()
	o := &origins{}
	for range n {
		f := &memory{}
		o.files = append(o.files, f)
		o.at = append(o.at, 0)
		o.twins = append(o.twins, New(&o.merged, f))
	}
	return o
}

// step lets the writer go on; where it has a hole, another takes over that hasn't. late: nobody waits any longer.
func (o *origins) step(t *testing.T, late bool) {
	t.Helper()
	for range 20 {
		for i, w := range o.twins {
			if len(o.files[i].body) > flv.HeaderSize && len(o.merged.body) == 0 && i == o.writer {
				must(t, w.Begin())
			}
			if len(o.merged.body) > 0 {
				o.read(t, i)
			}
		}
		if len(o.merged.body) == 0 {
			return
		}
		hole, err := o.twins[o.writer].Append(false)
		must(t, err)
		o.twins[o.writer].Forget()
		if !hole && !late {
			return
		}
		next := -1
		for i, w := range o.twins {
			o.read(t, i)
			if i != o.writer && w.Continues() {
				next = i
			}
		}
		switch {
		case next >= 0:
			o.turns, o.writer = append(o.turns, next), next
		case hole && late:
			_, err := o.twins[o.writer].Append(true)
			must(t, err)
		default:
			return
		}
	}
}

// merge lets files grow beside each other, in pieces.
func merge(t *testing.T, files ...view) *origins {
	t.Helper()
	o := newOrigins(t, len(files))
	const steps = 50
	for n := int64(1); n <= steps; n++ {
		for i, f := range files {
			o.files[i].body, o.at[i] = f.by(n * 1000)
		}
		o.step(t, n == steps)
	}
	return o
}

// frames are the times of a recording's frames and audio, and what is in them.
func frames(t *testing.T, body []byte, kind flv.Kind) (all []string) {
	t.Helper()
	must(t, each(&memory{body}, func(x flv.Tag) {
		if x.Kind == kind {
			all = append(all, fmt.Sprint(x.Time, " ", x.Sum))
		}
	}))
	return all
}

// What one recorder has lost comes from the other: the recording is as if nothing had been lost, to the byte of each frame, and to the millisecond.
func TestHolesAreFilled(t *testing.T) {
	a := [][2]int64{{9_000, 14_000}, {25_000, 27_500}}
	b := [][2]int64{{17_500, 20_100}}
	for name, tc := range map[string]struct {
		a, b piece
		want int // turns
	}{
		"dropped":                         {piece{lost: a}, piece{zero: 1234, lost: b}, 3},
		"frames dropped":                  {piece{lost: a, onlyVideo: true}, piece{zero: 1234, lost: b, onlyVideo: true}, 3},
		"one dies":                        {piece{lost: a, until: 33_000}, piece{zero: 1234, lost: b}, 3},
		"reconnects":                      {piece{lost: a, reconnect: true}, piece{zero: 1234, lost: b, reconnect: true}, 3},
		"the other begins late":           {piece{lost: a[1:]}, piece{zero: 15_000}, 1},
		"one frame":                       {piece{lost: [][2]int64{{10_000, 10_040}}}, piece{zero: 3000}, 1},
		"nothing is lost":                 {piece{}, piece{zero: 1234}, 0},
		"the first dies":                  {piece{until: 12_345}, piece{zero: 1234}, 1},
		"the first dies, and is followed": {piece{until: 12_345}, piece{zero: 1234, lost: b}, 1},
	} {
		for _, of := range []string{"moving", "still"} {
			t.Run(name+", "+of, func(t *testing.T) {
				whole := source(t, of)
				o := merge(t, watch(t, whole, tc.a), watch(t, whole, tc.b))
				want := seen(t, whole, piece{})
				if name == "the first dies, and is followed" { // then nobody has it
					want = seen(t, whole, piece{lost: b})
				}
				for _, kind := range []flv.Kind{flv.VideoFrame, flv.AudioFrame} {
					if got, want := frames(t, o.merged.body, kind), frames(t, want, kind); !slices.Equal(got, want) {
						t.Errorf("kind %d: %d, want %d; the first to differ: %s", kind, len(got), len(want), differ(got, want))
					}
				}
				index, err := flv.Scan(bytes.NewReader(o.merged.body))
				must(t, err)
				if len(index.Damage) > 0 || len(o.turns) < tc.want {
					t.Errorf("turns %v, want %d; %+v", o.turns, tc.want, index.Damage)
				}
				if goodbye := 20; tc.want == 0 && !bytes.Equal(o.merged.body, want[:len(want)-goodbye]) {
					t.Error("bytes differ, though nothing was lost")
				}
			})
		}
	}
}

func differ(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%d: %s, want %s", i, a[i], b[i])
		}
	}
	return "none of those that both have"
}

// What both have lost is missing, and nothing else.
func TestNobodyHasIt(t *testing.T) {
	whole := source(t, "moving")
	hole := [2]int64{20_000, 23_000}
	o := merge(t, watch(t, whole, piece{lost: [][2]int64{{8_000, 9_000}, hole}}), watch(t, whole, piece{zero: 700, lost: [][2]int64{hole}}))
	got, want := frames(t, o.merged.body, flv.VideoFrame), frames(t, seen(t, whole, piece{lost: [][2]int64{hole}}), flv.VideoFrame)
	if !slices.Equal(got, want) {
		t.Errorf("%d, want %d: %s", len(got), len(want), differ(got, want))
	}
}

// Two streams of one name are found to be unlike, even where both are silent; and nothing of one gets into the other.
func TestUnlike(t *testing.T) {
	for _, tc := range [][2]string{{"moving", "other"}, {"moving", "still"}, {"still", "other"}} {
		o := merge(t, watch(t, source(t, tc[0]), piece{}), watch(t, source(t, tc[1]), piece{}))
		if !o.twins[1].Unlike() || o.twins[1].Aligned() || len(o.turns) > 0 {
			t.Errorf("%v: %+v", tc, o.turns)
		}
	}
}

// How much of a file isn't in a recording.
func TestLacks(t *testing.T) {
	whole := source(t, "moving")
	for _, tc := range []struct {
		piece        piece
		video, audio int
	}{{piece{}, 0, 0}, {piece{zero: 5000}, 50, 86}, {piece{lost: [][2]int64{{8_000, 9_000}}}, 25, 43}, {piece{lost: [][2]int64{{8_000, 9_000}}, onlyVideo: true}, 25, 0}} {
		video, audio, err := Lacks(&memory{seen(t, whole, tc.piece)}, &memory{seen(t, whole, piece{zero: 4000})})
		if err != nil || video.Frames != tc.video || audio.Frames < tc.audio-1 || audio.Frames > tc.audio+1 || (video.Lasts-time.Duration(tc.video)*40*time.Millisecond).Abs() > 50*time.Millisecond {
			t.Errorf("%+v: %+v, %+v, %v", tc.piece, video, audio, err)
		}
	}
	if _, _, err := Lacks(&memory{[]byte("this is not a recording")}, &memory{whole}); err == nil || errors.Is(err, io.EOF) {
		t.Error("no recording is one")
	}
}

// A clock that runs back within one connection, and a hole that nobody can fill, lead nobody astray later on.
func TestLaterOn(t *testing.T) {
	whole := source(t, "moving")
	back := retimed(t, whole, func(at int64) int64 { return at - 15_000*min(1, at/20_000) })
	nobody := [2]int64{8_000, 11_000}
	for name, tc := range map[string]struct {
		whole []byte
		lost  [][2]int64 // at one
		both  [][2]int64
	}{
		"the clock runs back": {back, [][2]int64{{30_000 - 15_000, 32_000 - 15_000}}, nil},
		"a hole of both":      {whole, [][2]int64{nobody, {20_000, 23_000}}, [][2]int64{nobody}},
	} {
		t.Run(name, func(t *testing.T) {
			o := merge(t, watch(t, tc.whole, piece{lost: tc.lost}), watch(t, tc.whole, piece{zero: 1234, lost: tc.both}))
			for _, kind := range []flv.Kind{flv.VideoFrame, flv.AudioFrame} {
				got, want := frames(t, o.merged.body, kind), frames(t, seen(t, tc.whole, piece{lost: tc.both}), kind)
				if !slices.Equal(got, want) {
					t.Errorf("kind %d: %d, want %d: %s", kind, len(got), len(want), differ(got, want))
				}
			}
		})
	}
}

// retimed is a recording with other times.
func retimed(t *testing.T, whole []byte, at func(int64) int64) []byte {
	t.Helper()
	out := bytes.Clone(whole)
	must(t, each(&memory{whole}, func(x flv.Tag) { flv.Retime(out[x.Offset:x.Offset+x.Size], at(x.Time)) }))
	return out
}

// Audio and frames that lie far apart in a file are no holes; and what was appended and cut off again is found again.
func TestFarApart(t *testing.T) {
	whole := source(t, "moving")
	apart := bytes.Clone(whole[:flv.HeaderSize]) // the audio of a second and a half comes behind its frames
	var late []byte
	must(t, each(&memory{whole}, func(x flv.Tag) {
		tag := whole[x.Offset : x.Offset+x.Size]
		if x.Kind == flv.AudioFrame && x.Time%3000 < 1500 {
			late = append(late, tag...)
			return
		}
		if x.Time%3000 >= 1500 {
			apart, late = append(apart, late...), nil
		}
		apart = append(apart, tag...)
	}))
	o := newOrigins(t, 2)
	for i := range o.files {
		o.files[i].body = apart
		o.at[i] = 40_000
	}
	must(t, o.twins[0].Begin())
	o.read(t, 0)
	size := len(o.merged.body)
	hole, err := o.twins[0].Append(false)
	must(t, err)
	if hole {
		t.Error("it has a hole")
	}
	want := len(o.merged.body)
	o.merged.body = o.merged.body[:size+(want-size)/2]
	for range 2 { // another was first, in the middle of a tag; then with less
		o.twins[0].Cut(int64(len(o.merged.body)))
		o.read(t, 0)
		o.read(t, 1)
		if !o.twins[0].Aligned() || !o.twins[0].Continues() || !o.twins[1].Continues() || o.twins[0].Unlike() {
			t.Fatalf("%+v, %+v", o.twins[0].place, o.twins[1].place)
		}
		o.merged.body = o.merged.body[:ends(t, o.merged.body)]
	}
	if hole, err := o.twins[1].Append(false); err != nil || hole || len(o.merged.body) != want {
		t.Errorf("hole %v, %v, %d bytes, want %d", hole, err, len(o.merged.body), want)
	}
}

// ends is where the last whole tag ends.
func ends(t *testing.T, body []byte) (end int64) {
	t.Helper()
	must(t, each(&memory{body}, func(x flv.Tag) { end = x.Offset + x.Size }))
	return end
}
