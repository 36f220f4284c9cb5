// Command viewers plays a live HLS stream many times at once, as cheaply as it can: it loads playlists and segments at the moments when a
// player would, and decodes nothing. The workshop's lab on caching uses it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

const startsBehind = 3 // segments from the end of the playlist, by RFC 8216, 6.3.3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "viewers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("viewers", flag.ContinueOnError)
	count := flags.Int("count", 10, "how many viewers there are")
	length := flags.Duration("for", 10*time.Second, "how long they watch")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *count < 1 {
		return errors.New("the address of one media playlist is needed")
	}
	address, err := url.Parse(flags.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	a := &audience{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *count}}, address: address}
	var all sync.WaitGroup
	for range *count {
		all.Go(func() { a.watch(ctx) })
	}
	all.Wait()
	fmt.Fprintf(stdout, "%d viewers, %.1f requests/s, %.1f MB/s, %d viewers stalled, %d requests failed\n", *count,
		float64(a.requests.Load())/length.Seconds(), float64(a.bytes.Load())/1e6/length.Seconds(), a.stalled.Load(), a.failed.Load())
	if a.failed.Load() > 0 {
		return fmt.Errorf("%d requests failed, such as %w", a.failed.Load(), *a.fault.Load())
	}
	return nil
}

// audience is all viewers of one playlist.
type audience struct {
	client  *http.Client
	address *url.URL

	requests, bytes, stalled, failed atomic.Int64
	fault                            atomic.Pointer[error]
}

// viewer is how far one of them has come.
type viewer struct {
	next    uint64    // the segment that comes next, by its number
	until   time.Time // what was loaded lasts; zero: it has not started
	stalled bool      // it had nothing to play, at least once
}

// watch is one viewer, who comes at some moment of the first two seconds and stays until ctx ends.
func (a *audience) watch(ctx context.Context) {
	var v viewer
	wait := rand.N(2 * time.Second) //nolint:gosec // when somebody comes is no secret
	for {
		select {
		case <-ctx.Done():
			if v.stalled {
				a.stalled.Add(1)
			}
			return
		case <-time.After(wait):
		}
		began := time.Now()
		list, err := a.playlist(ctx)
		if err != nil {
			a.note(ctx, err)
			wait = time.Second
			continue
		}
		wait = time.Duration(list.TargetDuration) * time.Second
		if !v.follow(list.GetAllSegments(), func(uri string) bool {
			err := a.load(ctx, uri, io.Discard)
			a.note(ctx, err)
			return err == nil
		}) {
			wait /= 2 // RFC 8216, 6.3.4
		}
		wait = max(0, wait-time.Since(began))
	}
}

// follow loads what is new to a viewer, and tells whether something was.
func (v *viewer) follow(segments []*m3u8.MediaSegment, load func(uri string) bool) (came bool) {
	starts := v.until.IsZero()
	if starts {
		segments = segments[max(0, len(segments)-startsBehind):]
	}
	for _, s := range segments {
		if s.SeqId < v.next {
			continue
		}
		v.next, came = s.SeqId+1, true
		if !load(s.URI) {
			continue
		}
		v.stalled = v.stalled || !starts && v.until.Before(time.Now())
		if now := time.Now(); v.until.Before(now) { // it plays on from here
			v.until = now
		}
		v.until = v.until.Add(time.Duration(s.Duration * float64(time.Second)))
	}
	v.stalled = v.stalled || v.until.Before(time.Now())
	return came
}

func (a *audience) playlist(ctx context.Context) (*m3u8.MediaPlaylist, error) {
	body, w := io.Pipe()
	go func() { w.CloseWithError(a.load(ctx, a.address.String(), w)) }()
	p, _, err := m3u8.DecodeFrom(body, true)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", a.address, err)
	}
	list, ok := p.(*m3u8.MediaPlaylist)
	if !ok {
		return nil, fmt.Errorf("%s is not a media playlist", a.address)
	}
	return list, nil
}

// load writes what is at an address, seen from the playlist's, to w.
func (a *audience) load(ctx context.Context, uri string, w io.Writer) error {
	u, err := a.address.Parse(uri)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	a.requests.Add(1)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", u, res.Status)
	}
	n, err := io.Copy(w, res.Body)
	a.bytes.Add(n)
	return err
}

// note counts an error, if it is one, and the time isn't over.
func (a *audience) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.failed.Add(1)
		a.fault.Store(&err)
	}
}
