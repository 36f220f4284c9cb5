package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"afterlive.alt/hlscheck"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// keepsTheRules looks at a presentation as a player will, before any of its multivariant
// playlists is there: what breaks a MUST is not published.
func (p *Pipeline) keepsTheRules(ctx context.Context, plan *ladder.Plan, presentation *ladder.Presentation) error {
	for _, m := range presentation.Masters() {
		source := &unpublished{store: p.Store, plan: plan, presentation: presentation, master: m}
		report, err := hlscheck.Check(ctx, source, m.Ladder+"/"+presentation.MasterFile(), hlscheck.Playlists)
		if err := cmp.Or(source.unread, err); err != nil { // nothing is known then
			return err
		}
		if err := report.Err(); err != nil {
			return job.Permanent("hls_rules", fmt.Errorf("the presentation would break Apple's rules: %w", err))
		}
	}
	return nil
}

// unpublished is a job's folder as it will be: playlists as they will be written, init
// segments as they are, and segments as the parts say. No part of a file is asked for:
// that is done of segments, and of those only sizes are wanted.
type unpublished struct {
	store        Store
	plan         *ladder.Plan
	presentation *ladder.Presentation
	master       ladder.Master
	sizes        map[string]int64 // of segments, once one was asked for
	unread       error            // why something could not be read that may be there
}

func (u *unpublished) Read(ctx context.Context, name string, _ hlscheck.Range) (hlscheck.Object, error) {
	name = unescaped(name)
	folder, file := path.Split(name)
	l, rendition := path.Split(strings.TrimSuffix(folder, "/"))
	switch file {
	case u.presentation.MasterFile():
		return hlscheck.Object{Body: u.master.Body}, nil
	case u.presentation.MediaFile():
		body, err := u.presentation.MediaPlaylist(strings.TrimSuffix(l, "/"), rendition)
		return hlscheck.Object{Body: body}, err
	}
	body, _, err := u.store.Load(ctx, u.plan.Key(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.unread = cmp.Or(u.unread, err)
	}
	return hlscheck.Object{Body: body}, err
}

// unescaped is the address of a file as the store has it: a clip names files of its asset, which may be called anyhow.
func unescaped(name string) string {
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// Size finds a segment in its rendition's track.
func (u *unpublished) Size(_ context.Context, name string) (int64, error) {
	if u.sizes == nil {
		u.sizes = u.presentation.Sizes()
	}
	size, ok := u.sizes[unescaped(name)]
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return size, nil
}
