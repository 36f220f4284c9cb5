package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// Streams are followed while follow, workers and nginx are killed at random, S3 and SQS fail, and somebody watches all
// the time. "make soak" has 20 streams, "make test" 3. Whatever nginx wrote is in the store in the end, byte for
// byte, and on demand; each extent was written once; what could be watched never shrank.
func TestFollowStorm(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	s := &storm{sky: newSky(t), scratch: t.TempDir(), profile: "quick", random: rand.New(rand.NewPCG(seed, 0))}
	streams, kills := 3, 6
	if *soak {
		streams, kills = 20, 60
	}
	t.Logf("seed %d, %d streams", seed, streams)
	o := startOrigin(t, fmt.Sprintf("queue: %s\nfailed: %s\nrecordings: s3://recs\nstore: s3://vod\nprofile: quick\n", s.place[1], s.place[3]))
	kept := keep(t, o.dir+"/rec")
	s.proxy.Script(s.s3Fault)
	s.strict.Script(s.sqsFault)
	follow := append([]string{"--profile", "quick", "--every", "2s", o.dir + "/rec"}, s.place...)
	f := startFollow(t, follow...)
	s.living = []*worker{s.recruit(t), s.recruit(t)}
	stop, watched := make(chan struct{}), make(chan int)
	go func() { watched <- s.watch(t, stop) }()

	over := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for range kills {
			s.mu.Lock()
			pause, who := 2*time.Second+time.Duration(s.random.Int64N(int64(4*time.Second))), s.random.IntN(20)
			s.mu.Unlock()
			select {
			case <-over:
				return
			case <-time.After(pause):
			}
			switch {
			case who < 10:
				f.kill()
				f = startFollow(t, follow...)
			case who < 19:
				victim := casualty{s.living[who%2], time.Now(), true}
				s.living[who%2] = s.recruit(t)
				terminate(t, victim.worker, syscall.SIGKILL)
				s.dead = append(s.dead, victim)
			default:
				for _, pid := range o.workers(t) { // its master starts another; publishers are cut off
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	})
	var all sync.WaitGroup
	for n := range streams {
		all.Go(func() { _ = publish(t, o, fmt.Sprintf("storm%02d", n), 46+n%10).Wait() }) // it may be cut off
		if n%4 == 3 {
			all.Wait()
		}
	}
	all.Wait()
	close(over)
	killer.Wait()
	calls := s.proxy.Calls()
	s.proxy.Script(nil)
	s.strict.Script(nil)
	s.takeIn(t, o)
	close(stop)
	looks := <-watched
	t.Logf("%d looks at events", looks)
	if *soak && looks == 0 { // of few streams, all may be cut off before they can be watched
		t.Error("nothing could be watched")
	}
	s.allThere(t, kept())
	writtenOnce(t, append(calls, s.proxy.Calls()...))
}

// keep links all recordings aside, as nginx writes them, and returns where they are once it is told to stop.
func keep(t *testing.T, rec string) (stop func() string) {
	t.Helper()
	aside := filepath.Join(filepath.Dir(rec), "aside")
	must(t, os.Mkdir(aside, 0o755))
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		await(ctx, func() bool {
			files, _ := filepath.Glob(rec + "/*.flv")
			for _, name := range files {
				_ = os.Link(name, filepath.Join(aside, filepath.Base(name))) // it may be there
			}
			return false
		})
	})
	stop = func() string {
		cancel()
		done.Wait()
		return aside
	}
	t.Cleanup(func() { stop() })
	return stop
}

// takeIn waits until nothing is left to do: as the sweep's timer does, it sweeps.
func (s *storm) takeIn(t *testing.T, o origin) {
	t.Helper()
	eventually(t, 5*time.Minute, "all recordings are taken in", func() bool {
		_, err := commandError(t.Context(), t, "enqueue", append([]string{"sweep", "--older", "3s", "--profile", "quick", o.dir + "/rec"}, s.place...)...)
		left, _ := filepath.Glob(o.dir + "/rec/*.flv")
		spooled, _ := filepath.Glob(o.dir + "/rec/.spool/*.flv")
		return err == nil && len(left)+len(spooled) == 0 && len(o.hooks()) == 0
	})
	s.settled(t, 5*time.Minute)
}

