package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// line is a connection to an origin that can be lost.
type line struct {
	net.Listener

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &line{Listener: listener}
	t.Cleanup(func() { l.cut(true); must(t, l.Close()) })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil || !l.keep(from, there) {
				_ = from.Close()
				continue
			}
			go func() { _, _ = io.Copy(there, from); _ = there.Close() }()
			go func() { _, _ = io.Copy(from, there); _ = from.Close() }()
		}
	}()
	return l
}

func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	l.conns = append(l.conns, conns...)
	return true
}

// cut loses the connection, or lets others be made.
func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// An encoder publishes to two origins. One loses its connection twice, the other once, and then dies: the recording that they make together
// has every frame, and so has the video on demand, by a number in each frame.
func TestTwoOrigins(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data := folder(t)
	startWorker(t, "--data", data, "--http", "127.0.0.1:"+testenv.FreePort(t), "--slots", "2")
	var lines []*line
	var origins []origin
	var followers []*follower
	for _, name := range []string{"a", "b"} {
		o := startOrigin(t, "data: "+data+"\nprofile: quick\n")
		origins, lines = append(origins, o), append(lines, newLine(t, o.rtmp))
		followers = append(followers, startFollow(t, "--data", data, "--profile", "quick", "--every", "2s", "--origin", name, o.dir+"/rec"))
	}
	local := filepath.Join(t.TempDir(), "local.flv")
	publisher := publishTo(t, local, lines...)
	began := time.Now()
	for _, e := range []struct {
		at time.Duration
		do func()
	}{
		{10 * time.Second, func() { lines[0].cut(true) }},
		{15 * time.Second, func() { lines[0].cut(false) }},
		{24 * time.Second, func() { lines[1].cut(true) }},
		{29 * time.Second, func() { lines[1].cut(false) }},
		{38 * time.Second, func() { lines[0].cut(true) }},
		{43 * time.Second, func() { lines[0].cut(false) }},
		{52 * time.Second, func() { lines[1].cut(true); origins[1].die(t, followers[1]) }},
		{62 * time.Second, func() { must(t, publisher.Process.Signal(os.Interrupt)) }},
	} {
		time.Sleep(time.Until(began.Add(e.at))) //nolint:forbidigo // the publisher publishes
		e.do()
	}
	_ = publisher.Wait()
	ended := time.Now()
	var asset ladder.Asset
	eventually(t, patience, "it is on demand", func() bool {
		found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.PointerFile)
		must(t, err)
		if len(found) != 1 {
			return false
		}
		asset = ladder.Asset{}
		body, err := os.ReadFile(found[0])
		return err == nil && json.Unmarshal(body, &asset) == nil && !asset.Live
	})
	t.Logf("on demand %.1f s after the end; its origins, in turns: %+v", time.Since(ended).Seconds(), asset.Origins)
	if len(asset.Origins) < 4 || len(asset.Discontinuities)+len(asset.Missing) > 0 {
		t.Errorf("%+v", asset)
	}
	hasAll(t, data+"/"+asset.Recording, local)
	folder := data + "/vod/" + strings.TrimSuffix(strings.TrimPrefix(asset.Recording, "recordings/"), ".flv") + "/"
	keepsTheRules(t, folder+ladder.MasterFile)
	numbers := numbersOf(t, folder+asset.Ladders[0].Renditions[0].MediaList)
	for i, n := range numbers {
		if n != numbers[0]+i {
			t.Fatalf("frame %d has number %d, the first one %d", i, n, numbers[0])
		}
	}
	t.Logf("frames %d to %d are on demand", numbers[0], numbers[len(numbers)-1])
	eventually(t, patience, "nothing is left at the origin that lives", func() bool {
		left, err := filepath.Glob(origins[0].dir + "/rec/*.flv")
		copies, err2 := filepath.Glob(origins[0].dir + "/rec/.spool/*.flv")
		return err == nil && err2 == nil && len(left)+len(copies) == 0
	})
}

// hasAll wants a recording to have each frame and each audio packet that the encoder has made since the recording's first, at the same time.
func hasAll(t *testing.T, recording, local string) {
	t.Helper()
	for _, kind := range []flv.Kind{flv.VideoFrame, flv.AudioFrame} {
		got, want := tagsOf(t, recording, kind), tagsOf(t, local, kind)
		first := slices.IndexFunc(want, func(x flv.Tag) bool { return len(got) > 0 && x.Sum == got[0].Sum })
		if first < 0 || first > 3*fps || len(got) != len(want)-first {
			t.Errorf("%d of kind %d, the encoder made %d; the first is its %d.", len(got), kind, len(want), first)
			continue
		}
		apart := got[0].Time - want[first].Time
		for i, x := range got {
			if made := want[first+i]; x.Sum != made.Sum || max(x.Time-made.Time-apart, made.Time+apart-x.Time) > 2 {
				t.Errorf("kind %d, number %d: %+v, the encoder made %+v, %d ms apart", kind, i, x, made, apart)
				break
			}
		}
	}
}

