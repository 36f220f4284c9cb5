package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 keeps objects in a bucket, below a prefix that may be empty.
//
// It needs s3:GetObject, s3:PutObject, s3:AbortMultipartUpload and, for List,
// s3:ListBucket.
type S3 struct {
	client *s3.Client
	bucket string
	prefix string
	idle   time.Duration // without a byte, after which a read is taken up anew
	pause  time.Duration // before the first retry of a read
}

// NewS3 uses the SDK's own configuration: region, credentials and endpoint come
// from its environment variables and files.
func NewS3(cfg aws.Config, bucket, prefix string) *S3 {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// S3-compatible servers rarely resolve bucket.host, and all of them know
		// host/bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
		// Ranges carry no checksum. To say so on every read helps nobody.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return &S3{client: client, bucket: bucket, prefix: prefix, idle: 30 * time.Second, pause: 200 * time.Millisecond}
}

func (s *S3) key(op, key string) (*string, error) {
	if !fs.ValidPath(key) || key == "." {
		return nil, invalid(op, key)
	}
	return aws.String(path.Join(s.prefix, key)), nil
}

// Stat tells an object's size and version.
func (s *S3) Stat(ctx context.Context, key string) (size int64, etag string, err error) {
	name, err := s.key("stat", key)
	if err != nil {
		return 0, "", err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: name})
	if _, status := code(err); status == http.StatusNotFound {
		return s.whatIsMissing(ctx, name, key)
	}
	if err != nil {
		return 0, "", s.translate("stat", key, err)
	}
	return aws.ToInt64(out.ContentLength), opaque(out.ETag), nil
}

// whatIsMissing asks again where HEAD answered 404, in a way that has a body to say
// what is not there: object or bucket. By then the object may be.
func (s *S3) whatIsMissing(ctx context.Context, name *string, key string) (size int64, etag string, err error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: name})
	if err != nil {
		return 0, "", s.translate("stat", key, err)
	}
	return aws.ToInt64(out.ContentLength), opaque(out.ETag), s.translate("stat", key, out.Body.Close())
}

// opaque is an ETag without its quotes, and without the mark of a weak one: proxies
// that pack answers put that on, and S3 itself knows it without.
func opaque(etag *string) string {
	return strings.Trim(strings.TrimPrefix(aws.ToString(etag), "W/"), `"`)
}

// Load reads a small object whole.
func (s *S3) Load(ctx context.Context, key string) (body []byte, etag string, err error) {
	name, err := s.key("load", key)
	if err != nil {
		return nil, "", err
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: name})
	if err != nil {
		return nil, "", s.translate("load", key, err)
	}
	body, err = io.ReadAll(out.Body)
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return nil, "", s.translate("load", key, err)
	}
	if aws.ToString(out.ContentEncoding) == packed {
		if body, err = unpack(body); err != nil {
			return nil, "", s.translate("load", key, err)
		}
	}
	return body, opaque(out.ETag), nil
}

// Write stores a small object if it is still the version etag; "": if there is
// none yet.
func (s *S3) Write(ctx context.Context, key string, body []byte, etag string) error {
	name, err := s.key("write", key)
	if err != nil {
		return err
	}
	contentType, cacheControl := Headers(key)
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: name,
		ContentType: &contentType, CacheControl: &cacheControl,
	}
	if Packed(key) {
		body = Pack(body)
		in.ContentEncoding = aws.String(packed)
	}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(`"` + etag + `"`)
	}
	err = s.settled(ctx, func() error {
		in.Body = bytes.NewReader(body)
		_, err := s.client.PutObject(ctx, in)
		return err
	})
	err = s.translate("write", key, err)
	if etag != "" && errors.Is(err, fs.ErrNotExist) { // If-Match on nothing: the version is gone
		return fmt.Errorf("write %s: %w", key, fs.ErrExist)
	}
	return err
}

// settled repeats a conditional write while S3 answers 409: two writers met, and
// neither of them has won yet.
func (s *S3) settled(ctx context.Context, write func() error) error {
	for try := 0; ; try++ {
		err := write()
		if _, status := code(err); try == 5 || status != http.StatusConflict {
			return err
		}
		if err := wait(ctx, s.pause<<try); err != nil {
			return err
		}
	}
}

// List returns the keys that start with a prefix ending in "/", sorted.
func (s *S3) List(ctx context.Context, prefix string) ([]string, error) {
	return s.list(ctx, prefix, "", math.MaxInt)
}

// ListFrom returns the first n keys that start with a prefix ending in "/" and come behind after, sorted.
func (s *S3) ListFrom(ctx context.Context, prefix, after string, n int) ([]string, error) {
	return s.list(ctx, prefix, after, n)
}

func (s *S3) list(ctx context.Context, prefix, after string, n int) ([]string, error) {
	folder, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return nil, invalid("list", prefix)
	}
	name, err := s.key("list", folder)
	if err != nil {
		return nil, err
	}
	full := *name + "/"
	cut := strings.TrimSuffix(full, prefix)
	request := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &full}
	if after != "" {
		request.StartAfter = aws.String(cut + after)
	}
	if n < listPage {
		request.MaxKeys = aws.Int32(int32(n))
	}
	var keys []string
	pages := s3.NewListObjectsV2Paginator(s.client, request)
	for pages.HasMorePages() && len(keys) < n {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.translate("list", prefix, err)
		}
		for _, object := range page.Contents {
			keys = append(keys, strings.TrimPrefix(aws.ToString(object.Key), cut))
		}
	}
	return keys[:min(len(keys), n)], nil
}

// listPage is how many keys S3 lists at once.
const listPage = 1000

// Delete removes an object; that there is none is no error.
func (s *S3) Delete(ctx context.Context, key string) error {
	name, err := s.key("delete", key)
	if err != nil {
		return err
	}
	if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: name}); err != nil {
		return s.translate("delete", key, err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
