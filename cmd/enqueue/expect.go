package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/config"
)

type expectCommand struct {
	Stat    string        `help:"nginx-rtmp's statistics, as XML." required:"" placeholder:"URL"`
	App     string        `help:"The RTMP application: --app=$$app" required:"" placeholder:"APP"`
	Name    string        `help:"The stream: --name=$$name" required:"" placeholder:"NAME"`
	Spool   string        `help:"The hook's: --spool=DIR" required:"" placeholder:"DIR"`
	For     time.Duration `help:"How long to wait for the stream's metadata." default:"30s" placeholder:"TIME"`
	LogFile string        `help:"Where to log (${default})." default:"stderr" placeholder:"FILE"`
}

// Help explains what --help has no place for.
func (*expectCommand) Help() string {
	return `nginx-rtmp records no video of enhanced RTMP (HEVC, AV1, or H.264 with a FourCC), and says nothing of that: what is left looks like a recording of audio. But its statistics show what the encoder has announced. This notes it for the hook, and a recording that lacks its video then fails (no_picture) instead of being published without it.

  exec_publish /usr/local/bin/enqueue expect --stat=http://127.0.0.1:8081/stat --app=$app --name=$name --spool=DIR;`
}

func (c *expectCommand) Run(ctx context.Context, _ config.Flags) error {
	log, err := config.Logger("json", c.LogFile)
	if err != nil {
		return err
	}
	log = log.With(zap.String("app", c.App), zap.String("name", c.Name))
	s := spool{folder: c.Spool}
	if err := s.forget(c.App, c.Name); err != nil { // of an earlier stream of this name
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	video, err := c.announced(ctx, time.Second)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		log.Warn("stream has announced nothing", zap.Duration("within", c.For))
		return nil
	case err != nil:
		log.Error("what the stream has announced is not known", zap.Error(err))
		return err
	case video == "":
		log.Info("stream has announced audio only")
		return nil
	}
	log.Info("stream has announced video", zap.String("video", video))
	return s.expect(c.App, c.Name, video)
}

// announced asks every so often until the stream has metadata, and returns the video that
// it speaks of; "": none.
func (c *expectCommand) announced(ctx context.Context, every time.Duration) (video string, err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		video, known, err := c.look(ctx)
		if err != nil || known {
			return video, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// statistics are those of nginx-rtmp (rtmp_stat), as far as they matter here.
type statistics struct {
	Applications []struct {
		Name    string `xml:"name"`
		Streams []struct {
			Name string `xml:"name"`
			Meta *struct {
				Video *struct {
					Width  int `xml:"width"`
					Height int `xml:"height"`
				} `xml:"video"`
			} `xml:"meta"`
		} `xml:"live>stream"`
	} `xml:"server>application"`
}

// look reads the statistics once. known is false as long as the stream has announced
// nothing.
func (c *expectCommand) look(ctx context.Context) (video string, known bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Stat, http.NoBody)
	if err != nil {
		return "", false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", false, fmt.Errorf("get %s: %s", c.Stat, answer.Status)
	}
	const largest = 16 << 20
	var all statistics
	if err := xml.NewDecoder(io.LimitReader(answer.Body, largest)).Decode(&all); err != nil {
		return "", false, fmt.Errorf("read %s: %w", c.Stat, err)
	}
	for _, a := range all.Applications {
		for _, s := range a.Streams {
			if a.Name != c.App || s.Name != c.Name || s.Meta == nil {
				continue
			}
			if v := s.Meta.Video; v != nil && v.Width > 0 && v.Height > 0 {
				return fmt.Sprintf("%dx%d", v.Width, v.Height), true, nil
			}
			return "", true, nil
		}
	}
	return "", false, nil
}

// What streams have announced lies in a folder of the spool, a file each.
func (s spool) expected(app, name string) string {
	return filepath.Join(s.folder, ".expected", shorten(plain(app)), shorten(plain(name)))
}

func (s spool) forget(app, name string) error {
	if err := os.Remove(s.expected(app, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was expected: %w", err)
	}
	return nil
}

func (s spool) expect(app, name, video string) error {
	file := s.expected(app, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write what the stream has announced: %w", err)
	}
	return writeDurably(file, []byte(video))
}

// promised is the video that a stream has announced; empty if expect has noted none.
func (s spool) promised(app, name string) string {
	video, err := os.ReadFile(s.expected(app, name))
	if err != nil {
		return ""
	}
	return string(video)
}
