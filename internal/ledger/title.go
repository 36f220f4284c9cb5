package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"afterlive.alt/ladder"
)

// Entitle gives an asset a title, unless it has one that was given later, or it is another job than this; "": whichever it is. It returns the job that the
// asset is. [fs.ErrNotExist]: it isn't published.
func Entitle(ctx context.Context, store Store, asset, job string, title ladder.Title) (string, error) {
	for {
		var pointer ladder.Asset
		etag, err := Load(ctx, store, ladder.PointerKey(asset), &pointer)
		if err != nil {
			return "", err
		}
		if job != "" && pointer.Job != job || pointer.Titled.After(title.At) {
			return pointer.Job, nil
		}
		pointer.Title, pointer.Titled = title.Text, title.At
		won, err := Write(ctx, store, ladder.PointerKey(asset), pointer, etag)
		if err != nil || won { // else a worker has just lengthened it, or published another job
			return pointer.Job, err
		}
	}
}

// TitleOf is the title that a job's recording was sent with, and where that is in its versions; zero: none.
func TitleOf(ctx context.Context, store Store, job string) (title ladder.Title, etag string, err error) {
	etag, err = Load(ctx, store, ladder.TitleKey(job), &title)
	if errors.Is(err, fs.ErrNotExist) {
		return title, "", nil
	}
	if err != nil {
		return title, "", fmt.Errorf("read title of job %s: %w", job, err)
	}
	return title, etag, nil
}
