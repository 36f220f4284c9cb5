package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"afterlive/internal/operate"
	"afterlive/internal/wiring"
)

// age is a time for which something is kept.
type age time.Duration

// UnmarshalText reads 90d, or what time.ParseDuration does.
func (a *age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q is no number of days", text)
		}
		*a = age(n * 24 * float64(time.Hour))
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	*a = age(d)
	return err
}

type pruneCommand struct {
	Recordings age  `name:"keep-recordings" help:"Remove recordings of what is published, after so long. It stays published, but can be made anew no more." placeholder:"7d" env:"AFTERLIVE_KEEP_RECORDINGS"`
	Superseded age  `name:"keep-superseded" help:"Remove results in whose place others are, after so long. Until then, publish brings them back." placeholder:"1d" env:"AFTERLIVE_KEEP_SUPERSEDED"`
	Assets     age  `name:"keep-assets" help:"Remove what is published, after so long. Recordings that are kept longer stay." placeholder:"90d" env:"AFTERLIVE_KEEP_ASSETS"`
	DryRun     bool `help:"Only say what would be removed."`
}

// Help explains what --help has no place for.
func (*pruneCommand) Help() string {
	return `Without a flag for it, a kind of data is kept forever. prune never removes a failed or unfinished job, or its recording. ` +
		`A timer runs it once a day (nginx/afterlive-prune.timer).

  enqueue prune --keep-recordings 7d --keep-superseded 1d --keep-assets 90d --dry-run`
}

// Run removes what is older than it is to be.
func (c *pruneCommand) Run(ctx context.Context, stdout io.Writer, flags wiring.Flags) error {
	ages := operate.Ages{Recordings: time.Duration(c.Recordings), Superseded: time.Duration(c.Superseded), Assets: time.Duration(c.Assets)}
	if ages == (operate.Ages{}) {
		return errors.New("say for how long what is kept: --keep-recordings, --keep-superseded, --keep-assets")
	}
	return atPlace(ctx, flags, func(o operate.Operator, place *wiring.Place) error {
		count := 0
		err := o.Prune(ctx, place.Recordings, ages, c.DryRun, func(p operate.Pruned) {
			did := removed(c.DryRun)
			if p.Err != nil {
				did = "stays: " + p.Err.Error()
			} else {
				count++
			}
			fmt.Fprintf(stdout, "%s %s (job %s, planned %s): %d segments and playlists, %d objects of the recording %s\n", p.What, p.Status.Asset, p.Status.Job,
				p.Status.Planned.Local().Format(time.DateTime), len(p.Pointers)+len(p.Segments), len(p.Recordings), did)
		})
		fmt.Fprintf(stdout, "%d %s\n", count, removed(c.DryRun))
		return err
	})
}
