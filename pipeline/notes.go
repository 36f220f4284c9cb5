package pipeline

import (
	"context"
	"strings"

	"afterlive/internal/job"
	"afterlive/internal/ledger"
	"afterlive/ladder"
)

// NoteFailure keeps a failure with its job, and adds which recording it is about. Its
// key's end is what operators may have S3 notify them of.
func (p *Pipeline) NoteFailure(ctx context.Context, f *job.Failure) error {
	plan, unplanned := ledger.Plan(ctx, p.Store, f.Job)
	if unplanned == nil && f.Source == "" {
		f.Source, f.ETag = plan.Recording.Key, plan.Recording.ETag
	}
	_, err := ledger.Write(ctx, p.Store, ladder.FailureKey(f.Job, f.Task, f.Time), *f, "")
	if err != nil || unplanned != nil || !plan.Grows || !strings.HasPrefix(f.Task, string(job.Chunk)+"-") {
		return err
	}
	return p.goOnWithout(ctx, plan)
}
