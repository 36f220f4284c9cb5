package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres starts a PostgreSQL with an empty database, and returns its address. It skips the test where there is none.
func Postgres(t testing.TB) string {
	t.Helper()
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(programs) == 0 {
		t.Skip("no PostgreSQL is here: make extra installs it")
	}
	program := slices.Max(programs)
	dir, err := os.MkdirTemp("", "postgres") //nolint:usetesting // another user must get into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var attr syscall.SysProcAttr
	if os.Getuid() == 0 { // as whom it refuses to run
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(program), "initdb"), "-D", data, "-U", "afterlive", "-A", "trust", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &attr
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := FreePort(t)
	cmd := exec.CommandContext(t.Context(), program, "-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir, "-c", "fsync=off")
	cmd.Dir, cmd.SysProcAttr = dir, &attr
	Background(t, cmd, "127.0.0.1:"+port)
	ready := func() bool { // it listens before it takes anybody
		return exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(program), "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil
	}
	for tick := time.NewTicker(20 * time.Millisecond); !ready(); {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("PostgreSQL was not ready when the test ended")
		}
	}
	return "postgres://afterlive@127.0.0.1:" + port + "/postgres?sslmode=disable"
}

// CutPostgres ends all connections of a server, as one that is started anew does, and returns how many.
func CutPostgres(t testing.TB, address string) (cut int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'afterlive'`).Scan(&cut)
	if err != nil {
		t.Fatal(err)
	}
	return cut
}
