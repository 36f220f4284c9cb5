package ecs

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// aws answers as the CLI would, and notes what it was asked. Stacks are files in $STACKS, with their status; $SAYS is what it says
// of the fleet's newest deployment, and $CHANGES what a change set touches.
const aws = `#!/bin/bash
echo "aws $*" >>"$LOG"
name= file=
for ((i = 1; i <= $#; i++)); do
	j=$((i + 1))
	case ${!i} in --stack-name) name=${!j} ;; --parameters) file=${!j#file://} ;; esac
done
case "$*" in
*get-caller-identity*) [ -z "$NOBODY" ] || { echo "Unable to locate credentials" >&2; exit 253; } ;;
*describe-vpcs*) echo vpc-1 ;;
*describe-subnets*) printf '%s\n' "subnet-1 xx-1a usw1-az1" "subnet-2 xx-1b usw1-az2" "subnet-3 xx-1c usw1-az3" ;;
*describe-instance-type-offerings*) echo xx-1b xx-1c ;;
*describe-managed-prefix-lists*) echo pl-1 ;;
*al2023-ami*) echo ami-1 ;;
*"ssm get-parameter"*stream-key*) [ -z "$NOKEY" ] ;;
*put-parameter*) cp "${*: -1}" "$STACKS/key" 2>/dev/null || cat "$(sed 's|.*file://||' <<<"$*")" >"$STACKS/key" ;;
*describe-images*) [ -z "$NOIMAGE" ] && echo sha256:1234 ;;
*change-set-create-complete*) [ -z "$UNCHANGED" ] ;;
*describe-change-set*StatusReason*) echo "The submitted information didn't contain changes." ;;
*describe-change-set*) echo "$CHANGES" ;;
*create-change-set*) { echo "parameters $name"; cat "$file"; echo; } >>"$LOG" ;;
*execute-change-set*) echo CREATE_COMPLETE | tee "$STACKS/$name" >"$STACKS/changed" ;;
*delete-stack*) rm -f "$STACKS/$name" ;;
*"describe-stacks --stack-name"*)
	[ -e "$STACKS/$name" ] || { echo "Stack with id $name does not exist" >&2; exit 254; }
	case "$*" in
	*StackStatus*) cat "$STACKS/$name" ;;
	*"Parameters[].ParameterKey"*) echo "Image Vpc Subnets OfAnOlderVersion" ;;
	*"ParameterKey=='Image'"*) [ -e "$STACKS/changed" ] && echo "the-new-image" || echo "the-image-of-before" ;;
	*"ParameterKey=='LiveOrigin'"*) echo "$LIVE" ;;
	*"Parameters[?"*) ;;
	*--query*) echo "the-output" ;;
	esac
	;;
*describe-stack-resource*Hosts*) [ -n "$HOSTS" ] && echo hosts-1 ;;
*describe-stack-resource*) echo "the-$6" ;;
*desiredCount*) echo 0 ;;
*deployments*) echo "$SAYS" ;;
*send-command*) echo command-1 ;;
*get-command-invocation*Status*) echo "${UPDATED:-Success}" ;;
*get-command-invocation*) echo "the origin says" ;;
*describe-repositories*) exit 254 ;;
*get-login-password*) echo secret ;;
esac
`

// situation is what deploy.sh finds.
type situation struct {
	stacks map[string]string // and their status
	env    []string
	stdin  string
}

const runs = "SAYS=the-Worker 1 COMPLETED"

// deploy runs deploy.sh with stand-ins for the AWS CLI, docker and enqueue, and returns what it asked of them and what it said.
func (s situation) deploy(t *testing.T, args ...string) (calls []string, said string, err error) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	for name, body := range map[string]string{
		dir + "/aws": aws, dir + "/docker": "#!/bin/bash\necho \"docker $*\" >>\"$LOG\"\n[ $1 != login ] || cat >/dev/null\n",
		root + "/bin/enqueue": "#!/bin/bash\necho \"enqueue $*\" >>\"$LOG\"\n",
	} {
		write(t, name, body)
	}
	for name, status := range s.stacks {
		write(t, filepath.Join(dir, "stacks", name), status)
	}
	if err := errors.Join(os.Symlink(filepath.Join(testenv.Root(), "ecs"), filepath.Join(root, "ecs")), os.MkdirAll(filepath.Join(dir, "stacks"), 0o755)); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	write(t, log, "")
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join(root, "ecs", "deploy.sh")}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "LOG="+log, "VERSION=v1", "AWS_REGION=eu-west-1", "PAUSE=0", "STACKS="+filepath.Join(dir, "stacks"), runs)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Stdin = strings.NewReader(s.stdin)
	out, err := cmd.CombinedOutput()
	body, readErr := os.ReadFile(log)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if key, err := os.ReadFile(filepath.Join(dir, "stacks", "key")); err == nil {
		out = append(out, "key: "+string(key)...)
	}
	return strings.Split(strings.TrimSpace(string(body)), "\n"), string(out), err
}

