package ecs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
	"afterlive.alt/player"
)

// faults collects what is wrong.
type faults []error

func (f *faults) wantf(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// configurations of the fleet: as it is by default, and with everything else.
var configurations = [][]string{nil, {
	"Capacity=EC2_SPOT", "LiveOrigin=live.example.org", "LiveHeader=arn:secret", "Operator=ops@example.org", "Trigger=SENDER", "OnDemandTasks=0", "PublicAddresses=DISABLED",
	"RecordingsDays=7", "KmsKey=arn:aws:kms:eu-west-1:1:key/1", "AccessLogs=logs", "CdnName=vod.example.org", "Certificate=arn:aws:acm:us-east-1:1:certificate/1", "WebAcl=arn:acl",
}, {"OnDemandTasks=0"}}

// check looks for what the validator doesn't know: what the worker needs, and what must agree with what, in each configuration.
func check(text string) error {
	var all []error
	for i, parameters := range configurations {
		vod, err := Parse(text, parameters...)
		if err != nil {
			return err
		}
		all = append(all, storage(vod), scaling(vod), worker(vod), cdn(vod), operators(vod), permissions(vod.Role("WorkerRole"), "worker"))
		if i == 1 {
			all = append(all, instances(vod), options(vod))
		} else {
			all = append(all, capacity(vod, i == 0), defaults(vod))
		}
	}
	return errors.Join(append(all, fits(text), actions(text), encrypted(text), descriptions(text))...)
}

// fits wants a template to be what CloudFormation takes without a bucket, once deploy.sh has dropped the comments.
func fits(text string) error {
	const most = 51200 // bytes
	size := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line)+" ", "# ") {
			size += len(line)
		}
	}
	if size > most {
		return fmt.Errorf("the template has %d bytes without comments, CloudFormation takes %d", size, most)
	}
	return nil
}

// defaults are those of a stack of which nothing was said.
func defaults(t Template) error {
	var f faults
	f.wantf(slices.Equal(filters(t, "Recordings"), []string{"recordings/", ".flv", "recordings/", ".FLV"}), "notifications must be of recordings/*.flv alone, in either case: %v", filters(t, "Recordings"))
	f.wantf(t.Parameter("OnDemandTasks") >= 1, "without spot capacity, nothing would run")
	f.wantf(t.Text("Fleet", "NetworkConfiguration/AwsvpcConfiguration/AssignPublicIp") == "PublicAddresses", "PublicAddresses is not heeded")
	f.wantf(!strings.Contains(t.Text("Recordings", "LifecycleConfiguration"), "Expiration"), "recordings are deleted, and nobody asked for that")
	return errors.Join(f...)
}

// options are heeded where they are given.
func options(t Template) error {
	var f faults
	f.wantf(t.Property("Recordings", "NotificationConfiguration") == nil, "the origin sends, and S3 does, too")
	f.wantf(strings.Contains(t.Text("Recordings", "LifecycleConfiguration"), "ExpirationInDays:RecordingsDays"), "RecordingsDays is not heeded")
	for _, bucket := range []string{"Recordings", "Vod"} {
		f.wantf(strings.Contains(t.Text(bucket, "BucketEncryption"), "KMSMasterKeyID:KmsKey"), "%s is not encrypted with KmsKey", bucket)
		f.wantf(t.Text(bucket, "LoggingConfiguration/DestinationBucketName") == "AccessLogs", "%s has no access log", bucket)
	}
	f.wantf(t.Text("Cdn", "DistributionConfig/Aliases") == "[CdnName]" && t.Text("Cdn", "DistributionConfig/ViewerCertificate/MinimumProtocolVersion") == "TLSv1.2_2021", "CdnName is not served, or by an old TLS")
	f.wantf(t.Text("Cdn", "DistributionConfig/WebACLId") == "WebAcl" && t.Property("Cdn", "DistributionConfig/Logging") != nil, "WebAcl or AccessLogs is not heeded")
	return errors.Join(f...)
}

