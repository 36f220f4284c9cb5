package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Others are S3 servers that people run beside versitygw: "make stores" installs them.
var Others = []string{"minio", "weed", "rclone"}

// StartOther starts one of Others, as Start does, without an SQS.
func StartOther(t testing.TB, name string) *Cloud {
	t.Helper()
	port, folder := FreePort(t), t.TempDir()
	addr := "127.0.0.1:" + port
	var args []string
	switch name {
	case "minio":
		args = []string{"server", "--address", addr, "--quiet", folder}
	case "rclone":
		args = []string{"serve", "s3", "--addr", addr, "--auth-key", accessKey + "," + secretKey, folder}
	case "weed":
		identities := filepath.Join(t.TempDir(), "s3.json")
		body := fmt.Sprintf(`{"identities": [{"name": "tests", "credentials": [{"accessKey": %q, "secretKey": %q}], "actions": ["Admin"]}]}`, accessKey, secretKey)
		if err := os.WriteFile(identities, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		args = []string{"server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-dir", folder, "-s3", "-s3.port", port, "-s3.config", identities, "-master.port", FreePort(t), "-volume.port", FreePort(t), "-filer.port", FreePort(t),
			"-volume.max", "200", "-master.volumeSizeLimitMB", "64"} // each bucket takes several volumes
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(Root(), ".tools", "bin", name), args...)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+secretKey, "HOME="+folder)
	Background(t, cmd, addr)
	c := &Cloud{Endpoint: "http://" + addr}
	for _, kv := range [][2]string{{"AWS_ACCESS_KEY_ID", accessKey}, {"AWS_SECRET_ACCESS_KEY", secretKey}, {"AWS_REGION", region}, {"AWS_ENDPOINT_URL_S3", c.Endpoint}, {"AWS_EC2_METADATA_DISABLED", "true"}} {
		setenv(t, kv[0], kv[1])
		c.Env = append(c.Env, kv[0]+"="+kv[1])
	}
	c.Config = load(t)
	return c
}
