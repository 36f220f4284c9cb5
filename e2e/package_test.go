package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"afterlive.alt/internal/testenv"
	measured "afterlive.alt/internal/worker"
	"afterlive.alt/pipeline"
)

// installed are the programs by the names that the Debian package gives them, in a folder of their own.
func installed(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	for name, program := range map[string]string{"afterlive": "enqueue", "afterlive-worker": "worker", "hlscheck": "hlscheck"} {
		must(t, os.Symlink(filepath.Join(bin, program), filepath.Join(dir, name)))
	}
	return dir
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = testenv.Environ(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
	}
	return string(out)
}

// sourceNames are the programs' names in the source, as commands to be typed.
var sourceNames = regexp.MustCompile(`\b(enqueue (send|status|failed|replay|drop|serve|follow|sweep|prune|publish|clip|end|rm|resume|reindex|mp4|gc|input|quality|player|hook)\b|"enqueue"|"worker)|(?m)^ {2,4}worker `)

// Installed by other names, the programs never tell to type those of the source.
func TestInstalledNames(t *testing.T) {
	alongside(t)
	dir, data := installed(t), folder(t)
	afterlive, worker := filepath.Join(dir, "afterlive"), filepath.Join(dir, "afterlive-worker")
	commands := regexp.MustCompile(`(?m)^ {2}([a-z0-9]+) (<|--|\[)`).FindAllStringSubmatch(output(t, afterlive, "--help"), -1)
	if len(commands) < 20 {
		t.Fatalf("--help lists %d commands", len(commands))
	}
	said := output(t, afterlive, "--help") + output(t, worker, "--help") + output(t, afterlive, "--man") + output(t, worker, "--man")
	for _, m := range commands {
		said += output(t, afterlive, m[1], "--help")
	}
	said += output(t, afterlive, "send", "--data", data, source(t, "320x180", 10, 2))
	said += output(t, worker, "--data", data, "--scratch", folder(t), "--exit-when-idle", "--log-format", "console")
	said += output(t, afterlive, "send", "--data", data, filepath.Join(data, "recordings", "source.flv"))
	for line := range strings.Lines(said) {
		if sourceNames.MatchString(strings.ReplaceAll(line, `\-`, "-")) {
			t.Errorf("it says: %s", line)
		}
	}
	if !strings.Contains(said, "afterlive status") || !strings.Contains(output(t, afterlive, "--completion"), "-F _afterlive afterlive") {
		t.Errorf("nothing speaks of afterlive:\n%s", said)
	}
}

// What the package installs fits together: units start programs that are there, settings are flags, those that are only proposed too, and nginx
// takes its configuration.
func TestPackage(t *testing.T) {
	alongside(t)
	root := testenv.Root()
	units, err := filepath.Glob(root + "/packaging/systemd/afterlive-*")
	must(t, err)
	if len(units) < 9 {
		t.Fatalf("%d units", len(units))
	}
	start := regexp.MustCompile(`(?m)^ExecStart(?:Pre)?=(\S+)`)
	for _, file := range units {
		unit, err := os.ReadFile(file)
		must(t, err)
		for _, m := range start.FindAllStringSubmatch(string(unit), -1) {
			switch m[1] {
			case "/usr/bin/afterlive", "/usr/bin/afterlive-worker", "/usr/bin/afterlive-source", "/usr/sbin/nginx":
			default:
				t.Errorf("%s starts %s, which the package has not", filepath.Base(file), m[1])
			}
		}
		if name, ok := strings.CutSuffix(file, ".timer"); ok {
			_, err := os.Stat(name + ".service")
			must(t, err)
		}
	}

	dir := installed(t)
	proposed := regexp.MustCompile(`(?m)^# ([a-z-]+: \S+)$`)
	for name, args := range map[string][]string{"afterlive": {"status"}, "afterlive-worker": {"--exit-when-idle"}} {
		file := strings.TrimPrefix(name, "afterlive-") + ".yaml"
		body, err := os.ReadFile(root + "/packaging/" + file)
		must(t, err)
		if !proposed.Match(body) {
			t.Errorf("%s proposes nothing", file)
		}
		here := folder(t)
		text := strings.NewReplacer("/var/lib/afterlive", here, "127.0.0.1:8091", "127.0.0.1:"+testenv.FreePort(t), "/etc/afterlive/profiles.yaml", root+"/ladder/profiles.yaml").
			Replace(proposed.ReplaceAllString(string(body), "$1"))
		must(t, os.MkdirAll(filepath.Join(here, "data"), 0o755))
		output(t, filepath.Join(dir, name), append([]string{"--config", writeFile(t, filepath.Join(here, file), text)}, args...)...)
	}

	conf := output(t, "sed", "-E", "-f", root+"/packaging/nginx.sed", root+"/nginx/nginx.conf")
	for _, gone := range []string{"/usr/local", "www-data", "/etc/afterlive.yaml", "/run/nginx.pid"} {
		if strings.Contains(conf, gone) {
			t.Errorf("the package's nginx.conf says %s", gone)
		}
	}
	here := folder(t)
	must(t, os.Mkdir(filepath.Join(here, "tmp"), 0o755))
	for _, path := range []string{"/var/lib/afterlive", "/var/log/afterlive", "/run/afterlive-origin"} {
		if !strings.Contains(conf, path) {
			t.Errorf("the package's nginx.conf doesn't say %s", path)
		}
		conf = strings.ReplaceAll(conf, path, here)
	}
	output(t, "nginx", "-t", "-c", writeFile(t, filepath.Join(here, "nginx.conf"), conf), "-e", "stderr")
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		output(t, "sh", "-n", root+"/packaging/"+script)
	}
}

// Each metric that the dashboard shows is one that workers count.
func TestDashboard(t *testing.T) {
	body, err := os.ReadFile(testenv.Root() + "/packaging/grafana.json")
	must(t, err)
	if !json.Valid(body) {
		t.Error("it is not JSON")
	}
	registry := prometheus.NewRegistry()
	measured.NewMetrics(registry)
	pipeline.NewMetrics(registry)
	described := make(chan *prometheus.Desc, 100)
	registry.Describe(described)
	close(described)
	counted := map[string]bool{}
	for d := range described {
		counted[regexp.MustCompile(`afterlive_\w+`).FindString(d.String())] = true
	}
	shown := regexp.MustCompile(`afterlive_\w+`).FindAllString(string(body), -1)
	for _, name := range shown {
		if !counted[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("it shows %s, which workers do not count", name)
		}
	}
	if len(shown) < len(counted)-1 { // all but events_ignored_total
		t.Errorf("it shows %d metrics of %d", len(shown), len(counted))
	}
}
