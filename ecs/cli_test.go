package ecs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// cloud is a server that answers the AWS CLI, and makes most of what a template says: moto, which others wrote.
type cloud struct {
	root string // of the project, with a stand-in for bin/enqueue
	env  []string
}

// start starts one, where moto and the AWS CLI are.
func start(t *testing.T) cloud {
	t.Helper()
	server, err := exec.LookPath("moto_server")
	cli, err2 := exec.LookPath("aws")
	if err != nil || err2 != nil {
		t.Skip("moto_server and the AWS CLI are not here, so deploy.sh was run against a stand-in alone: pip install 'moto[server]' awscli")
	}
	port := testenv.FreePort(t)
	testenv.Background(t, exec.CommandContext(t.Context(), server, "-H", "127.0.0.1", "-p", port), "127.0.0.1:"+port)
	c := cloud{root: t.TempDir()}
	if err := os.Symlink(filepath.Join(testenv.Root(), "ecs"), filepath.Join(c.root, "ecs")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.root, "bin", "enqueue"), "#!/bin/bash\necho \"enqueue $*\"\n")
	// moto gives no outputs of a stack that a change set has made, runs no tasks, and fails where it is asked for one resource of a stack of which it could not make all.
	write(t, filepath.Join(c.root, "path", "aws"), `#!/bin/bash
case "$*" in
*deployments*) echo "$("$0" cloudformation describe-stack-resource --stack-name events --logical-resource-id Worker) 1 COMPLETED" ;;
*describe-stack-resource*) exec `+cli+` cloudformation describe-stack-resources --stack-name "$4" --query "StackResources[?LogicalResourceId=='$6'].PhysicalResourceId" --output text ;;
*update-termination-protection*) ;; # it has none
*execute-change-set*) [ -e `+c.root+`/updated ] || exec `+cli+` "$@" ;; # it stumbles over updates of lists
*stack-update-complete*) ;;
*create-change-set*UPDATE*) touch `+c.root+`/updated; echo "$*" >`+c.root+`/update; exec `+cli+` "$@" ;;
*) exec `+cli+` "$@" ;;
esac
`)
	c.env = append(os.Environ(), "PATH="+filepath.Join(c.root, "path")+":"+os.Getenv("PATH"), "AWS_ENDPOINT_URL=http://127.0.0.1:"+port, "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=us-west-1", "AWS_DEFAULT_REGION=us-west-1",
		"AWS_CONFIG_FILE=/dev/null", "AWS_PAGER=", "VERSION=v1", "PAUSE=0")
	return c
}

// run runs a program of the project, or the AWS CLI, and returns what it said.
func (c cloud) run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.root, c.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// deploy.sh with the real AWS CLI, against a server that makes stacks of the real templates: what the CLI takes, and what its
// answers look like, is no invention of ours.
func TestDeployWithTheCLI(t *testing.T) {
	testenv.InTurn(t)
	t.Parallel()
	c := start(t)
	ask := func(args ...string) string {
		t.Helper()
		out, err := c.run(t, "", append([]string{filepath.Join(c.root, "path", "aws")}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	const registry = "123456789012.dkr.ecr.us-west-1.amazonaws.com/afterlive"
	deploy := func(stdin string, args ...string) (string, error) {
		return c.run(t, stdin, append([]string{"bash", "ecs/deploy.sh"}, args...)...)
	}
	must := func(want, stdin string, args ...string) {
		t.Helper()
		if out, err := deploy(stdin, args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := deploy("", "up", "events", registry); err == nil || !strings.Contains(out, "there is no "+registry+"/worker:v1") {
		t.Errorf("an image that was not pushed: %v\n%s", err, out)
	}
	for _, image := range []string{"worker", "origin"} {
		ask("ecr", "create-repository", "--repository-name", "afterlive/"+image)
		ask("ecr", "put-image", "--repository-name", "afterlive/"+image, "--image-tag", "v1", "--image-manifest",
			fmt.Sprintf(`{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {"digest": "sha256:%s"}, "layers": []}`, image))
	}
	must("ready. Put a recording into", "", "up", "events", registry, "Operator=ops@example.org", "MaxTasks=7")
	if image := ask("ecs", "describe-task-definition", "--task-definition", "events-worker", "--query", "taskDefinition.containerDefinitions[0].image"); !strings.Contains(image, "/worker@sha256:") {
		t.Errorf("the worker's image is %s", image)
	}
	ask("s3api", "head-bucket", "--bucket", "events-recordings-123456789012-us-west-1")
	must("ready", "", "up", "events", registry, "MaxTasks=8")
	set := regexp.MustCompile(`--change-set-name (\S+)`).FindStringSubmatch(read(t, filepath.Join(c.root, "update")))
	changed := ask("cloudformation", "describe-change-set", "--stack-name", "events", "--change-set-name", set[1], "--query", "Parameters[?ParameterKey=='MaxTasks' || ParameterKey=='Operator'].ParameterValue", "--output", "text")
	if all := strings.Fields(changed); !slices.Contains(all, "8") {
		t.Errorf("an update's parameters are %s", changed)
	}
	if out, err := deploy("", "live", "events", registry, "Encoders=203.0.113.0/24"); err == nil || !strings.Contains(out, "deploy.sh key events") {
		t.Errorf("without a key: %v\n%s", err, out)
	}
	must("the origin asks for this key", "0123456789abcdef\n", "key", "events")
	if got := ask("ssm", "get-parameter", "--name", "/events-live/stream-key", "--with-decryption", "--query", "Parameter.[Type,Value]", "--output", "text"); got != "SecureString\t0123456789abcdef" {
		t.Errorf("the key is %s", got)
	}
	must("gone", "", "down", "events")
	if out, err := c.run(t, "", filepath.Join(c.root, "path", "aws"), "cloudformation", "describe-stacks", "--stack-name", "events"); err == nil {
		t.Errorf("it is still there: %s", out)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
