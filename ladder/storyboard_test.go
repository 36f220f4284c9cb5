package ladder

import (
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

func TestStoryboard(t *testing.T) {
	p := ntscPlan(t)
	out, err := Assemble(p.Job, made(p, 400_000))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "storyboard.vtt", string(out.StoryboardTrack()))
	parts := made(p, 400_000)
	parts[1].Images.Sheets = nil
	if _, err := Assemble(p.Job, parts); err == nil || !strings.Contains(err.Error(), "storyboard") {
		t.Errorf("a part without its sheet: %v", err)
	}
}

// However long a recording, players are told of as many thumbnails as a page can load; and every
// frame that is due is on exactly one sheet.
func TestStoryboardOfAnyLength(t *testing.T) {
	for _, tc := range []struct {
		length        time.Duration
		step          time.Duration
		width, height int
		tiles         int
	}{
		{5 * time.Second, 2 * time.Second, 1280, 720, 3},
		{38 * time.Minute, 2 * time.Second, 1280, 720, 1140},
		{time.Hour, 4 * time.Second, 3840, 1920, 900},
		{10 * time.Hour, 30 * time.Second, 200, 100, 1200},
		{40 * time.Hour, time.Minute, 640, 360, 2400},
	} {
		p := plan(t, index(tc.width, tc.height, flv.Rate{Num: 25, Den: 1}, tc.length, 2*time.Second), profile(t, "flat"))
		s := p.Storyboard
		told := p.told()
		tiles, next := 0, 0
		for k, c := range p.Chunks {
			for _, frame := range p.Tiles(c.Span) {
				if frame != next || frame < c.From || frame >= c.To {
					t.Fatalf("%s: chunk %d shows frame %d, %d is due", tc.length, k, frame, next)
				}
				next += s.Step
			}
			sheets := 0
			for _, n := range p.Sheets(c.Span) {
				sheets += n
			}
			if sheets != len(p.Tiles(c.Span)) {
				t.Errorf("%s: chunk %d has %d thumbnails on its sheets, %d are due", tc.length, k, sheets, len(p.Tiles(c.Span)))
			}
			tiles += sheets
		}
		tiles = (tiles + told - 1) / told
		if p.Rate.Time(told*s.Step) != tc.step || tiles != tc.tiles || s.Width > tc.width || s.Width*tc.height/tc.width-s.Height > 2 {
			t.Errorf("%s: %d thumbnails of %dx%d, one every %s; want %d, every %s", tc.length, tiles, s.Width, s.Height, p.Rate.Time(told*s.Step), tc.tiles, tc.step)
		}
		if at := p.Chunks[p.poster()].From; at > p.Frames/3 || at < p.Frames/6-2*60*25 {
			t.Errorf("%s: the poster is of frame %d of %d", tc.length, at, p.Frames)
		}
	}
}
