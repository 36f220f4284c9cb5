package ecs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// values are what the templates' functions come to in a stack called events.
var values = map[string]string{
	"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": account, "AWS::StackName": "events", "VodStack": "events",
	"Jobs.Arn": "arn:aws:sqs:eu-west-1:" + account + ":events-Jobs-1", "Failed.Arn": "arn:aws:sqs:eu-west-1:" + account + ":events-Failed-1",
	"Recordings.Arn": "arn:aws:s3:::events-recordings-" + account + "-eu-west-1", "Vod.Arn": "arn:aws:s3:::events-vod-" + account + "-eu-west-1",
	"News": "arn:aws:sns:eu-west-1:" + account + ":events-News-1", "Alarms": "arn:aws:sns:eu-west-1:" + account + ":events-Alarms-1",
	"NotPlaced.Arn": "arn:aws:events:eu-west-1:" + account + ":rule/events-NotPlaced-1", "Cluster": "events-Cluster-1", "Cdn": "E123",
	"Log.Arn": "arn:aws:logs:eu-west-1:" + account + ":log-group:events-Log-1:*", "CdnSecret": "arn:aws:secretsmanager:eu-west-1:" + account + ":secret:CdnSecret-1-abcdef",
	"KmsKey": "arn:aws:kms:eu-west-1:" + account + ":key/1234abcd-12ab-34cd-56ef-1234567890ab",
}

const account, stranger = "123456789012", "210987654321"

// rendered is a part of a template as CloudFormation makes it, with functions put in.
func rendered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := v["Fn::ImportValue"].(string); ok {
			exported := map[string]string{"jobs-arn": "Jobs.Arn", "failed-arn": "Failed.Arn", "recordings-arn": "Recordings.Arn", "vod-arn": "Vod.Arn"}
			return values[exported[strings.TrimPrefix(name, "${VodStack}-")]]
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			parts, _ := join[1].([]any)
			return fmt.Sprint(rendered(parts[0]), join[0], parts[1])
		}
		all := map[string]any{}
		for key, value := range v {
			all[key] = rendered(value)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = rendered(v[i])
		}
		return all
	case string:
		if value, ok := values[v]; ok {
			return value
		}
		return regexp.MustCompile(`\$\{([^}]+)\}`).ReplaceAllStringFunc(v, func(m string) string { return values[m[2:len(m)-1]] })
	}
	return v
}

// identity is all that a role's own policies say.
func identity(t Template, role string) any {
	var statements []any
	policies, _ := t.Property(role, "Policies").([]any)
	for i := range policies {
		more, _ := rendered(t.Property(role, fmt.Sprintf("Policies/%d/PolicyDocument/Statement", i))).([]any)
		statements = append(statements, more...)
	}
	return map[string]any{"Version": "2012-10-17", "Statement": statements}
}

// request is what somebody does, with the policies that apply, and what must come of it.
type request struct {
	Principal string            `json:"principal"`
	Action    string            `json:"action"`
	Resource  string            `json:"resource"`
	Account   string            `json:"account"`
	Context   map[string]string `json:"context,omitempty"`
	Identity  any               `json:"identity,omitempty"`
	Policy    any               `json:"policy,omitempty"`
	want      string
}

const allowed, not, denied403 = "Allowed", "ImplicitlyDenied", "ExplicitlyDenied"

