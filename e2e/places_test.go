package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// refused runs a program that is to end by itself, with an error.
func refused(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := commandError(ctx, t, name, args...)
	if err == nil || ctx.Err() != nil {
		t.Errorf("%s %v: %v:\n%s", name, args, err, out)
	}
	return out
}

// instead puts a value behind a flag in place of the one that is there.
func instead(args []string, flag, value string) []string {
	args = append([]string(nil), args...)
	for i := range args[:len(args)-1] {
		if args[i] == flag {
			args[i+1] = value
		}
	}
	return args
}

// A mistyped bucket or queue is told, by the flag that names it, and nothing is taken from
// the queue. Nobody says of a bucket that a file does not exist.
func TestMistypedPlaces(t *testing.T) {
	s := newSky(t)
	enqueue(t, append([]string{"send", "--as", "talk", "--profile", "quick", source(t, "320x180", 25, 2)}, s.place...)...)
	waiting := strings.Join(s.strict.Bodies("tasks"), "\n")
	for flag, value := range map[string]string{"--store": "s3://afterlive-vdo", "--recordings": "s3://rces", "--queue": s.place[1] + "x", "--failed": s.place[3] + "x"} {
		out := refused(t, "worker", instead(s.place, flag, value)...)
		if !strings.Contains(out, flag+": ") || !strings.Contains(out, strings.TrimPrefix(value, "s3://")) {
			t.Errorf("worker, of %s %s: %s", flag, value, out)
		}
	}
	for _, args := range [][]string{
		append([]string{"send", source(t, "320x180", 25, 2)}, instead(s.place, "--recordings", "s3://rces")...),
		append([]string{"send", "s3://rces/recordings/talk.flv"}, instead(s.place, "--recordings", "s3://rces")...),
		append([]string{"status"}, instead(s.place, "--store", "s3://rces")...),
		append([]string{"send", "--as", "other", source(t, "320x180", 25, 2)}, instead(s.place, "--queue", s.place[1]+"x")...),
	} {
		out := refused(t, "enqueue", args...)
		if !strings.Contains(out, "there is no such bucket: \"rces\"") && !strings.Contains(out, "there is no such queue") || strings.Contains(out, "file does not exist") {
			t.Errorf("enqueue %s: %s", args[0], out)
		}
	}
	if left := strings.Join(s.strict.Bodies("tasks"), "\n"); left != waiting || len(s.strict.Bodies("failed")) > 0 {
		t.Errorf("waiting are %q, failed %q", left, s.strict.Bodies("failed"))
	}
}

// Without a region the worker ends, and says what to set.
func TestWorkerWithoutRegion(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "worker"), "--queue", "http://127.0.0.1:1/q", "--failed", "http://127.0.0.1:1/f", "--recordings", "s3://r", "--store", "s3://s")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none}
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("set AWS_REGION")) {
		t.Errorf("%v: %s", err, out)
	}
}

// An S3 of others: ETags are weak, lists never show a part, checksums are refused, and
// keys end in .FLV. A recording becomes VOD all the same; where conditions are ignored, the
// worker refuses to start.
func TestOthersS3(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
	t.Setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
	s := newSky(t)
	quirks := testenv.Quirks{Weak: true, NoChecksums: true, NoSums: true, Hides: func(key string) bool { return strings.Contains(key, "/parts/") }}
	s.proxy.Quirks(quirks)
	recording := filepath.Join(t.TempDir(), "TALK.FLV")
	must(t, os.Rename(source(t, "320x180", 25, 7), recording))
	enqueue(t, append([]string{"send", "--profile", "quick", recording}, s.place...)...)
	w := startWorker(t, s.place...)
	eventually(t, patience, "it is published", func() bool {
		seen, err := s.viewer.see(t.Context(), "TALK")
		return err == nil && seen != ""
	})
	_ = w.Process.Kill()
	if failed := s.strict.Bodies("failed"); len(failed) > 0 {
		t.Errorf("failed: %q", failed)
	}
	quirks.Ignores = "If-None-Match"
	s.proxy.Quirks(quirks)
	if out := refused(t, "worker", s.place...); !strings.Contains(out, "ignores If-None-Match: two workers could publish different results") {
		t.Errorf("worker: %s", out)
	}
}
