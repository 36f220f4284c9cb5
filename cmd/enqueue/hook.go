package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/config"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

type hookCommand struct {
	Path    string `help:"The recording: --path=$$path" required:"" placeholder:"FILE"`
	App     string `help:"The RTMP application: --app=$$app" placeholder:"APP"`
	Name    string `help:"The stream: --name=$$name" placeholder:"NAME"`
	Profile string `help:"As of send." default:"auto"`
	Spool   string `help:"Folder where recordings wait, on the same file system. Default: .spool beside the recording." placeholder:"DIR"`
	LogFile string `help:"Where to log (${default}); nginx gives a hook no output of its own." default:"stderr" placeholder:"FILE"`
}

// Help explains what --help has no place for.
func (*hookCommand) Help() string {
	return `In nginx.conf, with the variables glued to their flags (a stream may be called "--help"):

  exec_record_done /usr/local/bin/enqueue --config=/etc/afterlive/afterlive.yaml hook --path=$path --app=$app --name=$name;

nginx starts it with an empty environment: say everything in the config file. It returns once the recording is in the store and the workers know of it. Until then the recording is in the spool, and "enqueue sweep" finishes what a hook could not.`
}

func (c *hookCommand) Run(ctx context.Context, flags config.Flags) (err error) {
	log, err := config.Logger("json", c.LogFile)
	if err != nil {
		return err
	}
	log = log.With(zap.String("path", c.Path), zap.String("app", c.App), zap.String("name", c.Name))
	if err := c.hook(ctx, log, flags); err != nil {
		log.Error("recording is not enqueued", zap.Error(err))
		return err
	}
	return nil
}

func (c *hookCommand) hook(ctx context.Context, log *zap.Logger, flags config.Flags) error {
	s, e, err := c.spooled()
	switch {
	case errors.Is(err, fs.ErrNotExist): // nginx fires twice for one path, where streams are appended
		log.Warn("recording is gone: follow has put it behind the one before it, or the hook has run before", zap.Error(err))
		return nil
	case errors.Is(err, errLive): // a publisher came back before the hook did
		log.Warn("recording goes on in the same file; the hook of its end will take it (record_unique on keeps them apart)")
		return nil
	case errors.Is(err, errBusy):
		log.Info("recording is taken by another process")
		return nil
	case errors.Is(err, errEmpty): // nginx leaves one where it refused a second publisher
		log.Info("recording is empty; nothing to do")
		return nil
	case err != nil:
		return err
	}
	log = log.With(zap.String("spool", s.flv(e.ID)), zap.Int64("bytes", e.Size))
	log.Info("recording is in the spool")
	t, err := e.enqueue(ctx, log, s, flags)
	if errors.Is(err, errBusy) {
		log.Info("recording is uploaded by another process, or goes on; " + job.CLI + " sweep looks again")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w (the recording is kept as %s; "+job.CLI+" sweep will try again)", err, s.flv(e.ID))
	}
	log.Info("recording is enqueued", zap.String("key", t.Key), zap.String("job", t.JobID()))
	return nil
}

var (
	errEmpty = errors.New("the recording is empty")
	errLive  = errors.New("the recording is being written to")
)

// spooled moves the recording into the spool, unless it is there already.
func (c *hookCommand) spooled() (spool, entry, error) {
	if e, err := readNote(c.Path); err == nil {
		return spool{folder: filepath.Dir(c.Path)}, e, nil
	}
	s := spool{folder: cmp.Or(c.Spool, filepath.Join(filepath.Dir(c.Path), ".spool"))}
	info, err := os.Stat(c.Path)
	if err != nil {
		return s, entry{}, err
	}
	if info.Size() == 0 {
		return s, entry{}, errEmpty
	}
	if live, err := recording(c.Path); err != nil || live {
		return s, entry{}, cmp.Or(err, errLive)
	}
	e, err := s.take(entry{Path: c.Path, App: c.App, Name: c.Name, Profile: c.Profile, Video: s.promised(c.App, c.Name)}, info)
	return s, e, err
}

// enqueue uploads, sends and then forgets a recording. Every step may be done
// again.
func (e entry) enqueue(ctx context.Context, log *zap.Logger, s spool, flags config.Flags) (t job.Task, err error) {
	release, err := s.lock(e)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, release()) }()
	file := s.flv(e.ID)
	before, err := os.Stat(file)
	if err != nil {
		return t, err
	}
	if live, err := recording(file); err != nil || live { // a publisher came back just as it was moved
		return t, errors.Join(err, errBusy)
	}
	done, err := s.turn(ctx)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, done()) }()
	backend, err := flags.Open(ctx)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	out := sender{backend: backend, profile: e.Profile, promised: e.Video, ours: true, note: func(err error) { log.Warn("recording has no index; a worker will read it", zap.Error(err)) }}
	t, err = out.file(ctx, s.flv(e.ID), e.key(""))
	if errors.Is(err, errTaken) { // two recordings of one stream within a second
		t, err = out.file(ctx, s.flv(e.ID), e.key("-"+e.ID))
	}
	if err != nil {
		return t, err
	}
	if err := out.send(ctx, t); err != nil {
		return t, err
	}
	after, err := os.Stat(file)
	if err != nil {
		return t, err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return t, fmt.Errorf("%s: %w", file, blob.ErrChanged)
	}
	return t, s.remove(e)
}

// key is recordings/<app>/<stream>/<file>.flv.
func (e entry) key(suffix string) string {
	file := strings.TrimSuffix(filepath.Base(e.Path), filepath.Ext(e.Path))
	file = plain(file)
	for len(file) > maxElement { // the end tells one recording of a stream from another
		_, size := utf8.DecodeRuneInString(file)
		file = file[size:]
	}
	return path.Join(job.Prefix, shorten(plain(e.App)), shorten(plain(e.Name)), file+suffix) + ".flv"
}

const maxElement = 200 // bytes; a key has three, and S3 1,024 in all

func shorten(s string) string {
	for len(s) > maxElement {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// plain makes a key's element from what a publisher chose: letters and digits of
// any script, and . _ - but no dot in front.
func plain(s string) string {
	runes := []rune(s)
	for i, r := range runes {
		ok := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' || (r == '.' && i > 0)
		if !ok {
			runes[i] = '_'
		}
	}
	if name := string(runes); ladder.Reserved(name) { // a file of every asset is called so
		return name + "_"
	}
	return string(runes)
}
