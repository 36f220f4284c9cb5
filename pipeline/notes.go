package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// NoteFailure keeps a failure with its job, and adds which recording it is about. Its
// key's end is what operators may have S3 notify them of.
func (p *Pipeline) NoteFailure(ctx context.Context, f *job.Failure) error {
	plan, err := ledger.Plan(ctx, p.Store, f.Job)
	planned := err == nil
	if planned && f.Source == "" {
		f.Source, f.ETag = plan.Recording.Key, plan.Recording.ETag
	}
	_, err = ledger.Write(ctx, p.Store, ladder.FailureKey(f.Job, f.Task, f.Time), *f, "")
	if err != nil {
		return err
	}
	p.note(ctx, f.Job)
	if !planned || !plan.IsEvent() || !strings.HasPrefix(f.Task, string(job.Chunk)+"-") {
		return nil
	}
	return p.goOnWithout(ctx, plan)
}

// NoteRetry keeps with its job how a task failed that will be tried again.
func (p *Pipeline) NoteRetry(ctx context.Context, f *job.Failure, times int, next time.Time) error {
	key := ladder.RetryKey(f.Job, f.Task)
	var last ledger.Retry
	etag, err := ledger.Load(ctx, p.Store, key, &last)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := ledger.Retry{Task: f.Task, Reason: f.Reason, Detail: f.Detail, Worker: f.Worker, Times: times, Next: next}
	if _, err := ledger.Write(ctx, p.Store, key, r, etag); err != nil { // not won: a copy has failed, too
		return err
	}
	p.note(ctx, f.Job)
	return nil
}

// noteAll notes how a job stands that may have become its asset, and those that may no longer be it. An error is of the job itself: nobody
// would come back to it, so its message must.
func (p *Pipeline) noteAll(ctx context.Context, id string) error {
	s, err := catalog.Refresh(ctx, p.Store, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write state of job %s: %w", id, err)
	}
	if err := catalog.RefreshOthers(ctx, p.Store, s); err != nil {
		p.Log.Warn("states of the asset's other jobs cannot be written", zap.String("job", id), zap.Error(err))
	}
	return nil
}

// note notes how a job stands. Where that fails, lists are behind until the next time; what is done is done.
func (p *Pipeline) note(ctx context.Context, id string) {
	if _, err := catalog.Refresh(ctx, p.Store, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.Log.Warn("state of a job cannot be written", zap.String("job", id), zap.Error(err))
	}
}