func tagsOf(t *testing.T, name string, kind flv.Kind) (all []flv.Tag) {
	t.Helper()
	file, err := os.Open(name)
	must(t, err)
	defer file.Close()
	for tags := flv.ReadTags(file, 0); ; {
		x, err := tags.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		if x.Kind == kind {
			all = append(all, x)
		}
	}
}

const numberBits = 16 // each 20 pixels wide

// numbersOf are the numbers in a rendition's frames.
func numbersOf(t *testing.T, playlist string) (all []int) {
	t.Helper()
	gray, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", playlist, "-map", "0:v", "-vf", fmt.Sprintf("scale=%d:1:flags=area,format=gray", numberBits), "-f", "rawvideo", "pipe:1").Output()
	must(t, err)
	for frame := range slices.Chunk(gray, numberBits) {
		n := 0
		for bit, y := range frame {
			if y > 127 {
				n |= 1 << bit
			}
		}
		all = append(all, n)
	}
	return all
}

// Two streams of one name that are not the same, at two origins, are kept apart, and both are on demand.
func TestUnlikeOrigins(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data := folder(t)
	startWorker(t, "--data", data, "--http", "127.0.0.1:"+testenv.FreePort(t), "--slots", "2")
	var followers []*follower
	for n, name := range []string{"a", "b"} {
		o := startOrigin(t, "data: "+data+"\nprofile: quick\n")
		followers = append(followers, startFollow(t, "--data", data, "--profile", "quick", "--every", "2s", "--reconnect", "0s", "--origin", name, o.dir+"/rec"))
		go publishPattern(t, o, []string{"mandelbrot=s=320x180", "cellauto=s=320x180"}[n], 40)
	}
	eventually(t, patience, "both are on demand", func() bool {
		found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.PointerFile)
		must(t, err)
		return len(found) == 2 && !slices.ContainsFunc(found, func(name string) bool {
			body, err := os.ReadFile(name)
			return err != nil || strings.Contains(string(body), `"live"`)
		})
	})
	said := 0
	for _, f := range followers {
		log, err := os.ReadFile(f.log)
		must(t, err)
		said += strings.Count(string(log), "its frames are not those of the recording that another origin ships under this name")
	}
	if said != 1 {
		t.Errorf("said %d times", said)
	}
	found, err := filepath.Glob(data + "/recordings/live/talk/*.flv")
	if err != nil || len(found) != 2 {
		t.Errorf("recordings %v, %v", found, err)
	}
}

// publishPattern streams a test pattern and silence.
func publishPattern(t *testing.T, o origin, pattern string, seconds int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "quiet", "-nostdin", "-re", "-f", "lavfi", "-i", pattern+fmt.Sprintf(":r=%d", fps), "-f", "lavfi", "-i", "anullsrc=r=44100", "-t", fmt.Sprint(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-f", "flv", "rtmp://"+o.rtmp+"/live/talk")
	if err := cmd.Run(); err != nil && t.Context().Err() == nil {
		t.Errorf("publish: %v", err)
	}
}

// publishTo streams frames that have their number in them, and a tone, over several lines, and into a file.
func publishTo(t *testing.T, file string, lines ...*line) *exec.Cmd {
	t.Helper()
	to := "[f=flv]" + file
	for _, l := range lines {
		to += "|[f=fifo:fifo_format=flv:attempt_recovery=1:recover_any_error=1:recovery_wait_time=1:restart_with_keyframe=1:drop_pkts_on_overflow=1]rtmp://" + l.Addr().String() + "/live/talk"
	}
	cmd := exec.Command("ffmpeg", "-v", "fatal", "-nostdin", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf("color=black:s=320x180:r=%d,geq=lum='16+219*mod(floor(N/pow(2\\,floor(X/%d)))\\,2)':cb=128:cr=128", fps, 320/numberBits), "-re", "-f", "lavfi", "-i", "sine=b=4:r=44100",
		"-map", "0", "-map", "1", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-flags", "+global_header", "-f", "tee", to)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}
