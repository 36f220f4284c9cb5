package blob

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Upload stores a file if there is no such object yet, in parts where it is
// large, and looks whether all of it is there. The file is read by offset, so a
// retry sends all of it again. A file that is written to meanwhile, or replaced, is
// [ErrChanged], and stores nothing.
func (s *S3) Upload(ctx context.Context, key, file string) error {
	name, err := s.key("upload", key)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := watch(f)
	if err != nil {
		return err
	}
	contentType, cacheControl := Headers(key)
	// feature/s3/manager is on the design card. It is deprecated in favour of
	// feature/s3/transfermanager, which has no 1.0 yet; it is used here alone.
	uploader := manager.NewUploader(s.client) //nolint:staticcheck // see above
	err = s.settled(ctx, func() error {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := uploader.Upload(ctx, &s3.PutObjectInput{ //nolint:staticcheck // see above
			Bucket: &s.bucket, Key: name, Body: body, IfNoneMatch: aws.String("*"),
			ContentType: &contentType, CacheControl: &cacheControl,
		})
		return err
	})
	if err != nil {
		return translate("upload", key, fmt.Errorf("%s: %w", file, err))
	}
	size, _, err := s.Stat(ctx, key)
	if err == nil && size != body.size() {
		err = fmt.Errorf("upload %s: the object has %d bytes, the file %d", key, size, body.size())
	}
	return err
}
