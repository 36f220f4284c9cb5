package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"afterlive.alt/job"
)

// SQS is a standard queue.
//
// It needs sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility,
// sqs:GetQueueAttributes and sqs:SendMessage.
type SQS struct {
	client *sqs.Client
	url    string
	wait   time.Duration
}

// NewSQS uses the queue at url and the SDK's own configuration. A poll lasts up
// to wait, at most 20 s.
func NewSQS(cfg aws.Config, url string, wait time.Duration) *SQS {
	return &SQS{client: sqs.NewFromConfig(cfg), url: url, wait: wait}
}

// pollGrace is how much longer than its wait a poll may take. One that hangs on a
// dead connection is given up after it.
const pollGrace = 10 * time.Second

// Receive waits for a message and holds it for the lease.
func (q *SQS) Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	poll, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.wait+pollGrace)
	defer cancel()
	out, err := q.client.ReceiveMessage(poll, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: 1,
		WaitTimeSeconds:             int32(q.wait.Seconds()),
		VisibilityTimeout:           int32(lease.Seconds()),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", q.translate(err))
	}
	if len(out.Messages) == 0 {
		return nil, nil //nolint:nilnil // an empty poll is neither a message nor an error
	}
	m := out.Messages[0]
	receives, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		receives = 1 // a server that doesn't count cannot show a crash loop
	}
	return &job.Delivery{Body: []byte(aws.ToString(m.Body)), Receipt: aws.ToString(m.ReceiptHandle), Receives: receives}, nil
}

// Extend hides the message for d from now on.
func (q *SQS) Extend(ctx context.Context, receipt string, d time.Duration) error {
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receipt, VisibilityTimeout: int32(d.Seconds()),
	})
	return held("extend lease", err)
}

// held recognizes the answers by which SQS says that a receipt has expired.
func held(op string, err error) error {
	if err == nil {
		return nil
	}
	_, notInFlight := errors.AsType[*types.MessageNotInflight](err)
	_, invalidHandle := errors.AsType[*types.ReceiptHandleIsInvalid](err)
	api, ok := errors.AsType[smithy.APIError](err)
	if notInFlight || invalidHandle || (ok && api.ErrorCode() == "InvalidParameterValue") {
		return fmt.Errorf("%s: %w: %w", op, job.ErrNotHeld, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Delete ends a message.
func (q *SQS) Delete(ctx context.Context, receipt string) error {
	_, err := q.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: &receipt})
	if err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

// Send adds a message that can be received after delay, at most 15 minutes.
func (q *SQS) Send(ctx context.Context, body []byte, delay time.Duration) error {
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: aws.String(string(body)), DelaySeconds: int32(delay.Seconds()),
	})
	if err != nil {
		return fmt.Errorf("send message: %w", q.translate(err))
	}
	return nil
}

// SendAll adds up to 10 messages at once.
func (q *SQS) SendAll(ctx context.Context, bodies [][]byte) error {
	var entries []types.SendMessageBatchRequestEntry
	for i, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body))})
	}
	out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
	if err != nil {
		return fmt.Errorf("send messages: %w", q.translate(err))
	}
	if n := len(out.Failed); n > 0 {
		f := out.Failed[0]
		return fmt.Errorf("send messages: %d of %d were refused; the first: %s: %s", n, len(bodies), aws.ToString(f.Code), aws.ToString(f.Message))
	}
	return nil
}

// ErrNoQueue means that the queue itself is not there.
var ErrNoQueue = errors.New("there is no such queue")

// ErrUnfit means that a queue cannot be used, and that no later attempt will find
// otherwise.
var ErrUnfit = errors.New("this queue cannot be used")

// translate recognizes the answers that will be the same next time.
func (q *SQS) translate(err error) error {
	if _, gone := errors.AsType[*types.QueueDoesNotExist](err); gone {
		return fmt.Errorf("%w in region %s: %s", ErrNoQueue, q.client.Options().Region, q.url)
	}
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if ok && (response.HTTPStatusCode() == http.StatusForbidden || response.HTTPStatusCode() == http.StatusNotFound) {
		return fmt.Errorf("%w with these credentials, or from region %s: %s: %w", ErrUnfit, q.client.Options().Region, q.url, err)
	}
	return err
}

// Backlog counts the messages.
func (q *SQS) Backlog(ctx context.Context) (Backlog, error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: names})
	if err != nil {
		return Backlog{}, fmt.Errorf("count messages: %w", q.translate(err))
	}
	var counts [3]int
	for i, name := range names {
		if counts[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return Backlog{}, fmt.Errorf("count messages: attribute %s: %w", name, err)
		}
	}
	return Backlog{Waiting: counts[0], InFlight: counts[1], Delayed: counts[2]}, nil
}
