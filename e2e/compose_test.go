package e2e

import (
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"afterlive.alt/internal/testenv"
)

// service is what compose.yaml says of a container, as far as this test starts it likewise.
type service struct {
	Image       string            `yaml:"image"`
	Entrypoint  []string          `yaml:"entrypoint"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Tmpfs       []string          `yaml:"tmpfs"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Healthcheck struct {
		Disable bool `yaml:"disable"`
	} `yaml:"healthcheck"`
	Profiles []string `yaml:"profiles"`
}

// options are docker run's for it, on this machine's network: the test's engine has no other.
func (s service) options() []string {
	run := []string{"run", "-d", "--network", "host", "--add-host", "origin:127.0.0.1"}
	if s.ReadOnly {
		run = append(run, "--read-only")
	}
	if s.Healthcheck.Disable {
		run = append(run, "--no-healthcheck")
	}
	for flag, values := range map[string][]string{"--cap-drop": s.CapDrop, "--security-opt": s.SecurityOpt, "--tmpfs": s.Tmpfs, "-v": s.Volumes} {
		for _, value := range values {
			run = append(run, flag, value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		run = append(run, "-e", name+"="+s.Environment[name])
	}
	var args []string
	for _, arg := range s.Entrypoint {
		args = append(args, strings.ReplaceAll(arg, "$$", "$")) // compose's own variables begin with one
	}
	if len(args) > 0 {
		run, args = append(run, "--entrypoint", args[0]), args[1:]
	}
	return append(append(run, s.Image+":latest"), args...)
}

// served is what the pages' server has there; "" where it doesn't answer, or says no.
func served(path string) string {
	response, err := http.Get("http://127.0.0.1:8090" + path)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// The containers of compose.yaml, started by docker as it says, worker first, so that it is the one that makes the volume: a test recording is
// published, and seen on the pages. What compose itself does beside that (ports, restarts) isn't tested.
func TestImageCompose(t *testing.T) {
	if !*images {
		t.Skip("needs docker: make image-test")
	}
	body, err := os.ReadFile(testenv.Root() + "/compose.yaml")
	must(t, err)
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	must(t, yaml.UnmarshalWithOptions(body, &file, yaml.AllowDuplicateMapKey())) // a key beside "<<" counts before it
	docker(t, "volume", "create", "afterlive-test")
	var all []string
	t.Cleanup(func() {
		for _, args := range [][]string{append([]string{"rm", "-f", "-v"}, all...), {"volume", "rm", "afterlive-test"}} {
			if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
				t.Errorf("docker %v: %v: %s", args, err, out)
			}
		}
	})
	start := func(name string) container {
		s, ok := file.Services[name]
		if !ok {
			t.Fatalf("compose.yaml has no %s", name)
		}
		for i, volume := range s.Volumes {
			s.Volumes[i] = strings.Replace(volume, "afterlive:", "afterlive-test:", 1)
		}
		c := container(docker(t, s.options()...))
		all = append(all, string(c))
		return c
	}
	names := slices.Sorted(maps.Keys(file.Services))
	slices.Reverse(names) // worker, sweep, source, serve, origin, follow
	running := map[string]container{}
	for _, name := range names {
		if len(file.Services[name].Profiles) == 0 {
			running[name] = start(name)
			running[name].powerless(t)
		}
	}
	eventually(t, time.Minute, "the pages are served", func() bool { return strings.Contains(served("/"), "<html") })
	eventually(t, time.Minute, "the origin is healthy", func() bool { return running["origin"].inspect(t, ".State.Health.Status") == "healthy" })
	source := start("source")
	eventually(t, patience, "the stream can be watched live", func() bool {
		return strings.Contains(served("/vod/live/test/latest.m3u8"), "EXT-X-STREAM-INF")
	})
	docker(t, "stop", "-t", "5", string(source))
	eventually(t, patience, "it is on demand", func() bool {
		return strings.Contains(docker(t, "exec", string(running["serve"]), "enqueue", "status", "--json"), `"state":"published"`)
	})
	for name, c := range running {
		if state := c.inspect(t, ".State.Status"); state != "running" {
			t.Errorf("%s is %s:\n%s", name, state, c.logs(t))
		}
	}
}
