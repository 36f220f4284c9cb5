package job

import "testing"

func TestCalledBy(t *testing.T) {
	for program, want := range map[string]string{
		"/usr/bin/afterlive":        "afterlive",
		"/usr/bin/afterlive-worker": "afterlive",
		"bin/enqueue":               "enqueue",
		"/usr/local/bin/worker":     "enqueue",
		"/srv/afterlive/worker":     "enqueue",
		"":                          "enqueue",
	} {
		if got := calledBy(program); got != want {
			t.Errorf("%q: %s, want %s", program, got, want)
		}
	}
}
