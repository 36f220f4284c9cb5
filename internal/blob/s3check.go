package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// CheckReads finds out whether the bucket is there and may be read, by asking for an
// object that is not there. Its error is [ErrUnfit] or [ErrNoBucket] where another
// attempt will find the same.
func (s *S3) CheckReads(ctx context.Context, key string) error {
	_, _, err := s.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.unfit(err)
}

// unfit marks an answer that will be the same next time: S3 understood the request, and
// will not do it.
func (s *S3) unfit(err error) error {
	_, torn := errors.AsType[*smithy.DeserializationError](err) // of the answer; nobody knows what it was
	switch _, status := code(err); {
	case err == nil, torn, errors.Is(err, ErrUnfit), errors.Is(err, ErrNoBucket):
		return err
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: bucket %q may not be used with these credentials, or they lack s3:ListBucket, "+
			"without which S3 says so of what is not there: %w", ErrUnfit, s.bucket, err)
	case status >= 300 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return fmt.Errorf("%w: bucket %q: %w", ErrUnfit, s.bucket, err)
	}
	return err
}

// CheckWrites finds out whether the bucket may be written to and heeds conditions, by
// writing an object of no meaning. Where a condition is ignored, two workers could
// publish different results.
func (s *S3) CheckWrites(ctx context.Context, key string) error {
	body := []byte("{}\n")
	err := s.Write(ctx, key, body, "")
	if code, status := code(err); status == http.StatusNotImplemented {
		return s.lacking(ctx, key, body, code)
	}
	if err == nil { // it was not there, or the condition is ignored
		err = s.Write(ctx, key, body, "")
	}
	if err == nil {
		return s.ignores("If-None-Match")
	}
	if !errors.Is(err, fs.ErrExist) {
		return s.unfit(err)
	}
	switch err = s.Write(ctx, key, body, "0123456789abcdef0123456789abcdef"); {
	case err == nil:
		return s.ignores("If-Match")
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	return s.unfit(err)
}

func (s *S3) ignores(header string) error {
	return fmt.Errorf("%w: the S3 of bucket %q ignores %s: two workers could publish different results", ErrUnfit, s.bucket, header)
}

// lacking finds out which of two headers it was that S3 does not know.
func (s *S3) lacking(ctx context.Context, key string, body []byte, answer string) error {
	name, err := s.key("write", key)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: name, Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
	}, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
	if _, status := code(err); status == http.StatusNotImplemented {
		return fmt.Errorf("%w: the S3 of bucket %q refuses If-None-Match (%s): without conditional writes, "+
			"two workers could publish different results", ErrUnfit, s.bucket, answer)
	}
	return fmt.Errorf("%w: the S3 of bucket %q refuses the SDK's checksums (%s): set %s", ErrUnfit, s.bucket, answer, whenRequired)
}
