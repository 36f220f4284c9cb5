package ecs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"afterlive.alt/internal/testenv"
)

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
	files, err := hostFiles()
	f = append(f, err, instance(t), watched(t), host(files, t.Text("Settings", "Value/0")))
	imports := regexp.MustCompile(`"\$\{VodStack\}-([a-z-]+)"`).FindAllStringSubmatch(text, -1)
	f.wantf(len(imports) == 16, "%d values of the vod stack are used", len(imports))
	for _, m := range imports {
		f.wantf(strings.Contains(Vod, `Export: {Name: !Sub "${AWS::StackName}-`+m[1]+`"}`), "the vod stack exports no %s", m[1])
	}
	return errors.Join(append(f, fits(text), actions(text), descriptions(text), permissions(t.Role("OriginRole"), "origin"))...)
}

// instance wants nothing of a version in what CloudFormation stops the instance for.
func instance(t Template) error {
	var f faults
	user := t.Text("Instance", "UserData/Fn::Base64")
	f.wantf(strings.Contains(user, "until [ -e /dev/sdf ]") && strings.Contains(user, "exec /run/afterlive-host/install"), "the instance has no disk, or no services")
	for _, m := range regexp.MustCompile(`\$\{([^}]*)\}`).FindAllStringSubmatch(user, -1) {
		f.wantf(m[1] == "AWS::Region" || m[1] == "AWS::StackName", "a change of %s would cut live streams off", m[1])
	}
	f.wantf(!strings.Contains(user, "docker run") && !strings.Contains(user, ".service"), "services are in the user data, which runs once")
	f.wantf(t.Property("Instance", "NetworkInterfaces/0/AssociatePublicIpAddress") == true, "without PrivateSubnet, the instance has no way to the world")
	f.wantf(fmt.Sprint(t.Property("OriginRole", "ManagedPolicyArns")) == "[arn:${AWS::Partition}:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly]", "AWS's policies allow the instance more than it needs")
	return errors.Join(append(f, scriptIsValid(user))...)
}

// watched wants alarms that somebody hears of.
func watched(t Template) error {
	var f faults
	metrics := map[string]string{"InstanceFails": "StatusCheckFailed", "NginxIsDown": "UnHealthyHostCount", "DiskIsFull": "DiskUsed", "SweepFails": "SweepFailed"}
	for alarm, metric := range metrics {
		f.wantf(t.Text(alarm, "MetricName") == metric && strings.Contains(t.Text(alarm, "AlarmActions"), "${VodStack}-alarms"), "nobody hears of %s", alarm)
	}
	f.wantf(t.Text("DiskIsFull", "TreatMissingData") == "breaching", "an instance that does nothing any more is not noticed")
	return errors.Join(f...)
}

// hostFiles are what the image brings to its instance, by name.
func hostFiles() (map[string]string, error) {
	all := map[string]string{}
	folder := os.DirFS(testenv.Root() + "/ecs/origin")
	names, err := fs.Glob(folder, "*")
	for _, name := range names {
		body, failed := fs.ReadFile(folder, name)
		all[name], err = string(body), errors.Join(err, failed)
	}
	return all, err
}

// host checks what the image brings to its instance, with the settings that it reads.
func host(files map[string]string, settings string) error {
	var f faults
	all := ""
	for name, body := range files {
		all += body
		if strings.HasPrefix(body, "#!/bin/bash") {
			f.wantf(strings.Contains(body, "set -euo pipefail"), "%s goes on after an error", name)
			f.wantf(!regexp.MustCompile(`set -\w*x`).MatchString(body), "the log would have the key")
			f = append(f, scriptIsValid(body))
		}
	}
	for _, part := range []string{
		`echo "if (\$arg_key != \"$key\") { return 403; }" | put publish.conf`, `echo "if (\$http_x_afterlive_origin != \"$secret\") { return 403; }" | put cdn.conf`, "RequiresMountsFor=/var/lib/afterlive", "docker stop -t 86400",
		"TimeoutStopSec=infinity", "sweep /var/lib/afterlive/rec", "follow --origin=${ORIGIN_NAME} /var/lib/afterlive/rec", "--read-only --cap-drop ALL --security-opt no-new-privileges", "--log-driver awslogs",
		"mode=non-blocking", "[[ $stat == *'<publishing/>'* ]]", "upgrade_type = security",
	} {
		f.wantf(strings.Contains(all, part), "the origin's instance doesn't say %s", part)
	}
	environment := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=`).FindAllStringSubmatch(settings, -1) {
		f.wantf(regexp.MustCompile(`(\$\{?|-e |\^)`+m[1]+`\b`).MatchString(all), "nothing reads %s", m[1])
		if strings.HasPrefix(m[1], "AFTERLIVE_") {
			environment[m[1]] = ""
		}
	}
	f.wantf(len(environment) == 4, "enqueue needs to know queues and buckets")
	return errors.Join(append(f, variables(environment))...)
}

// scriptIsValid asks bash whether a text is a script.
func scriptIsValid(text string) error {
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%.40q: %w: %s", text, err, out)
	}
	return nil
}
