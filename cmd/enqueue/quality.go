package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

type qualityCommand struct {
	Asset string `arg:"" help:"The asset, as \"enqueue status\" names it."`
}

// Run prints what was measured of an asset.
func (c *qualityCommand) Run(ctx context.Context, stdout io.Writer, f config.Flags) (err error) {
	backend, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	load := func(key string, v any, missing string) error {
		body, _, err := backend.Store.Load(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New(missing)
		}
		if err != nil {
			return fmt.Errorf("load %s: %w", key, err)
		}
		return json.Unmarshal(body, v)
	}
	var asset ladder.Asset
	if err := load(ladder.PointerKey(c.Asset), &asset, fmt.Sprintf("asset %q isn't published (see "+job.CLI+" status)", c.Asset)); err != nil {
		return err
	}
	if asset.Quality == "" {
		return fmt.Errorf("the quality of %s isn't measured: its profile %q has no quality: say how many frames to compare", c.Asset, asset.Profile)
	}
	missing := fmt.Sprintf("the quality of %s is still to be measured, by a task of its own", c.Asset)
	if f, dropped, failed, err := ledger.LastFailure(ctx, backend.Store, asset.Job, string(job.Quality)); err != nil {
		return err
	} else if dropped {
		missing = fmt.Sprintf("the quality of %s could not be measured (%s), and the task was dropped: %s", c.Asset, f.Reason, f.Detail)
	} else if failed {
		missing = fmt.Sprintf("the quality of %s could not be measured (%s; "+job.CLI+" replay %s tries again): %s", c.Asset, f.Reason, asset.Job, f.Detail)
	}
	var q ladder.Quality
	if err := load("vod/"+c.Asset+"/"+asset.Quality, &q, missing); err != nil {
		return err
	}
	return printQuality(stdout, &q)
}

func printQuality(stdout io.Writer, q *ladder.Quality) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "ladder\tsize\tkbit/s\tviews, dB\tsphere-weighted, dB\t")
	for _, l := range q.Ladders {
		for _, r := range l.Renditions {
			fmt.Fprintf(table, "%s\t%dx%d\t%d\t%.2f\t%.2f\t\n", l.Name, r.Width, r.Height, r.Bitrate/1000, r.Viewports, r.Sphere)
		}
	}
	fmt.Fprintf(table, "\t\t\t\t\t\nbits against %s\t\t\tat equal views\tat equal sphere\t\n", q.Anchor)
	for _, l := range q.Ladders {
		if l.BDRate != nil {
			fmt.Fprintf(table, "%s\t\t\t%s\t%s\t\n", l.Name, percent(l.BDRate.Viewports), percent(l.BDRate.Sphere))
		}
	}
	fmt.Fprintf(table, "\t\t\t\t\t\n")
	if err := table.Flush(); err != nil {
		return err
	}
	for _, l := range q.Ladders {
		if l.BDRate != nil && l.BDRate.Viewports.WhyNot != "" {
			fmt.Fprintf(stdout, "%s cannot be compared with %s: %s\n", l.Name, q.Anchor, l.BDRate.Viewports.WhyNot)
		}
	}
	_, err := fmt.Fprintf(stdout, "PSNR of brightness on %d frames; views are 90 degrees in %d directions, %d pixels wide\n", q.Frames, len(q.Views), q.ViewSize)
	return err
}

func percent(p ladder.Percent) string {
	if p.WhyNot != "" {
		return "none"
	}
	return fmt.Sprintf("%+.1f %%", p.Percent)
}
