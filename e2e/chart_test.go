package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"afterlive.alt/internal/testenv"
)

// helm runs Helm, where it is.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := filepath.Join(testenv.Root(), ".tools", "bin", "helm")
	if _, err := os.Stat(program); err != nil {
		t.Skip("Helm is not here: make chart builds it, and runs this")
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err
}

// object is one of Kubernetes.
type object map[string]any

// at is what is at a path, divided by slashes; a list's first element is 0.
func (o object) at(path string) string {
	var v any = map[string]any(o)
	for key := range strings.SplitSeq(path, "/") {
		switch m := v.(type) {
		case map[string]any:
			v = m[key]
		case []any:
			if len(m) == 0 {
				return ""
			}
			v = m[0]
		}
	}
	return fmt.Sprint(v)
}

// rendered are the objects of the chart, by kind.
func rendered(t *testing.T, settings ...string) map[string]object {
	t.Helper()
	args := []string{"template", "--kube-version", "1.31.0", "event", filepath.Join(testenv.Root(), "packaging", "helm")}
	for _, s := range settings {
		args = append(args, "--set-string", s)
	}
	out, err := helm(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := map[string]object{}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(out)))
	for {
		var o object
		if err := decoder.Decode(&o); err != nil {
			break
		}
		if o != nil {
			all[o.at("kind")] = o
		}
	}
	return all
}

// The chart lints, and renders to workers that read settings which the worker knows, hardened, with time to end.
func TestChart(t *testing.T) {
	chart := filepath.Join(testenv.Root(), "packaging", "helm")
	on := []string{"image.repository=r.example.org/worker", "image.tag=v1", "recordings=s3://recs", "store=s3://vod"}
	aws := append([]string{"queue=https://sqs.eu-west-1.amazonaws.com/1/jobs", "failed=https://sqs.eu-west-1.amazonaws.com/1/failed"}, on...)
	own := append([]string{"queue=postgres://afterlive@db/afterlive", "secret=store", "endpoint=https://s3.example.org", "profiles=- name: mine"}, on...)
	var set []string
	for _, s := range aws {
		set = append(set, "--set", s)
	}
	if out, err := helm(t, append([]string{"lint", "--strict", "--kube-version", "1.31.0", chart}, set...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, tc := range map[string]struct {
		settings    []string
		kind, pod   string
		has, hasNot []string
	}{
		"a deployment on AWS":     {aws, "Deployment", "spec/template", nil, []string{"ScaledJob", "TriggerAuthentication", "ConfigMap"}},
		"jobs on AWS":             {append([]string{"mode=scaledJob"}, aws...), "ScaledJob", "spec/jobTargetRef/template", []string{"TriggerAuthentication"}, []string{"Deployment"}},
		"a deployment of its own": {own, "Deployment", "spec/template", []string{"ConfigMap"}, []string{"ScaledJob"}},
		"jobs of its own":         {append([]string{"mode=scaledJob"}, own...), "ScaledJob", "spec/jobTargetRef/template", []string{"TriggerAuthentication", "ConfigMap"}, []string{"Deployment"}},
	} {
		t.Run(name, func(t *testing.T) {
			all := rendered(t, tc.settings...)
			for _, kind := range append(tc.has, tc.kind, "ServiceAccount") {
				if all[kind] == nil {
					t.Errorf("there is no %s", kind)
				}
			}
			for _, kind := range tc.hasNot {
				if all[kind] != nil {
					t.Errorf("there is a %s", kind)
				}
			}
			o := all[tc.kind]
			const container = "/spec/containers/0/"
			for path, want := range map[string]string{
				"/spec/terminationGracePeriodSeconds": "120", "/spec/securityContext/runAsNonRoot": "true", container + "securityContext/readOnlyRootFilesystem": "true",
				container + "securityContext/capabilities/drop": "[ALL]", container + "image": "r.example.org/worker:v1", container + "livenessProbe/httpGet/path": "/healthz",
			} {
				if got := o.at(tc.pod + path); got != want {
					t.Errorf("%s is %s, want %s", path, got, want)
				}
			}
			if jobs := strings.Contains(o.at(tc.pod+container+"args"), "--exit-when-idle"); jobs != (tc.kind == "ScaledJob") {
				t.Errorf("its arguments are %s", o.at(tc.pod+container+"args"))
			}
			knownVariables(t, o.at(tc.pod+container+"env"))
		})
	}
	if trigger := rendered(t, append([]string{"mode=scaledJob"}, own...)...)["ScaledJob"].at("spec/triggers/0/metadata/query"); !strings.Contains(trigger, "from afterlive_messages where queue = 'tasks'") {
		t.Errorf("KEDA asks %s", trigger)
	}
	for _, bad := range [][]string{on, append([]string{"mode=pods"}, aws...), append([]string{"queue=jobs"}, on...), append([]string{"mode=scaledJob", "queue=postgres://afterlive@db/afterlive"}, on...)} {
		args := []string{"template", "--kube-version", "1.31.0", "event", chart}
		for _, s := range bad {
			args = append(args, "--set", s)
		}
		if out, err := helm(t, args...); err == nil {
			t.Errorf("%v is taken:\n%s", bad, out)
		}
	}
}

// knownVariables wants a container's variables to be such as the worker reads.
func knownVariables(t *testing.T, environment string) {
	t.Helper()
	source := ""
	for _, file := range []string{"cmd/worker/main.go", "internal/config/config.go"} {
		body, err := os.ReadFile(filepath.Join(testenv.Root(), file))
		if err != nil {
			t.Fatal(err)
		}
		source += string(body)
	}
	names := 0
	for word := range strings.FieldsSeq(environment) {
		if _, name, ok := strings.Cut(word, "name:AFTERLIVE_"); ok {
			names++
			if !strings.Contains(source, `env:"AFTERLIVE_`+strings.TrimRight(name, "]")+`"`) {
				t.Errorf("the worker knows no AFTERLIVE_%s", name)
			}
		}
	}
	if names < 6 {
		t.Errorf("there are %d variables in %s", names, environment)
	}
}
