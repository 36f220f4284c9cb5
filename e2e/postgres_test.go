package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"afterlive.alt/internal/testenv"
)

// A fleet without AWS: queues in PostgreSQL, buckets on an S3 that others wrote. Workers are killed, the server's connections are cut off, one recording
// is none; all others are published, and what failed is replayed and dropped as on SQS.
func TestFleetOnPostgres(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	address := testenv.Postgres(t)
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	place := []string{"--queue", address, "--recordings", "s3://recs", "--store", "s3://vod"}
	with := func(args ...string) []string { return append(args, place...) }

	const recordings = 4
	for n := range recordings {
		enqueue(t, with("send", "--as", fmt.Sprintf("talk-%d", n), source(t, "320x180", fps, 16))...)
	}
	enqueue(t, with("send", "--force", "--as", "none", writeFile(t, filepath.Join(folder(t), "none.flv"), "this is not a recording"))...)
	for range 2 { // one after the other, each while it encodes
		doomed := startWorker(t, with("--lease", "5s")...)
		eventually(t, patience, "it encodes", func() bool { return len(doomed.encoders()) > 0 })
		must(t, doomed.Process.Kill())
	}
	workers := []*worker{startWorker(t, with("--lease", "5s")...), startWorker(t, with("--lease", "5s")...)}
	eventually(t, patience, "they encode", func() bool { return len(workers[0].encoders()) > 0 })
	if cut := testenv.CutPostgres(t, address); cut == 0 {
		t.Error("no worker was connected")
	}
	eventually(t, patience, "all is done", func() bool {
		r := status(t, place...)
		published := 0
		for _, j := range r.Jobs {
			if j.State == "published" {
				published++
			}
		}
		return published == recordings && r.Queue.Waiting+r.Queue.InFlight == 0 && r.Failed == 1
	})
	for _, j := range status(t, place...).Jobs {
		if j.State == "published" {
			checkHLS(t, cloud.Endpoint+"/vod/vod/"+j.Asset+"/master.m3u8", j.Duration, []string{"320x180"})
		}
	}
	if list := enqueue(t, with("failed")...); !strings.Contains(list, "not_flv") {
		t.Errorf("failed lists:\n%s", list)
	}
	enqueue(t, with("replay", "--all")...)
	eventually(t, patience, "it has failed again", func() bool { r := status(t, place...); return r.Failed == 1 && r.Queue.Waiting+r.Queue.InFlight == 0 })
	enqueue(t, with("drop", "--all")...)
	if r := status(t, place...); r.Failed != 0 {
		t.Errorf("%d are failed after all were dropped", r.Failed)
	}
	for _, w := range workers {
		terminate(t, w, syscall.SIGTERM)
	}
}
