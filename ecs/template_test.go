package ecs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// samples are values for parameters that are empty by default: validators take a default for what is given.
var samples = map[string]string{
	"KmsKey": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", "Certificate": "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
	"PrivateSubnet": "subnet-0123456789abcdef0", "CdnName": "vod.example.org", "AccessLogs": "logs-of-ours", "WebAcl": "arn:aws:wafv2:us-east-1:123456789012:global/webacl/all/12345678-1234-1234-1234-123456789012",
	"Webhook": "https://example.org/hook", "LiveOrigin": "origin.example.org", "LiveHeader": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:cdn-abcdef", "Operator": "ops@example.org",
}

// given is a template with samples for defaults.
func given(template string) string {
	const certificate = "  PagesCertificate:\n    Type: String\n" // the validator takes one that it doesn't know for none
	template = strings.Replace(template, certificate, certificate+"    Default: arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012\n", 1)
	return regexp.MustCompile(`(?m)^ {2}(\w+):\n {4}Type: String\n {4}Default: ""$`).ReplaceAllStringFunc(template, func(m string) string {
		name, _, _ := strings.Cut(strings.TrimSpace(m), ":")
		return strings.Replace(m, `""`, `"`+samples[name]+`"`, 1)
	})
}

// validate asks AWS's own validator about templates: what it says of each, or nothing.
func validate(t *testing.T, templates ...string) []string {
	t.Helper()
	for i := range templates {
		templates[i] = given(templates[i])
	}
	folder := filepath.Join(testenv.Root(), "tools", "cloudformation")
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
	for i, said := range validate(t, Vod, Origin, Pages) {
		if said != "" {
			t.Errorf("template %d: %s", i, said)
		}
	}
	if err := check(Vod); err != nil {
		t.Error(err)
	}
	if err := errors.Join(checkOrigin(Origin), checkPages(Pages)); err != nil {
		t.Error(err)
	}
}

// What a metric filter looks for in the workers' log is what they log.
func TestFiltersFindTheirLines(t *testing.T) {
	for file, text := range map[string]string{"pipeline/watch.go": `Log.Warn("recording is abandoned`} {
		source, err := os.ReadFile(filepath.Join(testenv.Root(), file))
		if err != nil || !strings.Contains(string(source), text) {
			t.Errorf("%s no longer has %s: %v", file, text, err)
		}
	}
}

// The handbook names every alarm that the template makes, and no other.
func TestAlarmsAreDocumented(t *testing.T) {
	vod, err := Parse(Vod)
	origin, err2 := Parse(Origin)
	pages, err3 := Parse(Pages)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var told, made []string
	for _, m := range regexp.MustCompile("alarm `(\\w+)`").FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
	}
	for _, template := range []Template{vod, origin, pages} {
		resources, ok := template["Resources"].(map[string]any)
		if !ok {
			t.Fatal("the template has no resources")
		}
		for name := range resources {
			actions := template.Text(name, "AlarmActions")
			if template.At("Resources/"+name+"/Type") == "AWS::CloudWatch::Alarm" && (actions == "[Alarms]" || strings.Contains(actions, "-alarms")) {
				made = append(made, name)
			}
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
	testenv.InTurn(t)
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
		{"containers have the instance's role", "HttpPutResponseHopLimit: 1", "HttpPutResponseHopLimit: 2"},
		{"instances that are too small", "MemoryMiB: {Min: 7600", "MemoryMiB: {Min: 3800"},
		{"instances of another architecture", "[amazon-web-services], [intel, amd]", "[intel, amd], [amazon-web-services]"},
		{"a name that ECS refuses", `"cp-${AWS::StackName}"`, `"${AWS::StackName}"`},
		{"nothing but spot", "OnDemandTasks:\n    Type: Number\n    Default: 1", "OnDemandTasks:\n    Type: Number\n    Default: 0"},
		{"a weight that places nothing", "Base: !Ref OnDemandTasks, Weight: 1}", "Base: !Ref OnDemandTasks, Weight: 0}"},
		{"nobody hears that nothing can be placed", "SERVICE_TASK_PLACEMENT_FAILURE", "SERVICE_STEADY_STATE"},
		{"the rule may not tell", "Principal: {Service: events.amazonaws.com}", "Principal: {Service: ecs.amazonaws.com}"},
		{"alarms may not tell", "Principal: {Service: cloudwatch.amazonaws.com}", "Principal: {Service: ecs.amazonaws.com}"},
		{"nobody hears that all is well again", "      OKActions: [!Ref Alarms]\n", ""},
		{"addresses though none are wanted", "AssignPublicIp: !Ref PublicAddresses", "AssignPublicIp: ENABLED"},
		{"two triggers", "NotificationConfiguration: !If\n        - ByBucket", "NotificationConfiguration: !If\n        - HasLive"},
		{"recordings never expire", "ExpirationInDays: !Ref RecordingsDays", "ExpirationInDays: 3650"},
		{"another key", "KMSMasterKeyID: !Ref KmsKey", "KMSMasterKeyID: alias/other"},
		{"a key that workers may not use", `Action: ["kms:Decrypt", "kms:GenerateDataKey"]`, `Action: "kms:Encrypt"`},
		{"an old TLS", "TLSv1.2_2021", "TLSv1"},
		{"no IPv6", "IPV6Enabled: true", "IPV6Enabled: false"},
		{"a root that is not there", "player/start.html", "player/begin.html"},
		{"any CDN before the origin", "HeaderName: X-Afterlive-Origin", "HeaderName: X-Origin"},
		{"browsers come without TLS", "          StrictTransportSecurity: {AccessControlMaxAgeSec: 31536000, Override: true}\n", ""},
		{"a worker waits for its log", "mode: non-blocking", "mode: blocking"},
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
		{"a figure of nobody", "MetricName: SettleErrors", "MetricName: SettlingErrors"},
		{"no figures", "{Name: AFTERLIVE_CLOUDWATCH, Value: !Ref \"AWS::StackName\"}", "{Name: AFTERLIVE_HTTP, Value: none}"},
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
		{"user data that is no script", "UPDATE'\n          #!/bin/bash", "UPDATE\n          if"},
		{"a version in the user data", `image=$(sed -n 's/^IMAGE=//p' <<<"$settings")`, "image=${Image}"},
		{"services in the user data", "          afterlive-update\n", "          docker run origin\n"},
		{"every parameter of the account", `parameter/${AWS::StackName}/*"`, `parameter/*"`},
		{"all of SSM", `        - !Sub "arn:${AWS::Partition}:iam::aws:policy/AmazonEC2`, `        - !Sub "arn:${AWS::Partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"` + "\n" + `        - !Sub "arn:${AWS::Partition}:iam::aws:policy/AmazonEC2`},
		{"nobody hears of a dead origin", `Fn::ImportValue": !Sub "${VodStack}-alarms"`, `Fn::ImportValue": !Sub "${VodStack}-news"`},
		{"a silent origin", "TreatMissingData: breaching", "TreatMissingData: notBreaching"},
		{"the CDN's secret may not be read", `Action: "secretsmanager:GetSecretValue"`, `Action: "secretsmanager:DescribeSecret"`},
		{"recordings go with the stack", "DeletionPolicy: Snapshot", "DeletionPolicy: Delete"},
		{"too much is allowed", `"s3:PutObject", "s3:GetObject"`, `"s3:PutObject", "s3:DeleteObject"`},
		{"misspelled variable", "AFTERLIVE_FAILED=", "AFTERLIVE_FAILURES="},
		{"no such output", "!GetAtt Balancer.DNSName", "!GetAtt Balancer.DnsName"},
	})
}

