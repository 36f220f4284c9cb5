// Package testenv is what tests run against. Real servers, on loopback: an SQS (fauxqs), an S3 (versitygw), a PostgreSQL; "make tools" and "make extra"
// install them. An SQS that keeps to SQS's rules ([Strict]), a store and a queue in memory ([Memory], [Messages]), and faults ([Proxy], [Quirks]).
package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Cloud is a running stand-in.
type Cloud struct {
	Config   aws.Config
	Env      []string // for the SDK in another process
	Endpoint string   // of S3
	prefix   string   // of queues in a cloud that is not the test's own
}

const accessKey, secretKey, region = "testenv", "testenv-secret", "us-east-1"

// Start starts an SQS and an S3, and sets the SDK's environment variables for the test: those of the
// process, or the test's own (see Apart). More arguments are the S3's own.
func Start(t testing.TB, args ...string) *Cloud {
	t.Helper()
	c := &Cloud{Endpoint: startS3(t, args...)}
	for _, kv := range [][2]string{
		{"AWS_ACCESS_KEY_ID", accessKey}, {"AWS_SECRET_ACCESS_KEY", secretKey}, {"AWS_REGION", region},
		{"AWS_ENDPOINT_URL_S3", c.Endpoint}, {"AWS_ENDPOINT_URL_SQS", startSQS(t)}, {"AWS_EC2_METADATA_DISABLED", "true"},
	} {
		setenv(t, kv[0], kv[1])
		c.Env = append(c.Env, kv[0]+"="+kv[1])
	}
	c.Config = load(t)
	return c
}

// load reads the SDK's configuration from the test's environment.
func load(t testing.TB) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")))
	if err != nil {
		t.Fatal(err)
	}
	if own := environment(t); own != nil {
		cfg.ConfigSources = append([]any{endpoints(own.values())}, cfg.ConfigSources...)
	}
	return cfg
}

// Queue makes a queue and returns its URL.
func (c *Cloud) Queue(t testing.TB, name string) string {
	t.Helper()
	name = c.prefix + name
	out, err := sqs.NewFromConfig(c.Config).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if c.prefix != "" {
		t.Cleanup(func() { c.remove(t, aws.ToString(out.QueueUrl)) })
	}
	return aws.ToString(out.QueueUrl)
}

// S3 is a client of the stand-in.
func (c *Cloud) S3() *s3.Client {
	return s3.NewFromConfig(c.Config, func(o *s3.Options) { o.UsePathStyle = true })
}

// Bucket makes a bucket; a public one can be read without credentials, as through
// a CDN.
func (c *Cloud) Bucket(t testing.TB, name string, public bool) {
	t.Helper()
	if _, err := c.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	if !public {
		return
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*"}]}`, name)
	if _, err := c.S3().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &name, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
}

func startS3(t testing.TB, args ...string) string {
	t.Helper()
	port := FreePort(t)
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), Root()+"/.tools/bin/versitygw", append(append([]string{"--port", "127.0.0.1:" + port, "--quiet", "--keep-alive"}, args...), "posix", root)...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	Background(t, cmd, "127.0.0.1:"+port)
	return "http://127.0.0.1:" + port
}

func startSQS(t testing.TB) string {
	t.Helper()
	port := FreePort(t)
	folder := Root() + "/tools/fauxqs"
	cmd := exec.CommandContext(t.Context(), "node", "--import", folder+"/loopback.mjs", folder+"/node_modules/fauxqs/dist/server.js")
	cmd.Env = append(os.Environ(), "FAUXQS_PORT="+port)
	Background(t, cmd, "127.0.0.1:"+port)
	return "http://127.0.0.1:" + port
}

// Background starts a server, waits until it takes connections, and ends it with
// the test. Its output is shown if the test fails.
func Background(t testing.TB, cmd *exec.Cmd, addr string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(cmd.Path)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // should the test process be killed
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		runtime.LockOSThread() // the parent that Pdeathsig means is this thread
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ends that is told to is of no interest
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v (run \"make tools\")", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended before
		<-ended
		if body, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), body[max(0, len(body)-4000):])
		}
		_ = log.Close()
	})
	if err := waitFor(t.Context(), addr, ended); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
}

// waitFor tries until somebody listens at addr.
func waitFor(ctx context.Context, addr string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // it bounds a hang
	defer cancel()
	var dialer net.Dialer
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			return err
		}
	}
}

// FreePort is a TCP port of 127.0.0.1 that nobody uses at the moment.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Root is the project's folder.
func Root() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		panic("this program does not know where it was built")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
