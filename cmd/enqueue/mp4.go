package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/operate"
	"afterlive.alt/pipeline"
)

type mp4Command struct {
	Asset     string `arg:"" help:"As status shows it."`
	Rendition string `help:"Which one, as 720p or flat/720p; by default, the largest." placeholder:"NAME"`
	Out       string `help:"Where to; by default, the asset's name with .mp4 here." short:"o" placeholder:"FILE"`
}

// Help explains what --help has no place for.
func (*mp4Command) Help() string {
	return `The packets are those that were published: nothing is encoded. What says that the video is a sphere stays. The index comes first, so that the file can be played from a web server while it is loaded. ` +
		`Needs room for it twice while it is made. Of a part of an asset: make a clip first.

  enqueue mp4 live/talk/talk-1764000000 --rendition 720p -o talk.mp4`
}

// Run writes a rendition as one MP4.
func (c *mp4Command) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(_ operate.Operator, backend *config.Backend) error {
		asset := strings.Trim(c.Asset, "/")
		r, err := pipeline.FindRendition(ctx, backend.Store, asset, c.Rendition)
		if errors.Is(err, pipeline.ErrNoAsset) {
			return fmt.Errorf("%w (%w)", err, errUnknown)
		}
		if err != nil {
			return err
		}
		out := c.Out
		if out == "" {
			out = path.Base(asset) + ".mp4"
		}
		size, err := c.write(ctx, backend, r, out)
		if err != nil {
			return fmt.Errorf("make %s: %w", out, err)
		}
		_, err = fmt.Fprintf(stdout, "%s: %s of %s, %d bytes\n", out, r.Name, asset, size)
		return err
	})
}

// write makes the file under another name first: it is there when it is whole.
func (c *mp4Command) write(ctx context.Context, backend *config.Backend, r *pipeline.Rendition, out string) (size int64, err error) {
	if _, err := os.Stat(out); err == nil {
		return 0, os.ErrExist
	}
	folder := filepath.Dir(out)
	scratch, err := os.CreateTemp(folder, ".afterlive-packets-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, scratch.Close(), os.Remove(scratch.Name())) }()
	part, err := os.CreateTemp(folder, ".afterlive-mp4-*")
	if err != nil {
		return 0, err
	}
	err = r.WriteMP4(ctx, backend.Store, part, scratch)
	info, statErr := part.Stat()
	if err = errors.Join(err, statErr, part.Chmod(0o644), part.Close()); err == nil {
		size, err = info.Size(), os.Link(part.Name(), out) // not over what somebody else has put there meanwhile
	}
	return size, errors.Join(err, os.Remove(part.Name()))
}
