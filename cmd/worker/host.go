package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"afterlive.alt/internal/ecs"
	"afterlive.alt/ladder"
)

// host is where this worker runs, as ECS says, or else the machine; and how many tasks
// it does at once.
func (f *flags) host(ctx context.Context, log *zap.Logger) ladder.Host {
	h := f.machine(ctx, log)
	cores := runtime.GOMAXPROCS(0) // what the container, or an affinity, leaves us
	if f.Slots == 0 {
		f.Slots = max(1, min(cores, int(h.Memory/slotMemory)))
	}
	// Measured (docs/performance.md): encoders of one thread on every core take less time
	// than encoders of many threads one after the other, and fewer bits.
	if f.Threads == 0 && f.Slots >= cores {
		f.Threads = 1
	}
	h.Slots = f.Slots
	return h
}

// slotMemory is what a slot may need for the largest built-in ladder, in MiB.
const slotMemory = 2048

func (f *flags) machine(ctx context.Context, log *zap.Logger) ladder.Host {
	h := ladder.Host{CPUs: float64(runtime.NumCPU()), USD: f.Price}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		h.Memory = int64(info.Totalram) * int64(info.Unit) >> 20 //nolint:gosec // no machine has 2^63 bytes
	}
	uri := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	if uri == "" {
		return h
	}
	task, err := ecs.TaskSize(ctx, uri)
	if err != nil {
		log.Warn("size of this ECS task cannot be read", zap.Error(err))
		return h
	}
	h.Capacity = task.Capacity
	h.CPUs, h.Memory = cmp.Or(task.CPUs, h.CPUs), cmp.Or(task.Memory, h.Memory)
	return h
}

// protection lets ECS know when this task has work, where it is a task of ECS; nil
// elsewhere.
func protection(ctx context.Context, log *zap.Logger) func(context.Context) (func(), bool) {
	agent := os.Getenv("ECS_AGENT_URI")
	if agent == "" {
		return nil
	}
	p := ecs.NewProtection(agent)
	said := func(err error) {
		if err != nil {
			log.Warn("task is not protected from scale-in", zap.Error(err))
		}
	}
	go p.Keep(ctx, said)
	var told atomic.Bool
	return func(ctx context.Context) (func(), bool) {
		err := p.Acquire(ctx)
		if errors.Is(err, ecs.ErrRefused) {
			if !told.Swap(true) {
				log.Info("ECS is about to stop one of its tasks: this worker takes no work until then", zap.Error(err))
			}
			return nil, false
		}
		told.Store(false)
		said(err)
		return func() { said(p.Release(context.WithoutCancel(ctx))) }, true
	}
}

// onSpotNotice runs drain when EC2 announces that it takes this host away. Only
// tasks of ECS ask, and those that are told to.
func onSpotNotice(ctx context.Context, log *zap.Logger, wanted bool, drain func()) {
	if !wanted && os.Getenv("ECS_CONTAINER_METADATA_URI_V4") == "" {
		return
	}
	go func() {
		notice, err := ecs.WaitForNotice(ctx, func(err error) {
			log.Info("EC2's spot notices cannot be read yet; SIGTERM still ends the worker in time", zap.Error(err))
		})
		if err == nil {
			log.Warn("EC2 is about to interrupt this spot instance", zap.String("action", notice.Action), zap.Time("at", notice.Time))
			drain()
		}
	}()
}
