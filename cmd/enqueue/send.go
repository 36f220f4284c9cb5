package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/operate"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
	"afterlive.alt/pipeline"
)

type sendCommand struct {
	Recording []string `arg:"" help:"An FLV file, or s3://BUCKET/KEY. Several with --join."`
	As        string   `help:"Name of the asset. Default: the file's, without .flv." placeholder:"APP/NAME"`
	Join      bool     `help:"Make one asset of the parts of one stream, in the order given. Needs room for all of them in the temporary folder (TMPDIR)."`
	Force     bool     `help:"Send the file even if it seems that it cannot be published. A worker checks it again."`
	Repair    bool     `help:"Also send what was sent before, for every part that doesn't exist: its message was lost, or somebody removed the part."`
	Replace   bool     `help:"If another recording has this name: put this one in its place. What was published stays until this one is."`
	Title     string   `help:"What viewers read in place of the asset's name. To change it later: title."`
	TrimStart moment   `help:"Leave out so much at the start, to the frame: seconds, or 1:30, 1m30s." placeholder:"TIME"`
	TrimEnd   moment   `help:"Leave out so much at the end." placeholder:"TIME"`
	Profile   string   `help:"auto (a 2:1 video is 360, any other flat), flat, 360, cubemap, eac, compare, or one of the workers' own." default:"auto"`
}

func (c *sendCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) (err error) {
	backend, err := flags.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	s := sender{backend: backend, profile: c.Profile, title: c.Title, force: c.Force, replace: c.Replace, note: func(err error) { fmt.Fprintln(stdout, "note:", err) }}

	s.trim = job.Trim{Start: time.Duration(c.TrimStart).Round(time.Millisecond).Milliseconds(), End: time.Duration(c.TrimEnd).Round(time.Millisecond).Milliseconds()}
	t, err := c.task(ctx, stdout, s)
	if err != nil {
		return err
	}
	t.Repair = c.Repair
	id := t.JobID()
	if err := s.operator().Resume(ctx, id, c.Repair); err != nil {
		s.note(err)
	}
	before, unknown := catalog.Look(ctx, backend.Store, id)
	if err := s.send(ctx, t); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "enqueued %s as job %s\nasset %s; to see how far it is: "+job.CLI+" status %s --watch%s\n", strings.Join(c.Recording, ", "), id, job.Asset(t.Key), id, flags.Args())
	switch {
	case unknown != nil: // it is new
	case before.State == catalog.Superseded:
		fmt.Fprintf(stdout, "note: it was made before, and is superseded by job %s; to bring it back: "+job.CLI+" publish %s%s\n", before.Published, id, flags.Args())
	case before.Shown == "" && !c.Repair:
		fmt.Fprintf(stdout, "note: its tasks were sent before, and are not sent again. To replay what failed: "+job.CLI+" replay %s%s. If messages or parts were lost: "+job.CLI+" send --repair\n", id, flags.Args())
	}
	return nil
}

// task uploads what is not in the bucket yet.
func (c *sendCommand) task(ctx context.Context, stdout io.Writer, s sender) (job.Task, error) {
	first, key := c.Recording[0], c.key()
	switch {
	case c.Join && c.As == "":
		return job.Task{}, errors.New("--join needs --as: what is the whole to be called?")
	case !c.Join && len(c.Recording) > 1:
		return job.Task{}, errors.New("one recording at a time; or --join, if these are parts of one stream")
	case c.Replace && strings.HasPrefix(first, "s3://") && !c.Join:
		return job.Task{}, fmt.Errorf("%s is in the bucket already: --replace is for what is uploaded", first)
	case !c.Join && c.As != "" && strings.HasPrefix(first, "s3://"):
		return job.Task{}, fmt.Errorf("%s is in the bucket already, and is called as it is: --as is for what is uploaded", first)
	}
	if err := errors.Join(s.free(ctx, key), s.known(ctx)); err != nil {
		return job.Task{}, err
	}
	switch {
	case c.Join:
		return s.joined(ctx, stdout, c.Recording, key)
	case strings.HasPrefix(first, "s3://"):
		return s.existing(ctx, first)
	}
	return s.file(ctx, first, key)
}