// The policies of the templates allow what the programs were seen to do, and refuse what is none of their business: decided by a
// simulator of IAM that others wrote. Mistakes that were made on purpose change what it decides.
func TestPoliciesDecide(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	for _, wrong := range decide(t, Vod, Origin, Pages) {
		t.Error(wrong)
	}
	for _, m := range []mistake{
		{"missing", `Action: ["s3:GetObject", "s3:PutObject"]`, `Action: "s3:PutObject"`},
		{"any bucket", `Resource: [!GetAtt Recordings.Arn, !GetAtt Vod.Arn]`, `Resource: "*"`},
		{"all of the bucket", `Resource: !Sub "${Vod.Arn}/index/*"`, `Resource: !Sub "${Vod.Arn}/*"`},
		{"any account's S3", "              StringEquals: {\"aws:SourceAccount\": !Ref \"AWS::AccountId\"}\n", ""},
		{"any distribution", `            Condition: {StringEquals: {"AWS:SourceArn": !Sub "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Cdn}"}}`, ""},
		{"any rule", `            Condition: {ArnEquals: {"aws:SourceArn": !GetAtt NotPlaced.Arn}}`, ""},
		{"clear text", `Condition: {Bool: {"aws:SecureTransport": "false"}}`, `Condition: {Bool: {"aws:SecureTransport": "true"}}`},
		{"any account's tasks", `, Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}}]`, "}]"},
		{"no key", `Action: ["kms:Decrypt", "kms:GenerateDataKey"]`, `Action: "kms:Encrypt"`},
	} {
		if !strings.Contains(Vod, m.old) {
			t.Fatalf("%s: the template no longer says %q", m.name, m.old)
		}
		if len(decide(t, strings.ReplaceAll(Vod, m.old, m.new), Origin, Pages)) == 0 {
			t.Errorf("%s: nobody has noticed", m.name)
		}
	}
	for _, m := range []mistake{
		{"all parameters", "parameter/${AWS::StackName}/*", "parameter/*"},
		{"those of a namesake", "parameter/${AWS::StackName}/*", "parameter/${AWS::StackName}*"},
		{"any figures", `                Condition: {StringEquals: {"cloudwatch:namespace": !Ref "AWS::StackName"}}`, ""},
		{"any log", "Resource: !GetAtt Log.Arn", `Resource: "*"`},
		{"recordings may go", `recordings/*.growing/*"`, `recordings/*"`},
	} {
		if !strings.Contains(Origin, m.old) {
			t.Fatalf("%s: the template no longer says %q", m.name, m.old)
		}
		if len(decide(t, Vod, strings.ReplaceAll(Origin, m.old, m.new), Pages)) == 0 {
			t.Errorf("%s: nobody has noticed", m.name)
		}
	}
}

// decide simulates all requests, and tells of those that are decided wrongly.
func decide(t *testing.T, vodText, originText, pagesText string) (wrong []string) {
	t.Helper()
	vod, err := Parse(vodText)
	keyed, err2 := Parse(vodText, "KmsKey="+values["KmsKey"])
	origin, err3 := Parse(originText)
	pages, err4 := Parse(pagesText)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(recorded(t, vod, origin, pages), foreign(vod, origin), strange(pages), services(vod), trust(vod, origin, pages), key(vod, keyed))
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "simulate.mjs")
	cmd.Dir, cmd.Stdin = filepath.Join(testenv.Root(), "tools", "iam"), bytes.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	said := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(said) != len(all) {
		t.Fatalf("simulate: %v (run \"make tools\"), %d answers to %d requests\n%s", err, len(said), len(all), stderr.String())
	}
	for i, r := range all {
		if said[i] != r.want {
			wrong = append(wrong, fmt.Sprintf("%s: %s of %s (%v): %s, want %s", r.Principal, r.Action, r.Resource, r.Context, said[i], r.want))
		}
	}
	return wrong
}

// key is the use of an operator's own key, with the policy that KMS gives it: roles of the account decide.
func key(vod, keyed Template) (all []request) {
	policy := map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": "arn:aws:iam::" + account + ":root"}, "Action": "kms:*", "Resource": "*"},
	}}
	for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
		for _, r := range []request{as(keyed, "WorkerRole", action, values["KmsKey"], allowed), as(vod, "WorkerRole", action, values["KmsKey"], not)} {
			r.Policy = policy
			all = append(all, r)
		}
	}
	return all
}

// as is a request in a role of ours.
func as(t Template, role, action, resource, want string) request {
	return request{
		Principal: "arn:aws:sts::" + account + ":assumed-role/" + role + "/session", Action: action, Resource: resource, Account: account, Identity: identity(t, role), want: want,
	}
}

// examples are resources of the kinds in testdata/permissions.txt.
var examples = map[string]string{
	"jobs": values["Jobs.Arn"], "failed": values["Failed.Arn"], "recordings": values["Recordings.Arn"], "vod": values["Vod.Arn"],
	"recordings/recordings/*": values["Recordings.Arn"] + "/recordings/live/talk.flv", "vod/vod/*": values["Vod.Arn"] + "/vod/talk/master.m3u8", "vod/jobs/*": values["Vod.Arn"] + "/jobs/1/plan.json", "vod/index/*": values["Vod.Arn"] + "/index/1",
	"recordings/recordings/*.growing/*": values["Recordings.Arn"] + "/recordings/live/talk.flv.growing/1", "recordings/recordings/*.growing/index.json": values["Recordings.Arn"] + "/recordings/live/talk.flv.growing/index.json",
	"own tasks":      "arn:aws:ecs:eu-west-1:" + account + ":task/events-Cluster-1/1234",
	"own parameters": "arn:aws:ssm:eu-west-1:" + account + ":parameter/events/stream-key", "cdn secret": values["CdnSecret"], "log": strings.TrimSuffix(values["Log.Arn"], "*") + "log-stream:origin", "*": "*",
}

