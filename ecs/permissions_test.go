package ecs

import (
	"errors"
	"os"
	"strings"

	"afterlive.alt/internal/testenv"
)

// resources are those of the roles, as testdata/permissions.txt has them.
var resources = map[string]string{
	"Jobs.Arn": "jobs", "Failed.Arn": "failed", "Recordings.Arn": "recordings", "Vod.Arn": "vod",
	"${Recordings.Arn}/recordings/*": "recordings/recordings/*", "${Vod.Arn}/jobs/*": "vod/jobs/*", "${Vod.Arn}/vod/*": "vod/vod/*", "${Vod.Arn}/index/*": "vod/index/*",
	"${Recordings.Arn}/recordings/*.growing/index.json":                                          "recordings/recordings/*.growing/index.json",
	"map[Fn::ImportValue:${VodStack}-failed-arn]":                                                "failed",
	"map[Fn::ImportValue:${VodStack}-vod-arn]":                                                   "vod",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-vod-arn] jobs/*]]]":                        "vod/jobs/*",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-vod-arn] vod/*]]]":                         "vod/vod/*",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-vod-arn] index/*]]]":                       "vod/index/*",
	"map[Fn::ImportValue:${VodStack}-jobs-arn]":                                                  "jobs",
	"map[Fn::ImportValue:${VodStack}-recordings-arn]":                                            "recordings",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-recordings-arn] recordings/*]]]":           "recordings/recordings/*",
	"map[Fn::Join:[/ [map[Fn::ImportValue:${VodStack}-recordings-arn] recordings/*.growing/*]]]": "recordings/recordings/*.growing/*",
	"arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task/${Cluster}/*":               "own tasks",
	"arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/${AWS::StackName}/*":   "own parameters",
	"CdnSecret": "cdn secret", "Log.Arn": "log", "KmsKey": "key", "*": "*",
}

// beside are permissions that our programs don't use themselves.
var beside = map[string][]string{
	"worker": {"ecs:UpdateTaskProtection own tasks", "ecs:GetTaskProtection own tasks"}, // ECS's agent asks for these in the name of the task
	"origin": { // the scripts in ecs/origin, docker's log, and the agent of Systems Manager, as its manual has it
		"ssm:GetParameter own parameters", "secretsmanager:GetSecretValue cdn secret", "cloudwatch:PutMetricData *", "logs:CreateLogStream log", "logs:PutLogEvents log",
		"ssm:UpdateInstanceInformation *", "ssmmessages:CreateControlChannel *", "ssmmessages:CreateDataChannel *", "ssmmessages:OpenControlChannel *", "ssmmessages:OpenDataChannel *",
		"ec2messages:AcknowledgeMessage *", "ec2messages:DeleteMessage *", "ec2messages:FailMessage *", "ec2messages:GetEndpoint *", "ec2messages:GetMessages *", "ec2messages:SendReply *",
	},
}

// permissions compares what a role allows with what the programs do, as the end to
// end test has recorded it: each of it, and nothing more.
func permissions(role []Permission, who string) error {
	var f faults
	body, err := os.ReadFile(testenv.Root() + "/ecs/testdata/permissions.txt")
	f = append(f, err)
	needed := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), who+" "); ok {
			needed[p] = true
		}
	}
	f.wantf(len(needed) >= 4, "nothing is recorded of what the %s does", who)
	for _, p := range beside[who] {
		needed[p] = true
	}
	for _, p := range role {
		if p.Resource == "KmsKey" { // S3 asks for these, where a key is given
			f.wantf(p.Action == "kms:Decrypt" || p.Action == "kms:GenerateDataKey", "nobody needs %s", p.Action)
			continue
		}
		name := p.Action + " " + resources[p.Resource]
		f.wantf(needed[name], "the %s never does %s (%s)", who, name, p.Resource)
		delete(needed, name)
	}
	for name := range needed {
		f.wantf(false, "the %s may not do %s", who, name)
	}
	return errors.Join(f...)
}
