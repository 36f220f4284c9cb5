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
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
}

// architectures that the numbers above are of: linux/audit.h.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Where things are in what a filter looks at, struct seccomp_data of linux/seccomp.h.
const number, architecture, firstArgument, thirdArgument = 0, 4, 16, 32

// silence makes the kernel refuse the forbidden calls of this thread, and of all that it starts.
func silence() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter is written for %s", runtime.GOARCH)
	}
	var filter []unix.SockFilter
	load := func(at uint32) {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at})
	}
	// Each answer is followed by what is next if it is not given.
	refuseIf := func(compare uint16, k uint32, equal bool) {
		skip := unix.SockFilter{Code: unix.BPF_JMP | compare | unix.BPF_K, K: k, Jf: 1}
		if !equal {
			skip.Jt, skip.Jf = 1, 0
		}
		filter = append(filter, skip, answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))
	}
	load(architecture)
	refuseIf(unix.BPF_JEQ, arch, false) // another's calls have other numbers
	load(number)
	if runtime.GOARCH == "amd64" {
		const x32 = 0x40000000
		refuseIf(unix.BPF_JGE, x32, true)
	}
	for _, call := range forbidden {
		refuseIf(unix.BPF_JEQ, call, true)
	}
	// A signal to a thread: Go's scheduler sends SIGURG from this very thread; nobody minds that.
	filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_TGKILL, Jf: 3})
	load(thirdArgument)
	refuseIf(unix.BPF_JEQ, uint32(unix.SIGURG), false)
	load(number)
	// Limits: of itself alone.
	filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PRLIMIT64, Jf: 3})
	load(firstArgument)
	refuseIf(unix.BPF_JEQ, 0, false)
	filter = append(filter, answer(unix.SECCOMP_RET_ALLOW))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // it is short
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("forbid calls: %w", errno)
	}
	return nil
}

func answer(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
