package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/hlscheck"
)

// The command says what is broken, and by its exit status whether something MUST not be.
func TestHlscheckCommand(t *testing.T) {
	alongside(t)
	data := t.TempDir()
	enqueue(t, "send", "--data", data, "--as", "talk", "--profile", "quick", source(t, "320x180", fps, 7))
	startWorker(t, "--data", data, "--exit-when-idle").finish(t)
	folder := data + "/vod/talk"
	if out, err := commandError(t.Context(), t, "hlscheck", folder); err != nil || strings.Contains(out, "MUST") || strings.Count(out, " segments ") != 4 {
		t.Errorf("of a good one: %v\n%s", err, out)
	}
	if out, err := commandError(t.Context(), t, "hlscheck", "--strict", folder+"/master.m3u8"); err == nil || !strings.Contains(out, "9.10") {
		t.Errorf("strictly: %v\n%s", err, out)
	}
	if out, err := commandError(t.Context(), t, "hlscheck", "--rules"); err != nil || strings.Count(out, "\n") < 40 || !strings.Contains(out, "Every variant has CODECS") {
		t.Errorf("rules: %v\n%s", err, out)
	}
	if out, err := commandError(t.Context(), t, "hlscheck", folder+"/../nothing"); err == nil || !strings.Contains(out, "nothing") {
		t.Errorf("of nothing: %v\n%s", err, out)
	}
	segments, err := filepath.Glob(folder + "/*/flat/90p/s00001-*.m4s")
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	must(t, os.Remove(segments[0]))
	out, err := commandError(t.Context(), t, "hlscheck", "--json", "--playlists", folder)
	var report hlscheck.Report
	if json.NewDecoder(strings.NewReader(out)).Decode(&report) != nil || err == nil || len(report.Broken(hlscheck.Must)) == 0 || report.Broken(hlscheck.Must)[0].Rule != "RFC8216-4.1" {
		t.Errorf("with a segment missing: %v\n%s", err, out)
	}
}
