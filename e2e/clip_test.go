package e2e

import (
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/hlstest"
	"afterlive.alt/internal/testenv"
)

// A clip and an MP4, by command, in a folder and on S3.
func TestClipByCommand(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", true)
	recording := source(t, "320x180", 25, 21)
	for kind, place := range map[string][]string{
		"folder": {"--data", t.TempDir()},
		"S3":     {"--queue", cloud.Queue(t, "tasks"), "--failed", cloud.Queue(t, "failed"), "--recordings", "s3://recs", "--store", "s3://vod"},
	} {
		t.Run(kind, func(t *testing.T) {
			with := func(args ...string) []string { return append(args, place...) }
			enqueue(t, with("send", "--as", "live/50% talk", "--profile", "quick", recording)...)
			startWorker(t, with("--exit-when-idle")...).finish(t)
			if out := enqueue(t, with("clip", "live/50% talk", "--from", "0:03.2", "--to", "20", "--as", "cut", "--dry-run")...); !strings.Contains(out, "would be made as job") || !strings.Contains(out, "encode 2 of its segments") {
				t.Errorf("a dry run says %s", out)
			}
			enqueue(t, with("clip", "live/50% talk", "--from", "0:03.2", "--to", "20", "--as", "cut")...)
			startWorker(t, with("--exit-when-idle")...).finish(t)
			if r := status(t, with("cut")...); len(r.Jobs) != 1 || r.Jobs[0].State != "published" || math.Abs(r.Jobs[0].Duration-16.8) > 1e-6 {
				t.Fatalf("status %+v", r)
			}
			if said, err := commandError(t.Context(), t, "enqueue", with("rm", "live/50% talk")...); err == nil || !strings.Contains(said, "clips are made of it: cut") {
				t.Errorf("the asset can be removed: %v, %s", err, said)
			}
			file := filepath.Join(t.TempDir(), "cut.mp4")
			if out := enqueue(t, with("mp4", "cut", "--rendition", "90p", "-o", file)...); !strings.Contains(out, "flat/90p of cut") {
				t.Errorf("mp4 says %s", out)
			}
			shown, err := hlstest.Packets(t.Context(), file, "v")
			must(t, err)
			if len(shown) != 420 {
				t.Errorf("%d frames", len(shown))
			}
			must(t, hlstest.Decode(t.Context(), file))
			if said, err := commandError(t.Context(), t, "enqueue", with("mp4", "cut", "-o", file)...); err == nil || !strings.Contains(said, "exists") {
				t.Errorf("the file is written over: %v, %s", err, said)
			}
			if kind == "folder" {
				out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "hlscheck"), filepath.Join(place[1], "vod", "cut")).CombinedOutput()
				if err != nil {
					t.Errorf("hlscheck: %v\n%s", err, out)
				}
			}
			enqueue(t, with("rm", "cut")...)
			enqueue(t, with("rm", "live/50% talk", "--recording")...)
			if said, err := commandError(t.Context(), t, "enqueue", with("clip", "live/50% talk", "--from", "1")...); err == nil || !strings.Contains(said, "there is no such asset") {
				t.Errorf("a clip of nothing: %v, %s", err, said)
			}
		})
	}
}