// Likewise in what the image brings to the instance.
func TestMistakesOfTheInstanceAreFound(t *testing.T) {
	origin, err := Parse(Origin)
	if err != nil {
		t.Fatal(err)
	}
	settings := origin.Text("Settings", "Value/0")
	for _, m := range []struct{ file, name, old, new string }{
		{"settings", "no key", "{ return 403; }", "{ }"},
		{"settings", "the log has the key", "set -euo pipefail", "set -euxo pipefail"},
		{"settings", "no secret", "http_x_afterlive_origin", "http_x_origin"},
		{"settings", "no script", "put() {", "put() {{"},
		{"run", "capabilities", "--cap-drop ALL ", ""},
		{"run", "misspelled variable", "-e AFTERLIVE_FAILED", "-e AFTERLIVE_FAILURES"},
		{"run", "a container waits for its log", "mode=non-blocking", "mode=blocking"},
		{"origin.service", "a stream is cut off", "docker stop -t 86400", "docker stop -t 10"},
		{"origin.service", "systemd cuts it off", "TimeoutStopSec=infinity", "TimeoutStopSec=30"},
		{"sweep.service", "what a crash leaves stays", " sweep /var", " status /var"},
		{"follow.service", "recordings aren't followed", " follow --origin", " sweep --origin"},
		{"install", "a live stream is cut off", "<publishing/>", "<nobody/>"},
		{"install", "no patches", "upgrade_type = security", "upgrade_type = none"},
	} {
		files, err := hostFiles()
		if err != nil || !strings.Contains(files[m.file], m.old) {
			t.Fatalf("%s no longer says %q: %v", m.file, m.old, err)
		}
		if err := host(files, settings); err != nil {
			t.Fatal(err)
		}
		files[m.file] = strings.ReplaceAll(files[m.file], m.old, m.new)
		if host(files, settings) == nil {
			t.Errorf("%s: %s: nobody has noticed", m.file, m.name)
		}
	}
}

// AWS's other linter, where it is there.
func TestLint(t *testing.T) {
	lint, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("cfn-lint is not here: pip install cfn-lint")
	}
	dir := t.TempDir()
	args := []string{"-r", "us-east-1", "eu-central-1", "ap-southeast-2", "-t"}
	for name, text := range map[string]string{"vod.yaml": Vod, "origin.yaml": Origin, "pages.yaml": Pages} {
		write(t, filepath.Join(dir, name), given(text))
		args = append(args, filepath.Join(dir, name))
	}
	if out, err := exec.CommandContext(t.Context(), lint, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
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