// write makes a file that can be run, and its folder.
func write(t *testing.T, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o755); err != nil { //nolint:gosec // some are programs
		t.Fatal(err)
	}
}

// previous is the value of a parameter that stays as it is.
const previous = "(as it is)"

// parameters are those of a stack's n-th change set, by name.
func parameters(t *testing.T, calls []string, stack string, n int) map[string]string {
	t.Helper()
	for i, c := range calls {
		if c != "parameters "+stack {
			continue
		}
		if n > 0 {
			n--
			continue
		}
		var list []struct {
			ParameterKey     string `json:"ParameterKey"`
			ParameterValue   string `json:"ParameterValue"`
			UsePreviousValue bool   `json:"UsePreviousValue"`
		}
		if err := json.Unmarshal([]byte(calls[i+1]), &list); err != nil {
			t.Fatalf("%v: %s", err, calls[i+1])
		}
		all := map[string]string{}
		for _, p := range list {
			if _, twice := all[p.ParameterKey]; twice {
				t.Errorf("%s is given twice", p.ParameterKey)
			}
			all[p.ParameterKey] = p.ParameterValue
			if p.UsePreviousValue {
				all[p.ParameterKey] = previous
			}
		}
		return all
	}
	t.Fatalf("%s is not changed:\n%s", stack, strings.Join(calls, "\n"))
	return nil
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

const registry = "1.dkr.ecr.eu-west-1.amazonaws.com/afterlive"

// has tells whether one of the calls begins so.
func has(calls []string, prefix string) bool {
	return slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, prefix) })
}

func TestDeployUp(t *testing.T) {
	calls, said, err := situation{}.deploy(t, "up", "events", registry, "MaxTasks=7", "Operator=ops@example.org")
	if err != nil {
		t.Fatal(err, said)
	}
	given := parameters(t, calls, "events", 0)
	complete(t, Vod, given)
	if given["Image"] != registry+"/worker@sha256:1234" || given["Subnets"] != "subnet-1,subnet-2,subnet-3" || given["MaxTasks"] != "7" {
		t.Errorf("given %v", given)
	}
	if !has(calls, "enqueue player --queue the-output") || !strings.Contains(said, "AWS mails to ops@example.org: confirm that") {
		t.Errorf("%s\n%q", said, calls)
	}
	// Not in every zone is there Fargate.
	calls, said, err = situation{env: []string{"AWS_REGION=us-west-1"}}.deploy(t, "up", "events", registry)
	if err != nil || parameters(t, calls, "events", 0)["Subnets"] != "subnet-1,subnet-3" {
		t.Errorf("%v %s", err, said)
	}
	calls, said, err = situation{env: []string{"AWS_REGION=us-west-1"}}.deploy(t, "up", "events", registry, "Capacity=EC2_SPOT")
	if err != nil || parameters(t, calls, "events", 0)["Subnets"] != "subnet-1,subnet-2,subnet-3" {
		t.Errorf("%v %s", err, said)
	}
	calls, _, err = situation{stacks: map[string]string{"events": "CREATE_COMPLETE"}}.deploy(t, "up", "events", registry)
	if again := parameters(t, calls, "events", 0); err != nil || len(again) != 3 || again["Vpc"] != previous || again["Subnets"] != previous {
		t.Errorf("a newer version changes %v, %v", again, err)
	}
	calls, said, err = situation{stacks: map[string]string{"events": "CREATE_COMPLETE"}, env: []string{"UNCHANGED=yes"}}.deploy(t, "up", "events", registry)
	if err != nil || has(calls, "aws cloudformation execute-change-set") || !has(calls, "enqueue player") {
		t.Errorf("the same again: %v, %s", err, said)
	}
	calls, said, err = situation{}.deploy(t, "push", registry)
	if err != nil || !slices.Contains(calls, "docker push "+registry+"/origin:v1") || !has(calls, "aws ecr create-repository --repository-name afterlive/worker ") {
		t.Errorf("push: %v, %s, %q", err, said, calls)
	}
}

