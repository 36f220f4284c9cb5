package ecs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive/internal/standin"
)

// aws answers as the CLI would, and notes what it was asked.
const aws = `#!/bin/bash
echo "aws $*" >>"$LOG"
case "$*" in
*describe-vpcs*) echo vpc-1 ;;
*describe-subnets*) printf 'subnet-1\tsubnet-2\n' ;;
*describe-managed-prefix-lists*) echo pl-1 ;;
*al2023-ami*) echo ami-1 ;;
*StackStatus*) [ -n "$STACKS" ] && echo "$STACKS" ;;
*describe-stack-resource*Hosts*) [ -n "$HOSTS" ] && echo hosts-1 ;;
*describe-stack-resource*) echo "the-$6" ;;
*"describe-stacks --stack-name"*--query*) echo "the-output" ;;
*describe-repositories*) exit 254 ;;
*get-login-password*) echo secret ;;
esac
`

// deploy runs deploy.sh with stand-ins for the AWS CLI, docker and enqueue, and returns
// what it asked of them.
func deploy(t *testing.T, stacks string, args ...string) (calls []string, err error) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	for name, body := range map[string]string{
		dir + "/aws": aws, dir + "/docker": "#!/bin/bash\necho \"docker $*\" >>\"$LOG\"\n[ $1 != login ] || cat >/dev/null\n",
		root + "/bin/enqueue": "#!/bin/bash\necho \"enqueue $*\" >>\"$LOG\"\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o755); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(standin.Root(), "ecs"), filepath.Join(root, "ecs")); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join(root, "ecs", "deploy.sh")}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "LOG="+log, "VERSION=v1", "STACKS="+stacks, "HOSTS="+os.Getenv("HOSTS"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	body, readErr := os.ReadFile(log)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return strings.Split(strings.TrimSpace(string(body)), "\n"), err
}

// parameters are those with which a stack was made, by name.
func parameters(t *testing.T, calls []string, stack string) map[string]string {
	t.Helper()
	i := slices.IndexFunc(calls, func(c string) bool {
		return strings.Contains(c, "deploy --template-file") && strings.Contains(c, "--stack-name "+stack+" ")
	})
	if i < 0 {
		t.Fatalf("%s is not made:\n%s", stack, strings.Join(calls, "\n"))
	}
	_, list, _ := strings.Cut(calls[i], "--parameter-overrides ")
	all := map[string]string{}
	for p := range strings.SplitSeq(list, " ") {
		name, value, _ := strings.Cut(p, "=")
		all[name] = value
	}
	return all
}

// complete wants a stack's parameters to be those of its template, and none missing that
// has no default.
func complete(t *testing.T, text string, given map[string]string) {
	t.Helper()
	template, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	known, ok := template["Parameters"].(map[string]any)
	if !ok {
		t.Fatal("the template has no parameters")
	}
	for name := range given {
		if known[name] == nil {
			t.Errorf("the template has no parameter %s", name)
		}
	}
	for name := range known {
		if template.At("Parameters/"+name+"/Default") == nil && given[name] == "" {
			t.Errorf("parameter %s is not given", name)
		}
	}
}

func TestDeploy(t *testing.T) {
	const registry = "1.dkr.ecr.eu-west-1.amazonaws.com/afterlive"
	calls, err := deploy(t, "", "up", "events", registry, "MaxTasks=7", "Operator=ops@example.org")
	if err != nil {
		t.Fatal(err)
	}
	given := parameters(t, calls, "events")
	complete(t, Vod, given)
	if given["Image"] != registry+"/worker:v1" || given["Subnets"] != "subnet-1,subnet-2" || given["MaxTasks"] != "7" {
		t.Errorf("given %v", given)
	}
	if !slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "enqueue player --queue the-output") }) {
		t.Errorf("the player is not uploaded: %q", calls)
	}

	calls, err = deploy(t, "", "live", "events", registry, "Encoders=203.0.113.0/24", "StreamKey=0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	given = parameters(t, calls, "events-live")
	complete(t, Origin, given)
	if given["Subnet"] != "subnet-1" || given["CdnPrefixList"] != "pl-1" || given["Ami"] != "ami-1" || given["VodStack"] != "events" {
		t.Errorf("given %v", given)
	}
	if again := parameters(t, calls, "events"); len(again) != 1 || again["LiveOrigin"] != "the-output" {
		t.Errorf("the CDN is told %v", again)
	}

	calls, err = deploy(t, "", "push", registry)
	if err != nil || !slices.Contains(calls, "docker push "+registry+"/origin:v1") || !slices.ContainsFunc(calls, func(c string) bool {
		return strings.HasPrefix(c, "aws ecr create-repository --repository-name afterlive/worker ")
	}) {
		t.Errorf("push: %v, %q", err, calls)
	}
	if calls, err = deploy(t, "CREATE_COMPLETE", "up", "events", registry); err != nil || len(parameters(t, calls, "events")) != 1 {
		t.Errorf("a newer version changes %v, %v", parameters(t, calls, "events"), err)
	}
	if calls, err = deploy(t, "ROLLBACK_COMPLETE", "up", "events", registry); err != nil || !slices.Contains(calls, "aws cloudformation delete-stack --stack-name events") || parameters(t, calls, "events")["Vpc"] == "" {
		t.Errorf("after a failed creation: %q, %v", calls, err)
	}
	t.Setenv("HOSTS", "yes")
	if calls, err = deploy(t, "CREATE_COMPLETE", "down", "events"); err != nil || calls[len(calls)-1] != "aws cloudformation wait stack-delete-complete --stack-name events" ||
		!slices.Contains(calls, "aws ec2 wait instance-stopped --instance-ids the-Instance") || !slices.Contains(calls, "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name hosts-1 --force-delete") {
		t.Errorf("down: %v, %q", err, calls)
	}
	for _, name := range []string{"Events", "my_events", "a-name-of-25-characters-xx", "1st", ""} {
		calls, err := deploy(t, "", "up", name, registry)
		if err == nil || !strings.Contains(err.Error(), "its buckets are named after it") || strings.Contains(strings.Join(calls, "\n"), " deploy ") {
			t.Errorf("up %q: %v, %q", name, err, calls)
		}
	}
	if calls, err := deploy(t, "", "up", "a-name-of-24-characters-", registry); err != nil {
		t.Errorf("%v, %q", err, calls)
	}
	if _, err := deploy(t, "CREATE_COMPLETE", "up", "A-stack-that-is-there-already", registry); err != nil {
		t.Errorf("an update: %v", err)
	}
	for _, args := range [][]string{{}, {"up", "events"}, {"live", "events", registry, "StreamKey=0123456789abcdef"}, {"live", "events", registry, "Encoders=0.0.0.0/0"}} {
		if calls, err := deploy(t, "", args...); err == nil || strings.Contains(strings.Join(calls, "\n"), "deploy") {
			t.Errorf("%v: %v, %q", args, err, calls)
		}
	}
}
