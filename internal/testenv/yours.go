package testenv

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Yours is a real cloud in the place of stand-ins, with credentials and region as the AWS SDK finds them ("make cloud-test"): the bucket
// $AFTERLIVE_TEST_BUCKET, in which the test's folder is its own; queues that the test makes and removes, whose names begin with
// $AFTERLIVE_TEST_QUEUE; at $AFTERLIVE_TEST_ENDPOINT, where that is not AWS. It skips the test where no bucket is named.
func Yours(t testing.TB) (c *Cloud, bucket, folder string) {
	t.Helper()
	bucket = os.Getenv("AFTERLIVE_TEST_BUCKET")
	if bucket == "" {
		t.Skip("no cloud is named: make cloud-test says how")
	}
	folder = "afterlive-test-" + strings.ToLower(rand.Text()[:12])
	c = &Cloud{prefix: os.Getenv("AFTERLIVE_TEST_QUEUE") + folder + "-"}
	if endpoint := os.Getenv("AFTERLIVE_TEST_ENDPOINT"); endpoint != "" {
		setenv(t, "AWS_ENDPOINT_URL", endpoint)
	}
	var err error
	if c.Config, err = config.LoadDefaultConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.empty(t, bucket, folder) })
	return c, bucket, folder
}

// empty removes what a test has left: in its folder, and of recordings that are called like it.
func (c *Cloud) empty(t testing.TB, bucket, folder string) {
	client := c.S3()
	for _, prefix := range []string{folder + "/", "recordings/" + folder, "recordings/live/" + folder} {
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Errorf("what the test wrote may be left: %v", err)
				return
			}
			for _, o := range page.Contents {
				if _, err := client.DeleteObject(context.WithoutCancel(t.Context()), &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key}); err != nil {
					t.Errorf("%s is left: %v", aws.ToString(o.Key), err)
				}
			}
		}
	}
}

// remove removes a queue that a test has made in a cloud that is not its own.
func (c *Cloud) remove(t testing.TB, url string) {
	if _, err := sqs.NewFromConfig(c.Config).DeleteQueue(context.WithoutCancel(t.Context()), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
		t.Errorf("%s is left: %v", url, err)
	}
}
