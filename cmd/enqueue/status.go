package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
)

type statusCommand struct {
	Name string `arg:"" optional:"" help:"A job or an asset. Default: the newest jobs."`
	selected
	Watch   bool          `short:"w" help:"Look again every second, until all are done, or have failed."`
	Timeout time.Duration `help:"With --watch: give up, with an error, after this long." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"One JSON object a look."`
}

// selected says which jobs are meant where none is named.
type selected struct {
	Since time.Duration   `help:"Jobs that were planned in the last so many hours; 0: whenever." default:"168h" placeholder:"DURATION"`
	State []catalog.State `help:"Jobs in these states: working, retrying, live, waiting, published, superseded, failed, dropped." placeholder:"STATE"`
	Limit int             `help:"The newest so many." default:"50" placeholder:"N"`
}

func (s selected) query() (catalog.Query, error) {
	q := catalog.Query{States: s.State, Limit: s.Limit}
	if s.Limit < 1 {
		return q, errors.New("--limit must be 1 at least")
	}
	for _, state := range s.State {
		if !slices.Contains(catalog.States(), state) {
			return q, fmt.Errorf("--state %s: there are %v", state, catalog.States())
		}
	}
	if s.Since > 0 {
		q.Since = time.Now().Add(-s.Since)
	}
	return q, nil
}

// report is one look.
type report struct {
	Jobs   []watched `json:"jobs"`
	More   bool      `json:"more,omitempty"` // there are more that are meant
	Queue  counts    `json:"queue"`
	Failed int       `json:"failed"` // tasks in the failed queue

	Workers []catalog.Worker `json:"workers,omitempty"` // unless a job is named
}

// watched is a job, and how long it will yet take at the pace at which it went.
type watched struct {
	catalog.Status

	Left float64 `json:"left_s,omitempty"` // seconds; 0: not known, or done
}

// pace remembers how far jobs were when they were first seen, and when they last got
// further.
type pace map[string]*course

type course struct {
	began, last    time.Time
	first, encoded float64 // seconds
}

// left estimates a job's seconds: by what was done up to the last part that came, while it
// is watched or, until one has come, since it was planned; less the time since then.
func (p pace) left(s catalog.Status, now time.Time) float64 {
	c := p[s.Job]
	if c == nil {
		c = &course{began: now, last: now, first: s.Encoded, encoded: s.Encoded}
		p[s.Job] = c
	}
	if s.Encoded > c.encoded {
		c.encoded, c.last = s.Encoded, now
	}
	took, done := c.last.Sub(c.began).Seconds(), c.encoded-c.first
	if done == 0 {
		took, done = c.last.Sub(s.Planned).Seconds(), c.encoded
	}
	if s.State != catalog.Working && s.State != catalog.Retrying || done <= 0 {
		return 0
	}
	return max(1, took*(s.Duration-c.encoded)/done-now.Sub(c.last).Seconds())
}

