package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"afterlive.alt/internal/config"
	"afterlive.alt/player"
)

type playerCommand struct{}

// Run writes the player's files to the store, below player/.
func (playerCommand) Run(ctx context.Context, stdout io.Writer, f config.Flags) error {
	files, err := player.Files()
	if err != nil {
		return err
	}
	backend, err := f.Open(ctx)
	if err != nil {
		return err
	}
	count := 0
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		count++
		return overwrite(ctx, backend.Store, "player/"+name, body)
	})
	if err == nil {
		fmt.Fprintf(stdout, "%d files are in player/; open player/index.html?asset=NAME where the store is served\n", count)
	}
	return errors.Join(err, backend.Close())
}

// overwrite stores body whatever was there before.
func overwrite(ctx context.Context, store config.Bucket, key string, body []byte) error {
	_, etag, err := store.Load(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("load %s: %w", key, err)
	}
	if err := store.Write(ctx, key, body, etag); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
