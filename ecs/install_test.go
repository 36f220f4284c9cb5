package ecs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is the instance, as install finds it: $ACTIVE are the services that run, $STAT what nginx says (nothing: it does not answer),
// and $BROKEN is a word of the settings with which nothing comes up.
const machine = `#!/bin/bash
name=$(basename "$0")
echo "$name $*" >>"$ROOT/log"
case "$name $*" in
"systemctl is-active"*) [[ -e $ROOT/active ]] ;;
"systemctl restart"*origin*) touch "$ROOT/active"; rm -f "$ROOT/answers"; [ -n "$BROKEN" ] && grep -q "$BROKEN" "$ROOT/etc/afterlive/origin.env" || touch "$ROOT/answers" ;;
curl*) [[ -e $ROOT/answers ]] && cat "$ROOT/stat" ;;
esac
`

// install runs the script on a machine, and returns what it did there.
func install(t *testing.T, root, settings string, env ...string) (calls []string, said string, err error) {
	t.Helper()
	files, err := hostFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range files { // the machine is a folder
		write(t, filepath.Join(root, "host", name), strings.NewReplacer("/etc/", root+"/etc/", "/run/", root+"/run/", "/usr/local/lib/", root+"/lib/").Replace(body))
	}
	for _, name := range []string{"systemctl", "curl", "dnf", "docker", "sleep", "xfs_growfs"} {
		write(t, filepath.Join(root, "path", name), machine)
	}
	write(t, filepath.Join(root, "etc", "dnf", "automatic.conf"), "[commands]\nupgrade_type = default\napply_updates = no\n[base]\n")
	write(t, filepath.Join(root, "etc", "afterlive", "origin.env.new"), settings)
	write(t, filepath.Join(root, "log"), "")
	for _, folder := range []string{"etc/systemd/system", "etc/dnf/vars", "run"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "host", "install"))
	cmd.Env = append(os.Environ(), append([]string{"PATH=" + filepath.Join(root, "path") + ":" + os.Getenv("PATH"), "ROOT=" + root, "BROKEN="}, env...)...)
	out, err := cmd.CombinedOutput()
	return strings.Split(strings.TrimSpace(read(t, filepath.Join(root, "log"))), "\n"), string(out), err
}

const restarts = "systemctl restart origin follow"

// A newer version runs at once where nobody publishes, cuts no stream off, and goes if it does not answer.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	current := func() string { return read(t, filepath.Join(root, "etc", "afterlive", "origin.env")) }
	stat := func(text string) { write(t, filepath.Join(root, "stat"), text) }
	stat("<rtmp/>")

	calls, said, err := install(t, root, "IMAGE=one\n")
	if err != nil || !slices.Contains(calls, restarts) || current() != "IMAGE=one\n" || !strings.Contains(said, "the origin runs one") {
		t.Fatalf("at first: %v, %s, %q", err, said, calls)
	}
	if conf := read(t, filepath.Join(root, "etc", "dnf", "automatic.conf")); !strings.Contains(conf, "upgrade_type = security\napply_updates = yes\n[base]\nexcludepkgs = docker containerd runc") {
		t.Errorf("updates: %s", conf)
	}
	write(t, filepath.Join(root, "run", "origin.started"), "IMAGE=one\n") // settings does so
	calls, said, err = install(t, root, "IMAGE=one\n")
	if err != nil || slices.Contains(calls, restarts) || !strings.Contains(said, "already") {
		t.Errorf("the same again: %v, %s, %q", err, said, calls)
	}

	stat("<stream><publishing/></stream>" + strings.Repeat("<client/>\n", 100000)) // more than a pipe holds
	calls, said, err = install(t, root, "IMAGE=two\n")
	if err != nil || slices.Contains(calls, restarts) || !slices.Contains(calls, "systemctl restart follow") || !strings.Contains(said, "a stream is live") || current() != "IMAGE=two\n" {
		t.Errorf("a stream is live: %v, %s, %q", err, said, calls)
	}
	if err := os.Remove(filepath.Join(root, "answers")); err != nil { // nginx is there, and does not answer
		t.Fatal(err)
	}
	if calls, said, err = install(t, root, "IMAGE=two\n"); err != nil || slices.Contains(calls, restarts) {
		t.Errorf("it cannot be known: %v, %s, %q", err, said, calls)
	}
	write(t, filepath.Join(root, "answers"), "")

	stat("<rtmp/>")
	calls, said, err = install(t, root, "IMAGE=three\n", "BROKEN=three")
	if err == nil || current() != "IMAGE=two\n" || !strings.Contains(said, "the one of before is back") || strings.Count(strings.Join(calls, "\n"), restarts) != 2 {
		t.Errorf("it does not answer: %v, %s, %q; settings %s", err, said, calls, current())
	}
	calls, said, err = install(t, root, "IMAGE=four\n")
	if err != nil || !slices.Contains(calls, restarts) || !slices.Contains(calls, "docker stop -t 30 origin") || current() != "IMAGE=four\n" {
		t.Errorf("a newer one: %v, %s, %q", err, said, calls)
	}
}
