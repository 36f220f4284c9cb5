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

type titleCommand struct {
	Asset string `arg:"" help:"As status shows it. It may still be live."`
	Title string `arg:"" help:"What viewers are to read; \"\" takes it away: they then read the asset's name."`
}

// Help explains what --help has no place for.
func (*titleCommand) Help() string {
	return `The pages, the player and webhooks show the title in place of the asset's name; addresses stay as they are. To give it from the beginning: send --title.

  enqueue title live/talk/talk-1764000000 "Keynote, second day"`
}

// Run gives an asset a title.
func (c *titleCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(o operate.Operator, _ *config.Backend) error {
		asset := strings.Trim(c.Asset, "/")
		err := o.Entitle(ctx, asset, c.Title)
		if errors.Is(err, operate.ErrNoAsset) {
			return fmt.Errorf("%w (%w)", err, errUnknown)
		}
		if err == nil {
			_, err = fmt.Fprintf(stdout, "%s: its title is %q\n", asset, c.Title)
		}
		return err
	})
}
