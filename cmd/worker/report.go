package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/worker"
	"afterlive.alt/ladder"
)

// report has a worker write how it is, every minute, for people who look; until end is called, which writes that it has ended.
func report(ctx context.Context, store ledger.Store, w *worker.Worker, host ladder.Host, profiles []string, log *zap.Logger) (end func()) {
	began := time.Now().UTC()
	write := func(ctx context.Context, ended bool) {
		ctx, cancel := context.WithTimeout(ctx, catalog.Every/4)
		defer cancel()
		now := catalog.Worker{Name: w.Name, Host: host, Program: w.Program, Slots: w.Slots, Began: began, Seen: time.Now().UTC(), Ended: ended, Tasks: []catalog.Doing{}, Profiles: profiles}
		tasks, why := w.Doing()
		now.Why = why
		for _, t := range tasks {
			now.Tasks = append(now.Tasks, catalog.Doing(t))
		}
		if err := catalog.NoteWorker(ctx, store, now); err != nil {
			log.Warn("worker cannot write its heartbeat", zap.Error(err))
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(catalog.Every)
		defer ticker.Stop()
		for {
			write(ctx, false)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		write(context.WithoutCancel(ctx), true)
	}
}
