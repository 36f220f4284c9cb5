package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"afterlive.alt/job"
)

// Postgres is a queue in a PostgreSQL database, for fleets of one's own. All times are the server's.
type Postgres struct {
	db    *PostgresDB
	queue string
	wait  time.Duration
}

// PostgresDB is a database for queues.
type PostgresDB struct {
	pool *pgxpool.Pool

	mu   sync.Mutex
	made bool // it has what queues need
}

// postgresSchema is made by whichever process comes first, one after the other: PostgreSQL tells one of two that make a table at once that it exists.
// The lock's number is any that others don't use.
const postgresSchema = `
select pg_advisory_xact_lock(5201564);
create table if not exists afterlive_messages (
	id       bigint generated always as identity primary key,
	queue    text not null,
	body     bytea not null,
	visible  timestamptz not null, -- from when on it is handed out
	received integer not null default 0
);
create index if not exists afterlive_messages_visible on afterlive_messages (queue, visible);`

// answerTime is for how long a query may wait for the server. Queries are short; a server that accepts them and never answers must not hold us for ever.
const answerTime = 20 * time.Second

// IsPostgres tells whether a queue's address is that of a PostgreSQL database.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// OpenPostgres is the database at an address as postgres://USER@HOST/DATABASE. It connects when it is used first, and again where a connection is lost. A
// password comes from PGPASSWORD or from ~/.pgpass, as for psql.
func OpenPostgres(ctx context.Context, address string) (*PostgresDB, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	cfg.ConnConfig.ConnectTimeout = answerTime
	cfg.ConnConfig.RuntimeParams["application_name"] = "afterlive"
	// A message that was sent must survive a power cut, whatever the server's default is: the spool forgets it then.
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	return &PostgresDB{pool: pool}, nil
}

// Close ends its connections.
func (db *PostgresDB) Close() error {
	db.pool.Close()
	return nil
}

// within runs f on a database that has what it needs, for as long as an answer may take.
func (db *PostgresDB) within(ctx context.Context, f func(context.Context, *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := db.prepare(ctx); err != nil {
		return unfit(err)
	}
	return unfit(f(ctx, db.pool))
}

// unfit recognizes what no later attempt will find otherwise: another user, password, database or right is needed.
func unfit(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	// Classes and codes of PostgreSQL's manual, appendix A: invalid authorization, invalid database name, insufficient privilege.
	if ok && (strings.HasPrefix(refused.Code, "28") || refused.Code == "3D000" || refused.Code == "42501") {
		return fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return err
}

func (db *PostgresDB) prepare(ctx context.Context) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.made {
		return nil
	}
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, postgresSchema, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	db.made = err == nil
	return err
}

// NewPostgres is the queue of that name in a database. A poll lasts up to wait.
func NewPostgres(db *PostgresDB, name string, wait time.Duration) *Postgres {
	return &Postgres{db: db, queue: name, wait: wait}
}

// postgresPollEvery is how often a waiting receiver looks: a query a second for each worker is nothing for a server.
const postgresPollEvery = time.Second

// Receive waits for a message and holds it for the lease.
func (q *Postgres) Receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	return poll(ctx, q.wait, postgresPollEvery, func() (*job.Delivery, error) {
		return q.receive(context.WithoutCancel(ctx), lease)
	})
}

func (q *Postgres) receive(ctx context.Context, lease time.Duration) (*job.Delivery, error) {
	var d job.Delivery
	var id int64
	err := q.db.within(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, `update afterlive_messages set visible = clock_timestamp() + $2, received = received + 1
			where id = (select id from afterlive_messages where queue = $1 and visible <= now() order by id limit 1 for update skip locked)
			returning id, body, received`, q.queue, lease).Scan(&id, &d.Body, &d.Receives)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // an empty poll is neither a message nor an error
	}
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	d.Receipt = fmt.Sprintf("%d/%d", id, d.Receives)
	return &d, nil
}

// change runs a statement on the message of a receipt, if that is of its last delivery: $1 is the queue, $2 the message, $3 the
// count of its deliveries.
func (q *Postgres) change(ctx context.Context, receipt, statement string, args ...any) error {
	id, count, _ := strings.Cut(receipt, "/")
	message, err := strconv.ParseInt(id, 10, 64)
	receives, wrong := strconv.Atoi(count)
	if err = errors.Join(err, wrong); err != nil {
		return fmt.Errorf("receipt %q is not one of this queue's: %w", receipt, err)
	}
	return q.db.within(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		done, err := pool.Exec(ctx, statement, append([]any{q.queue, message, receives}, args...)...)
		if err == nil && done.RowsAffected() == 0 {
			err = job.ErrNotHeld
		}
		return err
	})
}

// Extend hides the message for d from now on.
func (q *Postgres) Extend(ctx context.Context, receipt string, d time.Duration) error {
	err := q.change(ctx, receipt, `update afterlive_messages set visible = clock_timestamp() + $4 where queue = $1 and id = $2 and received = $3`, d)
	if err != nil {
		return fmt.Errorf("extend lease: %w", err)
	}
	return nil
}

// Delete ends a message.
func (q *Postgres) Delete(ctx context.Context, receipt string) error {
	err := q.change(ctx, receipt, `delete from afterlive_messages where queue = $1 and id = $2 and received = $3`)
	if err != nil && !errors.Is(err, job.ErrNotHeld) {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

const postgresSend = `insert into afterlive_messages (queue, body, visible) select $1, body, clock_timestamp() + $3 from unnest($2::bytea[]) as body`

// Send adds a message that can be received after delay.
func (q *Postgres) Send(ctx context.Context, body []byte, delay time.Duration) error {
	return q.send(ctx, [][]byte{body}, delay)
}

// SendAll adds messages, all or none.
func (q *Postgres) SendAll(ctx context.Context, bodies [][]byte) error { return q.send(ctx, bodies, 0) }

func (q *Postgres) send(ctx context.Context, bodies [][]byte, delay time.Duration) error {
	err := q.db.within(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, postgresSend, q.queue, bodies, delay)
		return err
	})
	if err != nil {
		return fmt.Errorf("send messages: %w", err)
	}
	return nil
}

// Backlog counts the messages.
func (q *Postgres) Backlog(ctx context.Context) (b Backlog, err error) {
	err = q.db.within(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, `select
			count(*) filter (where visible <= now()),
			count(*) filter (where visible > now() and received > 0),
			count(*) filter (where visible > now() and received = 0)
			from afterlive_messages where queue = $1`, q.queue).Scan(&b.Waiting, &b.InFlight, &b.Delayed)
	})
	if err != nil {
		return Backlog{}, fmt.Errorf("count messages: %w", err)
	}
	return b, nil
}