// capacity of Fargate: some tasks on demand by default, and a weight where tasks are to be placed.
func capacity(t Template, onDemand bool) error {
	var f faults
	want := "[map[CapacityProvider:FARGATE_SPOT Weight:1]]"
	if onDemand {
		want = "[map[Base:OnDemandTasks CapacityProvider:FARGATE Weight:1] map[CapacityProvider:FARGATE_SPOT Weight:1000]]"
	}
	f.wantf(t.Text("Fleet", "CapacityProviderStrategy") == want, "capacity is %s", t.Text("Fleet", "CapacityProviderStrategy"))
	return errors.Join(f...)
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
	f.wantf(slices.Equal(filters(t, "Vod"), []string{"vod/", "/asset.json", "jobs/", "-failed.json"}), "news is of finished assets and failures alone: %v", filters(t, "Vod"))
	f.wantf(strings.HasSuffix(ladder.PointerKey("live/x"), "/asset.json"), "the pointer is not an asset.json")
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
	f.wantf(c("LogConfiguration/Options/mode") == "non-blocking", "a worker waits for its log")
	const scratch, image, room = 8, 2, 14 // GiB; --max-scratch, unpacked, and a second task's leftovers
	if t.Text("Worker", "RequiresCompatibilities") == "[FARGATE]" {
		f.wantf(t.Number("Worker", "EphemeralStorage/SizeInGiB") >= scratch+image+room, "the disk must hold --max-scratch, the image and room")
	}
	return errors.Join(f...)
}

// variables must be such as the programs read.
func variables(environment map[string]string) error {
	var f faults
	source, err := os.ReadFile(testenv.Root() + "/cmd/worker/main.go")
	shared, err2 := os.ReadFile(testenv.Root() + "/internal/config/config.go")
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
	kinds := func(path string) string {
		return t.Text("Hosts", "MixedInstancesPolicy/LaunchTemplate/Overrides/0/InstanceRequirements/"+path)
	}
	f.wantf(kinds("VCpuCount") == "map[Max:4 Min:4]" && kinds("MemoryMiB/Min") == "7600" && kinds("CpuManufacturers") == "[intel amd]", "a task doesn't fit on %s", kinds(""))
	f.wantf(t.Number("Launch", "LaunchTemplateData/MetadataOptions/HttpPutResponseHopLimit") == 1, "a container gets at the instance's role")
	f.wantf(t.Property("Launch", "LaunchTemplateData/NetworkInterfaces/0/AssociatePublicIpAddress") == false, "PublicAddresses is not heeded")
	f.wantf(regexp.MustCompile(`^cp-`).MatchString(t.Text("Instances", "Name")), "ECS may refuse the provider's name")
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
	root := strings.TrimPrefix(t.Text("Cdn", "DistributionConfig/DefaultRootObject"), "player/")
	_, err := os.Stat(testenv.Root() + "/player/web/" + root)
	f.wantf(err == nil, "the CDN's root is a file that the player hasn't: %v", err)
	f.wantf(t.Property("Cdn", "DistributionConfig/IPV6Enabled") == true, "the CDN has no IPv6")
	f.wantf(t.Property("AnyPage", "ResponseHeadersPolicyConfig/SecurityHeadersConfig/StrictTransportSecurity") != nil, "browsers may come without TLS")
	if t.At("Resources/LivePlaylist") != nil {
		f.wantf(strings.Contains(t.Text("Cdn", "DistributionConfig/Origins/1"), "HeaderName:X-Afterlive-Origin HeaderValue:{{resolve:secretsmanager:${LiveHeader}}}"), "any CDN may take the live origin's streams")
		first := t.Property("Cdn", "DistributionConfig/CacheBehaviors/0")
		f.wantf(strings.Contains(fmt.Sprint(first), "CachePolicyId:LivePlaylist") && strings.Contains(fmt.Sprint(first), "TargetOriginId:live"), "live playlists come from %v", first)
		f.wantf(t.Number("LivePlaylist", "CachePolicyConfig/MaxTTL") <= 2, "live playlists must not be older than a segment")
		f.wantf(t.Number("LiveSegment", "CachePolicyConfig/MaxTTL") <= 30, "live segments' names come again")
	}
	return errors.Join(f...)
}

