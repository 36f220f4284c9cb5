package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// A publisher loses its connection three times. Twice it is back in time, and its recording goes on; the third time it isn't, and what it
// sends then is another one. follow is killed in the second interval. An operator needn't wait for the last one. "make soak" has
// the real times.
func TestPublisherReconnects(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	limit, gaps := 45*time.Second, []time.Duration{time.Second, 7 * time.Second, 52 * time.Second}
	if *soak {
		limit, gaps = 30*time.Second, []time.Duration{2 * time.Second, 15 * time.Second, 40 * time.Second}
	}
	data, address := folder(t), "127.0.0.1:"+testenv.FreePort(t)
	o := startOrigin(t, "data: "+data+"\nprofile: quick\n")
	follow := []string{"--data", data, "--profile", "quick", "--every", "2s", "--reconnect", limit.String(), o.dir + "/rec"}
	follower := startFollow(t, follow...)
	startWorker(t, "--data", data, "--http", address, "--slots", "2")
	viewer := openBrowser(t) // that takes a busy machine long
	for n, lasts := range []time.Duration{24 * time.Second, 20 * time.Second, 8 * time.Second} {
		o.lose(t, lasts, func() bool {
			found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.MasterFile)
			return n != 1 || err == nil && len(found) == 1 // it can be watched
		})
		gone := time.Now()
		if n == 1 {
			follower.kill()
			startFollow(t, follow...)
			waitsFor(viewer, data, address)
		}
		time.Sleep(time.Until(gone.Add(gaps[n]))) //nolint:forbidigo // the publisher is away
	}
	o.lose(t, 7*time.Second, func() bool { return true })
	assets := func() []string {
		found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.PointerFile)
		must(t, err)
		return found
	}
	eventually(t, patience, "the second recording is in the store", func() bool {
		found, err := filepath.Glob(data + "/recordings/live/talk/*.growing/index.json")
		must(t, err)
		return len(found) == 2
	})
	second, err := filepath.Glob(data + "/recordings/live/talk/*.growing")
	must(t, err)
	name := strings.TrimSuffix(strings.TrimPrefix(second[1], data+"/recordings/"), ".flv.growing")
	if said := enqueue(t, "end", "--data", data, "--profile", "quick", name); !strings.Contains(said, "ends") {
		t.Errorf("end says %q", said)
	}
	ended := time.Now()
	at := "http://" + address + "/vod/"
	eventually(t, patience, "both are on demand", func() bool {
		all := assets()
		return len(all) == 2 && !slices.ContainsFunc(all, func(name string) bool {
			_, ok := onDemand(t, at+strings.TrimSuffix(strings.TrimPrefix(name, data+"/vod/"), ladder.PointerFile))
			return !ok
		})
	})
	t.Logf("the last one was on demand %.1f s after an operator had ended it", time.Since(ended).Seconds())
	for n, file := range assets() {
		asset := strings.TrimSuffix(strings.TrimPrefix(file, data+"/vod/"), "/"+ladder.PointerFile)
		whole, _ := onDemand(t, at+asset+"/")
		checkReconnected(t, data, asset, whole, gaps[:2*(1-n)])
		checkHLS(t, at+asset+"/"+ladder.MasterFile, whole.Duration, []string{"320x180", "160x90"})
		if n == 0 {
			playAcross(t, address, asset, whole)
		}
	}
	if left, err := filepath.Glob(o.dir + "/rec/.spool/next-*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// lose publishes for some time, and until something is so; then the publisher's connection is lost.
func (o origin) lose(t *testing.T, after time.Duration, so func() bool) {
	t.Helper()
	stream := publish(t, o, "talk", 600)
	time.Sleep(after) //nolint:forbidigo // it publishes
	eventually(t, patience, "it may be lost", so)
	must(t, stream.Process.Kill())
	_ = stream.Wait()
}

// waitsFor wants operators and viewers to be told that a publisher is waited for.
func waitsFor(b browser, data, address string) {
	b.Helper()
	eventually(b.T, patience, "status tells that the publisher is waited for", func() bool {
		return strings.Contains(enqueue(b.T, "status", "--data", data), "waiting for the publisher, 0:")
	})
	found, err := filepath.Glob(data + "/vod/live/talk/*/" + ladder.PointerFile)
	if err != nil || len(found) != 1 {
		b.Fatalf("assets %v, %v", found, err)
	}
	b.navigate("http://" + address + "/player/?asset=" + strings.TrimPrefix(filepath.Dir(found[0]), data+"/vod/"))
	b.wait("document.getElementById('event').textContent.startsWith('The stream has been interrupted')")
}

// checkReconnected wants an asset to have all of its recording, and to tell of the times without a publisher.
func checkReconnected(t *testing.T, data, asset string, whole ladder.Asset, gaps []time.Duration) {
	t.Helper()
	recording, err := os.Open(data + "/recordings/" + asset + ".flv")
	if err != nil {
		t.Error(err)
		return
	}
	defer recording.Close()
	index, err := flv.Scan(recording)
	if err != nil {
		t.Error(err)
		return
	}
	told := whole.Discontinuities
	if len(told) != len(gaps) || len(index.Gaps) != len(gaps) || len(whole.Missing) > 0 || len(index.Damage) > 0 || math.Abs(whole.Duration-index.Duration.Seconds()) > 0.2 {
		t.Errorf("%s: %+v; its recording has %s, gaps %+v, damage %v", asset, whole, index.Duration, index.Gaps, index.Damage)
		return
	}
	for i, gap := range gaps {
		if !told[i].Reconnect || told[i].Lost < gap.Seconds()-0.5 || told[i].Lost > gap.Seconds()+10 { // a machine may be slow to start a publisher
			t.Errorf("%s: gap %d is %+v, the publisher was away for %s", asset, i, told[i], gap)
		}
	}
}

// playAcross plays an asset over each place where its publisher was away.
func playAcross(t *testing.T, address, asset string, whole ladder.Asset) {
	t.Helper()
	b := openBrowser(t)
	b.navigate(eventServer(t, "http://"+address, asset) + "/hlsjs")
	b.wait("video.currentTime > 0 && !video.paused")
	for _, gap := range whole.Discontinuities {
		b.run(fmt.Sprintf("video.currentTime = %g", gap.At-2))
		b.wait(fmt.Sprintf("video.currentTime > %g && !video.seeking", gap.At+2))
	}
	if faults := complaints(evaluate[[]string](b, "faults")); len(faults) > 0 {
		t.Errorf("hls.js complains: %v", faults)
	}
}
