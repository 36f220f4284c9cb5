package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Quirks are how an S3 of others differs from Amazon's.
type Quirks struct {
	Weak        bool                  // the ETags of objects are weak: W/"…"
	Ignores     string                // this header of a write is ignored: If-None-Match, say
	Refuses     bool                  // conditional writes answer 501
	NoChecksums bool                  // requests with a checksum answer 501
	NoSums      bool                  // answers carry no checksum
	Forbids     bool                  // what is not there answers 403, as without s3:ListBucket
	Hides       func(key string) bool // lists don't show it
	Spoils      bool                  // what is uploaded comes as something else, as long
}

// Quirks lets the S3 behind the proxy have them from now on.
func (p *Proxy) Quirks(q Quirks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quirks = q
}

func (p *Proxy) has() Quirks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quirks
}

func isWrite(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// refuses tells whether a request asks for what the S3 does not know.
func (q Quirks) refuses(r *http.Request) bool {
	for name := range r.Header {
		name = strings.ToLower(name)
		if q.NoChecksums && (strings.HasPrefix(name, "x-amz-checksum-") || strings.HasPrefix(name, "x-amz-sdk-checksum") || name == "x-amz-trailer") {
			return true
		}
		if q.Refuses && isWrite(r) && (name == "if-match" || name == "if-none-match") {
			return true
		}
	}
	return false
}

// ask changes a request that goes to the S3, and signs it anew.
func (q Quirks) ask(r *http.Request) {
	if q.Spoils && r.Method == http.MethodPut {
		r.Body = spoiled{r.Body}
	}
	if q.Ignores == "" || !isWrite(r) || r.Header.Get(q.Ignores) == "" {
		return
	}
	r.Header.Del(q.Ignores)
	r.Header.Del("Authorization")
	err := v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey},
		r, r.Header.Get("X-Amz-Content-Sha256"), "s3", region, time.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		panic(err) // of a header that is there
	}
}

type spoiled struct{ io.ReadCloser }

func (s spoiled) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	clear(b[:n])
	return n, err
}

// answer changes what the S3 answers.
func (q Quirks) answer(r *http.Response) error {
	query := r.Request.URL.Query()
	if etag := r.Header.Get("ETag"); q.Weak && etag != "" && !query.Has("uploadId") {
		r.Header.Set("ETag", "W/"+etag)
	}
	aPart := query.Has("partNumber") // its checksum is handed back when the upload is completed
	for name := range r.Header {
		if q.NoSums && !aPart && strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") {
			r.Header.Del(name)
		}
	}
	switch {
	case q.Forbids && r.StatusCode == http.StatusNotFound:
		r.StatusCode = http.StatusForbidden
		return q.rewrite(r, func([]byte) []byte { return fmt.Appendf(nil, errorBody, "AccessDenied", "Access Denied") })
	case q.Hides != nil && query.Has("list-type"):
		return q.rewrite(r, q.list)
	case q.NoSums && query.Has("uploadId") && r.Request.Method == http.MethodPost:
		return q.rewrite(r, func(body []byte) []byte { return sumElement.ReplaceAll(body, nil) })
	}
	return nil
}

var (
	listed     = regexp.MustCompile(`(?s)<Contents>.*?</Contents>`)
	listedKey  = regexp.MustCompile(`<Key>(.*?)</Key>`)
	sumElement = regexp.MustCompile(`<Checksum[A-Z0-9]+>[^<]*</Checksum[A-Z0-9]+>`)
)

func (q Quirks) list(body []byte) []byte {
	return listed.ReplaceAllFunc(body, func(entry []byte) []byte {
		if m := listedKey.FindSubmatch(entry); len(m) > 0 && q.Hides(string(m[1])) {
			return nil
		}
		return entry
	})
}

func (q Quirks) rewrite(r *http.Response, change func([]byte) []byte) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.Request.Method != http.MethodHead {
		body = change(body)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

const errorBody = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`
