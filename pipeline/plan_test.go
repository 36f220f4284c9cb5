package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

func TestBadTasks(t *testing.T) {
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	p := newPipeline(t, store, queue, "[]")
	store.Put("recordings/empty.flv", nil)
	store.Put("recordings/text.flv", []byte("once upon a time"))
	store.Put("recordings/garbage.flv", []byte(strings.Repeat("\xde\xad\xbe\xef", 10_000)))
	store.Put("recordings/film.flv", []byte("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"))
	store.Put("recordings/good.flv", smallRecording(t))
	recording := func(key string) job.Task { return job.Task{Kind: job.Recording, Key: key} }
	for _, tc := range []struct {
		name   string
		task   job.Task
		reason string
		text   string
	}{
		{"empty", recording("recordings/empty.flv"), "not_flv", "the file is empty"},
		{"text", recording("recordings/text.flv"), "not_flv", `starts with "once"`},
		{"garbage", recording("recordings/garbage.flv"), "not_flv", "recordings/garbage.flv"},
		{"MP4 by another name", recording("recordings/film.flv"), "not_flv", "FLV"},
		{"absent", recording("recordings/nobody.flv"), "no_recording", "nobody"},
		{"another bucket", job.Task{Kind: job.Recording, Bucket: "elsewhere", Key: "recordings/good.flv"}, "wrong_bucket", "elsewhere"},
		{"no such profile", job.Task{Kind: job.Recording, Key: "recordings/good.flv", Profile: "nope"}, "no_profile", "nope"},
		{"chunk of no job", job.Task{Kind: job.Chunk, Job: "0123456789abcdef"}, "no_plan", "0123456789abcdef"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := p.Do(t.Context(), tc.task, nil)
			if reason, final := job.Verdict(err); final == (reason == "no_plan") || reason != tc.reason || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %q (final %t): %v; want %q with %q", reason, final, err, tc.reason, tc.text)
			}
		})
	}
	if n := len(queue.Bodies()); n > 0 {
		t.Errorf("%d tasks came of it", n)
	}
	for key := range store.Objects {
		if !strings.HasPrefix(key, "recordings/") {
			t.Errorf("%s was left behind", key)
		}
	}
}

