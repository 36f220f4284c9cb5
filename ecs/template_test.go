// Package ecs holds the CloudFormation templates; its tests are what can be shown of
// them without an account.
package ecs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"afterlive/internal/standin"
)

func template(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// validate asks AWS's own validator about templates: what it says of each, or nothing.
func validate(t *testing.T, templates ...string) []string {
	t.Helper()
	folder := filepath.Join(standin.Root(), "tools", "cloudformation")
	cmd := exec.CommandContext(t.Context(), "node", "validate.mjs")
	cmd.Dir = folder
	cmd.Stdin = strings.NewReader(strings.Join(templates, "\n----\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("validate: %v (run \"make tools\")\n%s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(templates) {
		t.Fatalf("%d templates, %d answers:\n%s", len(templates), len(lines), out)
	}
	return lines
}

// node is a part of a template. Intrinsic functions are their arguments.
type node map[string]any

func (n node) at(path string) any {
	var v any = map[string]any(n)
	for key := range strings.SplitSeq(path, "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (n node) number(path string) float64 {
	switch v := n.at(path).(type) {
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return -1
}

// check looks for what the validator doesn't know: what the worker needs, and what
// must agree with what.
func check(text string) error {
	var root map[string]any
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return err
	}
	n := node(root)
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	p := func(resource string) string { return "Resources/" + resource + "/Properties/" }
	want(n.number(p("Failed")+"MessageRetentionPeriod") > n.number(p("Jobs")+"MessageRetentionPeriod"),
		"the failed queue keeps a message's first time of sending, and must keep it longer than the jobs' queue")
	most := n.number(p("Jobs") + "RedrivePolicy/maxReceiveCount")
	want(most >= 10, "a redrive after %v receipts comes before the workers' own verdict", most)
	for _, bucket := range []string{"Recordings", "Vod"} {
		for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			want(n.at(p(bucket)+"PublicAccessBlockConfiguration/"+block) == true, "%s: %s must be true", bucket, block)
		}
		want(n.at("Resources/"+bucket+"/DeletionPolicy") == "Retain", "%s must outlive the stack", bucket)
		want(strings.Contains(fmt.Sprint(n.at(p(bucket)+"LifecycleConfiguration")), "AbortIncompleteMultipartUpload"), "%s keeps uploads that died", bucket)
	}
	filter := fmt.Sprint(n.at(p("Recordings") + "NotificationConfiguration"))
	want(strings.Contains(filter, "recordings/") && strings.Contains(filter, ".flv"), "the notification must be of recordings/*.flv alone: %s", filter)
	want(n.number(p("ScalableTarget")+"MinCapacity") == 0, "the fleet doesn't go to zero")
	backlog := fmt.Sprint(n.at(p("ByBacklog") + "TargetTrackingScalingPolicyConfiguration"))
	for _, part := range []string{"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "RunningTaskCount", "(visible + inflight) / IF(running > 0, running, 1)"} {
		want(strings.Contains(backlog, part), "the backlog must count %s", part)
	}
	want(strings.Contains(fmt.Sprint(n.at(p("NothingToDo")+"Metrics")), "visible + inflight"), "a fleet at work with an empty queue would be ended")
	want(n.number(p("NothingToDo")+"EvaluationPeriods") >= 5, "SQS's figures are too rough to go to zero at once")
	served := fmt.Sprint(n.at(p("VodPolicy") + "PolicyDocument"))
	want(strings.Contains(served, "[${Vod.Arn}/vod/* ${Vod.Arn}/player/*]"), "the CDN must serve vod/ and player/ alone: %s", served)
	errorsKept := regexp.MustCompile(`ErrorCachingMinTTL:(\d+)`).FindAllStringSubmatch(fmt.Sprint(n.at(p("Cdn")+"DistributionConfig/CustomErrorResponses")), -1)
	want(len(errorsKept) == 2 && errorsKept[0][1] == "5" && errorsKept[1][1] == "5", "what is not there yet must not be remembered: %v", errorsKept)
	faults = append(faults, worker(n, p("Worker")), actions(text))
	return errors.Join(faults...)
}

// worker checks the task's definition.
func worker(n node, at string) error {
	var faults []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	containers, ok := n.at(at + "ContainerDefinitions").([]any)
	if !ok || len(containers) != 1 {
		return errors.New("the task has no container, or several")
	}
	first, ok := containers[0].(map[string]any)
	want(ok, "the container is no map")
	c := node(first)
	environment := map[string]string{}
	all, ok := c.at("Environment").([]any)
	want(ok, "the container has no environment")
	for _, v := range all {
		if e, ok := v.(map[string]any); ok {
			environment[fmt.Sprint(e["Name"])] = fmt.Sprint(e["Value"])
		}
	}
	source, err := os.ReadFile(standin.Root() + "/cmd/worker/main.go")
	shared, err2 := os.ReadFile(standin.Root() + "/internal/wiring/wiring.go")
	faults = append(faults, err, err2)
	for name := range environment {
		known := strings.Contains(string(source)+string(shared), `env:"`+name+`"`)
		want(known, "the worker knows no %s", name)
	}
	stop := time.Duration(c.number("StopTimeout")) * time.Second
	drain, err := time.ParseDuration(environment["AFTERLIVE_DRAIN"])
	want(err == nil && stop <= 2*time.Minute && drain+15*time.Second <= stop, "a drain of %s doesn't fit into a StopTimeout of %s, at most 2m0s on Fargate", drain, stop)
	lease, err := time.ParseDuration(environment["AFTERLIVE_LEASE"])
	want(err == nil && lease.Seconds() == n.number("Resources/Jobs/Properties/VisibilityTimeout"), "the lease of %s is not the queue's visibility timeout", lease)
	want(c.at("ReadonlyRootFilesystem") == true, "the root must be read-only")
	want(c.at("User") == "65532:65532", "it must not be root")
	want(fmt.Sprint(c.at("LinuxParameters/Capabilities/Drop")) == "[ALL]", "it needs no capabilities")
	want(strings.Contains(fmt.Sprint(c.at("MountPoints")), environment["AFTERLIVE_SCRATCH"]), "on a read-only root, the scratch must be a volume")
	const scratch, image, room = 8, 2, 14 // GiB; --max-scratch, unpacked, and a second task's leftovers
	want(n.number(at+"EphemeralStorage/SizeInGiB") >= scratch+image+room, "the disk must hold --max-scratch, the image and room")
	return errors.Join(faults...)
}

// known are the actions that anything here may do.
var known = []string{
	"sts:AssumeRole",
	"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage",
	"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket",
	"ecs:UpdateTaskProtection", "ecs:GetTaskProtection",
}

// needed must be allowed to the worker.
var needed = known[1:]

// actions finds those that nobody knows, and those that are missing.
func actions(text string) error {
	var faults []error
	var found []string
	for _, m := range regexp.MustCompile(`"((?:sts|sqs|s3|ecs):[A-Za-z*]+)"`).FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "s3:ObjectCreated") { // an event
			continue
		}
		found = append(found, m[1])
		if !slices.Contains(known, m[1]) {
			faults = append(faults, fmt.Errorf("nobody needs %s", m[1]))
		}
	}
	for _, action := range needed {
		if !slices.Contains(found, action) {
			faults = append(faults, fmt.Errorf("%s is not allowed", action))
		}
	}
	return errors.Join(faults...)
}

func TestTemplateIsValid(t *testing.T) {
	text := template(t, "vod.yaml")
	if said := validate(t, text); said[0] != "" {
		t.Error(said[0])
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
}

// Mistakes that were made on purpose are all found, by the validator or by us.
func TestMistakesAreFound(t *testing.T) {
	text := template(t, "vod.yaml")
	mistakes := []struct{ name, old, new string }{
		{"misspelled property", "VisibilityTimeout: 120", "VisibiltyTimeout: 120"},
		{"misspelled cooldown", "ScaleInCooldown", "ScaleInCoolDown"},
		{"misspelled hardening", "ReadonlyRootFilesystem", "ReadOnlyRootFilesystem"},
		{"no such type", "AWS::ECS::TaskDefinition", "AWS::ECS::Task"},
		{"no such attribute", "!GetAtt Failed.Arn", "!GetAtt Failed.ARN"},
		{"no such resource", "Cluster: !Ref Cluster", "Cluster: !Ref Clusters"},
		{"text for a number", "MessageRetentionPeriod: 864000", "MessageRetentionPeriod: ten days"},
		{"memory that Fargate hasn't", `Memory: "8192"`, `Memory: "8000"`},
		{"beyond the range", "ReceiveMessageWaitTimeSeconds: 20", "ReceiveMessageWaitTimeSeconds: 60"},
		{"policy without a type", "      PolicyType: StepScaling\n", ""},
		{"stop timeout beyond Fargate's", "StopTimeout: 120", "StopTimeout: 900"},
		{"drain beyond the stop timeout", "Value: 100s", "Value: 300s"},
		{"unknown action", "sqs:DeleteMessage", "sqs:DeletMessage"},
		{"too much is allowed", `"s3:PutObject"`, `"s3:*"`},
		{"heartbeats are not allowed", `"sqs:ChangeMessageVisibility", `, ""},
		{"missing objects would be forbidden ones", `Action: "s3:ListBucket"`, `Action: "s3:GetObject"`},
		{"failed tasks are kept too short", "MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 345600"},
		{"redriven too early", "maxReceiveCount: 20", "maxReceiveCount: 3"},
		{"lease and visibility timeout differ", "Value: 120s", "Value: 60s"},
		{"work in flight is not counted", "(visible + inflight) / IF", "visible / IF"},
		{"ended while at work", "Expression: visible + inflight", "Expression: visible"},
		{"ended at once", "EvaluationPeriods: 10", "EvaluationPeriods: 1"},
		{"never goes to zero", "MinCapacity: 0", "MinCapacity: 1"},
		{"runs as root", `User: "65532:65532"`, `User: "0:0"`},
		{"keeps its capabilities", "Drop: [ALL]", "Drop: [NET_RAW]"},
		{"scratch on the read-only root", "ContainerPath: /scratch", "ContainerPath: /tmp"},
		{"too little disk", "SizeInGiB: 30", "SizeInGiB: 21"},
		{"a bucket that may be public", "BlockPublicPolicy: true", "BlockPublicPolicy: false"},
		{"recordings go with the stack", "DeletionPolicy: Retain # somebody's event is in it", "DeletionPolicy: Delete"},
		{"every object is a job", "{Name: suffix, Value: .flv}", "{Name: suffix, Value: .txt}"},
		{"misspelled variable", "AFTERLIVE_FAILED", "AFTERLIVE_FAILURES"},
		{"plans are public", `"${Vod.Arn}/player/*"`, `"${Vod.Arn}/*"`},
		{"missing segments are remembered", "{ErrorCode: 404, ErrorCachingMinTTL: 5}", "{ErrorCode: 404, ErrorCachingMinTTL: 300}"},
		{"uploads that died are kept", "AbortIncompleteMultipartUpload: {DaysAfterInitiation: 2}", "ExpirationInDays: 365"},
	}
	mutants := make([]string, len(mistakes))
	for i, m := range mistakes {
		if !strings.Contains(text, m.old) {
			t.Fatalf("%s: the template no longer says %q", m.name, m.old)
		}
		mutants[i] = strings.ReplaceAll(text, m.old, m.new)
	}
	for i, said := range validate(t, mutants...) {
		if err := check(mutants[i]); said == "" && err == nil {
			t.Errorf("%s: nobody has noticed", mistakes[i].name)
		}
	}
}