// key is what the recording is called, or to be called, in the bucket: always .flv, since
// names of assets have no extension.
func (c *sendCommand) key() string {
	switch name, there := strings.CutPrefix(c.Recording[0], "s3://"); {
	case c.As != "":
		return job.Prefix + withoutFLV(strings.Trim(c.As, "/")) + ".flv"
	case there:
		_, key, _ := strings.Cut(name, "/")
		return key
	default:
		name = filepath.Base(name)
		return job.Prefix + strings.TrimSuffix(name, filepath.Ext(name)) + ".flv"
	}
}

// withoutFLV cuts the extension off, however it is written.
func withoutFLV(name string) string {
	if job.IsFLV(name) {
		return name[:len(name)-len(".flv")]
	}
	return name
}

// sender uploads recordings and enqueues them.
type sender struct {
	backend  *config.Backend
	profile  string
	title    string
	trim     job.Trim
	promised string      // the video that the stream has announced
	ours     bool        // files are, to be removed once they are uploaded
	force    bool        // what is no recording is sent, too
	replace  bool        // another recording of that name makes way
	note     func(error) // of what nobody needs, and did not come off
}

func (s sender) task(key, etag string) job.Task {
	return job.Task{
		Version: job.Version, Kind: job.Recording, Bucket: s.backend.Bucket, Key: key, ETag: etag, Profile: s.profile, Promised: s.promised, Title: s.title, Trim: s.trim,
	}
}

func (s sender) operator() operate.Operator { return operate.Operator{Store: s.backend.Store} }

// known refuses a profile that no worker knows. Where none can be asked, the one that comes will say it.
func (s sender) known(ctx context.Context) error {
	known, err := catalog.ProfileUnknown(ctx, s.backend.Store, time.Now(), s.profile)
	if err != nil {
		s.note(err)
	}
	if known == "" || s.force {
		return nil
	}
	return fmt.Errorf("no worker knows the profile %q: they know auto, %s (--force sends it all the same)", s.profile, known)
}

// free refuses a name under which nothing can be published. Where that cannot be known, the
// worker will say it.
func (s sender) free(ctx context.Context, key string) error {
	if _, err := job.Parse(s.task(key, "").Body()); err != nil {
		return err
	}
	err := pipeline.NameFree(ctx, s.backend.Store, key)
	if errors.Is(err, pipeline.ErrNameTaken) {
		return fmt.Errorf("%w; choose another name (--as NAME)", err)
	}
	if err != nil {
		s.note(err)
	}
	return nil
}

func (s sender) send(ctx context.Context, t job.Task) error {
	body := t.Body()
	if _, err := job.Parse(body); err != nil { // better told here than by a worker
		return err
	}
	return s.backend.Queue.Send(ctx, body, 0)
}

// object finds an object of the workers' bucket of recordings.
func (s sender) object(ctx context.Context, uri string) (key string, size int64, etag string, err error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if s.backend.Bucket == "" {
		return "", 0, "", fmt.Errorf("%s: without --queue and --store, recordings are files", uri)
	}
	if bucket != s.backend.Bucket {
		return "", 0, "", fmt.Errorf("%s is not in the workers' bucket of recordings %q", uri, s.backend.Bucket)
	}
	size, etag, err = s.backend.Recordings.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no %s: %w", uri, err)
	}
	return key, size, etag, err
}

var errTaken = errors.New("the name is taken by another recording")

// file uploads a recording; with replace, also in the place of another.
func (s sender) file(ctx context.Context, file, key string) (job.Task, error) {
	t, err := s.put(ctx, file, key)
	if errors.Is(err, errTaken) && s.replace {
		return s.inItsPlace(ctx, file, key)
	}
	return t, err
}

