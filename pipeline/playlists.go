package pipeline

import (
	"cmp"
	"context"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// playlist is one to be stored.
type playlist struct {
	key  string
	body []byte
}

// playlists are the media playlists of a presentation, and its track of thumbnails.
func playlists(plan *ladder.Plan, presentation *ladder.Presentation) (all []playlist, err error) {
	media := func(l, rendition string) {
		body, fault := presentation.MediaPlaylist(l, rendition)
		if fault != nil {
			err = cmp.Or(err, job.Permanent("parts_differ", fault))
		}
		all = append(all, playlist{plan.Key(l, rendition, presentation.MediaFile()), body})
	}
	renditions := presentation.Renditions()
	for _, l := range plan.Ladders {
		for _, r := range renditions[l.Name] {
			media(l.Name, r.Name)
		}
		if l.IFrames != nil {
			media(l.Name, ladder.IFramesRendition)
		}
	}
	if plan.Audio != nil {
		for _, r := range plan.Audio.Renditions {
			media(ladder.AudioLadder, r.Name)
		}
	}
	if plan.Storyboard != nil {
		all = append(all, playlist{plan.Key(ladder.StoryboardFolder, presentation.StoryboardFile()), presentation.StoryboardTrack()})
	}
	return all, err
}

// writePlaylists stores the media playlists, and then the ladders' multivariant
// ones: what a playlist names is there before it.
func (p *Pipeline) writePlaylists(ctx context.Context, plan *ladder.Plan, presentation *ladder.Presentation) error {
	all, err := playlists(plan, presentation)
	if err != nil {
		return err
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, l := range all {
		group.Go(func() error {
			_, err := ledger.Put(inGroup, p.Store, l.key, l.body, "")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range presentation.Masters() {
		if _, err := ledger.Put(ctx, p.Store, plan.Key(m.Ladder, presentation.MasterFile()), m.Body, ""); err != nil {
			return err
		}
	}
	return nil
}
