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
	maxPause  = time.Minute // between two looks where nobody has ever answered
)

// Notice is EC2's word that it will take a spot instance away.
type Notice struct {
	Action string    `json:"action"` // terminate, stop or hibernate
	Time   time.Time `json:"time"`
}

// WaitForNotice returns once EC2 announces that it takes this instance away, or ctx ends.
// A metadata service that fails is asked on, ever more rarely as long as it has never
// answered: there may be none, or it may be slow to come. silent is told of that once,
// with [ErrNoIMDS].
func WaitForNotice(ctx context.Context, silent func(error)) (Notice, error) {
	client := imds.New(imds.Options{
		EnableFallback: aws.FalseTernary, // IMDSv1 may be off, and must not be waited for
		Retryer:        aws.NopRetryer{}, // the next look is the retry
	})
	return watch(ctx, func(ctx context.Context) (*Notice, error) { return ask(ctx, client) }, silent)
}

func watch(ctx context.Context, look func(context.Context) (*Notice, error), silent func(error)) (Notice, error) {
	pause := pollEvery
	for answered, told := false, false; ; {
		notice, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return Notice{}, ctx.Err()
		case notice != nil:
			return *notice, nil
		case err == nil:
			answered, pause = true, pollEvery
		case !answered:
			if !told {
				silent(fmt.Errorf("%w: %w", ErrNoIMDS, err))
			}
			told = true
			pause = min(2*pause, maxPause)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
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