// put uploads a recording, unless the very same is there already. It confirms
// the object's size before it returns.
func (s sender) put(ctx context.Context, file, key string) (job.Task, error) {
	if _, err := job.Parse(s.task(key, "").Body()); err != nil {
		return job.Task{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return job.Task{}, err
	}
	if !info.Mode().IsRegular() {
		return job.Task{}, fmt.Errorf("%s is not a file", file)
	}
	grew, err := s.finish(ctx, file, key)
	if err != nil {
		return job.Task{}, err
	}
	var scanned *pipeline.Scanned
	if grew == "" { // else it has been
		if scanned, err = s.scan(ctx, file); err != nil {
			return job.Task{}, err
		}
	}
	_, _, err = s.backend.Recordings.Stat(ctx, key) // spares sending what is there
	existed := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		err = s.upload(ctx, key, file, info.Size())
		existed = errors.Is(err, fs.ErrExist)
	}
	if err != nil && !existed {
		return job.Task{}, err
	}
	size, etag, err := s.backend.Recordings.Stat(ctx, key)
	if err != nil {
		return job.Task{}, err
	}
	same := size == info.Size()
	if same && existed {
		same, err = s.same(ctx, file, key, etag, size)
		if err != nil {
			return job.Task{}, err
		}
	}
	switch {
	case existed && !same:
		return job.Task{}, fmt.Errorf("%s: %w; choose another with --as, or --replace it", key, errTaken)
	case !same:
		return job.Task{}, fmt.Errorf("upload %s: the object has %d bytes, the file %d: did it change meanwhile?", key, size, info.Size())
	}
	if grew != "" {
		return s.task(key, grew), growing.Complete(ctx, s.backend.Recordings, key, etag)
	}
	if scanned != nil {
		if err := scanned.Store(ctx, s.backend.Recordings, key, etag, s.promised); err != nil { // workers can do without
			s.note(err)
		}
	}
	return s.task(key, etag), nil
}

// inItsPlace uploads a recording in the place of another.
func (s sender) inItsPlace(ctx context.Context, file, key string) (job.Task, error) {
	state, _, err := growing.Load(ctx, s.backend.Recordings, key)
	if err == nil && !state.Ended {
		err = errors.New("it still grows: " + job.CLI + " end ends it")
	} else if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.operator().MakeWay(ctx, s.backend.Recordings, job.Asset(key), key)
	}
	if err != nil {
		return job.Task{}, fmt.Errorf("replace %s: %w", key, err)
	}
	return s.put(ctx, file, key) // who comes between is not replaced
}

// scan indexes a file that is to be uploaded, and refuses what is no recording; nil: a worker is to index it. What nginx has recorded is not
// refused here: a worker fails it, so that operators find it in the failed queue.
func (s sender) scan(ctx context.Context, file string) (*pipeline.Scanned, error) {
	scanned, err := pipeline.ScanFile(ctx, file)
	if err == nil {
		err = scanned.Trims(s.trim)
	}
	_, refused := errors.AsType[*flv.Error](err)
	switch {
	case refused && !s.ours && !s.force:
		return nil, fmt.Errorf("%s cannot be published: %w (--force sends it all the same)", file, err)
	case err != nil && !refused:
		s.note(err)
	}
	return scanned, ctx.Err()
}

// upload stores a file. A bucket may tell of it before its sender does, and must know how it is wanted.
func (s sender) upload(ctx context.Context, key, file string, size int64) error {
	if t := s.task(key, ""); s.backend.Bucket != "" && (t.Trim != job.Trim{} || t.Title != "" || t.Profile != job.DefaultProfile) {
		if err := pipeline.NoteWish(ctx, s.backend.Recordings, t, size); err != nil {
			return err
		}
	}
	if s.ours {
		return s.backend.Recordings.Upload(ctx, key, file)
	}
	return s.backend.Recordings.Copy(ctx, key, file)
}

// same compares a file with the object of that name.
func (s sender) same(ctx context.Context, file, key, etag string, size int64) (bool, error) {
	local, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer local.Close()
	remote, err := s.backend.Recordings.Read(ctx, key, etag, 0, size)
	if err != nil {
		return false, err
	}
	defer remote.Close()
	a, b := bufio.NewReader(local), bufio.NewReader(remote)
	for {
		x, errX := a.ReadByte()
		y, errY := b.ReadByte()
		switch {
		case errors.Is(errX, io.EOF) && errors.Is(errY, io.EOF):
			return true, nil
		case errors.Is(errX, io.EOF) || errors.Is(errY, io.EOF):
			return false, nil
		case errX != nil || errY != nil:
			return false, errors.Join(errX, errY)
		case x != y:
			return false, nil
		}
	}
}

// playURL is where a worker's --http shows an asset's stable playlist.
func playURL(asset string) string {
	return (&url.URL{Path: "/" + ladder.StableMasterKey(asset)}).EscapedPath()
}
