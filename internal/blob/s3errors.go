package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// ErrNoBucket means that the bucket itself is not there. It says nothing about the
// object that was asked for.
var ErrNoBucket = errors.New("there is no such bucket")

// ErrUnfit means that a store lacks what everything here rests on, and that no
// later attempt will find it.
var ErrUnfit = errors.New("this store cannot be used")

// code is S3's own word for an error; status the one of HTTP, 0 without an answer.
func code(err error) (code string, status int) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return code, status
}

// translate gives the SDK's errors the meanings of package fs. A 404 alone means
// nothing: a bucket, an upload and a wrong address answer it too.
func (s *S3) translate(op, key string, err error) error {
	if err == nil {
		return nil
	}
	code, status := code(err)
	switch {
	case code == "NoSuchBucket":
		return fmt.Errorf("%s %s: %w: %q", op, key, ErrNoBucket, s.bucket)
	case code == "NoSuchKey":
		return fmt.Errorf("%s %s: %w", op, key, fs.ErrNotExist)
	case status == http.StatusPreconditionFailed && op == "read": // the version asked for is gone
		return fmt.Errorf("%s %s: %w", op, key, fs.ErrNotExist)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%s %s: %w", op, key, fs.ErrExist)
	case status == http.StatusNotImplemented:
		return fmt.Errorf("%s %s: %w: it lacks conditional writes (If-None-Match, If-Match), or the SDK's checksums (then set %s): %w",
			op, key, ErrUnfit, whenRequired, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}

// whenRequired is what makes the SDK send no checksum, and ask for none, unless it must.
const whenRequired = "AWS_REQUEST_CHECKSUM_CALCULATION=when_required and AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"
