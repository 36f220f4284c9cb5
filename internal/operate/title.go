package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"afterlive/internal/ledger"
	"afterlive/job"
	"afterlive/ladder"
)

// ErrNoAsset is an asset that isn't there.
var ErrNoAsset = errors.New("there is no such asset")

// ErrTitle refuses a title.
var ErrTitle = errors.New("it cannot be a title")

// Entitle gives an asset a title, which also stays when another job of its recording takes its place, unless that one brings its own.
func (o Operator) Entitle(ctx context.Context, asset, title string) error {
	if err := job.ValidTitle(title); err != nil {
		return fmt.Errorf("%w: %w", ErrTitle, err)
	}
	for {
		var pointer ladder.Asset
		etag, err := ledger.Load(ctx, o.Store, ladder.PointerKey(asset), &pointer)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return fmt.Errorf("%w: %s", ErrNoAsset, asset)
		}
		if err != nil {
			return fmt.Errorf("give %s a title: %w", asset, err)
		}
		pointer.Title = title
		won, err := ledger.Write(ctx, o.Store, ladder.PointerKey(asset), pointer, etag)
		if err != nil {
			return fmt.Errorf("give %s a title: %w", asset, err)
		}
		if won { // else a worker has just lengthened it, or published another job
			return o.Note(ctx, pointer.Job)
		}
	}
}
