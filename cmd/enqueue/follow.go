package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/growing"
)

type followCommand struct {
	Dir       []string          `arg:"" help:"Folders that nginx records to."`
	App       string            `help:"The RTMP application whose folders they are." default:"live" placeholder:"APP"`
	Profile   string            `help:"As of send. The hook's must be the same." default:"auto"`
	Spool     string            `help:"As of hook. Default: .spool in each folder." placeholder:"DIR"`
	Every     time.Duration     `help:"How often to store what has been recorded. If this machine dies, at most this much is lost. 8 MiB are stored at once." default:"5s"`
	Tell      time.Duration     `help:"How much must have come before workers are told to look at it. 30s costs less, and is enough for a profile with live: vod." default:"5s"`
	Reconnect time.Duration     `help:"How long to wait for a publisher that has lost its connection. If it comes back, the recording goes on; 0s: it is another one." default:"30s"`
	Origin    string            `help:"This origin's name, where several record the same streams: they make one recording, and what one has lost comes from another." placeholder:"NAME"`
	SameAs    map[string]string `help:"Streams that are the same as others, for --origin: if the backup encoder publishes talk-b, say talk-b=talk." placeholder:"STREAM=OTHER"`
	LogFile   string            `help:"Where to log." default:"stderr" placeholder:"FILE"`
}

// Help explains what --help has no place for.
func (*followCommand) Help() string {
	return `Uploads recordings while nginx writes them, and workers encode them meanwhile: viewers can watch an event from its start ` +
		`while it is live, and it is on demand seconds after its end. Run it beside nginx, as nginx's user (packaging/systemd has the unit).

A publisher that loses its connection and is back within --reconnect goes on with its recording. One that says that it stops, as ffmpeg does, ` +
		`isn't waited for, and "enqueue end" ends the wait.

Where an encoder publishes to several origins, run it on each with --origin NAME, the same store and queue, and another name. They make one ` +
		`recording: what one has lost comes from another. Streams of one name that turn out to be different are kept apart.

It may be killed at any moment: the next start continues where the store says. After an outage of the store it catches up. Keep the hook ` +
		`and the sweep: they upload what follow missed, and all of them arrive at the same job.`
}

// validate reports all faults of the flags together.
func (c *followCommand) validate() error {
	var faults []error
	for _, dir := range c.Dir {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			faults = append(faults, fmt.Errorf("%s is not a folder (name those that nginx records to)", dir))
		}
	}
	if c.Every < time.Second || c.Every > time.Minute {
		faults = append(faults, fmt.Errorf("--every is %s; it may be 1s to 1m", c.Every))
	}
	if c.Tell < time.Second || c.Tell > time.Minute {
		faults = append(faults, fmt.Errorf("--tell is %s; it may be 1s to 1m", c.Tell))
	}
	if c.Reconnect < 0 || c.Reconnect > 30*time.Minute {
		faults = append(faults, fmt.Errorf("--reconnect is %s; it may be 0s to 30m", c.Reconnect))
	}
	if len(c.SameAs) > 0 && c.Origin == "" {
		faults = append(faults, errors.New("--same-as needs --origin: what is this origin called?"))
	}
	return errors.Join(faults...)
}

func (c *followCommand) Run(ctx context.Context, flags config.Flags) (err error) {
	log, err := config.Logger("json", c.LogFile)
	if err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	backend, err := flags.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("follow recordings: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	for _, dir := range c.Dir {
		if err := watcher.Add(dir); err != nil { // a look every second does, too
			log.Warn("folder cannot be watched", zap.String("folder", dir), zap.Error(err))
		}
	}
	for _, dir := range c.Dir {
		if err := growing.RemoveMirrors(c.spoolOf(dir)); err != nil {
			log.Warn("copies that a killed process has left cannot be removed", zap.Error(err))
		}
	}
	f := &follower{followCommand: c, flags: flags, backend: backend, log: log, streams: map[string]*stream{}}
	log.Info("recordings are followed", zap.Strings("folders", c.Dir), zap.Duration("every", c.Every), zap.Duration("reconnect", c.Reconnect))
	f.follow(ctx, watcher.Events)
	return nil
}

