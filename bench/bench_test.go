// Package bench measures afterlive beside other ways to do the same, in one run and on
// one machine: what it reports are ratios. Absolute times would only tell how busy this
// machine is. "make bench" runs it; docs/performance.md tells of method and results.
package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"

	"afterlive.alt/internal/testenv"
)

var (
	files   = flag.String("files", "", "recordings of your own to measure with, separated by spaces")
	minutes = flag.Int("minutes", 4, "length of the recording that is made")
	output  = flag.String("results", "", "JSON file for the results")
)

// bin is where the binaries are; made, where recordings are kept between runs.
var bin, made string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if flag.Lookup("test.bench").Value.String() == "" { // nothing is measured by accident
		return m.Run(), nil
	}
	var err error
	if bin, err = os.MkdirTemp("", "afterlive-bench-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(bin)
	made = filepath.Join(testenv.Root(), "data", "bench")
	if err := os.MkdirAll(made, 0o755); err != nil {
		return 0, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", bin+"/", "./cmd/...", "./tools/testsphere")
	build.Dir = testenv.Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	code := m.Run()
	printTable(os.Stdout)
	return code, writeJSON()
}

// result is one figure: a ratio, or a share.
type result struct {
	Measure string  `json:"measure"`
	Subject string  `json:"subject"`
	Figure  string  `json:"figure"` // what is divided by what
	Value   float64 `json:"value"`
	Wanted  string  `json:"wanted,omitempty"` // "<= 1.03"
}

var results []result

func report(b *testing.B, measure, subject, figure string, value float64, wanted string) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of no interest: a ratio is what counts
	results = append(results, result{measure, subject, figure, value, wanted})
	fmt.Fprintf(os.Stderr, "%s, %s: %s %.3f %s\n", measure, subject, figure, value, wanted)
}

// kept tells whether a result is what was wanted of it.
func (r result) kept() string {
	var limit float64
	var sign string
	if _, err := fmt.Sscanf(r.Wanted, "%2s %g", &sign, &limit); err != nil {
		return ""
	}
	if sign == "<=" && r.Value <= limit || sign == ">=" && r.Value >= limit {
		return "yes"
	}
	return "NO"
}

func printTable(to io.Writer) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "measure\tsubject\tfigure\tvalue\twanted\tkept")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.3f\t%s\t%s\n", r.Measure, r.Subject, r.Figure, r.Value, r.Wanted, r.kept())
	}
	if err := table.Flush(); err != nil {
		panic(err) // standard output is gone: so are we
	}
}

func writeJSON() error {
	if *output == "" {
		return nil
	}
	version, err := exec.Command("ffmpeg", "-version").Output()
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(version), " Copyright")
	body, err := json.MarshalIndent(map[string]any{"cores": runtime.NumCPU(), "ffmpeg": first, "results": results}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(*output, append(body, '\n'), 0o644)
}