// recorded is what the programs do.
func recorded(t *testing.T, vod, origin, pages Template) (all []request) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(read(t, filepath.Join("testdata", "permissions.txt"))), "\n")
	for who, more := range beside {
		for _, p := range more {
			lines = append(lines, who+" "+p)
		}
	}
	for _, line := range lines {
		who, what, _ := strings.Cut(line, " ")
		action, resource, _ := strings.Cut(what, " ")
		if examples[resource] == "" {
			t.Errorf("there is no example of %q", resource)
		}
		r := as(vod, "WorkerRole", action, examples[resource], allowed)
		switch who {
		case "origin":
			r = as(origin, "OriginRole", action, examples[resource], allowed)
		case "pages":
			r = as(pages, "PagesRole", action, examples[resource], allowed)
		}
		if action == "cloudwatch:PutMetricData" {
			r.Context = map[string]string{"cloudwatch:namespace": "events"}
		}
		all = append(all, r)
	}
	return all
}

// foreign is what neither role may.
func foreign(vod, origin Template) (all []request) {
	for resource, actions := range map[string][]string{
		examples["vod/vod/*"]:                                            {"s3:DeleteObject", "s3:PutObjectAcl"},
		values["Vod.Arn"] + "/player/a.js":                               {"s3:GetObject", "s3:PutObject"},
		"arn:aws:s3:::another":                                           {"s3:ListBucket"},
		"arn:aws:s3:::another/vod/a":                                     {"s3:GetObject", "s3:PutObject"},
		values["Vod.Arn"]:                                                {"s3:PutBucketPolicy", "s3:DeleteBucket"},
		examples["recordings/recordings/*"]:                              {"s3:PutObject", "s3:DeleteObject"},
		examples["recordings/recordings/*.growing/*"]:                    {"s3:DeleteObject", "s3:PutObject"},
		examples["failed"]:                                               {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"},
		examples["jobs"]:                                                 {"sqs:PurgeQueue", "sqs:SetQueueAttributes"},
		"arn:aws:ecs:eu-west-1:" + account + ":task/another/1234":        {"ecs:UpdateTaskProtection", "ecs:StopTask"},
		"arn:aws:iam::" + account + ":role/admin":                        {"iam:PassRole"},
		"arn:aws:ssm:eu-west-1:" + account + ":parameter/other/password": {"ssm:GetParameter"},
	} {
		for _, action := range actions {
			all = append(all, as(vod, "WorkerRole", action, resource, not))
		}
	}
	for resource, actions := range map[string][]string{
		examples["recordings/recordings/*"]: {"s3:DeleteObject"},
		examples["vod/vod/*"]:               {"s3:GetObject", "s3:PutObject"},
		examples["jobs"]:                    {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"},
		examples["failed"]:                  {"sqs:SendMessage"},
		"arn:aws:ssm:eu-west-1:" + account + ":parameter/other/password":             {"ssm:GetParameter"},
		"arn:aws:ssm:eu-west-1:" + account + ":parameter/eventsx/key":                {"ssm:GetParameter"},
		examples["own parameters"]:                                                   {"ssm:PutParameter"},
		"arn:aws:secretsmanager:eu-west-1:" + account + ":secret:another-abcdef":     {"secretsmanager:GetSecretValue"},
		"arn:aws:logs:eu-west-1:" + account + ":log-group:another:log-stream:origin": {"logs:PutLogEvents"},
		"arn:aws:iam::" + account + ":role/admin":                                    {"iam:PassRole"},
	} {
		for _, action := range actions {
			all = append(all, as(origin, "OriginRole", action, resource, not))
		}
	}
	other := as(origin, "OriginRole", "cloudwatch:PutMetricData", "*", not)
	other.Context = map[string]string{"cloudwatch:namespace": "AWS/EC2"}
	return append(all, other)
}

// strange is what the pages may not.
func strange(pages Template) (all []request) {
	for resource, actions := range map[string][]string{
		examples["recordings/recordings/*"]: {"s3:PutObject"},
		examples["jobs"]:                    {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"},
		examples["failed"]:                  {"sqs:PurgeQueue", "sqs:SendMessage"},
		values["Vod.Arn"] + "/player/a.js":  {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
		values["Vod.Arn"]:                   {"s3:PutBucketPolicy", "s3:DeleteBucket"},
		values["CdnSecret"]:                 {"secretsmanager:GetSecretValue"},
	} {
		for _, action := range actions {
			all = append(all, as(pages, "PagesRole", action, resource, not))
		}
	}
	return all
}

// services are AWS's own, by the policies of buckets, queues and topics; and nobody comes in clear text.
func services(vod Template) (all []request) {
	policy := func(name string) any { return rendered(vod.Property(name, "PolicyDocument")) }
	add := func(service, action, resource, of, want string, context map[string]string) {
		all = append(all, request{Principal: service + ".amazonaws.com", Action: action, Resource: resource, Account: account, Context: context, Policy: policy(of), want: want})
	}
	from := func(source, account string) map[string]string {
		return map[string]string{"aws:SourceArn": source, "aws:SourceAccount": account, "aws:SecureTransport": "true"}
	}
	add("s3", "sqs:SendMessage", values["Jobs.Arn"], "JobsPolicy", allowed, from(values["Recordings.Arn"], account))
	add("s3", "sqs:SendMessage", values["Jobs.Arn"], "JobsPolicy", not, from(values["Recordings.Arn"], stranger))
	add("s3", "sqs:SendMessage", values["Jobs.Arn"], "JobsPolicy", not, from("arn:aws:s3:::another", account))
	add("s3", "sqs:SendMessage", values["Failed.Arn"], "FailedPolicy", not, from(values["Recordings.Arn"], account))
	add("s3", "sns:Publish", values["News"], "NewsPolicy", allowed, from(values["Vod.Arn"], account))
	add("s3", "sns:Publish", values["News"], "NewsPolicy", not, from(values["Recordings.Arn"], account))
	add("events", "sns:Publish", values["Alarms"], "AlarmsPolicy", allowed, from(values["NotPlaced.Arn"], account))
	add("events", "sns:Publish", values["Alarms"], "AlarmsPolicy", not, from("arn:aws:events:eu-west-1:"+account+":rule/another", account))
	add("cloudwatch", "sns:Publish", values["Alarms"], "AlarmsPolicy", allowed, from("arn:aws:cloudwatch:eu-west-1:"+account+":alarm:a", account))
	add("cloudwatch", "sns:Publish", values["Alarms"], "AlarmsPolicy", not, from("arn:aws:cloudwatch:eu-west-1:"+stranger+":alarm:a", stranger))
	const cdn = "arn:aws:cloudfront::" + account + ":distribution/"
	for key, want := range map[string]string{"vod/talk/master.m3u8": allowed, "player/index.html": allowed, "jobs/1/plan.json": not, "index/1": not} {
		add("cloudfront", "s3:GetObject", values["Vod.Arn"]+"/"+key, "VodPolicy", want, from(cdn+"E123", account))
		add("cloudfront", "s3:GetObject", values["Vod.Arn"]+"/"+key, "VodPolicy", not, from(cdn+"E999", account))
	}
	add("cloudfront", "s3:PutObject", values["Vod.Arn"]+"/vod/a", "VodPolicy", not, from(cdn+"E123", account))
	for resource, of := range map[string][2]string{
		"vod/vod/*": {"s3:GetObject", "VodPolicy"}, "recordings/recordings/*": {"s3:GetObject", "RecordingsPolicy"}, "jobs": {"sqs:ReceiveMessage", "JobsPolicy"}, "failed": {"sqs:SendMessage", "FailedPolicy"},
	} {
		r := as(vod, "WorkerRole", of[0], examples[resource], denied403)
		r.Policy, r.Context = policy(of[1]), map[string]string{"aws:SecureTransport": "false"}
		safe := r
		safe.Context, safe.want = map[string]string{"aws:SecureTransport": "true"}, allowed
		all = append(all, r, safe)
	}
	return all
}

// trust is who may be a role.
func trust(vod, origin, pages Template) (all []request) {
	service := map[string]string{"WorkerRole": "ecs-tasks", "ExecutionRole": "ecs-tasks", "AwakeRole": "scheduler", "OriginRole": "ec2", "PagesRole": "ecs-tasks"}
	for _, role := range slices.Sorted(maps.Keys(service)) {
		t := vod
		switch role {
		case "OriginRole":
			t = origin
		case "PagesRole":
			t = pages
		}
		policy := rendered(t.Property(role, "AssumeRolePolicyDocument"))
		ask := func(principal, from, want string) {
			all = append(all, request{Principal: principal, Action: "sts:AssumeRole", Resource: "arn:aws:iam::" + account + ":role/" + role, Account: account, Policy: policy, Context: map[string]string{"aws:SourceAccount": from}, want: want})
		}
		ask(service[role]+".amazonaws.com", account, allowed)
		ask("lambda.amazonaws.com", account, not)
		ask("arn:aws:iam::"+stranger+":user/somebody", account, not)
		if role != "OriginRole" { // EC2 says no account
			ask(service[role]+".amazonaws.com", stranger, not)
		}
	}
	return all
}
