package main

import (
	"context"
	"fmt"
	"io"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/config"
	"afterlive.alt/internal/operate"
)

type reindexCommand struct{}

// Help explains what --help has no place for.
func (*reindexCommand) Help() string {
	return `Workers keep an index of all jobs, from which status, gc and the pages of "enqueue serve" are made. A store that was filled before there was one ` +
		`needs this once. It can be run at any time, and again: it looks at every job that there is, which takes some requests each.`
}

// Run writes the index of a store.
func (*reindexCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	return withBackend(ctx, flags, func(_ operate.Operator, backend *config.Backend) error {
		count := 0
		err := catalog.Reindex(ctx, backend.Store, func(n, all int) {
			if count = n; n%100 == 0 {
				fmt.Fprintf(stdout, "%d of %d\n", n, all)
			}
		})
		fmt.Fprintf(stdout, "%d jobs are in the index\n", count)
		return err
	})
}
