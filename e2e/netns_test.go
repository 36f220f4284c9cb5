package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// netns is a network namespace of its own: a machine that reaches nothing but what a relay brings.
type netns struct {
	net string           // its file, for nsenter
	do  chan func() bool // runs on a thread within; false: the last
}

// newNetns makes one from which the addresses of this namespace can be reached, at the same addresses.
func newNetns(t *testing.T, addresses ...string) *netns {
	t.Helper()
	i := &netns{do: make(chan func() bool)}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with it
		err := i.settle()
		ready <- err
		for err == nil && (<-i.do)() {
		}
	}()
	if err := <-ready; errors.Is(err, unix.EPERM) {
		t.Skip("only root can make network namespaces")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.do <- func() bool { return false } })
	for _, address := range addresses {
		i.relay(t, address, i.listen, net.Dial)
	}
	return i
}

// settle makes the namespace, with a loopback that is up.
func (i *netns) settle() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	i.net = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// within runs f in the namespace.
func (i *netns) within(f func()) {
	done := make(chan struct{})
	i.do <- func() bool { f(); close(done); return true }
	<-done
}

func (i *netns) listen(network, address string) (l net.Listener, err error) {
	i.within(func() { l, err = net.Listen(network, address) })
	return l, err
}

func (i *netns) dial(network, address string) (c net.Conn, err error) {
	i.within(func() { c, err = net.Dial(network, address) })
	return c, err
}

// reach makes an address of the namespace's one of this namespace.
func (i *netns) reach(t *testing.T, address string) {
	t.Helper()
	i.relay(t, address, net.Listen, i.dial)
}

func (i *netns) relay(t *testing.T, address string, listen func(string, string) (net.Listener, error), dial func(string, string) (net.Conn, error)) {
	t.Helper()
	l, err := listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := dial("tcp", address)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(way[0], way[1]) // either end may break off
					_ = errors.Join(way[0].Close(), way[1].Close())
				}()
			}
		}
	}()
}

// inside makes a command run in the namespace; nil: here.
func (i *netns) inside(cmd *exec.Cmd) {
	if i == nil {
		return
	}
	cmd.Args = append([]string{"nsenter", "--net=" + i.net, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Err = exec.LookPath("nsenter")
}
