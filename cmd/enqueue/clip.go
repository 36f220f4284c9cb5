package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/pipeline"
)

type clipCommand struct {
	Asset      string  `arg:"" help:"As status shows it. It may still be live."`
	From       moment  `help:"Where it begins: seconds, or 10:00, 1:10:00.5, 1m30s." placeholder:"TIME"`
	To         *moment `help:"Where it ends; by default, at the asset's end, or as far as that is by now." placeholder:"TIME"`
	As         string  `help:"Its name; by default, the asset's with the times behind it." placeholder:"NAME"`
	AtSegments bool    `help:"Move both ends outwards to where segments begin. Nothing is encoded then, and the recording is not needed."`
	DryRun     bool    `help:"Only say what would be made."`
}

// Help explains what --help has no place for.
func (*clipCommand) Help() string {
	return `The clip names the asset's own segments; workers encode only what lies between its ends and the next segments, two at most. It begins and ends at exactly the frames that are asked for. ` +
		`As long as there are clips of an asset, rm and prune leave that asset alone.

  enqueue clip live/talk/talk-1764000000 --from 10:00 --to 52:30 --as talks/keynote
  enqueue status talks/keynote --watch`
}

// Run makes a clip.
func (c *clipCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	to := time.Duration(0)
	if c.To != nil {
		if to = time.Duration(*c.To); to == 0 {
			return errors.New("nothing is before --to 0; without --to, a clip ends where the asset does")
		}
	}
	return withBackend(ctx, flags, func(_ operate.Operator, backend *config.Backend) error {
		clipper := pipeline.Clipper{Store: backend.Store, Recordings: growing.Recordings{Store: backend.Recordings}, Queue: backend.Queue}
		made, err := clipper.Clip(ctx, pipeline.ClipWish{
			Asset: strings.Trim(c.Asset, "/"), From: time.Duration(c.From), To: to, As: strings.Trim(c.As, "/"),
			Segments: c.AtSegments, DryRun: c.DryRun,
		})
		if errors.Is(err, pipeline.ErrNoAsset) {
			return fmt.Errorf("%w (%w)", err, errUnknown)
		}
		if err != nil {
			return err
		}
		became := map[bool]string{true: "would be made", false: "is made"}[c.DryRun]
		if made.Before {
			became = fmt.Sprintf("was made before (if another took its place: "+job.CLI+" publish %s)", made.Job)
		}
		fmt.Fprintf(stdout, "clip %s, %.3f s to %.3f s of %s, %s as job %s; workers encode %d of its segments\n", made.Asset, made.From, made.To, c.Asset, became, made.Job, made.Encodes)
		for _, name := range made.LeftOut {
			fmt.Fprintf(stdout, "it lacks %s, the recording's own video, which can only be cut at segments (--at-segments)\n", name)
		}
		if !c.DryRun {
			_, err = fmt.Fprintf(stdout, "to see how far it is: "+job.CLI+" status %s --watch%s\n", made.Asset, flags.Args())
		}
		return err
	})
}

// farthest is more than any asset lasts, in seconds.
const farthest = 1e7

// moment is a time in an asset, as people write it: seconds, minutes and seconds with colons, or with units.
type moment time.Duration

// UnmarshalText reads it.
func (m *moment) UnmarshalText(text []byte) error {
	if d, err := time.ParseDuration(string(text)); err == nil && d >= 0 {
		*m = moment(d)
		return nil
	}
	all := 0.0
	fields := strings.Split(string(text), ":")
	for i, field := range fields {
		x, err := strconv.ParseFloat(field, 64)
		all = 60*all + x
		if err != nil || x < 0 || !(all <= farthest) || len(fields) > 3 || i > 0 && x >= 60 { // NaN is not below it
			return fmt.Errorf("%q is not a time: write 630, 10:30, 1:10:30.5 or 10m30s", text)
		}
	}
	*m = moment(math.Round(all * float64(time.Second)))
	return nil
}
