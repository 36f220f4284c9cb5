package ecs

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// checkPages looks for what the web pages need.
func checkPages(text string) error {
	t, err := Parse(text)
	told, err2 := Parse(text, "Webhook=https://example.org/hook", "KmsKey="+values["KmsKey"])
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	var f faults
	into, task := t.Text("FromVisitors", "SecurityGroupIngress"), t.Text("FromBalancer", "SecurityGroupIngress")
	f.wantf(strings.Contains(into, "CidrIp:Visitors") && strings.Contains(into, "FromPort:443"), "visitors come by %s", into)
	f.wantf(!strings.Contains(task, "Cidr") && strings.Contains(task, "SourceSecurityGroupId:FromVisitors"), "the task can be reached around its balancer: %s", task)
	f.wantf(t.Text("Listener", "Protocol") == "HTTPS" && strings.Contains(t.Text("Listener", "SslPolicy"), "TLS13"), "tokens go over the wire in clear text")
	const container = "ContainerDefinitions/0/"
	f.wantf(t.Property("Pages", container+"ReadonlyRootFilesystem") == true && t.Text("Pages", container+"User") == "65532:65532", "the container may more than it needs")
	f.wantf(strings.Contains(t.Text("Pages", container+"LinuxParameters"), "Drop:[ALL]"), "the container has capabilities")
	f.wantf(t.Text("Pages", container+"EntryPoint") == "[/usr/local/bin/enqueue]" && t.Text("Pages", container+"Command") == "[serve]", "the container serves no pages")
	f.wantf(t.Text("Targets", "HealthCheckPath") == "/api/v1/site" && t.Text("Targets", "Port") == "8090" && t.Text("Pages", container+"PortMappings") == "[map[ContainerPort:8090]]", "the balancer looks elsewhere")
	f.wantf(strings.Contains(t.Text("Pages", container+"Environment"), "Value:0.0.0.0:8090"), "the task listens to itself alone")
	secrets := told.Text("Pages", container+"Secrets")
	f.wantf(strings.Contains(secrets, "AFTERLIVE_TOKENS") && strings.Contains(secrets, "AFTERLIVE_WEBHOOK_SECRET"), "secrets are %s", secrets)
	f.wantf(!strings.Contains(t.Text("Pages", container+"Secrets"), "WEBHOOK") && strings.Contains(told.Text("Pages", container+"Environment"), "AFTERLIVE_WEBHOOK"), "the webhook isn't heeded")
	f.wantf(strings.Contains(t.Text("PagesDown", "AlarmActions"), "-alarms") && t.Text("PagesDown", "TreatMissingData") == "breaching", "nobody hears that the pages are down")
	settings, err := os.ReadFile(filepath.Join(testenv.Root(), "internal", "config", "site.go"))
	serve, err2 := os.ReadFile(filepath.Join(testenv.Root(), "cmd", "enqueue", "serve.go"))
	flags, err3 := os.ReadFile(filepath.Join(testenv.Root(), "internal", "config", "config.go"))
	f = append(f, err, err2, err3)
	for _, m := range regexp.MustCompile(`Name: (AFTERLIVE_\w+),`).FindAllStringSubmatch(text, -1) {
		f.wantf(strings.Contains(string(settings)+string(serve)+string(flags), `env:"`+m[1]+`"`), "the program knows no %s", m[1])
	}
	for _, m := range regexp.MustCompile(`"\$\{VodStack\}-([a-z-]+)"`).FindAllStringSubmatch(text, -1) {
		f.wantf(strings.Contains(Vod, `Export: {Name: !Sub "${AWS::StackName}-`+m[1]+`"}`), "the vod stack exports no %s", m[1])
	}
	return errors.Join(append(f, fits(text), descriptions(text), permissions(told.Role("PagesRole"), "pages"))...)
}

// Mistakes in the template of the pages that were made on purpose are all found.
func TestMistakesOfThePagesAreFound(t *testing.T) {
	if err := checkPages(Pages); err != nil {
		t.Fatal(err)
	}
	found(t, Pages, checkPages, []mistake{
		{"no TLS", "Protocol: HTTPS", "Protocol: HTTP"},
		{"an old TLS", "ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-2016-08"},
		{"around the balancer", "SourceSecurityGroupId: !Ref FromVisitors", "CidrIp: 0.0.0.0/0"},
		{"listens to itself", "0.0.0.0:8090", "127.0.0.1:8090"},
		{"another port", "Port: 8090\n      Protocol: HTTP", "Port: 8080\n      Protocol: HTTP"},
		{"misspelled variable", "AFTERLIVE_TOKENS", "AFTERLIVE_TOKEN"},
		{"another program", "EntryPoint: [/usr/local/bin/enqueue]", "EntryPoint: [/usr/local/bin/worker]"},
		{"writable root", "ReadonlyRootFilesystem: true", "ReadonlyRootFilesystem: false"},
		{"no such export", "${VodStack}-cluster", "${VodStack}-Cluster"},
		{"may not replay", `"sqs:ReceiveMessage", "sqs:DeleteMessage", `, ""},
		{"may take the workers' tasks", `Action: ["sqs:SendMessage", "sqs:GetQueueAttributes"]`, `Action: ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]`},
		{"may write recordings", `Action: ["s3:GetObject", "s3:DeleteObject"]`, `Action: ["s3:GetObject", "s3:DeleteObject", "s3:PutObject"]`},
		{"no such resource", "TargetGroupArn: !Ref Targets}]\n\n", "TargetGroupArn: !Ref Target}]\n\n"},
	})
}
