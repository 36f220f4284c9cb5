package e2e

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

var box = flag.String("box", "", "folder with a fresh Debian, for the test of the package: make deb-test")

// boxCommand are the commands of docs/one-box.md that are run as they stand there.
var boxCommand = regexp.MustCompile("(?ms)^```bash (box|remove)\n(.*?)\n```$")

// boxed is a Debian that was booted, on a network of its own.
type boxed struct {
	root   string
	nspawn *exec.Cmd
}

// bootBox copies a Debian, puts the package into it, and boots it.
func bootBox(t *testing.T, base string) *boxed {
	t.Helper()
	b := &boxed{root: filepath.Join(folder(t), "root")}
	command(t, "cp", "-a", base, b.root)
	packages, err := filepath.Glob(testenv.Root() + "/dist/afterlive_*_amd64.deb")
	must(t, err)
	if len(packages) == 0 {
		t.Fatal("no package in dist/: make deb")
	}
	newest := slices.MaxFunc(packages, func(a, b string) int { return modified(t, a) - modified(t, b) })
	command(t, "cp", newest, b.root+"/root/")
	t.Cleanup(func() {
		if pid := b.init(); pid != "" {
			_ = exec.Command("kill", "-s", "RTMIN+4", pid).Run() // to its systemd: power off
		}
		_ = b.nspawn.Wait() // how it ends is its systemd's word, and was read before
	})
	b.boot(t)
	return b
}

// boot starts the box, and waits until all is up that is to be.
func (b *boxed) boot(t *testing.T) {
	t.Helper()
	b.nspawn = exec.Command("systemd-nspawn", "-q", "-D", b.root, "--register=no", "--keep-unit", "--private-network", "--console=pipe", "-b")
	must(t, b.nspawn.Start())
	eventually(t, patience, "the box is up", func() bool {
		if b.init() == "" {
			return false
		}
		state, _ := b.command(t.Context(), "systemctl is-system-running").Output()
		return slices.Contains([]string{"running", "degraded"}, strings.TrimSpace(string(state)))
	})
}

func modified(t *testing.T, file string) int {
	t.Helper()
	info, err := os.Stat(file)
	must(t, err)
	return int(info.ModTime().Unix())
}

// command runs a program on this machine to its end.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// init is the process that is the first in the box, by its number out here.
func (b *boxed) init() string {
	status, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range status {
		text, err := os.ReadFile(file)
		numbers := regexp.MustCompile(`(?m)^NSpid:.*\t1$`).Find(text)
		if err != nil || numbers == nil {
			continue
		}
		here, err := os.Stat(filepath.Join(filepath.Dir(file), "root", "etc", "os-release"))
		there, failed := os.Stat(filepath.Join(b.root, "etc", "os-release"))
		if err == nil && failed == nil && os.SameFile(here, there) {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

func (b *boxed) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", b.init(), "-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wdns=/root", "/bin/bash", "-euo", "pipefail", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// run runs a script as the box's root, and returns what it says.
func (b *boxed) run(t *testing.T, script string) string {
	t.Helper()
	out, err := b.command(t.Context(), script).CombinedOutput()
	if err != nil {
		log, _ := b.command(t.Context(), "journalctl --no-pager -n 60 -u 'afterlive-*'").Output()
		t.Fatalf("%s\n%v\n%s\n%s", script, err, out, log)
	}
	return strings.TrimSpace(string(out))
}

// The package in a fresh Debian, by the words of its page: what it installs records and publishes without a step by hand, survives a reboot and
// an upgrade, and takes away all but what was recorded.
func TestBox(t *testing.T) {
	if *box == "" {
		t.Skip("with -box: make deb-test")
	}
	page, err := os.ReadFile(testenv.Root() + "/docs/one-box.md")
	must(t, err)
	steps := map[string][]string{}
	for _, m := range boxCommand.FindAllStringSubmatch(string(page), -1) {
		steps[m[1]] = append(steps[m[1]], m[2])
	}
	b := bootBox(t, *box)
	t.Logf("%s", b.run(t, strings.Join(steps["box"], "\n")))

	b.run(t, "hlscheck http://127.0.0.1:8090/vod/live/source/latest.m3u8")
	b.run(t, "systemd-analyze verify /usr/lib/systemd/system/afterlive-*")
	b.run(t, "man -P cat afterlive >/dev/null; man -P cat afterlive-worker >/dev/null; logrotate -f /etc/logrotate.d/afterlive")
	if out := b.run(t, "systemctl list-units --failed --no-legend 'afterlive-*'; grep -h -i 'error\\|warn' /var/log/afterlive/*.log || true"); out != "" {
		t.Errorf("failed, or logged: %s", out)
	}
	if out := b.run(t, "for unit in origin follow worker serve; do stat -c %U /proc/$(systemctl show -p MainPID --value afterlive-$unit); done | sort -u"); out != "www-data" {
		t.Errorf("it runs as %q", out)
	}
	if out, err := b.command(t.Context(), "afterlive-source LENGTH=5 rtmp://127.0.0.1/live/stranger").CombinedOutput(); err == nil {
		t.Errorf("a stream without the key was taken: %s", out)
	}

	// What root does leaves nothing behind that the services may not write to.
	b.run(t, "ffmpeg -v error -f lavfi -i testsrc2=s=320x180:r=25 -t 8 -c:v libx264 -preset ultrafast -g 50 -y talk.flv; afterlive send talk.flv --as root/talk; afterlive status root/talk --watch --timeout 5m")
	b.run(t, "afterlive clip root/talk --from 2 --to 6 --as root/clip; afterlive status root/clip --watch --timeout 5m")
	if out := b.run(t, "find /var/lib/afterlive -user root"); out != "" {
		t.Errorf("root's are %s", out)
	}

	b.run(t, "systemctl reboot")
	_ = b.nspawn.Wait() // it ends with a status that says: boot it again
	b.boot(t)
	b.run(t, "systemctl is-active afterlive-origin afterlive-follow afterlive-worker afterlive-serve afterlive-sweep.timer afterlive-prune.timer")

	b.run(t, "systemctl start afterlive-source; sleep 10")
	before := b.run(t, "systemctl show -p MainPID --value afterlive-origin afterlive-worker")
	b.run(t, "dpkg -i /root/afterlive_*.deb; systemctl is-active afterlive-source")
	origin, worker, _ := strings.Cut(before, "\n\n")
	originNow, workerNow, _ := strings.Cut(b.run(t, "systemctl show -p MainPID --value afterlive-origin afterlive-worker"), "\n\n")
	if origin != originNow || worker == workerNow {
		t.Errorf("an upgrade made of origin %s, worker %s: %s and %s", origin, worker, originNow, workerNow)
	}
	b.run(t, "sleep 5; systemctl stop afterlive-source; afterlive status --watch --timeout 5m")
	if out := b.run(t, "afterlive status --json | grep -c '\"published\"' || true"); out == "0" {
		t.Error("nothing was published after the upgrade")
	}

	b.run(t, strings.Join(steps["remove"], "\n"))
	left := b.run(t, "find /etc /usr /var/log /lib/systemd -path '*afterlive*' -not -path '/etc/letsencrypt/*'; find /var/lib/afterlive -maxdepth 1 -mindepth 1 -printf '%f\n' | sort")
	if left != "data" && left != "data\nrec" {
		t.Errorf("purge leaves %s", left)
	}
	if recordings := filesBelow(t, b.root+"/var/lib/afterlive/data/recordings"); recordings < 2 {
		t.Errorf("%d recordings are left of 2", recordings)
	}
}

func filesBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(d.Name(), ".flv") {
			n++
		}
		return err
	}))
	return n
}
