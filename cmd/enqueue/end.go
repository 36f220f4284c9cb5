package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/growing"
	"afterlive.alt/job"
)

type endCommand struct {
	Name    string `arg:"" help:"The asset (as status shows it), or the recording's key or s3:// address."`
	Profile string `help:"As of follow." default:"auto"`
}

// Help explains what --help has no place for.
func (*endCommand) Help() string {
	return `Ends the wait of "enqueue follow --reconnect" for a publisher: the recording becomes video on demand at once. ` +
		`If the publisher is connected, the recording ends as soon as the publisher stops. If follow has shipped nothing for three minutes, ` +
		`the origin is lost, and the recording ends with what is in the store.`
}

func (c *endCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) (err error) {
	backend, err := flags.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	out := sender{backend: backend, profile: c.Profile}
	key, err := c.key(ctx, out)
	if err != nil {
		return err
	}
	state, err := growing.AskToEnd(ctx, backend.Recordings, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no recording %s grows (%w)", key, errUnknown)
	case err != nil:
		return err
	case state.Ended:
		_, err = fmt.Fprintf(stdout, "%s has ended already\n", key)
		return err
	}
	last := state.Told
	if state.Waiting.After(last) {
		last = state.Waiting
	}
	silent := time.Since(last)
	switch {
	case silent < restless && !state.Waiting.IsZero():
		_, err = fmt.Fprintf(stdout, "%s ends now: follow no longer waits for its publisher\n", key)
		return err
	case silent < restless:
		_, err = fmt.Fprintf(stdout, "%s ends as soon as its publisher stops\n", key)
		return err
	}
	if state, err = growing.EndAsItIs(ctx, backend.Recordings, key, state.End); err != nil {
		return err
	}
	if err := out.send(ctx, out.task(key, state.ID)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s has ended, with what is in the store: nothing has come of it for %s\n", key, silent.Round(time.Second))
	return err
}

// key is the recording's that is meant.
func (c *endCommand) key(ctx context.Context, out sender) (string, error) {
	name := strings.Trim(c.Name, "/")
	switch {
	case strings.HasPrefix(name, "s3://"):
		key, _, _, err := out.object(ctx, name)
		if errors.Is(err, fs.ErrNotExist) { // as it should be of one that grows
			err = nil
		}
		return key, err
	case strings.HasPrefix(name, job.Prefix):
		return name, nil
	}
	return job.Prefix + name + ".flv", nil
}
