package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// A watch ends when nothing more will happen, and tells how it ended.
func TestWatchEnds(t *testing.T) {
	in := func(states ...catalog.State) (r report) {
		for i, s := range states {
			r.Jobs = append(r.Jobs, watched{Status: catalog.Status{Job: fmt.Sprint(i), State: s, Reason: "stalled"}})
		}
		return r
	}
	busy := func(r report) report { r.Queue.Waiting = 1; return r }
	failed := func(r report) report { r.Failed = 1; return r }
	for _, tc := range []struct {
		name, of string
		report   report
		looks    int    // after which it ends; 0: never
		err      string // "": it ended well
	}{
		{"published", "talk", busy(in(catalog.Published)), 1, ""},
		{"superseded", "talk", in(catalog.Superseded), 1, ""},
		{"at work", "talk", busy(in(catalog.Working)), 0, ""},
		{"failed", "talk", failed(in(catalog.Failed)), 1, "failed: stalled"},
		{"dropped", "talk", in(catalog.Dropped), 1, "was dropped: stalled"},
		{"all, of which one was dropped", "", in(catalog.Dropped, catalog.Published), 1, ""},
		{"all, while others are at work", "", busy(in(catalog.Published)), 0, ""},
		{"what it waits for is in the failed queue", "talk", failed(in(catalog.Working)), looksFailed, "enqueue failed tells"},
		{"its messages are gone", "talk", in(catalog.Working), looksLost, "Send the recording again"},
		{"nothing of that name", "talk", in(), looksFailed, "no job or asset"},
	} {
		w, ended := watch{name: tc.of}, 0
		var err error
		for n := 1; n <= 2*looksLost && ended == 0; n++ {
			var end bool
			if end, err = w.look(tc.report); end {
				ended = n
			}
		}
		if ended != tc.looks || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: ended after %d looks, want %d: %v", tc.name, ended, tc.looks, err)
		}
	}
	patient := watch{name: "talk", patient: true}
	for range 2 * looksLost {
		if ended, _ := patient.look(in()); ended {
			t.Fatal("with a timeout, it doesn't wait for what is still to be enqueued")
		}
	}
}

func TestLines(t *testing.T) {
	for want, s := range map[string]catalog.Status{
		"job 0123  by fedcba9876543210": {State: catalog.Superseded, Job: "0123", Asset: "live/talk", Profile: "flat", Published: "fedcba9876543210"},
		"talk  dropped  [............] 0/0 parts, 0:00 of 0:00  flat  job 0123\n    not_flv: recording: a text": {Job: "0123", State: catalog.Dropped, Asset: "talk", Profile: "flat", Reason: "not_flv", Detail: "recording: a text"},
		"/vod/live/a%20b%3F%23%25%20se%C3%B1al/master.m3u8":                                                     {State: catalog.Published, Asset: "live/a b?#% señal", Master: "x"},
		"  job 0123\n    hls_rules: publish: two rules:\n    1.3b\n    1.27":                                    {Job: "0123", State: catalog.Failed, Asset: "talk", Reason: "hls_rules", Detail: "publish: two rules:\n1.3b\n1.27"},
	} {
		if got := line(watched{Status: s}); !strings.Contains(got, want) {
			t.Errorf("%q\nlacks %q", got, want)
		}
	}
}

// On a screen, what has failed is last, where it stays in sight; what is complete is a count.
func TestArranged(t *testing.T) {
	var all []watched
	for i, state := range []catalog.State{catalog.Failed, catalog.Published, catalog.Working, catalog.Published, catalog.Dropped, catalog.Live, catalog.Superseded, catalog.Working} {
		all = append(all, watched{Status: catalog.Status{Job: fmt.Sprint(i), State: state}})
	}
	jobs, done := arranged(all)
	var order []string
	for _, s := range jobs {
		order = append(order, s.Job)
	}
	if got := strings.Join(order, " "); got != "2 7 5 4 0" || done != "2 published, 1 superseded" {
		t.Errorf("%s; %q", got, done)
	}
	if _, done := arranged(all[6:7]); done != "1 superseded" {
		t.Errorf("%q", done)
	}
}

