// Command hlscheck applies Apple's rules for HLS to a presentation, on disk or behind a
// URL.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"afterlive.alt/hlscheck"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hlscheck:", err)
		os.Exit(1)
	}
}

type flags struct {
	Presentation string `arg:"" optional:"" help:"URL or file of a multivariant playlist, or a folder with master.m3u8 in it."`
	Playlists    bool   `help:"Check playlists, init segments and sizes only, not the contents of each segment."`
	Strict       bool   `help:"Also fail where a SHOULD is broken."`
	JSON         bool   `name:"json" help:"One JSON object."`
	Rules        bool   `help:"List the rules, and end."`
}

const description = `Applies the mechanical rules of Apple's HLS Authoring Specification, and those of RFC 8216 on which players depend.

  hlscheck data/vod/talk
  hlscheck https://cdn.example.org/vod/talk/master.m3u8

It exits with 1 if a MUST is broken, or with --strict a SHOULD.`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var f flags
	parser, err := kong.New(&f, kong.Name("hlscheck"), kong.Description(description), kong.Writers(stdout, os.Stderr))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w (try --help)", err)
	}
	if f.Rules {
		return f.list(stdout)
	}
	if f.Presentation == "" {
		return errors.New("say what to check (try --help)")
	}
	source, master, err := open(f.Presentation)
	if err != nil {
		return err
	}
	depth := hlscheck.Media
	if f.Playlists {
		depth = hlscheck.Playlists
	}
	report, err := hlscheck.Check(ctx, source, master, depth)
	if err != nil {
		return err
	}
	if err := f.print(stdout, report); err != nil {
		return err
	}
	must, should := len(report.Broken(hlscheck.Must)), len(report.Broken(hlscheck.Should))
	if must > 0 || f.Strict && should > 0 {
		return fmt.Errorf("%d MUST and %d SHOULD are broken", must, should)
	}
	return nil
}

// open finds the presentation that an argument means.
func open(name string) (source hlscheck.Source, master string, err error) {
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		base, err := url.Parse(name)
		if err != nil {
			return nil, "", err
		}
		return hlscheck.Web(base), base.String(), nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, "", err
	}
	if info.IsDir() {
		name = filepath.Join(name, "master.m3u8")
	}
	// Playlists may name what is above them.
	name, err = filepath.Abs(name)
	if err != nil {
		return nil, "", err
	}
	path := url.URL{Path: strings.TrimPrefix(filepath.ToSlash(name), "/")}
	return hlscheck.Dir(os.DirFS("/")), path.String(), nil
}

func (f *flags) list(stdout io.Writer) error {
	if f.JSON {
		return json.NewEncoder(stdout).Encode(hlscheck.Rules())
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, r := range hlscheck.Rules() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Number, r.Severity, r.Text)
	}
	return table.Flush()
}

func (f *flags) print(stdout io.Writer, r *hlscheck.Report) error {
	if f.JSON {
		return json.NewEncoder(stdout).Encode(r)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, m := range r.Renditions {
		fmt.Fprintf(table, "%s\t%d segments\t%.3f s\taverage %.0f b/s\tpeak %.0f b/s", m.Playlist, m.Segments, m.Duration, m.Average, m.Peak)
		if m.Encrypted != "" {
			fmt.Fprintf(table, "\tencrypted by %s", m.Encrypted)
		}
		fmt.Fprintln(table)
	}
	for _, finding := range r.Findings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", finding.Severity, finding.Rule, finding.Where, finding.Text)
	}
	return table.Flush()
}
