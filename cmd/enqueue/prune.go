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
			return fmt.Errorf("%q is not a number of days", text)
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
	Recordings age  `name:"keep-recordings" help:"Remove recordings of published assets after this time. The assets stay, but cannot be made again." placeholder:"7d" env:"AFTERLIVE_KEEP_RECORDINGS"`
	Superseded age  `name:"keep-superseded" help:"Remove superseded results after this time. Until then, publish brings them back." placeholder:"1d" env:"AFTERLIVE_KEEP_SUPERSEDED"`
	Assets     age  `name:"keep-assets" help:"Remove published assets after this time. Recordings that are kept longer stay." placeholder:"90d" env:"AFTERLIVE_KEEP_ASSETS"`
	MinFree    size `help:"In a folder: if its disk has less free space, also remove replaced results, and then recordings of what is published, the oldest first." placeholder:"20G" env:"AFTERLIVE_KEEP_FREE"`
	DryRun     bool `help:"Only say what would be removed."`
}

// size is a number of bytes.
type size int64

// UnmarshalText reads 20G, 500M, or a number of bytes.
func (s *size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimRight(string(text), "KMGTkmgt"), int64(1)
	if rest := strings.ToUpper(string(text)[len(number):]); rest != "" {
		at := strings.Index("KMGT", rest)
		if len(rest) != 1 || at < 0 {
			return fmt.Errorf("%q is not a size: write 20G, 500M or a number of bytes", text)
		}
		unit = 1 << (10 * (at + 1))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || n*float64(unit) > 1<<60 {
		return fmt.Errorf("%q is not a size: write 20G, 500M or a number of bytes", text)
	}
	*s = size(n * float64(unit))
	return nil
}

// Help explains what --help has no place for.
func (*pruneCommand) Help() string {
	return `Without a flag for it, a kind of data is kept forever, unless --min-free needs its room. prune never removes a failed or unfinished job, or its recording. ` +
		`A timer runs it once a day (packaging/systemd/afterlive-prune.timer).

  enqueue prune --keep-recordings 7d --keep-superseded 1d --keep-assets 90d --dry-run`
}

// Run removes what is older than it is to be.
func (c *pruneCommand) Run(ctx context.Context, stdout io.Writer, flags wiring.Flags) error {
	ages := operate.Ages{Recordings: time.Duration(c.Recordings), Superseded: time.Duration(c.Superseded), Assets: time.Duration(c.Assets)}
	switch {
	case c.MinFree > 0 && flags.OnAWS():
		return errors.New("--min-free is for a folder: a bucket is never full")
	case ages == (operate.Ages{}) && c.MinFree == 0:
		return errors.New("say for how long what is kept: --keep-recordings, --keep-superseded, --keep-assets, or --min-free")
	}
	return atPlace(ctx, flags, func(o operate.Operator, place *wiring.Place) error {
		count := 0
		tell := func(p operate.Pruned) {
			did := removed(c.DryRun)
			if p.Err != nil {
				did = "stays: " + p.Err.Error()
			} else {
				count++
			}
			fmt.Fprintf(stdout, "%s %s (job %s, planned %s): %d segments and playlists, %d objects of the recording %s\n", p.What, p.Status.Asset, p.Status.Job,
				p.Status.Planned.Local().Format(time.DateTime), len(p.Pointers)+len(p.Segments), len(p.Recordings), did)
		}
		var err error
		if ages != (operate.Ages{}) {
			err = o.Prune(ctx, place.Recordings, ages, c.DryRun, tell)
		}
		if c.MinFree > 0 {
			err = errors.Join(err, o.MakeRoom(ctx, place.Recordings, func() (bool, error) {
				free, err := wiring.Free(flags.Data)
				return free >= int64(c.MinFree), err
			}, c.DryRun, tell))
		}
		fmt.Fprintf(stdout, "%d %s\n", count, removed(c.DryRun))
		return err
	})
}