type counts struct {
	Waiting  int `json:"waiting"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

func (c *statusCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) (err error) {
	if _, err := os.Stat(flags.Data); errors.Is(err, fs.ErrNotExist) && !flags.OnAWS() && !c.Watch { // and looking doesn't make it
		return fmt.Errorf("there is no folder %s: name the one that the worker has (--data), or send something (%w)", flags.Data, errUnknown)
	}
	backend, err := flags.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not done after %s", c.Timeout))
		defer cancel()
	}
	screen, pace := newScreen(stdout, c.Watch), pace{}
	watch := watch{name: c.Name, patient: c.Timeout > 0}
	for {
		r, err := c.look(ctx, backend, pace)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if len(r.Jobs) == 0 && c.Name != "" && !c.Watch && r.Queue == (counts{}) {
			return fmt.Errorf("there is no job or asset %q, and no recording waits to be planned (%w)", c.Name, errUnknown)
		}
		if err := c.print(screen, r); err != nil || !c.Watch {
			return err
		}
		if ended, err := watch.look(r); ended {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func (c *statusCommand) look(ctx context.Context, backend *config.Backend, pace pace) (report, error) {
	jobs, more, err := c.jobs(ctx, backend)
	if err != nil {
		return report{}, err
	}
	waiting, err := backend.Queue.Backlog(ctx)
	if err != nil {
		return report{}, err
	}
	failed, err := backend.Failed.Backlog(ctx)
	if err != nil {
		return report{}, err
	}
	r := report{Jobs: make([]watched, len(jobs)), More: more, Queue: counts(waiting), Failed: failed.Waiting + failed.InFlight}
	for i, s := range jobs {
		r.Jobs[i] = watched{s, pace.left(s, time.Now())}
	}
	if c.Name == "" {
		r.Workers, err = catalog.Workers(ctx, backend.Store, time.Now())
	}
	return r, err
}

// jobs are those that are meant, the earliest planned first.
func (c *statusCommand) jobs(ctx context.Context, backend *config.Backend) (all []catalog.Status, more bool, err error) {
	if c.Name != "" {
		all, err = catalog.Named(ctx, backend.Store, c.Name)
		return all, false, err
	}
	q, err := c.query()
	if err != nil {
		return nil, false, err
	}
	all, next, err := catalog.Page(ctx, backend.Store, q)
	slices.Reverse(all)
	return all, next != "", err
}

func (c *statusCommand) print(screen *screen, r report) error {
	if c.JSON {
		return json.NewEncoder(screen.out).Encode(r)
	}
	var lines []string
	switch {
	case len(r.Jobs) > 0:
	case c.Name == "":
		lines = append(lines, "no recording was planned"+c.period())
	default:
		lines = append(lines, fmt.Sprintf("there is no job or asset %q yet; it may be among the recordings that wait in the queue", c.Name))
	}
	jobs, done := r.Jobs, ""
	if screen.terminal != nil && c.Name == "" {
		jobs, done = arranged(r.Jobs)
	}
	for _, s := range jobs {
		if screen.terminal == nil && c.Watch {
			s.Left = 0 // it changes with every look
		}
		lines = append(lines, line(s))
	}
	if done != "" {
		lines = append([]string{done}, lines...)
	}
	if r.More {
		lines = append([]string{"there are more than these: see --limit"}, lines...)
	}
	if c.Name == "" && (screen.terminal != nil || !c.Watch) { // it changes with every look
		lines = append(lines, workersLine(r.Workers, time.Now()))
	}
	lines = append(lines, fmt.Sprintf("queue: %d waiting, %d in flight, %d delayed; %d failed", r.Queue.Waiting, r.Queue.InFlight, r.Queue.Delayed, r.Failed))
	return screen.show(lines)
}

// workersLine tells whether there are workers, and what keeps them from work.
func workersLine(all []catalog.Worker, now time.Time) string {
	if len(all) == 0 {
		return "workers: none has been seen in the last three minutes"
	}
	last, busy, slots, whys := all[0].Seen, 0, 0, ""
	for _, w := range all {
		if w.Seen.After(last) {
			last = w.Seen
		}
		busy, slots = busy+len(w.Tasks), slots+w.Slots
		if w.Why != "" {
			whys += fmt.Sprintf("; %s takes no task: %s", w.Name, w.Why)
		}
	}
	return fmt.Sprintf("workers: %d, %d of %d slots busy, last seen %s ago%s", len(all), busy, slots, max(0, now.Sub(last)).Round(time.Second), whys)
}

// arranged is what a screen is to show of all jobs, the most important last, as that stays in sight: what is at work, and
// what has failed. Of those that are complete, it tells how many there are.
func arranged(all []watched) (jobs []watched, done string) {
	count := map[catalog.State]int{}
	rank := func(s watched) int {
		return slices.Index([]catalog.State{catalog.Working, catalog.Live, catalog.Waiting, catalog.Retrying, catalog.Dropped, catalog.Failed}, s.State)
	}
	for _, s := range all {
		if rank(s) < 0 {
			count[s.State]++
			continue
		}
		jobs = append(jobs, s)
	}
	slices.SortStableFunc(jobs, func(a, b watched) int { return rank(a) - rank(b) })
	if count[catalog.Published] > 0 {
		done = fmt.Sprintf("%d published", count[catalog.Published])
	}
	if n := count[catalog.Superseded]; n > 0 {
		done = strings.TrimPrefix(fmt.Sprintf("%s, %d superseded", done, n), ", ")
	}
	return jobs, done
}

// period says of when jobs are shown.
func (s selected) period() string {
	if s.Since == 0 {
		return " yet"
	}
	return fmt.Sprintf(" in the last %.0f hours (see --since)", s.Since.Hours())
}

const barWidth = 12

// line is a job on one line, with a bar. A narrow screen shows its beginning.
func line(s watched) string {
	full := barWidth * s.Done / max(1, s.Parts)
	bar := strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
	text := fmt.Sprintf("%s  %s  [%s] %d/%d parts, %s of %s  %s  job %s", s.Asset, s.State, bar, s.Done, s.Parts,
		clock(s.Encoded), clock(s.Duration), s.Profile, s.Job)
	switch {
	case s.State == catalog.Failed || s.State == catalog.Dropped:
		text += fmt.Sprintf("\n    %s: %s", s.Reason, strings.ReplaceAll(s.Detail, "\n", "\n    "))
	case s.State == catalog.Superseded:
		text += "  by " + s.Published
	case s.State == catalog.Retrying:
		text += fmt.Sprintf("  again in %s\n    %s: %s", clock(max(0, time.Until(s.Next).Seconds())), s.Reason, strings.ReplaceAll(s.Detail, "\n", "\n    "))
	case !s.Waiting.IsZero():
		text += fmt.Sprintf("  waiting for the publisher, %s left", clock(max(0, time.Until(s.Waiting).Seconds())))
	case s.Left > 0:
		text += "  about " + clock(s.Left) + " left"
	case s.Master != "":
		text += "  " + playURL(s.Asset) + effort(s)
	}
	return text
}

// effort is what a published recording has taken: of slots, against its length, and
// of money.
func effort(s watched) string {
	e := s.Effort
	if e == nil || e.Slot <= 0 {
		return ""
	}
	text := fmt.Sprintf("  %s of work (%.1fx)", clock(e.Slot), s.Duration/e.Slot)
	if e.USD > 0 {
		text += fmt.Sprintf(", %.4f USD (%.6f a minute)", e.USD, e.PerMinute)
	}
	return text
}

// clock writes seconds as 1:02:03.
func clock(seconds float64) string {
	n := int(seconds + 0.5)
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// screen shows the newest lines in place of the ones before on a terminal, as far as
// they fit, and only what changed elsewhere.
type screen struct {
	out      io.Writer
	terminal *os.File // nil: it is none
	last     string
}

func newScreen(out io.Writer, watch bool) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok && watch {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			s.terminal = f
		}
	}
	return s
}

func (s *screen) show(lines []string) error {
	if s.terminal != nil {
		lines = s.fit(strings.Split(strings.Join(lines, "\n"), "\n"))
	}
	now := strings.Join(lines, "\n") + "\n"
	text := now
	switch {
	case s.last == now:
		return nil
	case s.terminal != nil && s.last != "":
		text = fmt.Sprintf("\x1b[%dA\x1b[J%s", strings.Count(s.last, "\n"), now) // up over the last ones, and clear
	}
	s.last = now
	_, err := io.WriteString(s.out, text)
	return err
}

// fit cuts lines to the terminal's width, and keeps the last ones of those that it has
// room for.
func (s *screen) fit(lines []string) []string {
	size, err := unix.IoctlGetWinsize(int(s.terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row < 2 {
		return lines
	}
	lines = lines[max(0, len(lines)-int(size.Row)+1):]
	for i, line := range lines {
		if runes := []rune(line); len(runes) >= int(size.Col) {
			lines[i] = string(runes[:size.Col-1])
		}
	}
	return lines
}
