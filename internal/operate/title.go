package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// ErrNoAsset is an asset that isn't there.
var ErrNoAsset = errors.New("there is no such asset")

// ErrTitle refuses a title.
var ErrTitle = errors.New("it cannot be a title")

// Entitle gives an asset a title, which also stays when another job takes its place, unless a recording is sent with another title after this.
func (o Operator) Entitle(ctx context.Context, asset, title string) error {
	if err := job.ValidTitle(title); err != nil {
		return fmt.Errorf("%w: %w", ErrTitle, err)
	}
	id, err := ledger.Entitle(ctx, o.Store, asset, "", ladder.Title{Text: title, At: time.Now().UTC()})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("%w: %s", ErrNoAsset, asset)
	}
	if err != nil {
		return fmt.Errorf("give %s a title: %w", asset, err)
	}
	return o.Note(ctx, id)
}