// give puts a failed task into the box, with its note.
func (b box) give(t job.Task, reason string) {
	b.t.Helper()
	backend, err := config.Flags{Data: b.data}.Open(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer backend.Close()
	f := job.Failure{Version: 1, Class: "permanent", Reason: reason, Job: t.JobID(), Task: t.Name(), Source: t.Key, ETag: t.ETag, Message: t.Body(), Time: time.Now()}
	body, err := json.Marshal(f)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := backend.Store.Write(b.t.Context(), ladder.FailureKey(f.Job, f.Task, f.Time), body, ""); err != nil {
		b.t.Fatal(err)
	}
	if err := backend.Failed.Send(b.t.Context(), body, 0); err != nil {
		b.t.Fatal(err)
	}
	if _, err := catalog.Refresh(b.t.Context(), backend.Store, f.Job); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
}

// What was dropped is told to be, the watch of it ends, and sending the recording again
// takes it up.
func TestDroppedIsTold(t *testing.T) {
	b := newBox(t)
	file := b.record("talk.flv", "FLV one")
	b.must("send", "--force", file)
	task := b.sent()["recordings/talk.flv"]
	b.give(task, "not_flv")
	if out := b.must("status"); !strings.Contains(out, "talk  failed") {
		t.Errorf("status says:\n%s", out)
	}
	b.must("drop", "talk")
	if out := b.must("status"); !strings.Contains(out, "talk  dropped") || !strings.Contains(out, "not_flv") || !strings.Contains(out, "; 0 failed") {
		t.Errorf("status says:\n%s", out)
	}
	if _, err := b.run("status", "talk", "--watch"); err == nil || !strings.Contains(err.Error(), "was dropped") {
		t.Errorf("the watch ended with %v", err)
	}
	b.must("send", "--force", file)
	if out := b.must("status", "talk"); strings.Contains(out, "dropped") {
		t.Errorf("status says:\n%s", out)
	}
}

// One task that cannot be replayed keeps no other from it, and stays where it is.
func TestReplayGoesOn(t *testing.T) {
	b := newBox(t)
	gone := job.Task{Kind: job.Chunk, Job: "0123456789abcdef", Chunk: 1} // its plan is gone
	b.give(gone, "stalled")
	for _, name := range []string{"one", "two", "three"} {
		b.give(job.Task{Kind: job.Recording, Key: "recordings/" + name + ".flv", ETag: "e"}, "no_profile")
	}
	out, err := b.run("replay", "--all", "--profile", "flat")
	if err == nil || !strings.Contains(err.Error(), "1 of 4 tasks cannot be replayed") || !strings.Contains(out, gone.Job+" chunk-00001 - (stalled) cannot be replayed: ") || !strings.Contains(out, "3 tasks") {
		t.Errorf("%v:\n%s", err, out)
	}
	sent := b.sent()
	if len(sent) != 3 || sent["recordings/two.flv"].Profile != "flat" {
		t.Errorf("sent %+v", sent)
	}
	if out := b.must("failed"); !strings.Contains(out, "chunk-00001") || !strings.Contains(out, "1 failed;") {
		t.Errorf("failed says:\n%s", out)
	}
}

// What is said of a failed task names it, in place of JOB and ASSET.
func TestAdviceNamesTheJob(t *testing.T) {
	b := newBox(t)
	task := job.Task{Kind: job.Recording, Key: "recordings/talk.flv", ETag: "e"}
	b.give(task, "no_profile")
	if out := b.must("failed", "talk"); !strings.Contains(out, "enqueue replay "+task.JobID()+" --profile auto") || strings.Contains(out, "JOB") {
		t.Errorf("failed says:\n%s", out)
	}
}

// Recordings whose results would lie within another asset are refused before anything is
// uploaded; what a publisher calls so gets another name.
func TestNamesInTheWay(t *testing.T) {
	b := newBox(t)
	backend, err := config.Flags{Data: b.data}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, v any) {
		body, err := json.Marshal(v)
		if err == nil {
			err = backend.Store.Write(t.Context(), key, body, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const id = "0123456789abcdef"
	put(ladder.PlanKey(id), ladder.Plan{Job: id, Asset: "talk"})
	put(ladder.PointerKey("old"), ladder.Asset{Job: id, Recording: "recordings/old.FLV"})
	if err := backend.Close(); err != nil {
		t.Fatal(err)
	}
	file := b.record("x.flv", "FLV one")
	for as, want := range map[string]string{
		"talk/master.m3u8":         `in the way of the asset "talk"`,
		"talk/master.m3u8/part":    `in the way of the asset "talk"`,
		"a/b/asset.json":           `in the way of the asset "a/b"`,
		"talk/" + id + "/flat":     `a job of the asset "talk"`,
		"old":                      "made from the recording recordings/old.FLV",
		"master.m3u8":              "",
		"live/" + id:               "",
		"talk/fedcba9876543210/hd": "",
	} {
		_, err := b.run("send", "--force", file, "--as", as)
		sent := b.sent()
		if want == "" && (err != nil || len(sent) != 1) {
			t.Errorf("%s: %v, sent %v", as, err, sent)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--as") || len(sent) > 0) {
			t.Errorf("%s: %v, sent %v", as, err, sent)
		}
	}
	for name, want := range map[string]string{"master.m3u8": "master.m3u8_", "asset.json": "asset.json_", "master.m3u": "master.m3u"} {
		b.must("hook", "--path="+b.record(name+"-1764000000.flv", "FLV "+name), "--app=live", "--name="+name)
		var keys []string
		for key := range b.sent() {
			keys = append(keys, key)
		}
		if !slices.Equal(keys, []string{"recordings/live/" + want + "/" + name + "-1764000000.flv"}) {
			t.Errorf("%s became %q", name, keys)
		}
	}
}

// Names of assets have no extension, so those of files don't count.
func TestExtensionsAreNoNames(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("talk.mp4", "FLV one"))
	if sent := b.sent(); sent["recordings/talk.flv"].Key == "" {
		t.Errorf("sent %+v", sent)
	}
	if _, err := b.run("send", "--force", b.record("talk.flv", "FLV two")); err == nil || !strings.Contains(err.Error(), "--as") {
		t.Errorf("a second recording of that name: %v", err)
	}
	if _, err := b.run("send", "--force", "s3://recs/recordings/talk.flv", "--as", "other"); err == nil || !strings.Contains(err.Error(), "called as it is") {
		t.Errorf("--as of what is in the bucket: %v", err)
	}
}

// What is not there is told as an error of its own, unless it may yet come.
func TestUnknownName(t *testing.T) {
	b := newBox(t)
	b.must("send", "--force", b.record("one.flv", "FLV one"))
	if out := b.must("status", "two"); !strings.Contains(out, `no job or asset "two" yet`) {
		t.Errorf("it says %s", out)
	}
	b = newBox(t)
	for args, code := range map[string]int{"status two": 3, "end two": 3, "status --job": 2, "send /nowhere/at/all.flv": 1} {
		_, err := b.run(strings.Fields(args)...)
		if err == nil || exitCode(err) != code {
			t.Errorf("%s: %v, want exit code %d", args, err, code)
		}
	}
}
