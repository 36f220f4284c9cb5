package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"afterlive.alt/internal/fleet"
)

// draw makes pictures of the traces: messages and tasks over time, and how long the
// recordings waited, with the alternative beside it.
func draw(all []trace, p *fleet.Policy, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // documents are for all
		return err
	}
	for _, t := range all {
		var results [4]*fleet.Result
		for w := range results {
			var err error
			if results[w], err = run(t, flat, p, way(w), true, 0); err != nil {
				return err
			}
		}
		if err := drawFleet(filepath.Join(folder, t.Name+"-fleet.svg"), t, results[followed]); err != nil {
			return fmt.Errorf("draw %s: %w", t.Name, err)
		}
		if len(t.Recordings) == 1 {
			continue
		}
		if err := drawWaits(filepath.Join(folder, t.Name+"-wait.svg"), t, results); err != nil {
			return fmt.Errorf("draw %s: %w", t.Name, err)
		}
	}
	return nil
}

var (
	blue   = color.RGBA{31, 119, 180, 255}
	orange = color.RGBA{255, 127, 14, 255}
	red    = color.RGBA{214, 39, 40, 255}
	green  = color.RGBA{44, 160, 44, 255}
)

func line(p *plot.Plot, name string, c color.Color, points plotter.XYs) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(1.5)
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

func drawFleet(file string, t trace, r *fleet.Result) error {
	p := plot.New()
	p.X.Label.Text = "hours"
	p.Title.Text = t.Title
	p.Y.Label.Text = "messages, tasks"
	p.Legend.Top = true
	from, to := t.Recordings[0].End-0.25*hour, r.End+0.75*hour
	var messages, wanted, running plotter.XYs
	for i, m := range r.Minutes {
		at := float64(i+1) * minute
		if at < from || at > to {
			continue
		}
		messages = append(messages, plotter.XY{X: at / hour, Y: m.Visible + m.InFlight})
		wanted = append(wanted, plotter.XY{X: at / hour, Y: m.Desired})
		running = append(running, plotter.XY{X: at / hour, Y: m.Running})
	}
	for _, l := range []struct {
		name   string
		c      color.Color
		points plotter.XYs
	}{{"messages", blue, messages}, {"tasks wanted", orange, wanted}, {"tasks running", green, running}} {
		if err := line(p, l.name, l.c, l.points); err != nil {
			return err
		}
	}
	return p.Save(18*vg.Centimeter, 8*vg.Centimeter, file)
}

func drawWaits(file string, t trace, results [4]*fleet.Result) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = t.Title, "minutes from the end of the stream to VOD", "share of recordings"
	p.Legend.Left, p.Legend.Top = true, true
	for _, l := range []struct {
		name string
		c    color.Color
		r    *fleet.Result
	}{{"followed", green, results[followed]}, {"followed, live: vod", red, results[unseen]}, {"in chunks, when it has ended", blue, results[chunked]}, {"one message a recording", orange, results[whole]}} {
		var points plotter.XYs
		sorted := slices.Sorted(slices.Values(l.r.Wait))
		step := max(1, len(sorted)/200)
		for i := 0; i < len(sorted); i += step {
			points = append(points, plotter.XY{X: sorted[i] / minute, Y: float64(i+1) / float64(len(sorted))})
		}
		if err := line(p, l.name, l.c, points); err != nil {
			return err
		}
	}
	return p.Save(18*vg.Centimeter, 8*vg.Centimeter, file)
}