// An image that does not work is found, and the one before it is back: also by a fleet that is at zero.
func TestDeployProvesItsImage(t *testing.T) {
	there := map[string]string{"events": "UPDATE_COMPLETE"}
	for name, says := range map[string]string{"it never starts": "the-Worker 0 IN_PROGRESS", "ECS has given up": "the-Worker 0 FAILED", "an older one runs": "another 1 COMPLETED"} {
		calls, said, err := situation{stacks: there, env: []string{"SAYS=" + says}}.deploy(t, "up", "events", registry)
		if err == nil || !strings.Contains(said, "the image of before is back") || parameters(t, calls, "events", 1)["Image"] != "the-image-of-before" {
			t.Errorf("%s: %v, %s", name, err, said)
		}
		if !has(calls, "aws ecs update-service --cluster the-Cluster --service the-Fleet --desired-count 1") || !strings.HasSuffix(last(calls, "register-scalable-target"), "DynamicScalingInSuspended=false") {
			t.Errorf("%s: %q", name, calls)
		}
	}
	calls, said, err := situation{env: []string{"SAYS=the-Worker 0 FAILED"}}.deploy(t, "up", "events", registry)
	if err == nil || strings.Contains(said, "is back") {
		t.Errorf("the first one: %v, %s, %q", err, said, calls)
	}
	calls, said, err = situation{stacks: there, env: []string{"NOIMAGE=yes"}}.deploy(t, "up", "events", registry)
	if err == nil || !strings.Contains(said, "there is no "+registry+"/worker:v1") || has(calls, "aws cloudformation create-change-set") {
		t.Errorf("an image that was not pushed: %v, %s", err, said)
	}
}

// last is the last call that contains a text.
func last(calls []string, text string) string {
	for _, c := range slices.Backward(calls) {
		if strings.Contains(c, text) {
			return c
		}
	}
	return ""
}

