package ffmpeg

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidden are calls by which a program reaches other processes, or the network. Whoever calls them is told that it may not.
var forbidden = []uint32{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_IO_URING_SETUP, // io_uring opens sockets, too
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_KCMP,
	unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_PIVOT_ROOT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
}

// restricted are calls that are refused by one of their arguments, counted from 0.
var restricted = []struct {
	call     uint32
	argument int
	test     uint16   // of the argument, with any of the values
	values   []uint32 // below 2^32: of 64 bits, the filter looks at the lower half
	unless   bool     // refused unless the test is true
}{
	{unix.SYS_TGKILL, 2, unix.BPF_JEQ, []uint32{uint32(unix.SIGURG)}, true}, // Go's scheduler sends it from the confined thread; nobody minds it
	// Of itself, a program may change limits and priorities.
	{unix.SYS_PRLIMIT64, 0, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_SETPRIORITY, 1, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_IOPRIO_SET, 1, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_SCHED_SETAFFINITY, 0, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_SCHED_SETSCHEDULER, 0, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_SCHED_SETPARAM, 0, unix.BPF_JEQ, []uint32{0}, true},
	{unix.SYS_SCHED_SETATTR, 0, unix.BPF_JEQ, []uint32{0}, true},
	// A file that is ready sends a signal to its owner, who may be any process.
	{unix.SYS_FCNTL, 1, unix.BPF_JEQ, []uint32{unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETSIG}, false},
	{unix.SYS_IOCTL, 1, unix.BPF_JEQ, []uint32{fioSetOwn, siocSetOwn}, false},
	// Processes and threads, but no namespaces.
	{unix.SYS_CLONE, 0, unix.BPF_JSET, []uint32{namespaces}, false},
}

const (
	fioSetOwn, siocSetOwn = 0x8901, 0x8902 // asm-generic/sockios.h
	namespaces            = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
)

// architectures that the numbers above are of: linux/audit.h.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Where things are in what a filter looks at, struct seccomp_data of linux/seccomp.h; in bytes.
const number, architecture, firstArgument, argumentSize = 0, 4, 16, 8

// forbidCalls makes the kernel refuse the forbidden calls of this thread, and of all that it starts.
func forbidCalls() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter is written for %s", runtime.GOARCH)
	}
	filter := rules(arch)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // it is short
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("forbid calls: %w", errno)
	}
	return nil
}

// rules are the filter's program.
func rules(arch uint32) []unix.SockFilter {
	no := answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	filter := []unix.SockFilter{load(architecture), jump(unix.BPF_JEQ, arch, 1, 0), no, load(number)} // another's calls have other numbers
	if runtime.GOARCH == "amd64" {
		const x32 = 0x40000000
		filter = append(filter, jump(unix.BPF_JGE, x32, 0, 1), no)
	}
	for _, call := range forbidden {
		filter = append(filter, jump(unix.BPF_JEQ, call, 0, 1), no)
	}
	// Its arguments are in memory, where a filter can't look: the C library takes clone instead.
	filter = append(filter, jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	for _, r := range restricted {
		tests := []unix.SockFilter{load(firstArgument + argumentSize*uint32(r.argument))} //nolint:gosec // there are six arguments
		for _, value := range r.values {
			if r.unless {
				tests = append(tests, jump(r.test, value, 1, 0), no)
			} else {
				tests = append(tests, jump(r.test, value, 0, 1), no)
			}
		}
		tests = append(tests, load(number))
		filter = append(append(filter, jump(unix.BPF_JEQ, r.call, 0, uint8(len(tests)))), tests...) //nolint:gosec // there are few
	}
	return append(filter, answer(unix.SECCOMP_RET_ALLOW))
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

// jump skips so many instructions if a test of what was loaded is true, or false.
func jump(test uint16, k uint32, ifTrue, ifFalse uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: ifTrue, Jf: ifFalse}
}

func answer(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
