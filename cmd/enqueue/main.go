// Command enqueue, which the Debian package installs as afterlive, is everything but the transcoding: it sends recordings (by hand, as nginx-rtmp's
// hook, or while they grow), shows jobs, replays or drops failed tasks, cuts clips, removes what is old, and serves the web pages.
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

	"afterlive.alt/internal/config"
	"afterlive.alt/job"
)

func main() {
	syscall.Umask(syscall.Umask(0o022) | 0o022) // nginx starts hooks with none, and what they write would be everybody's
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, job.CLI+":", err)
		os.Exit(exitCode(err))
	}
}

// Why it ended with an error: see exitCode.
var (
	errUsage   = errors.New("try --help")
	errUnknown = errors.New(job.CLI + " status lists what there is")
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
	config.Flags

	Send    sendCommand    `cmd:"" help:"Enqueue a recording: a file, or one that is in the bucket already."`
	Hook    hookCommand    `cmd:"" help:"What nginx-rtmp's exec_record_done runs. Moves the recording to the spool, uploads and enqueues it."`
	Follow  followCommand  `cmd:"" help:"Store recordings while they grow: viewers can watch them while they are live, and on demand seconds after their end."`
	End     endCommand     `cmd:"" help:"End a recording that waits for its publisher, or lost its origin."`
	Expect  expectCommand  `cmd:"" help:"What nginx-rtmp's exec_publish runs. Notes whether a stream has announced video, for the hook."`
	Sweep   sweepCommand   `cmd:"" help:"Finish what hooks could not: recordings in the spool, and those that nginx left behind."`
	Status  statusCommand  `cmd:"" help:"Show how far jobs are."`
	Failed  failedCommand  `cmd:"" help:"List the tasks that failed; of those that are named, tell all that is known."`
	Replay  replayCommand  `cmd:"" help:"Try failed tasks again. Only what is missing is made."`
	Drop    dropCommand    `cmd:"" help:"Remove tasks from the failed queue. Recordings stay."`
	Publish publishCommand `cmd:"" help:"Publish a complete job again, in the place of a later one: brings an earlier result back."`
	Clip    clipCommand    `cmd:"" help:"Make a new asset of a part of an asset, exact to the frame."`
	Title   titleCommand   `cmd:"" help:"Give an asset a title, which viewers read in place of its name."`
	MP4     mp4Command     `cmd:"" name:"mp4" help:"Write a rendition of an asset as one MP4 file."`
	GC      gcCommand      `cmd:"" name:"gc" help:"Remove segments of finished jobs that no playlist names, left by attempts that failed or came second."`
	Rm      rmCommand      `cmd:"" name:"rm" help:"Remove assets: their playlists, segments and jobs; with --recording, also their recordings."`
	Prune   pruneCommand   `cmd:"" help:"Remove what is older than the limits that you set: recordings, superseded results, assets."`
	Resume  resumeCommand  `cmd:"" help:"Send messages again for all that isn't done: after a queue was lost."`
	Reindex reindexCommand `cmd:"" help:"Write the index of jobs again, for a store that was filled before there was one."`
	Input   inputCommand   `cmd:"" help:"Write what ffmpeg reads for a part, to reproduce a failure."`
	Quality qualityCommand `cmd:"" help:"Show the measured quality of an asset, and compare its projections."`
	Serve   serveCommand   `cmd:"" help:"Serve web pages for viewers and operators, and the HTTP API beneath them."`
	Player  playerCommand  `cmd:"" help:"Copy the player into the store, so that the web server of the results serves it too."`
}

// logStartupFailure writes to the hook's log file why it cannot start: nginx drops what hooks print.
func logStartupFailure(args []string, reason error) {
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "--log-file="); ok {
			if log, err := config.Logger("json", file); err == nil {
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
	parser, err := kong.New(&c, kong.Name(job.CLI), kong.Description(description), kong.ExplicitGroups(config.Groups()),
		config.File("afterlive.yaml"), kong.Vars{"version": config.Version()}, kong.Writers(stdout, os.Stderr),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		return err
	}
	config.SayInstalledNames(parser.Model)
	command, err := parser.Parse(args)
	if err != nil {
		logStartupFailure(args, err)
		return fmt.Errorf("%w (%w)", err, errUsage)
	}
	return command.Run(c.Flags)
}
