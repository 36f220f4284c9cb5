package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

const fitProfile = `
- name: fit
  fit: true
  ladders:
    - name: flat
      projection: flat
      rungs:
        - {height: 360, crf: 22, maxrate: 6000k, bufsize: 9000k, preset: veryfast}
        - {height: 288, crf: 22, maxrate: 3500k, bufsize: 5250k, preset: veryfast}
        - {height: 216, crf: 22, maxrate: 2000k, bufsize: 3000k, preset: veryfast}
        - {height: 90, crf: 24, maxrate: 300k, bufsize: 450k, preset: veryfast}
`

// planned makes a recording and plans it with the profile above.
func planned(t *testing.T, pattern, ffmpegPath string) (*Pipeline, *testenv.Memory, *testenv.Messages, *ladder.Job) {
	mediaHeavy(t)
	t.Helper()
	file := filepath.Join(t.TempDir(), "talk.flv")
	runFFmpeg(t, "-v", "error", "-nostdin", "-f", "lavfi", "-i", pattern, "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-g", "50", "-pix_fmt", "yuv420p", "-t", "12", "-f", "flv", file)
	recording, err := os.ReadFile(file)
	must(t, err)
	store, queue := testenv.NewMemory(), &testenv.Messages{}
	store.Put(smallTask.Key, recording)
	p := newPipeline(t, store, queue, fitProfile)
	if ffmpegPath != "" {
		p.FFmpeg.Path = ffmpegPath
	}
	task := job.Task{Kind: job.Recording, Key: smallTask.Key, Profile: "fit"}
	must(t, p.Do(t.Context(), task, nil))
	return p, store, queue, onlyPlan(t, store)
}

func names(plan *ladder.Job) string {
	var all []string
	for _, r := range plan.Ladders[0].Renditions {
		all = append(all, r.Name)
	}
	return strings.Join(all, " ")
}

// Where nothing moves, few renditions are enough; where all moves, none is left out.
// Either way, what is planned is what is published.
func TestLadderFitsTheRecording(t *testing.T) {
	testenv.InTurn(t)
	for _, tc := range []struct{ name, pattern, want string }{
		{"a slide", "testsrc2=s=640x360:r=1/10,fps=25", "360p 90p"},
		{"noise", "nullsrc=s=640x360:r=10,geq=lum='random(1)*255':cb=128:cr=128", "360p 288p 216p 90p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, store, queue, plan := planned(t, tc.pattern, "")
			if got := names(plan); got != tc.want {
				t.Errorf("left: %s, want %s; %+v", got, tc.want, plan.Fit)
			}
			if plan.Fit.Failed != "" || plan.Fit.CPU <= 0 || plan.Fit.Read <= 0 || len(plan.Fit.Samples) != 1 {
				t.Errorf("%+v", plan.Fit)
			}
			drain(t, p, queue)
			checkPublished(t, store)
		})
	}
}

// Samples that cannot be encoded leave the ladder as it is, and say so in the plan.
func TestSamplesFail(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "ffmpeg")
	for name, script := range map[string]string{
		"exit status 3": "#!/bin/sh\nexit 3\n",
		"no such file":  "#!/bin/sh\ncat >/dev/null\n",
	} {
		must(t, os.WriteFile(broken, []byte(script), 0o755))
		_, _, _, plan := planned(t, "testsrc2=s=640x360:r=25", broken)
		if !strings.Contains(plan.Fit.Failed, name) || names(plan) != "360p 288p 216p 90p" {
			t.Errorf("failed %q, left %s", plan.Fit.Failed, names(plan))
		}
		if slices.ContainsFunc(plan.Fit.Rungs, func(r ladder.FitRung) bool { return !r.Kept }) {
			t.Errorf("decided all the same: %+v", plan.Fit.Rungs)
		}
	}
}
