package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/operate"
)

type rmCommand struct {
	Asset     []string `arg:"" help:"As status shows it."`
	Recording bool     `help:"Its recording, too. Else that stays, and can be sent again."`
	DryRun    bool     `help:"Only say what would be removed."`
	Force     bool     `help:"Also jobs that aren't done: for those whose messages are gone, so that no worker has them."`
}

// Help explains what --help has no place for.
func (*rmCommand) Help() string {
	return `Removes all that there is of an asset, in all of its jobs: first what leads viewers to it, then its segments, then what is known of its jobs. ` +
		`Who plays it at that moment gets an error. A CDN may have some of it for as long as docs/contract.md says. Killed on the way, run it again: it removes what is left.`
}

func (c *rmCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		var faults []error
		for _, asset := range c.Asset {
			if err := c.remove(ctx, stdout, o, backend, strings.Trim(asset, "/")); err != nil {
				faults = append(faults, fmt.Errorf("remove %s: %w", asset, err))
			}
		}
		return errors.Join(faults...)
	})
}

func (c *rmCommand) remove(ctx context.Context, stdout io.Writer, o operate.Operator, backend *config.Backend, asset string) error {
	var recordings operate.Recordings
	if c.Recording {
		recordings = backend.Recordings
	}
	found, err := o.FindBelongings(ctx, asset, recordings, c.Force)
	switch {
	case errors.Is(err, operate.ErrAtWork):
		return fmt.Errorf("%w (wait until it is done, or drop it; --force if its messages are gone)", err)
	case errors.Is(err, operate.ErrClipped):
		return fmt.Errorf("%w (remove those first)", err)
	case err != nil:
		return err
	case found.None():
		return fmt.Errorf("there is no such asset (%w)", errUnknown)
	}
	if !c.DryRun {
		if err := o.Remove(ctx, found, recordings); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stdout, "%s: %d jobs, %d segments and playlists, %d documents, %d objects of recordings %s\n", asset, len(found.Jobs),
		len(found.Pointers)+len(found.Segments), len(found.Documents), len(found.Recordings), removed(c.DryRun))
	return err
}

// removed says what became of something.
func removed(dry bool) string {
	if dry {
		return "would be removed"
	}
	return "removed"
}
