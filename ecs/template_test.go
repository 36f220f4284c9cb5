package ecs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterlive/internal/standin"
)

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

func TestTemplatesAreValid(t *testing.T) {
	for i, said := range validate(t, Vod, Origin) {
		if said != "" {
			t.Errorf("template %d: %s", i, said)
		}
	}
	if err := check(Vod); err != nil {
		t.Error(err)
	}
	if err := checkOrigin(Origin); err != nil {
		t.Error(err)
	}
}

// What a metric filter looks for in the workers' log is what they log.
func TestFiltersFindTheirLines(t *testing.T) {
	for file, text := range map[string]string{"pipeline/watch.go": `Log.Warn("recording is abandoned`, "internal/worker/metrics.go": `"lease_lost"`} {
		source, err := os.ReadFile(filepath.Join(standin.Root(), file))
		if err != nil || !strings.Contains(string(source), text) {
			t.Errorf("%s no longer has %s: %v", file, text, err)
		}
	}
}

// The handbook names every alarm that the template makes, and no other.
func TestAlarmsAreDocumented(t *testing.T) {
	vod, err := Parse(Vod)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(standin.Root(), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var told, made []string
	for _, m := range regexp.MustCompile("alarm `(\\w+)`").FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
	}
	resources, ok := vod["Resources"].(map[string]any)
	if !ok {
		t.Fatal("the template has no resources")
	}
	for name := range resources {
		if vod.At("Resources/"+name+"/Type") == "AWS::CloudWatch::Alarm" && vod.Text(name, "AlarmActions") == "[Alarms]" {
			made = append(made, name)
		}
	}
	slices.Sort(told)
	slices.Sort(made)
	if !slices.Equal(told, made) {
		t.Errorf("the handbook tells of %v, there are %v", told, made)
	}
}

