// Command enqueue brings recordings to the workers: by hand, or as the hook that
// nginx-rtmp runs when a recording is done. It also tells how far a job is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"afterlive/internal/wiring"
)

func main() {
	syscall.Umask(syscall.Umask(0o022) | 0o022) // nginx starts hooks with none, and what they write would be everybody's
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "enqueue:", err)
		os.Exit(exitCode(err))
	}
}

// Why it ended with an error: see exitCode.
var (
	errUsage   = errors.New("try --help")
	errUnknown = errors.New("enqueue status lists what there is")
)

// exitCode is 1 where something failed, 2 where the command line is wrong, and 3 where what was named is not there.
func exitCode(err error) int {
	switch {
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errUnknown):
		return 3
	}
	return 1
}

type commands struct {
	wiring.Flags

	Send    sendCommand    `cmd:"" help:"Enqueue a recording: a file, or one that is in the bucket already."`
	Hook    hookCommand    `cmd:"" help:"What nginx-rtmp's exec_record_done runs. Moves the recording to the spool, uploads and enqueues it."`
	Follow  followCommand  `cmd:"" help:"Bring recordings into the store while they grow: they can be watched while they are live, and are on demand seconds after their end."`
	End     endCommand     `cmd:"" help:"End a recording that waits for its publisher, or lost its origin."`
	Expect  expectCommand  `cmd:"" help:"What nginx-rtmp's exec_publish runs. Notes whether a stream has announced video, for the hook."`
	Sweep   sweepCommand   `cmd:"" help:"Finish what hooks could not: recordings in the spool, and those that nginx left behind."`
	Status  statusCommand  `cmd:"" help:"Show how far jobs are."`
	Failed  failedCommand  `cmd:"" help:"List the tasks that failed; of those that are named, tell all that is known."`
	Replay  replayCommand  `cmd:"" help:"Try failed tasks again. Only what is missing is made."`
	Drop    dropCommand    `cmd:"" help:"Remove tasks from the failed queue. Recordings stay."`
	Publish publishCommand `cmd:"" help:"Make an asset a job that is complete, though a later one is published: brings an earlier result back."`
	Clip    clipCommand    `cmd:"" help:"Make a part of an asset an asset of its own, to the frame."`
	MP4     mp4Command     `cmd:"" name:"mp4" help:"Write a rendition of an asset as one MP4 file."`
	GC      gcCommand      `cmd:"" name:"gc" help:"Remove segments of finished jobs that nothing names: of attempts that lost, or died."`
	Rm      rmCommand      `cmd:"" name:"rm" help:"Remove assets: what leads viewers to them, their segments, their jobs; with --recording, their recordings."`
	Prune   pruneCommand   `cmd:"" help:"Remove what is older than it is to be: recordings, results in whose place others are, assets."`
	Resume  resumeCommand  `cmd:"" help:"Send again what isn't done: after a queue was lost."`
	Reindex reindexCommand `cmd:"" help:"Write the index of jobs anew, for a store that was filled before there was one."`
	Input   inputCommand   `cmd:"" help:"Write the piece of a recording that ffmpeg gets for a part, to see for oneself."`
	Quality qualityCommand `cmd:"" help:"Show the measured quality of an asset, projection against projection."`
	Serve   serveCommand   `cmd:"" help:"Serve pages: what there is to watch, what is at work, what has failed and what to do about it; and the HTTP API beneath them."`
	Player  playerCommand  `cmd:"" help:"Put the player beside the results, so that whatever serves them serves it too."`
}

// lastWords logs why a hook cannot even start: nginx would let nobody know.
func lastWords(args []string, reason error) {
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "--log-file="); ok {
			if log, err := wiring.Logger("json", file); err == nil {
				log.Error("enqueue cannot start", zap.Strings("args", args), zap.Error(reason))
			}
		}
	}
}

const description = `Brings recordings to the workers, and shows how far they are.

  enqueue send talk.flv                  # to ./data; then run "worker"
  enqueue send talk.flv --profile 360
  enqueue status --watch
  enqueue failed                         # and then: enqueue replay --all

Sending a recording again is safe: parts that are done are not made again, and missing ones are.

It ends with 1 where something failed, 2 where the command line is wrong, and 3 where what was named is not there.`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	var c commands
	parser, err := kong.New(&c, kong.Name("enqueue"), kong.Description(description), kong.ExplicitGroups(wiring.Groups()),
		kong.Configuration(wiring.YAML), kong.Vars{"version": wiring.Version}, kong.Writers(stdout, os.Stderr),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		lastWords(args, err)
		return fmt.Errorf("%w (%w)", err, errUsage)
	}
	return command.Run(c.Flags)
}
