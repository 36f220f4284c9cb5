package config

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"afterlive.alt/internal/testenv"
)

// Each flag that names what is not there, or may not be used, is told; what is only out
// of order for now keeps nobody from starting.
func TestCheck(t *testing.T) {
	cloud := testenv.Start(t)
	cloud.Bucket(t, "recs", false)
	cloud.Bucket(t, "vod", false)
	proxy := cloud.Proxy(t)
	strict := testenv.NewStrict()
	url := strict.Serve(t)
	tasks, failed := strict.AddQueue(url, "tasks", "", 0), strict.AddQueue(url, "failed", "", 0)
	forbid := func(code string, status int) func(testenv.Call) testenv.Fault {
		return func(testenv.Call) testenv.Fault { return testenv.Fault{Code: code, Status: status} }
	}
	for _, tc := range []struct {
		name    string
		flags   Flags
		s3, sqs func(testenv.Call) testenv.Fault
		says    []string // flags, and what is wrong with them
		warns   int
	}{
		{name: "well", flags: Flags{Queue: tasks, Failed: failed, Recordings: "s3://recs", Store: "s3://vod/some/where"}},
		{
			name: "all mistyped", flags: Flags{Queue: tasks + "x", Failed: failed + "x", Recordings: "s3://rces", Store: "s3://vdo"},
			says: []string{
				"--queue: ", "/tasksx", "--failed: ", "/failedx", "no such queue in region us-east-1",
				"--recordings: ", `no such bucket: "rces"`, "--store: ", `no such bucket: "vdo"`,
			},
		},
		{
			name: "forbidden", flags: Flags{Queue: tasks, Failed: failed, Recordings: "s3://recs", Store: "s3://vod"},
			s3: forbid("AccessDenied", http.StatusForbidden), sqs: forbid("AccessDenied", http.StatusForbidden),
			says: []string{"--queue: ", "--failed: ", "--recordings: ", "--store: ", "credentials", "s3:ListBucket"},
		},
		{
			name: "down", flags: Flags{Queue: tasks, Failed: failed, Recordings: "s3://recs", Store: "s3://vod"},
			s3: forbid("SlowDown", http.StatusServiceUnavailable), sqs: forbid("InternalError", http.StatusInternalServerError), warns: 4,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy.Script(tc.s3)
			strict.Script(tc.sqs)
			backend, err := tc.flags.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			core, logs := observer.New(zap.WarnLevel)
			err = backend.Check(t.Context(), zap.New(core))
			if (err == nil) != (len(tc.says) == 0) || logs.Len() != tc.warns {
				t.Errorf("got %v, %d warnings", err, logs.Len())
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in:\n%v", text, err)
				}
			}
		})
	}
}

// Without a region or credentials nothing is begun, and the error says what to set.
func TestOpenWithoutConfiguration(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, says := range map[string]string{"AWS_REGION": "AWS_REGION", "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID"} {
		t.Run(name, func(t *testing.T) {
			for key, value := range map[string]string{
				"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
			} {
				t.Setenv(key, value)
			}
			if err := os.Unsetenv(name); err != nil { // Setenv puts it back
				t.Fatal(err)
			}
			_, err := Flags{Queue: "http://127.0.0.1:1/q", Failed: "http://127.0.0.1:1/f", Recordings: "s3://recs", Store: "s3://vod"}.Open(t.Context())
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
