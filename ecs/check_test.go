package ecs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"afterlive/internal/standin"
	"afterlive/ladder"
	"afterlive/player"
)

// faults collects what is wrong.
type faults []error

func (f *faults) wantf(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// check looks for what the validator doesn't know: what the worker needs, and what
// must agree with what; on Fargate alone, and on EC2 beside a live origin.
func check(text string) error {
	var all []error
	for _, conditions := range [][]string{nil, {"OnEC2", "HasLive", "HasOperator"}} {
		vod, err := Parse(text, conditions...)
		if err != nil {
			return err
		}
		all = append(all, storage(vod), scaling(vod), worker(vod), cdn(vod), operators(vod), permissions(vod.Role("WorkerRole"), "worker"))
		if len(conditions) > 0 {
			all = append(all, instances(vod))
		}
	}
	return errors.Join(append(all, actions(text), encrypted(text), descriptions(text))...)
}

// descriptions of security groups and their rules are refused by EC2 with any other
// character.
func descriptions(text string) error {
	var f faults
	for _, m := range regexp.MustCompile(`(?:GroupDescription: |ToPort: \d+.*Description: )([^}\n]*)`).FindAllStringSubmatch(text, -1) {
		f.wantf(regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*$`).MatchString(m[1]), "EC2 refuses the description %q", m[1])
	}
	return errors.Join(f...)
}

func storage(t Template) error {
	var f faults
	f.wantf(t.Number("Failed", "MessageRetentionPeriod") > t.Number("Jobs", "MessageRetentionPeriod"),
		"the failed queue keeps a message's first time of sending, and must keep it longer than the jobs' queue")
	most := t.Number("Jobs", "RedrivePolicy/maxReceiveCount")
	f.wantf(most >= 10, "a redrive after %v receipts comes before the workers' own verdict", most)
	for _, bucket := range []string{"Recordings", "Vod"} {
		for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			f.wantf(t.Property(bucket, "PublicAccessBlockConfiguration/"+block) == true, "%s: %s must be true", bucket, block)
		}
		f.wantf(t.At("Resources/"+bucket+"/DeletionPolicy") == "RetainExceptOnCreate", "%s must outlive the stack", bucket)
		f.wantf(strings.Contains(t.Text(bucket, "LifecycleConfiguration"), "AbortIncompleteMultipartUpload"), "%s keeps uploads that died", bucket)
	}
	f.wantf(slices.Equal(filters(t, "Recordings"), []string{"recordings/", ".flv", "recordings/", ".FLV"}), "notifications must be of recordings/*.flv alone, in either case: %v", filters(t, "Recordings"))
	f.wantf(slices.Equal(filters(t, "Vod"), []string{"vod/", "/asset.json", "jobs/", "-failed.json"}), "news is of finished assets and failures alone: %v", filters(t, "Vod"))
	f.wantf(strings.HasSuffix(ladder.PointerKey("live/x"), "/asset.json"), "the pointer is no asset.json")
	f.wantf(strings.HasSuffix(ladder.FailureKey("j", "audio", time.Now()), "-failed.json"), "workers don't note failures as *-failed.json")
	f.wantf(!strings.HasSuffix(ladder.DroppedKey("j", "audio"), "-failed.json"), "what an operator drops is news")
	for _, policy := range []string{"JobsPolicy", "NewsPolicy"} {
		f.wantf(strings.Contains(t.Text(policy, "PolicyDocument"), "StringEquals:map[aws:SourceAccount:AWS::AccountId]"), "%s lets other accounts in", policy)
	}
	return errors.Join(f...)
}

// filters are the prefixes and suffixes of a bucket's notifications.
func filters(t Template, bucket string) (all []string) {
	for _, m := range regexp.MustCompile(`Name:(?:prefix|suffix) Value:(\S+?)\]`).FindAllStringSubmatch(t.Text(bucket, "NotificationConfiguration"), -1) {
		all = append(all, m[1])
	}
	return all
}

func scaling(t Template) error {
	var f faults
	f.wantf(t.Number("ScalableTarget", "MinCapacity") == 0, "the fleet doesn't go to zero")
	backlog := t.Text("ByBacklog", "TargetTrackingScalingPolicyConfiguration")
	for _, part := range []string{"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed", "RunningTaskCount", "(visible + inflight + ${MessagesPerLiveStream} * live) / IF(running > 0, running, 1)"} {
		f.wantf(strings.Contains(backlog, part), "the backlog must count %s", part)
	}
	f.wantf(strings.Contains(t.Text("NothingToDo", "Metrics"), "visible + inflight + live"), "a fleet at work with an empty queue would be ended")
	f.wantf(t.Text("OriginsLost", "FilterPattern") == `{ $.msg = "recording is abandoned*" }` && t.Text("OriginIsLost", "MetricName") == "OriginsLost", "nobody is told of an origin that is gone")
	f.wantf(t.Number("NothingToDo", "EvaluationPeriods") >= 5, "SQS's figures are too rough to go to zero at once")
	f.wantf(strings.Contains(t.Text("Surplus", "Metrics"), "visible < 1 AND wanted > 2 AND inflight < wanted / 2 AND live * ${MessagesPerLiveStream} / ${MessagesPerTask} < wanted / 2"), "a fleet is halved that is needed")
	f.wantf(t.Number("Surplus", "DatapointsToAlarm") == 2 && t.Number("Surplus", "EvaluationPeriods") >= 4, "figures of SQS and ECS come at different times")
	f.wantf(t.Property("Fleet", "DesiredCount") == nil, "every update would end the fleet")
	f.wantf(!strings.Contains(t.Text("WorkWaits", "Metrics"), "RunningTaskCount"), "where no task runs, Container Insights has no figure of it")
	f.wantf(t.Property("Halve", "StepScalingPolicyConfiguration/StepAdjustments/0/ScalingAdjustment") == int64(-50), "a surplus is not halved")
	f.wantf(t.Property("ByBacklog", "TargetTrackingScalingPolicyConfiguration/DisableScaleIn") == true, "two policies scale in")
	f.wantf(t.Text("Awake", "ScheduleExpression") == "rate(3 hours)", "the queue's figures stop after six hours")
	return errors.Join(f...)
}

// worker checks the task's definition.
func worker(t Template) error {
	var f faults
	c := func(path string) any { return t.Property("Worker", "ContainerDefinitions/0/"+path) }
	environment := map[string]string{}
	all, ok := c("Environment").([]any)
	f.wantf(ok && c("Name") == "worker" && t.Property("Worker", "ContainerDefinitions/1") == nil, "the task has no container, or several, or no environment")
	for _, v := range all {
		if e, ok := v.(map[string]any); ok {
			environment[fmt.Sprint(e["Name"])] = fmt.Sprint(e["Value"])
		}
	}
	f = append(f, variables(environment))
	stop := time.Duration(t.Number("Worker", "ContainerDefinitions/0/StopTimeout")) * time.Second
	drain, err := time.ParseDuration(environment["AFTERLIVE_DRAIN"])
	f.wantf(err == nil && stop <= 2*time.Minute && drain+15*time.Second <= stop, "a drain of %s doesn't fit into a StopTimeout of %s, at most 2m0s on Fargate", drain, stop)
	lease, err := time.ParseDuration(environment["AFTERLIVE_LEASE"])
	f.wantf(err == nil && lease.Seconds() == t.Number("Jobs", "VisibilityTimeout"), "the lease of %s is not the queue's visibility timeout", lease)
	f.wantf(c("ReadonlyRootFilesystem") == true, "the root must be read-only")
	f.wantf(c("User") == "65532:65532", "it must not be root")
	f.wantf(fmt.Sprint(c("LinuxParameters/Capabilities/Drop")) == "[ALL]", "it needs no capabilities")
	f.wantf(strings.Contains(fmt.Sprint(c("HealthCheck/Command")), "worker --check-health"), "ECS takes no health check from the image")
	f.wantf(strings.Contains(fmt.Sprint(c("MountPoints")), environment["AFTERLIVE_SCRATCH"]), "on a read-only root, the scratch must be a volume")
	const scratch, image, room = 8, 2, 14 // GiB; --max-scratch, unpacked, and a second task's leftovers
	if t.Text("Worker", "RequiresCompatibilities") == "[FARGATE]" {
		f.wantf(t.Number("Worker", "EphemeralStorage/SizeInGiB") >= scratch+image+room, "the disk must hold --max-scratch, the image and room")
	}
	return errors.Join(f...)
}

// variables must be such as the programs read.
func variables(environment map[string]string) error {
	var f faults
	source, err := os.ReadFile(standin.Root() + "/cmd/worker/main.go")
	shared, err2 := os.ReadFile(standin.Root() + "/internal/wiring/wiring.go")
	f = append(f, err, err2)
	for name := range environment {
		known := strings.Contains(string(source)+string(shared), `env:"`+name+`"`)
		f.wantf(known, "the worker knows no %s", name)
	}
	return errors.Join(f...)
}

// instances checks the spot instances.
func instances(t Template) error {
	var f faults
	f.wantf(t.Property("Hosts", "NewInstancesProtectedFromScaleIn") == true && t.Property("Instances", "AutoScalingGroupProvider/ManagedTerminationProtection") == "ENABLED",
		"an instance is ended while a task works on it")
	f.wantf(t.Property("Instances", "AutoScalingGroupProvider/ManagedDraining") == "ENABLED", "tasks are not drained")
	f.wantf(t.Property("Hosts", "CapacityRebalance") == false, "rebalancing ends instances without ECS's draining")
	f.wantf(t.Number("Hosts", "MixedInstancesPolicy/InstancesDistribution/OnDemandPercentageAboveBaseCapacity") == 0, "instances above the base must be spot")
	kinds, _ := t.Property("Hosts", "MixedInstancesPolicy/LaunchTemplate/Overrides").([]any)
	f.wantf(len(kinds) >= 5, "%d kinds of instance are too few for spot", len(kinds))
	f.wantf(t.Number("Launch", "LaunchTemplateData/MetadataOptions/HttpPutResponseHopLimit") == 2, "a container cannot see EC2's warning")
	user := t.Text("Launch", "LaunchTemplateData/UserData")
	for _, setting := range []string{"ECS_CLUSTER=${Cluster}", "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true", fmt.Sprintf("ECS_CONTAINER_STOP_TIMEOUT=%vs", t.Number("Worker", "ContainerDefinitions/0/StopTimeout"))} {
		f.wantf(strings.Contains(user, setting), "instances have no %s", setting)
	}
	f.wantf(t.Number("Worker", "Memory") <= 7400, "of 8 GiB, an instance doesn't offer more than about 7.4 to tasks")
	f.wantf(t.Property("Worker", "NetworkMode") == "bridge" && t.Property("Fleet", "NetworkConfiguration") == nil, "a task has no way to the world")
	return errors.Join(f...)
}

func cdn(t Template) error {
	var f faults
	served := t.Text("VodPolicy", "PolicyDocument")
	f.wantf(strings.Contains(served, "[${Vod.Arn}/vod/* ${Vod.Arn}/player/*]"), "the CDN must serve vod/ and player/ alone: %s", served)
	kept := regexp.MustCompile(`ErrorCachingMinTTL:(\d+)`).FindAllStringSubmatch(t.Text("Cdn", "DistributionConfig/CustomErrorResponses"), -1)
	f.wantf(len(kept) == 6 && kept[0][1] == "5" && kept[1][1] == "5" && kept[2][1] == "1", "what is not there yet must not be remembered: %v", kept)
	f.wantf(t.Text("Cdn", "DistributionConfig/DefaultCacheBehavior/AllowedMethods") == "[GET HEAD OPTIONS]" && t.Text("Cdn", "DistributionConfig/DefaultCacheBehavior/OriginRequestPolicyId") == "Preflight" &&
		strings.Contains(t.Text("Preflight", "OriginRequestPolicyConfig"), "Access-Control-Request-Method") && strings.Contains(t.Text("Vod", "CorsConfiguration"), "AllowedHeaders:[Range]"), "a preflight is refused")
	f.wantf(t.Property("AnyPage", "ResponseHeadersPolicyConfig/SecurityHeadersConfig/ContentSecurityPolicy/ContentSecurityPolicy") == player.Policy, "the player has another policy than from a worker")
	f.wantf(t.Property("AnyPage", "ResponseHeadersPolicyConfig/SecurityHeadersConfig/ContentTypeOptions/Override") == true, "browsers may guess types")
	if t.At("Resources/LivePlaylist") != nil {
		first := t.Property("Cdn", "DistributionConfig/CacheBehaviors/0")
		f.wantf(strings.Contains(fmt.Sprint(first), "CachePolicyId:LivePlaylist") && strings.Contains(fmt.Sprint(first), "TargetOriginId:live"), "live playlists come from %v", first)
		f.wantf(t.Number("LivePlaylist", "CachePolicyConfig/MaxTTL") <= 2, "live playlists must not be older than a segment")
		f.wantf(t.Number("LiveSegment", "CachePolicyConfig/MaxTTL") <= 30, "live segments' names come again")
	}
	return errors.Join(f...)
}

func operators(t Template) error {
	var f faults
	source, err := os.ReadFile(standin.Root() + "/internal/worker/metrics.go")
	f = append(f, err)
	dashboard := t.Text("Dashboard", "DashboardBody")
	f.wantf(json.Valid([]byte(dashboard)), "the dashboard is no JSON")
	names := regexp.MustCompile(`"\$\{AWS::StackName\}", "(\w+)"`).FindAllStringSubmatch(dashboard, -1)
	f.wantf(len(names) == 3, "the dashboard shows %d of the log's figures", len(names))
	for _, m := range names {
		outcome := regexp.MustCompile(`"(\w+)"`).FindStringSubmatch(t.Text(m[1], "FilterPattern"))
		f.wantf(len(outcome) == 2 && strings.Contains(string(source), "= "+outcome[0]), "%s counts nothing that a worker logs", m[1])
		f.wantf(strings.Contains(t.Text(m[1], "MetricTransformations"), m[1]), "nobody makes the figure %s", m[1])
	}
	for _, alarm := range []string{"TasksFailed", "WorkIsLate", "WorkIsLost", "NoProgress"} {
		f.wantf(t.Text(alarm, "AlarmActions") == "[Alarms]", "nobody hears of %s", alarm)
	}
	// Where nothing runs, nobody logs.
	f.wantf(strings.Contains(t.Text("NoProgress", "Metrics"), "IF(deleted < 1, visible + inflight, 0)"), "without any worker, the lack of progress would not be seen")
	return errors.Join(f...)
}

// checkOrigin looks for what a live origin needs.
func checkOrigin(text string) error {
	t, err := Parse(text)
	if err != nil {
		return err
	}
	var f faults
	gate, group := t.Text("Gate", "SecurityGroupIngress"), t.Text("OriginGroup", "SecurityGroupIngress")
	f.wantf(strings.Contains(gate, "CidrIp:Encoders") && strings.Contains(gate, "SourcePrefixListId:CdnPrefixList") && !strings.Contains(gate+group, "0.0.0.0"), "the world may in: %s, %s", gate, group)
	f.wantf(!strings.Contains(group, "Cidr"), "the origin can be reached around its balancer")
	f.wantf(t.At("Resources/Disk/DeletionPolicy") == "Snapshot", "recordings must outlive the stack")
	user := t.Text("Instance", "UserData")
	for _, part := range []string{
		`echo "if (\$arg_key != \"$key\") { return 403; }" >/var/lib/afterlive/publish.conf`, "RequiresMountsFor=/var/lib/afterlive", "${!IMAGE}", "docker stop -t 86400", "TimeoutStopSec=infinity",
		"enqueue sweep /var/lib/afterlive/rec", "} follow --origin=${OriginName} /var/lib/afterlive/rec", "--read-only --cap-drop ALL --security-opt no-new-privileges", "until [ -e /dev/sdf ]",
	} {
		f.wantf(strings.Contains(user, part), "the instance doesn't say %s", part)
	}
	f.wantf(!regexp.MustCompile(`set -\w*x`).MatchString(user), "the log would have the key")
	f = append(f, scriptIsSound(t.At("Resources/Instance/Properties/UserData/Fn::Base64/0")))
	environment := map[string]string{}
	for _, m := range regexp.MustCompile(`-e (AFTERLIVE_\w+)=`).FindAllStringSubmatch(user, -1) {
		environment[m[1]] = ""
	}
	f.wantf(len(environment) == 4, "enqueue needs to know queues and buckets")
	imports := regexp.MustCompile(`"\$\{VodStack\}-([a-z-]+)"`).FindAllStringSubmatch(text, -1)
	f.wantf(len(imports) == 8, "%d values of the vod stack are used", len(imports))
	for _, m := range imports {
		f.wantf(strings.Contains(Vod, `Export: {Name: !Sub "${AWS::StackName}-`+m[1]+`"}`), "the vod stack exports no %s", m[1])
	}
	return errors.Join(append(f, variables(environment), actions(text), descriptions(text), permissions(t.Role("OriginRole"), "origin"))...)
}

// scriptIsSound asks bash whether user data is a script.
func scriptIsSound(text any) error {
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(fmt.Sprint(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("user data: %w: %s", err, out)
	}
	return nil
}

// resources are those of the roles, as testdata/permissions.txt has them.
var resources = map[string]string{
	"Jobs.Arn": "jobs", "Failed.Arn": "failed", "Recordings.Arn": "recordings", "Vod.Arn": "vod",
	"${Recordings.Arn}/recordings/*": "recordings/recordings/*", "${Vod.Arn}/jobs/*": "vod/jobs/*", "${Vod.Arn}/vod/*": "vod/vod/*", "${Vod.Arn}/index/*": "vod/index/*",
	"${Recordings.Arn}/recordings/*.growing/index.json":                                          "recordings/recordings/*.growing/index.json",
	"map[Fn::ImportValue:${VodStack}-jobs-arn]":                                                  "jobs",
	"map[Fn::ImportValue:${VodStack}-recordings-arn]":                                            "recordings",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-recordings-arn] recordings/*]]]":           "recordings/recordings/*",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-recordings-arn] recordings/*.growing/*]]]": "recordings/recordings/*.growing/*",
	"arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task/${Cluster}/*":               "own tasks",
}

// permissions compares what a role allows with what the programs do, as the end to
// end test has recorded it: each of it, and nothing more.
func permissions(role []Permission, who string) error {
	var f faults
	body, err := os.ReadFile(standin.Root() + "/ecs/testdata/permissions.txt")
	f = append(f, err)
	needed := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), who+" "); ok {
			needed[p] = true
		}
	}
	if who == "worker" { // ECS's agent asks for these in the name of the task
		needed["ecs:UpdateTaskProtection own tasks"], needed["ecs:GetTaskProtection own tasks"] = true, true
	}
	f.wantf(len(needed) >= 4, "nothing is recorded of what the %s does", who)
	for _, p := range role {
		name := p.Action + " " + resources[p.Resource]
		f.wantf(needed[name], "the %s never does %s (%s)", who, name, p.Resource)
		delete(needed, name)
	}
	for name := range needed {
		f.wantf(false, "the %s may not do %s", who, name)
	}
	return errors.Join(f...)
}

// known are the actions that anything here may do. What the roles need is found by
// looking at what the programs do, end to end.
var known = []string{
	"sts:AssumeRole", "sns:Publish", "sqs:TagQueue",
	"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage", "sqs:GetQueueAttributes",
	"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket", "s3:DeleteObject",
	"ecs:UpdateTaskProtection", "ecs:GetTaskProtection",
}

// denied are the statements that forbid what comes in clear text.
var denied = regexp.MustCompile(`(?m)^ +- Effect: Deny.*\n(?:.*\n){2,3}? +Resource: (.*)\n +Condition: \{Bool: \{"aws:SecureTransport": "false"\}\}\n`)

// encrypted wants buckets, queues and the topic to refuse what comes in clear text.
func encrypted(text string) error {
	var f faults
	var all []string
	for _, m := range denied.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, resource := range []string{"!GetAtt Jobs.Arn", "!GetAtt Failed.Arn", "!Ref News", `[!GetAtt Vod.Arn, !Sub "${Vod.Arn}/*"]`, `[!GetAtt Recordings.Arn, !Sub "${Recordings.Arn}/*"]`} {
		f.wantf(slices.Contains(all, resource), "%s can be reached in clear text", resource)
	}
	return errors.Join(f...)
}

// actions finds those that nobody knows.
func actions(text string) error {
	var f faults
	allowed := denied.ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`"((?:sts|sqs|sns|s3|ecs):[A-Za-z*]+)"`).FindAllStringSubmatch(allowed, -1) {
		event := strings.HasPrefix(m[1], "s3:ObjectCreated")
		f.wantf(event || slices.Contains(known, m[1]), "nobody needs %s", m[1])
	}
	return errors.Join(f...)
}
