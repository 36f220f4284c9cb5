package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Isolate finds out how well ffmpeg can be kept apart from its worker, and returns one that is. It also makes this process one into
// which no other of its user may look, for good.
//
// Two means are tried, which need neither privileges nor namespaces, so that they hold in containers, too:
//   - seccomp: no sockets, no signals to others, no looking into other processes;
//   - Landlock (Linux 5.13): no files but its own folder, the system's programs and libraries.
//
// The error says which the kernel, or a container's profile, does not allow.
func (f Program) Isolate(ctx context.Context, scratch *Scratch) (Program, error) {
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	for _, means := range []struct {
		name string
		on   *bool
	}{{"seccomp", &f.Seccomp}, {"Landlock", &f.Landlock}} {
		*means.on = true
		cmd := exec.CommandContext(ctx, f.Path, "-version")
		cmd.Env, cmd.Dir, cmd.SysProcAttr = environment(), scratch.folder, child()
		wait, failed := f.start(cmd, scratch.folder)
		if failed == nil {
			failed = wait()
		}
		if failed != nil {
			*means.on = false
			err = errors.Join(err, fmt.Errorf("keep ffmpeg apart by %s: %w", means.name, failed))
		}
	}
	return f, err
}

// child is how ffmpeg is started: it ends with the thread that starts it.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// start starts a command, and returns what waits for its end. What keeps ffmpeg apart holds for all that a thread starts from then
// on, and cannot be taken back: so this thread is its own, and ends with it.
func (f Program) start(cmd *exec.Cmd, folder string) (wait func() error, err error) {
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and is never unlocked, so that Go ends the thread
		err := f.confine(folder)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			<-over
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() error {
		defer close(over)
		return cmd.Wait()
	}, nil
}

// confine takes from this thread, and all that it starts, what ffmpeg doesn't need.
func (f Program) confine(folder string) error {
	if !f.Seccomp && !f.Landlock {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if f.Landlock {
		if err := restrictFiles(folder, f.Path); err != nil {
			return fmt.Errorf("restrict its files: %w", err)
		}
	}
	if f.Seccomp {
		return forbidCalls()
	}
	return nil
}

const (
	// What may be done with files at all, by the version of Landlock that knows it: linux/landlock.h.
	always, since2, since3, since5 = 1<<13 - 1, unix.LANDLOCK_ACCESS_FS_REFER, unix.LANDLOCK_ACCESS_FS_TRUNCATE, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// What may be done with a file that is no folder.
	read, run, write = unix.LANDLOCK_ACCESS_FS_READ_FILE, unix.LANDLOCK_ACCESS_FS_EXECUTE, unix.LANDLOCK_ACCESS_FS_WRITE_FILE
)

// restrictFiles leaves the thread its folder, and programs and libraries to read: not /proc, where other processes are, nor /etc.
func restrictFiles(folder, program string) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return errno
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: always}
	for since, right := range map[uintptr]uint64{2: since2, 3: since3, 5: since5} {
		if version >= since {
			attr.Handled_access_fs |= right
		}
	}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if version >= 6 { // nor sockets without a name in the file system. Signals are seccomp's: early kernels refused them between Go's threads, too
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		size = unsafe.Offsetof(attr.Quiet_access_fs)
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	allowed := map[string]uint64{folder: attr.Handled_access_fs, program: read | run, "/etc/ld.so.cache": read, "/dev/null": read | write, "/dev/zero": read, "/dev/urandom": read}
	for _, name := range []string{"/usr", "/bin", "/lib", "/lib64", "/sys/devices/system"} {
		allowed[name] = read | run | unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	for name, rights := range allowed {
		if err := allow(rules, name, rights); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("allow %s: %w", name, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func allow(rules uintptr, name string, rights uint64) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)} //nolint:gosec // a descriptor is small
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// limitFiles ends a process that writes a file of more than so many bytes.
func limitFiles(pid int, bytes uint64) error {
	err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: bytes}, nil)
	if errors.Is(err, unix.ESRCH) { // it has ended
		return nil
	}
	return err
}