// spoolOf is where files of a folder wait.
func (c *followCommand) spoolOf(dir string) string {
	return cmp.Or(c.Spool, filepath.Join(dir, ".spool"))
}

// follower knows which recordings grow.
type follower struct {
	*followCommand

	flags   config.Flags
	backend *config.Backend
	log     *zap.Logger
	running sync.WaitGroup
	started bool // each file that was there has been looked at
	mu      sync.Mutex
	streams map[string]*stream // by file
}

// lookEvery is how often recordings are looked at of which no notice comes.
const lookEvery = time.Second

// follow looks at the folders until ctx ends.
func (f *follower) follow(ctx context.Context, events <-chan fsnotify.Event) {
	defer f.running.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	f.look(ctx)
	for f.started = true; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(ctx)
		case e := <-events: // most are writes, thousands a second
			if e.Has(fsnotify.Create) {
				f.look(ctx)
			} else {
				f.wake(e)
			}
		}
	}
}

// wake lets a stream look at once whose file was moved, as hooks do when it has ended. What is written
// to it is looked at every so often anyway.
func (f *follower) wake(e fsnotify.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.streams[e.Name]; s != nil && !e.Has(fsnotify.Write) {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
}

// look begins to follow the files that somebody has begun to write.
func (f *follower) look(ctx context.Context) {
	for _, dir := range f.Dir {
		files, err := recordingsIn(dir)
		if err != nil {
			f.log.Warn("folder cannot be read", zap.String("folder", dir), zap.Error(err))
		}
		for _, file := range files {
			if err := f.begin(ctx, dir, file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				f.log.Warn("recording cannot be followed", zap.String("path", file), zap.Error(err))
			}
		}
	}
}

// recordingsIn are the FLV files in a folder.
func recordingsIn(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.[fF][lL][vV]"))
	hidden, err2 := filepath.Glob(filepath.Join(dir, ".*.[fF][lL][vV]")) // a stream may be called so
	return slices.Compact(slices.Sorted(slices.Values(append(files, hidden...)))), errors.Join(err, err2)
}

// begin starts a stream for a file that some process is writing, unless it has one.
func (f *follower) begin(ctx context.Context, dir, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	if s := f.streams[name]; s != nil && os.SameFile(s.info, info) {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	e := entry{Path: name, App: f.App, Name: cmp.Or(f.SameAs[streamOf(name)], streamOf(name)), Profile: f.Profile}
	s := &stream{
		follower: f, entry: e, spool: spool{folder: f.spoolOf(dir)}, file: file, info: info, began: time.Now(),
		woken: make(chan struct{}, 1), log: f.log.With(zap.String("path", name)),
	}
	if ours, err := f.isOurs(s); err != nil || !ours {
		return errors.Join(err, file.Close())
	}
	f.streams[name] = s
	f.running.Go(func() {
		ended := s.run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if ended && f.streams[name] == s { // else it would be begun again
			delete(f.streams, name)
		}
	})
	return nil
}

// isOurs tells whether a file is to be followed as a recording of its own: one that is being written, or one that was followed
// before, and whose publisher may yet come back. What else there is, is the hook's, or the sweep's.
func (f *follower) isOurs(s *stream) (bool, error) {
	live, err := isWritten(s.file)
	if err != nil {
		return false, err
	}
	for _, other := range f.streams {
		if live && streamOf(other.Path) == streamOf(s.Path) && filepath.Dir(other.Path) == filepath.Dir(s.Path) && other.offer(s.Path) {
			return false, nil
		}
	}
	if f.Reconnect == 0 && f.Origin == "" {
		return live, nil
	}
	if f.Origin != "" {
		s.shared = &shared{stream: s, live: live, member: f.Origin + ":" + filepath.Base(s.Path)}
	}
	return s.claim(live, !f.started)
}
