package e2e

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"afterlive.alt/hlscheck"
	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/testenv"
)

// origin is a running nginx with the project's own configuration, elsewhere.
type origin struct{ rtmp, http, dir string }

// startOrigin runs nginx/nginx.conf with other ports and paths. enqueue's own
// configuration is config.
func startOrigin(t *testing.T, config string, changes ...[2]string) origin {
	t.Helper()
	return startOriginIn(t, nil, config, changes...)
}

// startOriginIn starts one in a network namespace, or here.
func startOriginIn(t *testing.T, home *netns, config string, changes ...[2]string) origin {
	t.Helper()
	o := origin{rtmp: "127.0.0.1:" + testenv.FreePort(t), http: "127.0.0.1:" + testenv.FreePort(t), dir: folder(t)}
	conf, err := os.ReadFile(testenv.Root() + "/nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := string(conf)
	for _, change := range append(changes,
		[2]string{"127.0.0.1:1935", o.rtmp}, [2]string{"127.0.0.1:8081", o.http}, [2]string{"/run/nginx.pid", o.dir + "/nginx.pid"}, [2]string{"/var/lib/afterlive", o.dir},
		[2]string{"/usr/local/bin/enqueue", filepath.Join(bin, "enqueue")},
		[2]string{"/etc/afterlive/afterlive.yaml", writeFile(t, filepath.Join(o.dir, "afterlive.yaml"), config)},
	) {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("nginx.conf no longer says %s", change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	for _, name := range []string{"rec", "hls", "tmp"} {
		if err := os.Mkdir(filepath.Join(o.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o.own(t)
	// Hooks outlive nginx, and write to folders that are removed with the test.
	t.Cleanup(func() { settle(func() bool { return len(o.hooks()) == 0 }) })
	cmd := exec.CommandContext(t.Context(), "nginx", "-c", writeFile(t, filepath.Join(o.dir, "nginx.conf"), text), "-p", o.dir, "-e", o.dir+"/nginx.log", "-g", "daemon off;")
	cmd.Env = testenv.Environ(t)
	home.inside(cmd)
	if home != nil {
		home.reach(t, o.rtmp)
	}
	testenv.Background(t, cmd, o.rtmp)
	eventually(t, patience, "nginx is there", func() bool { return size(o.dir+"/nginx.pid") > 0 })
	return o
}

// hooks are the programs that nginx has started, and that still run.
func (o origin) hooks() []int {
	return processes("cmdline", func(pid string) bool {
		line, err := os.ReadFile("/proc/" + pid + "/cmdline")
		return err == nil && strings.Contains(string(line), o.dir+"/afterlive.yaml")
	})
}

// own gives the folder to nginx's user, where we may.
func (o origin) own(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		return // nginx keeps our own user
	}
	www, err := user.Lookup("www-data")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(www.Uid)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "rec", "hls", "tmp"} {
		if err := os.Chown(filepath.Join(o.dir, name), uid, -1); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, address string) (string, http.Header) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return "", response.Header
	}
	return string(body), response.Header
}

// The main job: a live stream is recorded, and becomes adaptive HLS, through SQS
// and S3, with two workers.
func TestLiveStreamBecomesVOD(t *testing.T) {
	alongside(t)
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	queue, failed := cloud.Queue(t, "tasks"), cloud.Queue(t, "failed")
	place := []string{"--queue", queue, "--failed", failed, "--recordings", "s3://recs", "--store", "s3://vod"}
	o := startOrigin(t, fmt.Sprintf("queue: %s\nfailed: %s\nrecordings: s3://recs\nstore: s3://vod\nprofile: quick\n", queue, failed))
	var workers []*worker
	for range 2 {
		workers = append(workers, startWorker(t, place...))
	}

	const seconds = 14
	publish := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=320x180:r=%d", fps), "-f", "lavfi", "-i", "sine=f=440:r=44100",
		"-t", fmt.Sprint(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac",
		"-f", "flv", "rtmp://"+o.rtmp+"/live/talk?token=secret")
	if err := publish.Start(); err != nil {
		t.Fatal(err)
	}
	live := "http://" + o.http + "/hls/talk/index.m3u8"
	eventually(t, patience, "the live stream plays", func() bool { body, _ := get(t, live); return strings.Contains(body, ".ts") })
	if stat, _ := get(t, "http://"+o.http+"/stat"); !strings.Contains(stat, "<name>talk</name>") {
		t.Errorf("/stat doesn't know the stream:\n%s", stat)
	}
	if err := publish.Wait(); err != nil {
		t.Fatalf("publish: %v", err)
	}
	enqueue(t, append([]string{"status", "--watch", "--timeout", patience.String()}, place...)...)
	r := status(t, place...)
	if len(r.Jobs) != 1 || r.Jobs[0].State != "published" || r.Failed != 0 {
		t.Fatalf("status %+v", r)
	}
	j := r.Jobs[0]
	if !strings.HasPrefix(j.Asset, "live/talk/talk-") || j.Parts != 2 || math.Abs(j.Duration-seconds) > 0.15 {
		t.Errorf("job %+v", j)
	}
	checkHLS(t, cloud.Endpoint+"/vod/vod/"+j.Asset+"/master.m3u8", j.Duration, []string{"320x180", "160x90"})
	eventually(t, patience, "the recording is removed once it is confirmed", func() bool {
		left, err := filepath.Glob(o.dir + "/rec/*.flv")
		spooled, err2 := filepath.Glob(o.dir + "/rec/.spool/[^.]*")
		return err == nil && err2 == nil && len(left)+len(spooled) == 0
	})
	for _, w := range workers {
		terminate(t, w, syscall.SIGTERM)
	}
	for _, w := range workers {
		w.finish(t)
		if left := w.encoders(); len(left) > 0 {
			t.Errorf("encoders left: %v", left)
		}
	}
}

var (
	uri        = regexp.MustCompile(`(?m)^[^#\s].*$`)
	resolution = regexp.MustCompile(`(?m)^#EXT-X-STREAM-INF:.*RESOLUTION=(\d+x\d+)`)
	audioURI   = regexp.MustCompile(`TYPE=AUDIO.*URI="([^"]+)"`)
)

const fps = 25 // of all recordings whose result is checked

// checkHLS follows a multivariant playlist from its URL (or file) and checks every
// rendition packet by packet.
func checkHLS(t *testing.T, master string, duration float64, sizes []string) {
	t.Helper()
	body, header := read(t, master)
	if header != nil && header.Get("Content-Type") != "application/vnd.apple.mpegurl" {
		t.Errorf("master's type is %s", header.Get("Content-Type"))
	}
	var got []string
	for _, m := range resolution.FindAllStringSubmatch(body, -1) {
		got = append(got, m[1])
	}
	if !slices.Equal(got, sizes) {
		t.Errorf("sizes %v, want %v", got, sizes)
	}
	const start = 10
	base := master[:strings.LastIndex(master, "/")+1]
	var durations []string
	for _, name := range uri.FindAllString(body, -1) {
		all, err := hlstest.Packets(t.Context(), base+name, "v")
		if err != nil {
			t.Fatal(err)
		}
		if err := hlstest.Video(all, start, fps, int(math.Round(duration*fps)), 2*fps); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := hlstest.Decode(t.Context(), base+name); err != nil {
			t.Error(err)
		}
		playlist, _ := read(t, base+name)
		if d := hlstest.Durations([]byte(playlist)); durations == nil {
			durations = d
		} else if !slices.Equal(d, durations) {
			t.Errorf("%s: EXTINF %v, the first rendition's %v", name, d, durations)
		}
	}
	m := audioURI.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no audio in the master:\n%s", body)
	}
	audio, err := hlstest.Packets(t.Context(), base+m[1], "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := hlstest.Audio(audio, 44100, start+duration); err != nil {
		t.Error(err)
	}
	keepsTheRules(t, master)
}

// keepsTheRules applies what MUST be so of a presentation by Apple's rules, delivery
// included.
func keepsTheRules(t *testing.T, master string) {
	t.Helper()
	source, name := hlscheck.Dir(os.DirFS("/")), strings.TrimPrefix(master, "/")
	if strings.HasPrefix(master, "http://") {
		base, err := url.Parse(master)
		must(t, err)
		source, name = hlscheck.Web(base), path.Base(base.Path)
	}
	report, err := hlscheck.Check(t.Context(), source, name, hlscheck.Media)
	must(t, err)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, name string) (string, http.Header) {
	t.Helper()
	if strings.HasPrefix(name, "http://") {
		return get(t, name)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), nil
}
