package config

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/queue"
)

// usable finds out whether the SDK has what every request needs.
func usable(ctx context.Context, cfg aws.Config) error {
	if cfg.Region == "" {
		return errors.New("no AWS region: set AWS_REGION (any will do for servers of others), or region in ~/.aws/config")
	}
	if cfg.Credentials == nil {
		return errors.New("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the task or instance a role")
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the task or instance a role: %w", err)
	}
	return nil
}

// check is a look at what a flag names.
type check struct {
	flag string
	look func(ctx context.Context) error
}

// What is looked at in the buckets: objects that never are, and one that says nothing.
const (
	absent     = "recordings/.afterlive-absent"
	absentPlan = "jobs/.afterlive-absent"
	probe      = "jobs/conditions.json"
)

func checks(tasks, failed Queue, from, to *blob.S3) []check {
	count := func(q Queue) func(context.Context) error {
		return func(ctx context.Context) error { _, err := q.Backlog(ctx); return err }
	}
	return []check{
		{"queue", count(tasks)},
		{"failed", count(failed)},
		{"recordings", func(ctx context.Context) error { return from.CheckReads(ctx, absent) }},
		{"store", func(ctx context.Context) error {
			if err := to.CheckReads(ctx, absentPlan); err != nil {
				return err
			}
			return to.CheckWrites(ctx, probe)
		}},
	}
}

// Check looks at queues and buckets before anything is taken from them: who looks in the
// wrong place would find nothing there, and give up what others can do. What cannot be
// reached, or is out of order for now, is only logged: it may come back.
func (b *Backend) Check(ctx context.Context, log *zap.Logger) error {
	found := make([]error, len(b.checks))
	var looks sync.WaitGroup
	for i, c := range b.checks {
		looks.Go(func() { found[i] = c.look(ctx) })
	}
	looks.Wait()
	var faults []error
	for i, err := range found {
		flag := "--" + b.checks[i].flag
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, blob.ErrNoBucket), errors.Is(err, blob.ErrUnfit), errors.Is(err, queue.ErrNoQueue), errors.Is(err, queue.ErrUnfit):
			faults = append(faults, fmt.Errorf("%s: %w", flag, err))
		default:
			log.Warn("cannot be reached yet", zap.String("flag", flag), zap.Error(err))
		}
	}
	return errors.Join(faults...)
}
