package bench

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"afterlive.alt/internal/testenv"
)

// count lets all that workers and enqueue say to S3 pass through a relay. The returned
// function tells how many bytes S3 has sent since.
func count(b *testing.B, c *testenv.Cloud) func() int64 {
	b.Helper()
	backend, err := url.Parse(c.Endpoint)
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() }) // nobody is left to be told
	b.Setenv("AWS_ENDPOINT_URL_S3", "http://"+listener.Addr().String())
	var sent atomic.Int64
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, backend.Host, &sent)
		}
	}()
	return sent.Load
}

// relay connects a client with a server until both have hung up, and counts what the
// server sends.
func relay(client net.Conn, server string, sent *atomic.Int64) {
	defer client.Close()
	backend, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer backend.Close()
	var both sync.WaitGroup
	pass := func(to, from net.Conn, counted io.Writer) {
		_, _ = io.Copy(to, io.TeeReader(from, counted)) // either may hang up at any time
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	both.Go(func() { pass(backend, client, io.Discard) })
	pass(client, backend, tally{sent})
	both.Wait()
}

// tally is a writer that only counts.
type tally struct{ n *atomic.Int64 }

func (t tally) Write(p []byte) (int, error) {
	t.n.Add(int64(len(p)))
	return len(p), nil
}