// Mistakes that were made on purpose are all found, by the validator or by us.
func TestMistakesAreFound(t *testing.T) {
	found(t, Vod, check, []mistake{
		{"misspelled property", "VisibilityTimeout: 120", "VisibiltyTimeout: 120"},
		{"misspelled cooldown", "ScaleInCooldown", "ScaleInCoolDown"},
		{"misspelled hardening", "ReadonlyRootFilesystem", "ReadOnlyRootFilesystem"},
		{"no such type", "AWS::ECS::TaskDefinition", "AWS::ECS::Task"},
		{"no such attribute", "!GetAtt Failed.Arn", "!GetAtt Failed.ARN"},
		{"no such resource", "Cluster: !Ref Cluster", "Cluster: !Ref Clusters"},
		{"text for a number", "MessageRetentionPeriod: 864000", "MessageRetentionPeriod: ten days"},
		{"memory that Fargate hasn't", `"7168", "8192"`, `"7168", "8000"`},
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
		{"work in flight is not counted", "(visible + inflight + ", "(visible + "},
		{"ended while at work", "Expression: visible + inflight + live", "Expression: visible + live"},
		{"nobody hears of lost origins", "recording is abandoned*", "recording abandoned*"},
		{"ended while a stream is live", "Expression: visible + inflight + live", "Expression: visible + inflight"},
		{"live streams keep no tasks", "(visible + inflight + ${MessagesPerLiveStream} * live)", "(visible + inflight)"},
		{"halved under a live stream", " AND live * ${MessagesPerLiveStream} / ${MessagesPerTask} < wanted / 2", ""},
		{"ended at once", "EvaluationPeriods: 10", "EvaluationPeriods: 1"},
		{"never goes to zero", "MinCapacity: 0", "MinCapacity: 1"},
		{"runs as root", `User: "65532:65532"`, `User: "0:0"`},
		{"keeps its capabilities", "Drop: [ALL]", "Drop: [NET_RAW]"},
		{"scratch on the read-only root", "ContainerPath: /scratch", "ContainerPath: /tmp"},
		{"too little disk", "SizeInGiB: 30", "SizeInGiB: 21"},
		{"a queue takes what comes in clear text", `{"aws:SecureTransport": "false"}`, `{"aws:SecureTransport": "true"}`},
		{"a bucket that may be public", "BlockPublicPolicy: true", "BlockPublicPolicy: false"},
		{"recordings go with the stack", "DeletionPolicy: RetainExceptOnCreate # somebody's event is in it", "DeletionPolicy: Delete"},
		{"every object is a job", "{Name: suffix, Value: .flv}", "{Name: suffix, Value: .txt}"},
		{"capitals are no job", "{Name: suffix, Value: .FLV}", "{Name: suffix, Value: .flv}"},
		{"preflights are refused", "AllowedMethods: [GET, HEAD, OPTIONS]", "AllowedMethods: [GET, HEAD]"},
		{"preflights don't reach S3", "Access-Control-Request-Method]}", "X-Request-Method]}"},
		{"S3 refuses preflights", "AllowedHeaders: [Range]", "AllowedHeaders: [Accept]"},
		{"a policy that stops the player", "script-src 'self'", "script-src 'none'"},
		{"misspelled variable", "AFTERLIVE_FAILED", "AFTERLIVE_FAILURES"},
		{"plans are public", `"${Vod.Arn}/player/*"`, `"${Vod.Arn}/*"`},
		{"missing segments are remembered", "{ErrorCode: 404, ErrorCachingMinTTL: 5}", "{ErrorCode: 404, ErrorCachingMinTTL: 300}"},
		{"uploads that died are kept", "AbortIncompleteMultipartUpload: {DaysAfterInitiation: 2}", "ExpirationInDays: 365"},
		{"an instance is ended with its task", "NewInstancesProtectedFromScaleIn: true", "NewInstancesProtectedFromScaleIn: false"},
		{"EC2's warning drains nothing", "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true", "ECS_ENABLE_SPOT_INSTANCE_DRAINING=false"},
		{"ECS kills before the drain is over", "ECS_CONTAINER_STOP_TIMEOUT=120s", "ECS_CONTAINER_STOP_TIMEOUT=30s"},
		{"instances go without a warning", "CapacityRebalance: false", "CapacityRebalance: true"},
		{"containers cannot ask for the warning", "HttpPutResponseHopLimit: 2", "HttpPutResponseHopLimit: 1"},
		{"a task that fits on no instance", `!If [OnEC2, "7168", "8192"]`, `"8192"`},
		{"no way out of the subnet", "NetworkMode: !If [OnEC2, bridge, awsvpc]", "NetworkMode: awsvpc"},
		{"all instances are paid in full", "OnDemandPercentageAboveBaseCapacity: 0", "OnDemandPercentageAboveBaseCapacity: 100"},
		{"a busy fleet is halved", "inflight < wanted / 2", "inflight < wanted"},
		{"the fleet grows where it should shrink", "ScalingAdjustment: -50", "ScalingAdjustment: 50"},
		{"the queue falls asleep", "rate(3 hours)", "rate(1 day)"},
		{"every object is news", "{Name: suffix, Value: /asset.json}", "{Name: suffix, Value: .json}"},
		{"failures are no news", "Value: -failed.json", "Value: -failure.json"},
		{"anybody may write news", `StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}`, `StringLike: {"aws:SourceAccount": "*"}`},
		{"progress that is always there", "IF(deleted < 1, visible + inflight, 0)", "IF(deleted < 0, visible + inflight, 0)"},
		{"an update ends the fleet", "      AvailabilityZoneRebalancing", "      DesiredCount: 0\n      AvailabilityZoneRebalancing"},
		{"a description that EC2 refuses", "Description: endpoints of AWS", "Description: AWS's endpoints"},
		{"figures that never come together", "DatapointsToAlarm: 2", "DatapointsToAlarm: 5"},
		{"counts what no log says", `$.outcome = "lease_lost"`, `$.outcome = "lost"`},
		{"a dashboard that isn't JSON", `"label": "wanted"}],`, `"label": "wanted"}]`},
		{"a dashboard of nothing", `"${AWS::StackName}", "TasksDone"`, `"${AWS::StackName}", "TasksMade"`},
		{"nobody looks after a hung worker", "--check-health", "--version"},
		{"live playlists are old", "MinTTL: 1\n        DefaultTTL: 1\n        MaxTTL: 1\n", "MinTTL: 60\n        DefaultTTL: 60\n        MaxTTL: 60\n"},
		{"live segments instead of playlists", "PathPattern: \"hls/*.m3u8\", TargetOriginId: live", "PathPattern: \"hls/*.m3u8\", TargetOriginId: vod"},
	})
	found(t, Origin, checkOrigin, []mistake{
		{"misspelled group", "SecurityGroupIngress", "SecurityGroupIngres"},
		{"all the world streams", "CidrIp: !Ref Encoders", "CidrIp: 0.0.0.0/0"},
		{"all the world past the CDN", "SourcePrefixListId: !Ref CdnPrefixList", "CidrIp: 0.0.0.0/0"},
		{"around the balancer", "FromPort: 8081, ToPort: 8081, SourceSecurityGroupId: !Ref Gate", "FromPort: 8081, ToPort: 8081, CidrIp: 0.0.0.0/0"},
		{"no key", "{ return 403; }", "{ }"},
		{"the log has the key", "set -euo pipefail\n              dnf", "set -euxo pipefail\n              dnf"},
		{"user data that is no script", "SETTINGS'\n              #!/bin/bash", "SETTINGS\n              if"},
		{"recordings go with the stack", "DeletionPolicy: Snapshot", "DeletionPolicy: Delete"},
		{"a stream is cut off", "docker stop -t 86400", "docker stop -t 10"},
		{"systemd cuts it off", "TimeoutStopSec=infinity", "TimeoutStopSec=30"},
		{"what a crash leaves stays", "enqueue sweep", "enqueue status"},
		{"recordings aren't followed", "follow --origin=${OriginName} /var/lib/afterlive/rec", "sweep /var/lib/afterlive/rec"},
		{"too much is allowed", `"s3:PutObject", "s3:GetObject"`, `"s3:PutObject", "s3:DeleteObject"`},
		{"misspelled variable", "AFTERLIVE_FAILED=", "AFTERLIVE_FAILURES="},
		{"runs with capabilities", "--cap-drop ALL ", ""},
		{"no such output", "!GetAtt Balancer.DNSName", "!GetAtt Balancer.DnsName"},
	})
}

type mistake struct{ name, old, new string }

// found wants each mistake to be noticed, by the validator or by us.
func found(t *testing.T, text string, check func(string) error, mistakes []mistake) {
	t.Helper()
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
