package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// URL is a web address that is told by POST. It signs as the Standard Webhooks specification (1.0) says, so receivers can check with
// the libraries that there are: webhook-id, webhook-timestamp and webhook-signature, an HMAC-SHA256 over "id.timestamp.body".
type URL struct {
	address string
	name    string
	secret  []byte
	client  *http.Client
}

const answerTime = 10 * time.Second

// NewURL is a target at an address. The secret is whsec_ and base64, or any text of 24 bytes and more.
func NewURL(address, secret string, transport http.RoundTripper) (*URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("webhook %q must be an address as https://example.org/hook", address)
	}
	key := []byte(secret)
	if coded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, fmt.Errorf("read webhook secret: what follows whsec_ is not base64: %w", err)
		}
	}
	if len(key) < 24 {
		return nil, errors.New("read webhook secret: it must have 24 bytes at least (make one: openssl rand -base64 32)")
	}
	sum := sha256.Sum256([]byte(address)) // an address is often a secret itself
	client := &http.Client{Transport: transport, Timeout: answerTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &URL{address, fmt.Sprintf("%s #%x", u.Host, sum[:4]), key, client}, nil
}

// Name is its address without what may be secret in it.
func (u *URL) Name() string { return u.name }

// Tell posts an event. Any answer of 200 to 299 means that it has come.
func (u *URL) Tell(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post event: %w", err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "afterlive")
	r.Header.Set("Webhook-Id", e.ID)
	r.Header.Set("Webhook-Timestamp", at)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(u.sign(e.ID+"."+at+"."+string(body))))
	answer, err := u.client.Do(r)
	if err != nil {
		return fmt.Errorf("post event: %w", errors.Unwrap(err)) // url.Error would say the address
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 200)) // for people
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("post event: it answers %s %q", answer.Status, said)
	}
	return nil
}

func (u *URL) sign(text string) []byte {
	mac := hmac.New(sha256.New, u.secret)
	_, _ = io.WriteString(mac, text) // a hash takes all
	return mac.Sum(nil)
}

// Command is a shell command that is run for each event, which it gets as JSON on its standard input. It has done its part if it ends with 0.
type Command string

const commandTime = time.Minute

// Name is the command's first word: the rest may have secrets in it.
func (c Command) Name() string {
	first, _, _ := strings.Cut(strings.TrimSpace(string(c)), " ")
	sum := sha256.Sum256([]byte(c))
	return fmt.Sprintf("command %s #%x", first, sum[:4])
}

// Tell runs the command.
func (c Command) Tell(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", string(c)) //nolint:gosec // an operator says what to run
	cmd.Env = append(os.Environ(), "AFTERLIVE_EVENT="+e.Type, "AFTERLIVE_ASSET="+e.Data.Asset, "AFTERLIVE_URL="+e.Data.URL)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has started ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run command: %w: %s", err, bytes.TrimSpace(out[max(0, len(out)-200):]))
	}
	return nil
}
