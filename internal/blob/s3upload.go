package blob

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Upload stores a file if there is no such object yet, in parts where it is
// large. All of it is there then: S3 says so by the checksum of what it stored, or is
// asked for the size. The file is read by offset, so a retry sends all of it again. A
// file that is written to meanwhile, or replaced, is [ErrChanged], and stores nothing.
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
	uploader := manager.NewUploader(s.client, func(u *manager.Uploader) { //nolint:staticcheck // see above
		u.RequestChecksumCalculation = s.client.Options().RequestChecksumCalculation // it would not ask
	})
	var sums checksums
	err = s.settled(ctx, func() error {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		out, err := uploader.Upload(ctx, &s3.PutObjectInput{ //nolint:staticcheck // see above
			Bucket: &s.bucket, Key: name, Body: body, IfNoneMatch: aws.String("*"),
			ContentType: &contentType, CacheControl: &cacheControl,
		})
		if err == nil {
			sums = checksums{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256}
		}
		return err
	})
	if err != nil {
		return s.translate("upload", key, fmt.Errorf("%s: %w", file, err))
	}
	if sums.any() {
		return nil
	}
	size, _, err := s.Stat(ctx, key)
	if err == nil && size != body.size() {
		err = fmt.Errorf("upload %s: the object has %d bytes, the file %d", key, size, body.size())
	}
	return err
}

// checksums are those that S3 answers with: of what it has, held against what it was
// sent. Where a client sends none, or a server keeps none, there are none.
type checksums [5]*string

func (c checksums) any() bool {
	return slices.ContainsFunc(c[:], func(sum *string) bool { return aws.ToString(sum) != "" })
}

// Copy is Upload: S3 never has the file itself.
func (s *S3) Copy(ctx context.Context, key, file string) error { return s.Upload(ctx, key, file) }
