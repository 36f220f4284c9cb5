package queue

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"maragu.dev/goqite"
	_ "modernc.org/sqlite" // SQLite in Go: binaries stay static

	"afterlive.alt/job"
)

// SQLite is a queue in a database file that several processes may share.
type SQLite struct {
	db    *sql.DB
	queue string
	wait  time.Duration

	mu   sync.Mutex
	file string      // the database's
	info os.FileInfo // that it was when it was looked at first
}

// there looks whether the database is still the file that was opened: if somebody has removed it, messages of others go to another one.
func (q *SQLite) there(ctx context.Context) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.info == nil {
		if err := q.db.QueryRowContext(ctx, `select file from pragma_database_list where name = 'main'`).Scan(&q.file); err != nil {
			return fmt.Errorf("look for the queue's file: %w", err)
		}
		if q.info, err = os.Stat(q.file); err == nil || q.file == "" { // it is in memory
			return nil
		}
	}
	now, err := os.Stat(q.file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(q.info, now) {
		return fmt.Errorf("%w: %s was removed or replaced while it was open. Start this again; then \""+job.CLI+" resume\" sends what isn't done", job.ErrQueueGone, q.file)
	}
	return err
}

//go:embed goqite.sql
var schema string

// OpenDB opens or makes the database file of a folder's queues.
func OpenDB(ctx context.Context, file string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	// A message that was sent must survive a power cut: the spool forgets it then.
	// Transactions lock at once: a read that turns into a write could otherwise
	// find another process in its way, and fail instead of waiting.
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db, file+".lock"); err != nil {
		if strings.Contains(err.Error(), "not a database") {
			err = fmt.Errorf("%w (its contents are lost: remove %s* while nothing runs, start the worker, and run \""+job.CLI+" resume\", which sends what isn't done)", err, file)
		}
		return nil, errors.Join(fmt.Errorf("open queue %s: %w", file, err), db.Close())
	}
	return db, nil
}

// prepare makes what a new database lacks. One after the other: of two connections that
// turn a new file to WAL, SQLite tells one that it is busy, whatever its timeout is.
func prepare(ctx context.Context, db *sql.DB, lock string) error {
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // and so unlocked
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	_, err = db.ExecContext(ctx, schema)
	return err
}

// NewSQLite is the queue of that name in a database. A poll lasts up to wait.
func NewSQLite(db *sql.DB, name string, wait time.Duration) *SQLite {
	return &SQLite{db: db, queue: name, wait: wait}
}

// pollEvery is how often a waiting receiver looks.
const pollEvery = 200 * time.Millisecond

// neverGiveUp turns goqite's own limit of receives off: the worker judges that.
const neverGiveUp = 1 << 30

func (q *SQLite) goqite(lease time.Duration) *goqite.Queue {
	return goqite.New(goqite.NewOpts{DB: q.db, Name: q.queue, Timeout: lease, MaxReceive: neverGiveUp})
}

// inTx runs f in a transaction.
func (q *SQLite) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Receive waits for a message and holds it for the lease.
func (q *SQLite) Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	return poll(ctx, q.wait, pollEvery, func() (*job.Delivery, error) {
		if err := q.there(ctx); err != nil {
			return nil, err
		}
		return q.receive(context.WithoutCancel(ctx), lease)
	})
}

func (q *SQLite) receive(ctx context.Context, lease time.Duration) (d *job.Delivery, err error) {
	err = q.inTx(ctx, func(tx *sql.Tx) error {
		m, err := q.goqite(lease).ReceiveTx(ctx, tx)
		if m == nil || err != nil {
			return err
		}
		d = &job.Delivery{Body: m.Body}
		row := tx.QueryRowContext(ctx, `select received from goqite where queue = ? and id = ?`, q.queue, m.ID)
		if err := row.Scan(&d.Receives); err != nil {
			return err
		}
		d.Receipt = fmt.Sprintf("%s/%d", m.ID, d.Receives)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	return d, nil
}

// ifHeld runs f on the message, if the receipt is that of its last delivery:
// goqite's own operations go by the message alone.
func (q *SQLite) ifHeld(ctx context.Context, receipt string, f func(*sql.Tx, goqite.ID) error) error {
	id, count, ok := strings.Cut(receipt, "/")
	receives, err := strconv.Atoi(count)
	if !ok || err != nil {
		return fmt.Errorf("receipt %q is not one of this queue's", receipt)
	}
	return q.inTx(ctx, func(tx *sql.Tx) error {
		var received int
		err := tx.QueryRowContext(ctx, `select received from goqite where queue = ? and id = ?`, q.queue, id).Scan(&received)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && received != receives) {
			return job.ErrNotHeld
		}
		if err != nil {
			return err
		}
		return f(tx, goqite.ID(id))
	})
}

// Extend hides the message for d from now on.
func (q *SQLite) Extend(ctx context.Context, receipt string, d time.Duration) error {
	err := q.ifHeld(ctx, receipt, func(tx *sql.Tx, id goqite.ID) error {
		return q.goqite(d).ExtendTx(ctx, tx, id, d)
	})
	if err != nil {
		return fmt.Errorf("extend lease: %w", err)
	}
	return nil
}

// Delete ends a message.
func (q *SQLite) Delete(ctx context.Context, receipt string) error {
	err := q.ifHeld(ctx, receipt, func(tx *sql.Tx, id goqite.ID) error {
		return q.goqite(time.Second).DeleteTx(ctx, tx, id)
	})
	if err != nil && !errors.Is(err, job.ErrNotHeld) {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

// Send adds a message that can be received after delay.
func (q *SQLite) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if err := q.there(ctx); err != nil { // else nobody would ever receive it
		return err
	}
	if err := q.goqite(time.Second).Send(ctx, goqite.Message{Body: body, Delay: delay}); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// SendAll adds messages, all or none.
func (q *SQLite) SendAll(ctx context.Context, bodies [][]byte) error {
	if err := q.there(ctx); err != nil {
		return err
	}
	err := q.inTx(ctx, func(tx *sql.Tx) error {
		for _, body := range bodies {
			if err := q.goqite(time.Second).SendTx(ctx, tx, goqite.Message{Body: body}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("send messages: %w", err)
	}
	return nil
}

// Backlog counts the messages.
func (q *SQLite) Backlog(ctx context.Context) (Backlog, error) {
	const now = `strftime('%Y-%m-%dT%H:%M:%fZ')`
	var b Backlog
	err := q.db.QueryRowContext(ctx, `select
		count(*) filter (where timeout <= `+now+`),
		count(*) filter (where timeout > `+now+` and received > 0),
		count(*) filter (where timeout > `+now+` and received = 0)
		from goqite where queue = ?`, q.queue).Scan(&b.Waiting, &b.InFlight, &b.Delayed)
	if err != nil {
		return Backlog{}, fmt.Errorf("count messages: %w", err)
	}
	return b, nil
}
