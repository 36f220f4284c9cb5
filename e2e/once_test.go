package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterlive.alt/internal/queue"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/job"
)

// A recording is told of by the hook, by the bucket's own notification and by a resend, each of them
// twice, while two workers take messages: each chunk has one message, and is encoded once.
func TestEachChunkIsEncodedOnce(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	s := newSky(t)
	file := filepath.Join(t.TempDir(), "talk-1.flv")
	must(t, os.Rename(source(t, "160x90", fps, 40), file))
	hook := []string{"hook", "--path=" + file, "--app=live", "--name=talk", "--log-file=" + filepath.Join(t.TempDir(), "log")}
	enqueue(t, append(hook, s.place...)...)
	told := s.strict.Bodies("tasks")
	tasks, err := job.Parse([]byte(told[0]))
	must(t, err)
	notification := fmt.Sprintf(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"recs"},"object":{"key":%q,"eTag":%q}}}]}`, tasks[0].Key, tasks[0].ETag)
	direct := queue.NewSQS(s.strict.Config(), "http://strict/tasks", 0)
	for _, body := range []string{told[0], notification, notification} {
		must(t, direct.Send(t.Context(), []byte(body), 0))
	}
	workers := []*worker{startWorker(t, s.place...), startWorker(t, s.place...)}
	enqueue(t, append([]string{"send", "s3://recs/" + tasks[0].Key}, s.place...)...)
	enqueue(t, append([]string{"send", "s3://recs/" + tasks[0].Key}, s.place...)...)
	eventually(t, patience, "all is done", func() bool {
		r := status(t, s.place...)
		return r.Queue.Waiting+r.Queue.InFlight == 0 && len(r.Jobs) == 1 && r.Jobs[0].State == "published"
	})
	begun, settled := 0, 0
	for _, w := range workers {
		for _, e := range w.events(t) {
			switch {
			case e.Message == "part begun":
				begun++
			case e.Message == "task settled" && strings.HasPrefix(e.Task, "chunk-"):
				settled++
			}
		}
	}
	if chunks := status(t, s.place...).Jobs[0].Parts; chunks < 4 || begun != chunks || settled != chunks {
		t.Errorf("%d chunks: %d were begun, and they had %d messages", chunks, begun, settled)
	}
}
