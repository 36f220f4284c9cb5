package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/operate"
	"afterlive.alt/ladder"
)

type pruneCommand struct {
	Recordings ladder.Age `name:"keep-recordings" help:"Remove recordings of published assets after this time. The assets stay, but cannot be made again." placeholder:"7d" env:"AFTERLIVE_KEEP_RECORDINGS"`
	Superseded ladder.Age `name:"keep-superseded" help:"Remove superseded results after this time. Until then, publish brings them back." placeholder:"1d" env:"AFTERLIVE_KEEP_SUPERSEDED"`
	Assets     ladder.Age `name:"keep-assets" help:"Remove published assets after this time, with their recordings if --keep-recordings is given, too; else recordings stay." placeholder:"90d" env:"AFTERLIVE_KEEP_ASSETS"`
	MinFree    size       `help:"In a folder: if its disk has less free space, also remove replaced results, and then recordings of what is published, the oldest first." placeholder:"20G" env:"AFTERLIVE_KEEP_FREE"`
	DryRun     bool       `help:"Only say what would be removed."`
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
	return `If a recording's profile says how long something is kept (keep), that counts. Else the flags do, and without a flag it is kept forever, unless --min-free needs its room. prune never removes a failed or unfinished job, or its recording. ` +
		`A timer runs it once a day (packaging/systemd/afterlive-prune.timer).

  enqueue prune --keep-recordings 7d --keep-superseded 1d --keep-assets 90d --dry-run`
}

// Run removes what is older than it is to be.
func (c *pruneCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	if c.MinFree > 0 && flags.OnAWS() {
		return errors.New("--min-free is for a folder: a bucket is never full")
	}
	keep := ladder.Keep{Recordings: c.Recordings, Superseded: c.Superseded, Assets: c.Assets}
	return withBackend(ctx, flags, func(o operate.Operator, backend *config.Backend) error {
		count := 0
		report := func(p operate.Pruned) {
			did := removed(c.DryRun)
			if p.Err != nil {
				did = "stays: " + p.Err.Error()
			} else {
				count++
			}
			fmt.Fprintf(stdout, "%s %s (job %s, planned %s): %d segments and playlists, %d objects of the recording %s\n", p.What, p.Status.Asset, p.Status.Job,
				p.Status.Planned.Local().Format(time.DateTime), len(p.Pointers)+len(p.Segments), len(p.Recordings), did)
		}
		err := o.Prune(ctx, backend.Recordings, keep, c.DryRun, report)
		if c.MinFree > 0 {
			err = errors.Join(err, o.MakeRoom(ctx, backend.Recordings, func() (bool, error) {
				free, err := config.Free(flags.Data)
				return free >= int64(c.MinFree), err
			}, c.DryRun, report))
		}
		fmt.Fprintf(stdout, "%d %s\n", count, removed(c.DryRun))
		return err
	})
}
