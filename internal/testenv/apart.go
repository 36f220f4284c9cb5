package testenv

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// apart has the environments of tests that have one of their own, by the tests' names.
var apart sync.Map

// environ is what a test adds to the environment of the process.
type environ struct {
	mu  sync.Mutex
	all []string // name=value, the last one counts
}

func (e *environ) values() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// Apart lets stand-ins leave the environment of the process alone, which all tests share
// that run at the same time. Programs that the test starts are given Environ.
func Apart(t testing.TB) {
	t.Helper()
	apart.Store(t.Name(), &environ{})
	t.Cleanup(func() { apart.Delete(t.Name()) })
}

// Environ is the environment for programs that a test starts.
func Environ(t testing.TB) []string {
	t.Helper()
	all := os.Environ()
	if own := environment(t); own != nil {
		all = append(all, own.values()...)
	}
	return all
}

// environment is a test's own, or that of the one it is a part of; nil: the process's.
func environment(t testing.TB) *environ {
	t.Helper()
	for name, more := t.Name(), true; more; {
		value, _ := apart.Load(name)
		if own, ok := value.(*environ); ok {
			return own
		}
		at := strings.LastIndexByte(name, '/')
		if more = at > 0; more {
			name = name[:at]
		}
	}
	return nil
}

func setenv(t testing.TB, name, value string) {
	t.Helper()
	own := environment(t)
	if own == nil {
		t.Setenv(name, value)
		return
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	own.all = append(own.all, name+"="+value)
}

// endpoints tells the SDK where its services are, as it would read it from the environment.
type endpoints []string

// GetServiceBaseEndpoint is asked before the SDK looks elsewhere.
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, service string) (url string, found bool, err error) {
	for _, kv := range e {
		if value, is := strings.CutPrefix(kv, "AWS_ENDPOINT_URL_"+strings.ToUpper(service)+"="); is {
			url, found = value, true
		}
	}
	return url, found, nil
}
