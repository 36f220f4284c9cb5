package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is a tab of a headless Chromium. It has no GPU: SwiftShader draws.
type browser struct {
	*testing.T
	ctx context.Context
}

// closeChromium ends the browser that tests share, if one has opened it.
var closeChromium = func() {}

// chromium is the browser that tests share, since it takes a busy machine long to start
// one. Whoever opens a tab in it begins with nothing stored.
var chromium = sync.OnceValues(func() (context.Context, error) {
	ctx, end := startChromium(context.Background())
	closeChromium = end
	return ctx, chromedp.Do(ctx)
})

func startChromium(parent context.Context, flags ...string) (ctx context.Context, end func()) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.WindowSize(480, 420), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("enable-unsafe-swiftshader", true),
		chromedp.Flag("disable-component-update", true))
	for _, name := range flags {
		options = append(options, chromedp.Flag(name, true))
	}
	allocator, endAll := chromedp.NewExecAllocator(parent, options...)
	ctx, cancel := chromedp.NewContext(allocator)
	return ctx, func() { cancel(); endAll() }
}

// openBrowser opens a tab, in a browser of its own if that needs more flags.
func openBrowser(t *testing.T, flags ...string) browser {
	t.Helper()
	if len(flags) > 0 {
		ctx, end := startChromium(context.WithoutCancel(t.Context()), flags...)
		t.Cleanup(end)
		return browser{t, ctx}
	}
	shared, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := chromedp.NewContext(shared, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	return browser{t, ctx}
}

// complaints are what hls.js has said that is about what it plays. Not that a busy machine shows nothing for a moment though there is
// enough (bufferStalledError: the clock stands still), nor that a seek has ended a request, nor that playback went over a hole which
// players have to go over: a segment's audio begins up to an AAC frame behind its video, so hls.js tells of one now and then behind a
// start or a seek.
func complaints(faults []string) []string {
	return slices.DeleteFunc(faults, func(f string) bool {
		return strings.Contains(f, "bufferStalledError") || strings.HasPrefix(f, "networkError aborted") || smallHole(f)
	})
}

// seekOverHole is how hls.js 1.7.4 words where it was and where it goes on: 0.1 s behind the hole's end (skipBufferHolePadding).
var seekOverHole = regexp.MustCompile(`bufferSeekOverHole.* seeking from ([0-9.]+) to ([0-9.]+)`)

// smallHole says whether hls.js went over a hole of at most 0.1 s (its own maxBufferHole).
func smallHole(fault string) bool {
	found := seekOverHole.FindStringSubmatch(fault)
	if found == nil {
		return false
	}
	from, err := strconv.ParseFloat(found[1], 64)
	to, err2 := strconv.ParseFloat(found[2], 64)
	return err == nil && err2 == nil && to-from <= 0.1+0.1
}

func TestSmallHole(t *testing.T) {
	for fault, want := range map[string]bool{
		"mediaError: bufferSeekOverHole: fragment loaded with buffer holes, seeking from 8.98 to 9.1":                                   true,
		"mediaError: bufferSeekOverHole: fragment loaded with buffer holes, seeking from 8.8 to 9.1":                                    false,
		"mediaError: bufferSeekOverHole: Playhead still not moving after seeking over buffer hole from 1.0 to 1.1 after 3 attempts.":    false,
		"mediaError: bufferSeekOverHole: nudging playhead to flush pipeline after video hole. currentTime: 2 hole: 1.9 -> 2.1 buffered": false,
	} {
		if got := smallHole(fault); got != want {
			t.Errorf("%q: %t", fault, got)
		}
	}
}

// visit opens a page of the player, and waits until its panes show a frame.
func (b browser) visit(url string) {
	b.Helper()
	b.navigate(url)
	b.wait("player?.stage.panes.length > 0 && player.stage.panes.every(p => p.frames.length > 0)")
}

func (b browser) navigate(url string) {
	b.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.Fatal(err)
	}
}

// wait waits until a JavaScript expression is true.
func (b browser) wait(expression string) {
	b.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool]("(() => { try { return !!("+expression+") } catch { return false } })()", chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		b.Fatalf("not within %s: %s: %v; the page says: %q", patience, expression, err, b.text("(document.getElementById('error') ?? document.body).textContent"))
	}
}

func evaluate[T any](b browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (b browser) text(expression string) string { return evaluate[string](b, expression) }

// run runs JavaScript for its effect.
func (b browser) run(script string) {
	b.Helper()
	evaluate[bool](b, "(async () => { "+script+"; return true })()")
}

// look turns the player to a direction, and returns what it draws.
func (b browser) look(yaw, pitch, fov float64) image.Image {
	b.Helper()
	return b.picture(fmt.Sprintf("player.looking.set({yaw: %g, pitch: %g, roll: 0, fov: %g})", yaw, pitch, fov))
}

// picture runs a script, has the stage drawn and returns the canvas.
func (b browser) picture(script string) image.Image {
	b.Helper()
	url := b.text("(() => { " + script + "; player.stage.draw(); return player.stage.view.canvas.toDataURL('image/png') })()")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
	if err != nil {
		b.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	return picture
}