func TestDeployLive(t *testing.T) {
	there := map[string]string{"events": "CREATE_COMPLETE"}
	calls, said, err := situation{stacks: there}.deploy(t, "live", "events", registry, "Encoders=203.0.113.0/24")
	if err != nil {
		t.Fatal(err, said)
	}
	given := parameters(t, calls, "events-live", 0)
	given["KmsKey"] = "none" // which is the default
	complete(t, Origin, given)
	if given["Subnet"] != "subnet-2" || given["CdnPrefixList"] != "pl-1" || given["Ami"] != "ami-1" || given["VodStack"] != "events" || given["Image"] != registry+"/origin@sha256:1234" {
		t.Errorf("given %v", given)
	}
	told := parameters(t, calls, "events", 0)
	if told["LiveOrigin"] != "the-output" || told["LiveHeader"] != "the-output" || told["Trigger"] != "SENDER" || told["Image"] != previous {
		t.Errorf("the CDN is told %v", told)
	}
	there["events-live"] = "CREATE_COMPLETE"
	calls, said, err = situation{stacks: there}.deploy(t, "live", "events", registry) // a newer version; nothing need be said again
	if err != nil || !has(calls, "aws ssm send-command --instance-ids the-Instance --document-name AWS-RunShellScript --parameters commands=/usr/local/bin/afterlive-update") {
		t.Errorf("%v, %s, %q", err, said, calls)
	}
	calls, _, err = situation{stacks: there, env: []string{"LIVE=origin.example.org"}}.deploy(t, "live", "events", registry)
	if again := parameters(t, calls, "events", 0); err != nil || again["Trigger"] != "" { // an operator may have chosen another
		t.Errorf("a newer version sets the trigger: %v, %v", again, err)
	}
	calls, said, err = situation{stacks: there, env: []string{"CHANGES=Instance\tConditional"}}.deploy(t, "live", "events", registry)
	if err == nil || !strings.Contains(said, "would interrupt live streams, by a change of Instance") || has(calls, "aws cloudformation execute-change-set") {
		t.Errorf("%v, %s", err, said)
	}
	calls, said, err = situation{stacks: there, env: []string{"CHANGES=Instance\tFalse", "INTERRUPT=yes"}}.deploy(t, "live", "events", registry)
	if err != nil || !has(calls, "aws cloudformation execute-change-set --stack-name events-live") {
		t.Errorf("%v, %s", err, said)
	}
	calls, said, err = situation{stacks: there, env: []string{"CHANGES=Attached\tTrue", "INTERRUPT=yes"}}.deploy(t, "live", "events", registry)
	if err == nil || !strings.Contains(said, "the disk cannot move") || has(calls, "aws cloudformation execute-change-set") {
		t.Errorf("%v, %s", err, said)
	}
	calls, said, err = situation{stacks: there, env: []string{"CHANGES=Disk\tFalse"}}.deploy(t, "live", "events", registry, "DiskGiB=400")
	if err != nil || !has(calls, "aws cloudformation execute-change-set --stack-name events-live") {
		t.Errorf("a larger disk: %v, %s", err, said)
	}
	calls, said, err = situation{stacks: there, env: []string{"UPDATED=Failed"}}.deploy(t, "live", "events", registry)
	if err == nil || !strings.Contains(said, "runs what it ran") || !strings.Contains(said, "the origin says") || has(calls, "aws elbv2 wait") {
		t.Errorf("an image that does not come up: %v, %s", err, said)
	}
	_, said, err = situation{stacks: there, env: []string{"NOKEY=yes"}}.deploy(t, "live", "events", registry, "Encoders=203.0.113.0/24")
	if err == nil || !strings.Contains(said, "ecs/deploy.sh key events") {
		t.Errorf("without a key: %v, %s", err, said)
	}
	const key = "0123456789abcdef_-"
	calls, said, err = situation{stdin: key + "\n"}.deploy(t, "key", "events")
	if err != nil || !strings.HasSuffix(said, "key: "+key) || strings.Contains(strings.Join(calls, "\n"), key) {
		t.Errorf("%v, %s, %q", err, said, calls)
	}
	for _, bad := range []string{"", "short", "0123456789abcde$f", "a key with spaces in it"} {
		if calls, said, err := (situation{stdin: bad}).deploy(t, "key", "events"); err == nil || has(calls, "aws ssm put-parameter") {
			t.Errorf("%q: %s", bad, said)
		}
	}
}

func TestDeployPages(t *testing.T) {
	there := map[string]string{"events": "CREATE_COMPLETE"}
	const certificate = "PagesCertificate=arn:aws:acm:eu-west-1:1:certificate/1"
	calls, said, err := situation{stacks: there}.deploy(t, "pages", "events", registry, certificate)
	if err != nil {
		t.Fatal(err, said)
	}
	given := parameters(t, calls, "events-pages", 0)
	given["KmsKey"] = "none" // which is the default
	complete(t, Pages, given)
	if given["Subnets"] != "subnet-1,subnet-2,subnet-3" || given["VodStack"] != "events" || given["Image"] != registry+"/origin@sha256:1234" || given["Media"] != "https://the-output" {
		t.Errorf("given %v", given)
	}
	if !strings.Contains(said, "point at the-output (CNAME)") || strings.Contains(said, "secret\n") {
		t.Errorf("it says %s", said)
	}
	if _, said, err := (situation{stacks: there}).deploy(t, "pages", "events", registry); err == nil || !strings.Contains(said, "PagesCertificate=") {
		t.Errorf("without a certificate: %v, %s", err, said)
	}
	if _, said, err := (situation{}).deploy(t, "pages", "events", registry, certificate); err == nil || !strings.Contains(said, "deploy.sh up events") {
		t.Errorf("without a fleet: %v, %s", err, said)
	}
	there["events-pages"] = "CREATE_COMPLETE"
	calls, said, err = situation{stacks: there}.deploy(t, "pages", "events", registry) // a newer version; nothing need be said again
	if err != nil || parameters(t, calls, "events-pages", 0)["Image"] != registry+"/origin@sha256:1234" {
		t.Errorf("%v, %s", err, said)
	}
	calls, said, err = situation{stacks: there}.deploy(t, "down", "events")
	first, second := slices.Index(calls, "aws cloudformation wait stack-delete-complete --stack-name events-pages"), slices.Index(calls, "aws cloudformation delete-stack --stack-name events")
	if err != nil || first < 0 || second < first {
		t.Errorf("down: %v, %s, %q", err, said, calls)
	}
}

