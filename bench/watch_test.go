package bench

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// watch looks, twenty times a second, at how much is in the scratch, if there is one; and
// every fourth time at how much memory the processes hold and those that they have
// started. The returned function ends it and tells the most that was seen, in KiB and bytes.
func watch(b *testing.B, scratch string, commands []*exec.Cmd) func() (memory, disk int64) {
	b.Helper()
	var memory, disk int64
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
				if scratch != "" {
					disk = max(disk, size(scratch))
				}
				if n%4 != 0 { // looking takes time
					continue
				}
				var now int64
				for _, c := range commands {
					now += resident(c.Process.Pid)
				}
				memory = max(memory, now)
			}
		}
	})
	return func() (int64, int64) {
		close(done)
		looking.Wait()
		return memory, disk
	}
}

// resident is the memory of a process and of its descendants in KiB: of what they share
// (a program's text), each a part. 0, where there is no such process.
func resident(pid int) int64 {
	var total int64
	folder := "/proc/" + strconv.Itoa(pid)
	body, err := os.ReadFile(filepath.Join(folder, "smaps_rollup"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(body)) {
		if fields := strings.Fields(line); fields[0] == "Pss:" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				total = n
			}
		}
	}
	tasks, err := filepath.Glob(filepath.Join(folder, "task", "*", "children"))
	if err != nil {
		panic(err) // the pattern is good
	}
	for _, t := range tasks {
		body, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has just ended
		}
		for child := range strings.FieldsSeq(string(body)) {
			if n, err := strconv.Atoi(child); err == nil {
				total += resident(n)
			}
		}
	}
	return total
}

// size is what is in a folder, in bytes.
func size(folder string) (total int64) {
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error { // things come and go meanwhile
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