// A scan ends with its task.
func TestScanIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	recording := bytes.NewReader(smallRecording(t))
	if _, err := flv.Scan(whileRunning{ctx, recording}); err != nil {
		t.Fatal(err)
	}
	cancel()
	recording.Reset(smallRecording(t))
	if _, err := flv.Scan(whileRunning{ctx, recording}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Notifications come in any order: one of a version that was replaced since is
// dropped, whichever comes first, and the newer version is done once.
func TestSupersededNotification(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	notification := func() []byte {
		return fmt.Appendf(nil, `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":%q,"eTag":%q}}}]}`,
			p.Bucket, smallTask.Key, store.ETag(smallTask.Key))
	}
	older := notification()
	store.Put(smallTask.Key, smallRecording(t)) // again: another version
	newer := notification()
	for _, body := range [][]byte{newer, older, newer, older} {
		must(t, queue.Send(t.Context(), body, 0))
	}
	drain(t, p, queue)
	store.Writes[smallTask.Key] = 1
	checkPublished(t, store)
}

// A recording that somebody sent, and that another one replaced before it was planned, is lost: its job fails, since nobody
// may have sent the other one. Once it was planned, its parts tell.
func TestReplacedRecording(t *testing.T) {
	p, store, _ := newSmall(t, smallRecording(t))
	sent := smallTask
	sent.ETag = store.ETag(smallTask.Key)
	replay := sent
	replay.Repair = true
	body, _, err := store.Get(smallTask.Key)
	must(t, err)
	store.Put(smallTask.Key, body)
	for _, task := range []job.Task{sent, replay} {
		if reason, final := job.Verdict(p.Do(t.Context(), task, nil)); reason != "no_recording" || !final {
			t.Errorf("before it was planned: %q, final %t", reason, final)
		}
	}
	planned := smallTask
	planned.ETag = store.ETag(smallTask.Key)
	must(t, p.Do(t.Context(), planned, nil))
	store.Put(smallTask.Key, body)
	must(t, p.Do(t.Context(), planned, nil))
	again := planned
	again.Repair = true
	if reason, final := job.Verdict(p.Do(t.Context(), again, nil)); reason != "no_recording" || !final {
		t.Errorf("a replay: %q, final %t", reason, final)
	}
	id := job.ID(p.Bucket, planned.Key, planned.ETag, cmp.Or(planned.Profile, job.DefaultProfile))
	must(t, store.Delete(t.Context(), ladder.DispatchKey(id))) // as if the worker had been killed between plan and messages
	if reason, final := job.Verdict(p.Do(t.Context(), planned, nil)); reason != "no_recording" || !final {
		t.Errorf("planned, and nothing sent: %q, final %t", reason, final)
	}
}

// What claims more than a worker could bear is refused before anything is decoded,
// and a frame that grows later is not decoded either.
func TestLimits(t *testing.T) {
	p, _, queue := newSmall(t, smallRecording(t))
	for reason, limits := range map[string]Limits{"too_large": {Pixels: 1000}, "too_long": {Duration: time.Second}} {
		p.Limits = limits
		if got, final := job.Verdict(p.Do(t.Context(), smallTask, nil)); !final || got != reason {
			t.Errorf("%+v: %q, final %t", limits, got, final)
		}
	}
	p.Limits = Limits{Pixels: 1e6, Duration: time.Hour}
	must(t, p.Do(t.Context(), smallTask, nil))
	p.FFmpeg.Pixels = 1000
	for _, body := range queue.Bodies() {
		tasks, err := job.Parse([]byte(body))
		must(t, err)
		if err := p.Do(t.Context(), tasks[0], nil); err == nil {
			t.Errorf("%s was made", tasks[0].Name())
		}
	}
}

// Audio without video, and video without audio, are recordings too.
func TestAudioOrVideoAlone(t *testing.T) {
	for _, tc := range []struct{ name, drop, codecs string }{
		{"audio", "-vn", `CODECS="mp4a.40.2"`},
		{"video", "-an", `CODECS="avc1.`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			whole := small.make(t, 0)
			file := path.Join(t.TempDir(), "part.flv")
			runFFmpeg(t, "-v", "error", "-nostdin", "-i", whole, "-c", "copy", tc.drop, "-f", "flv", file)
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, store, queue := newSmall(t, body)
			if err := queue.Send(t.Context(), smallTask.Body(), 0); err != nil {
				t.Fatal(err)
			}
			drain(t, p, queue)
			checkPublished(t, store)
			master, _, err := store.Get("vod/live/talk/master.m3u8")
			if err != nil || !strings.Contains(string(master), tc.codecs) {
				t.Errorf("%v\n%s", err, master)
			}
		})
	}
}

// The answer to a write may get lost after it was done; the SDK then writes again,
// and is told that somebody was first. The recording must not be lost for it.
func TestLostAnswerToThePlan(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	store.Before = func(op, key string) error {
		if op == "write" && path.Base(key) == "plan.json" {
			store.Before = nil
			_, etag, err := store.Get(smallTask.Key)
			if err != nil {
				return err
			}
			id := job.ID("", smallTask.Key, etag, smallTask.Profile)
			other, otherStore, _ := newSmall(t, store.Objects[smallTask.Key]) // plans the same
			if err := other.Do(t.Context(), smallTask, nil); err != nil {
				return err
			}
			store.Put(ladder.PlanKey(id), otherStore.Objects[ladder.PlanKey(id)])
		}
		return nil
	}
	if err := queue.Send(t.Context(), smallTask.Body(), 0); err != nil {
		t.Fatal(err)
	}
	drain(t, p, queue)
	checkPublished(t, store)
}

// Sending a recording again repairs what is missing, and encodes nothing else.
func TestRepairMakesWhatIsMissing(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	if err := p.Do(t.Context(), smallTask, nil); err != nil {
		t.Fatal(err)
	}
	queue.Clear() // all parts' messages get lost
	must(t, p.Do(t.Context(), smallTask, nil))
	if n := len(queue.Bodies()); n != 0 {
		t.Fatalf("%d messages were sent twice", n)
	}
	repair := smallTask
	repair.Repair = true
	must(t, p.Do(t.Context(), repair, nil))
	d := queue.Take(time.Hour)
	tasks, err := job.Parse(d.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), tasks[0], nil); err != nil {
		t.Fatal(err)
	}
	queue.Clear()
	if before := parts(store); len(before) != 1 {
		t.Fatalf("parts %v", slices.Collect(maps.Keys(before)))
	}
	must(t, p.Do(t.Context(), repair, nil))
	if n := len(queue.Bodies()); n != 1 {
		t.Errorf("%d messages for one missing part", n)
	}
	drain(t, p, queue)
	checkPublished(t, store)
}
