package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// NameFree refuses a recording whose results would lie where those of another asset do, or
// that would become the asset of another recording.
func NameFree(ctx context.Context, store Store, key string) error {
	asset := job.Asset(key)
	if err := placeFree(ctx, store, asset); err != nil {
		return err
	}
	var pointer ladder.Asset
	if _, err := ledger.Load(ctx, store, ladder.PointerKey(asset), &pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sameRecording(pointer, asset, key, nil)
}

// placeFree refuses an asset whose results would lie where those of another do.
func placeFree(ctx context.Context, store Store, asset string) error {
	elements := strings.Split(asset, "/")
	for i, e := range elements[1:] {
		other := strings.Join(elements[:i+1], "/")
		if ladder.Reserved(e) {
			return nameTaken("%q would be in the way of the asset %q, which has a file %s", asset, other, e)
		}
		within, err := isJobOf(ctx, store, e, other)
		if err != nil {
			return err
		}
		if within {
			return nameTaken("%q would be in the folder of a job of the asset %q", asset, other)
		}
	}
	return nil
}

// ErrNameTaken is that a recording cannot be published under its name.
var ErrNameTaken = errors.New("the name is taken")

func nameTaken(format string, args ...any) error {
	return job.Permanent("name_taken", fmt.Errorf("%w: %s", ErrNameTaken, fmt.Sprintf(format, args...)))
}

// sameRecording refuses to replace an asset by that of another recording, since talk.flv and talk.FLV have one name; or by a clip, but
// for another one of the same asset.
func sameRecording(pointer ladder.Asset, asset, key string, clip *ladder.Clip) error {
	switch {
	case pointer.Job == "":
	case clip != nil && (pointer.Clip == nil || pointer.Clip.Asset != clip.Asset):
		return nameTaken("there is an asset %q already, which is not a clip of %q", asset, clip.Asset)
	case clip == nil && pointer.Clip != nil:
		return nameTaken("the asset %q is a clip of %q", asset, pointer.Clip.Asset)
	case clip == nil && pointer.Recording != key:
		return nameTaken("the asset %q is made from the recording %s", asset, pointer.Recording)
	}
	return nil
}

// isJobOf tells whether an element of a name is a job of an asset.
func isJobOf(ctx context.Context, store Store, element, asset string) (bool, error) {
	if !job.IsID(element) {
		return false, nil
	}
	plan, err := ledger.Plan(ctx, store, element)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && plan.Asset == asset, err
}