// watch looks at all events, again and again: what was there stays there.
func (s *storm) watch(t *testing.T, stop <-chan struct{}) (looks int) {
	direct := s.cloud.Config.Copy()
	direct.BaseEndpoint, direct.ConfigSources = &s.cloud.Endpoint, nil // without the proxy and its faults
	store := blob.NewS3(direct, "vod", "")
	seen := map[string][]byte{}
	for {
		keys, err := store.List(t.Context(), "vod/live/")
		if err != nil {
			t.Error(err)
		}
		for _, key := range keys {
			if path.Base(key) != ladder.EventPlaylistFile {
				continue
			}
			body, _, err := store.Load(t.Context(), key)
			if err != nil || !bytes.HasPrefix(body, bytes.TrimSuffix(seen[key], []byte("#EXT-X-ENDLIST\n"))) {
				t.Errorf("%s is\n%s\n%v, and was\n%s", key, body, err, seen[key])
			}
			for line := range strings.Lines(string(body[len(seen[key])/2:])) {
				if name := strings.TrimSpace(line); strings.HasSuffix(name, ".m4s") && strings.HasPrefix(name, "s0") {
					if _, _, err := store.Stat(t.Context(), path.Join(path.Dir(key), name)); err != nil {
						t.Errorf("%s names %s: %v", key, name, err)
					}
				}
			}
			seen[key] = body
			looks++
		}
		select {
		case <-stop:
			return looks
		case <-time.After(time.Second):
		}
	}
}

// allThere wants every recording as one object, and on demand.
func (s *storm) allThere(t *testing.T, aside string) {
	t.Helper()
	recordings, results := blob.NewS3(s.cloud.Config, "recs", ""), blob.NewS3(s.cloud.Config, "vod", "")
	files, err := filepath.Glob(aside + "/*.flv")
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("recorded: %v", files)
	}
	grew := 0
	for _, name := range files {
		want, err := os.ReadFile(name)
		must(t, err)
		file := strings.TrimSuffix(filepath.Base(name), ".flv")
		stream := file[:strings.LastIndex(file, "-")]
		key := "recordings/live/" + stream + "/" + file + ".flv"
		size, etag, err := recordings.Stat(t.Context(), key)
		if err != nil || size != int64(len(want)) {
			t.Errorf("%s has %d bytes, %v; nginx wrote %d", key, size, err, len(want))
			continue
		}
		source, err := recordings.Read(t.Context(), key, etag, 0, size)
		must(t, err)
		got, err := io.ReadAll(source)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what nginx wrote", key)
		}
		if left, err := recordings.List(t.Context(), key+".growing/"); err != nil || len(left) > 1 {
			t.Errorf("left: %v, %v", left, err)
		} else if len(left) == 1 {
			grew++
		}
		body, _, err := results.Load(t.Context(), ladder.PointerKey("live/"+stream+"/"+file))
		if err != nil || !strings.Contains(string(body), `"job"`) || strings.Contains(string(body), `"live": true`) {
			t.Errorf("%s (%d bytes) is not on demand: %v\n%s", file, len(want), err, body)
		}
	}
	t.Logf("%d recordings, %d of them followed", len(files), grew)
	if grew == 0 {
		t.Error("none was followed")
	}
}

// writtenOnce wants each extent to have been stored once; but for one that was removed with the others while another
// process was about to store it, too.
func writtenOnce(t *testing.T, calls []testenv.Call) {
	t.Helper()
	written, stored := map[string]int{}, 0
	for _, c := range calls {
		if c.Op == http.MethodPut && c.Status == http.StatusOK && strings.Contains(c.Message, ".growing/0") {
			written[c.Message]++
			stored++
		}
		if c.Op == http.MethodDelete {
			delete(written, c.Message)
		}
		if n := written[c.Message]; n > 1 {
			t.Errorf("%s was written %d times", c.Message, n)
		}
	}
	t.Logf("%d extents", stored)
	if stored == 0 {
		t.Error("there are no extents")
	}
}