func TestDeployDown(t *testing.T) {
	both := map[string]string{"events": "CREATE_COMPLETE", "events-live": "UPDATE_COMPLETE"}
	calls, said, err := situation{stacks: both, env: []string{"HOSTS=yes"}}.deploy(t, "down", "events")
	if err != nil || calls[len(calls)-1] != "aws cloudformation wait stack-delete-complete --stack-name events" || !slices.Contains(calls, "aws ec2 wait instance-stopped --instance-ids the-Instance") ||
		!slices.Contains(calls, "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name hosts-1 --force-delete") || parameters(t, calls, "events", 0)["LiveOrigin"] != "" {
		t.Errorf("down: %v, %s, %q", err, said, calls)
	}
	both = map[string]string{"events": "DELETE_FAILED"}
	if calls, said, err := (situation{stacks: both}).deploy(t, "down", "events"); err != nil || !slices.Contains(calls, "aws cloudformation delete-stack --stack-name events") {
		t.Errorf("down again: %v, %s, %q", err, said, calls)
	}
}

// What is there already decides.
func TestDeployFindsStates(t *testing.T) {
	for status, want := range map[string]string{
		"ROLLBACK_COMPLETE": "", "ROLLBACK_FAILED": "", "CREATE_FAILED": "", "REVIEW_IN_PROGRESS": "", // never whole: removed, and made
		"DELETE_FAILED": "could not be removed", "UPDATE_ROLLBACK_FAILED": "continue-update-rollback", "UPDATE_IN_PROGRESS": "wait until that has ended", "CREATE_IN_PROGRESS": "wait",
	} {
		calls, said, err := situation{stacks: map[string]string{"events": status}, env: []string{"HOSTS=yes"}}.deploy(t, "up", "events", registry)
		if want == "" {
			if err != nil || !slices.Contains(calls, "aws cloudformation delete-stack --stack-name events") || parameters(t, calls, "events", 0)["Vpc"] != "vpc-1" ||
				!slices.Contains(calls, "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name hosts-1 --force-delete") {
				t.Errorf("%s: %v, %s, %q", status, err, said, calls)
			}
		} else if err == nil || !strings.Contains(said, want) || has(calls, "aws cloudformation create-change-set") || has(calls, "aws cloudformation delete-stack") {
			t.Errorf("%s: %v, %s, %q", status, err, said, calls)
		}
	}
	if calls, said, err := (situation{env: []string{"NOBODY=yes"}}).deploy(t, "up", "events", registry); err == nil || !strings.Contains(said, "no credentials that work") || len(calls) != 1 {
		t.Errorf("%v, %s, %q", err, said, calls)
	}
}

func TestDeployRefuses(t *testing.T) {
	for _, name := range []string{"Events", "my_events", "a-name-of-25-characters-xx", "1st"} {
		calls, said, err := situation{}.deploy(t, "up", name, registry)
		if err == nil || !strings.Contains(said, "its buckets are named after it") || has(calls, "aws cloudformation create-change-set") {
			t.Errorf("up %q: %v, %s", name, err, said)
		}
	}
	if _, said, err := (situation{}).deploy(t, "up", "a-name-of-24-characters-", registry); err != nil {
		t.Errorf("%v, %s", err, said)
	}
	there := map[string]string{"events": "CREATE_COMPLETE"}
	for _, args := range [][]string{
		{}, {"up", "events"}, {"live", "events", registry}, {"key"}, {"up", "", registry}, {"up", "events", registry, "Capacity=EC2_SPOT"}, {"up", "events", registry, "CdnName=vod.example.org"},
	} {
		if calls, said, err := (situation{stacks: there}).deploy(t, args...); err == nil || has(calls, "aws cloudformation create-change-set") {
			t.Errorf("%v: %v, %s", args, err, said)
		}
	}
}