func operators(t Template) error {
	var f faults
	source, err := os.ReadFile(testenv.Root() + "/cmd/worker/cloudwatch.go")
	f = append(f, err)
	dashboard := t.Text("Dashboard", "DashboardBody")
	f.wantf(json.Valid([]byte(dashboard)), "the dashboard is no JSON")
	names := regexp.MustCompile(`"\$\{AWS::StackName\}", "(\w+)"`).FindAllStringSubmatch(dashboard, -1)
	f.wantf(len(names) == 3, "the dashboard shows %d of the log's figures", len(names))
	for _, m := range names {
		f.wantf(strings.Contains(string(source), `{"`+m[1]+`", `), "no worker tells the figure %s", m[1])
	}
	for _, alarm := range []string{"TasksFailed", "WorkIsLate", "WorkIsLost", "NoProgress", "OriginIsLost", "QueueIsUnreadable", "DeletionsFail", "AttemptsFail"} {
		f.wantf(t.Text(alarm, "AlarmActions") == "[Alarms]" && t.Text(alarm, "OKActions") == "[Alarms]", "nobody hears of %s, or of its end", alarm)
	}
	for _, m := range regexp.MustCompile(`Namespace:AWS::StackName|MetricName:(\w+)[^\]]*Namespace:AWS::StackName`).FindAllStringSubmatch(fmt.Sprint(t["Resources"]), -1) {
		f.wantf(m[1] == "" || m[1] == "OriginsLost" || strings.Contains(string(source), `{"`+m[1]+`", `), "no worker tells the figure %s", m[1])
	}
	f.wantf(strings.Contains(t.Text("Worker", "ContainerDefinitions/0/Environment"), "Name:AFTERLIVE_CLOUDWATCH Value:AWS::StackName"), "workers tell CloudWatch no figures")
	policy := t.Text("AlarmsPolicy", "PolicyDocument")
	f.wantf(t.Text("NotPlaced", "EventPattern/detail/eventName") == "[SERVICE_TASK_PLACEMENT_FAILURE SERVICE_TASK_START_IMPAIRED]" && strings.Contains(t.Text("NotPlaced", "Targets"), "Arn:Alarms") &&
		strings.Contains(policy, "events.amazonaws.com") && strings.Contains(policy, "cloudwatch.amazonaws.com"), "nobody hears of tasks that cannot be placed")
	// Where nothing runs, nobody logs.
	f.wantf(strings.Contains(t.Text("NoProgress", "Metrics"), "IF(deleted < 1, visible + inflight, 0)"), "without any worker, the lack of progress would not be seen")
	return errors.Join(f...)
}

// known are the actions that anything here may do. What the roles need is found by
// looking at what the programs do, end to end.
var known = []string{
	"sts:AssumeRole", "sns:Publish", "sqs:TagQueue",
	"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage", "sqs:GetQueueAttributes",
	"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket", "s3:DeleteObject",
	"ecs:UpdateTaskProtection", "ecs:GetTaskProtection", "kms:Decrypt", "kms:GenerateDataKey",
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
	for _, resource := range []string{"!GetAtt Jobs.Arn", "!GetAtt Failed.Arn", "!Ref News", "!Ref Alarms", `[!GetAtt Vod.Arn, !Sub "${Vod.Arn}/*"]`, `[!GetAtt Recordings.Arn, !Sub "${Recordings.Arn}/*"]`} {
		f.wantf(slices.Contains(all, resource), "%s can be reached in clear text", resource)
	}
	return errors.Join(f...)
}

// actions finds those that nobody knows.
func actions(text string) error {
	var f faults
	allowed := denied.ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`"((?:sts|sqs|sns|s3|ecs|kms):[A-Za-z*]+)"`).FindAllStringSubmatch(allowed, -1) {
		event := strings.HasPrefix(m[1], "s3:ObjectCreated")
		f.wantf(event || slices.Contains(known, m[1]), "nobody needs %s", m[1])
	}
	return errors.Join(f...)
}
