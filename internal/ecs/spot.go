package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrNoIMDS means that this is no EC2 instance, or that containers on it may not ask
// (the hop limit of its metadata must be 2).
var ErrNoIMDS = errors.New("there is no EC2 instance metadata here")

const (
	pollEvery = 5 * time.Second // the notice comes two minutes ahead, or less
	askTime   = 2 * time.Second
)

// Notice is EC2's word that it will take a spot instance away.
type Notice struct {
	Action string    `json:"action"` // terminate, stop or hibernate
	Time   time.Time `json:"time"`
}

// WaitForNotice returns once EC2 announces that it takes this instance away, or with
// an error: [ErrNoIMDS], or that of ctx. A metadata service that fails later is
// asked on.
func WaitForNotice(ctx context.Context) (Notice, error) {
	client := imds.New(imds.Options{
		EnableFallback: aws.FalseTernary, // IMDSv1 may be off, and must not be waited for
		Retryer:        aws.NopRetryer{}, // the next look is the retry
	})
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for answered := false; ; {
		notice, err := ask(ctx, client)
		switch {
		case err == nil && notice != nil:
			return *notice, nil
		case err == nil:
			answered = true
		case !answered:
			return Notice{}, fmt.Errorf("%w: %w", ErrNoIMDS, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Notice{}, ctx.Err()
		}
	}
}

// ask looks once. No notice and no error means that there is none yet.
func ask(ctx context.Context, client *imds.Client) (*Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "spot/instance-action"})
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.HTTPStatusCode() == http.StatusNotFound {
		return nil, nil //nolint:nilnil // nothing to tell is neither a notice nor an error
	}
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(out.Content, 1<<16))
	if err := errors.Join(err, out.Content.Close()); err != nil {
		return nil, err
	}
	// That there is an answer is the notice; its form has varied.
	var n Notice
	if json.Unmarshal(body, &n) != nil {
		n.Action = "unknown"
	}
	return &n, nil
}
