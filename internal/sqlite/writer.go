package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// batchSize is how many changes are committed together at most: enough that an
// fsync hardly counts, few enough that the first of them does not wait long.
const batchSize = 128

// job is a change that waits for the writer.
type job struct {
	do func(ctx context.Context, tx *transaction) error
	// taken is set by whoever comes first: the writer, which begins the job, or
	// its caller, who gives up on it.
	taken atomic.Bool
	done  chan error // one slot
}

// writer is the only one in this process that writes.
type writer struct {
	session *session
	now     func() time.Time
	queue   chan *job
	closing chan struct{} // closed: take no more
	ended   chan struct{} // closed: run has returned
}

func newWriter(s *session, now func() time.Time) *writer {
	return &writer{
		session: s, now: now,
		queue:   make(chan *job, batchSize),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

// submit has do run and committed, and says what became of it. An error means
// that nothing of it was written. A context that ends before do was begun takes
// it back; after that it is waited for.
func (w *writer) submit(ctx context.Context, do func(context.Context, *transaction) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	j := &job{do: do, done: make(chan error, 1)}
	select {
	case w.queue <- j:
	case <-w.closing:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-j.done:
		return err
	case <-w.ended:
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
	}
	select {
	case err := <-j.done:
		return err
	case <-w.ended:
	}
	// The writer may have answered and ended since.
	select {
	case err := <-j.done:
		return err
	default:
		return ErrClosed
	}
}

// run writes until the writer is closed and the queue is empty. A started batch
// is never given up on, so ctx is one that does not end.
func (w *writer) run(ctx context.Context) {
	defer close(w.ended)
	for {
		var first *job
		select {
		case first = <-w.queue:
		case <-w.closing:
			select {
			case first = <-w.queue:
			default:
				return
			}
		}
		w.batch(ctx, w.gather(first))
	}
}

// gather begins first and whatever else waits.
func (w *writer) gather(first *job) []*job {
	// Those who were just answered are about to come back: let them, or every
	// second batch would hold one change.
	runtime.Gosched()
	var jobs []*job
	begin := func(j *job) {
		if j.taken.CompareAndSwap(false, true) {
			jobs = append(jobs, j)
		}
	}
	begin(first)
	for len(jobs) < batchSize {
		select {
		case j := <-w.queue:
			begin(j)
		default:
			return jobs
		}
	}
	return jobs
}

// batch runs and commits the jobs, and then answers them.
func (w *writer) batch(ctx context.Context, jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	results := make([]error, len(jobs))
	broken := w.transact(ctx, jobs, results)
	for i, j := range jobs {
		if results[i] == nil && broken != nil {
			results[i] = fmt.Errorf("not written: %w", broken)
		}
		j.done <- results[i]
	}
}

// transact runs the jobs in one transaction and notes in results which of them
// failed alone. An error means that nothing was written at all.
func (w *writer) transact(ctx context.Context, jobs []*job, results []error) (err error) {
	// IMMEDIATE takes the lock at once. A transaction that begins by reading
	// would fail, without waiting, when another process has written meanwhile.
	if err := w.session.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	end := `ROLLBACK`
	defer func() {
		// It fails if SQLite has ended the transaction by itself, and then the
		// reason is known.
		if e := w.session.exec(ctx, end); e != nil && err == nil {
			err = fmt.Errorf("%s: %w", end, e)
			if end == `COMMIT` {
				_ = w.session.exec(ctx, `ROLLBACK`)
			}
		}
	}()
	tx := &transaction{session: w.session, now: w.now().UTC().Truncate(time.Millisecond)}
	for i, j := range jobs {
		failed, err := tx.run(ctx, j.do)
		if err != nil {
			return err
		}
		results[i] = failed
	}
	if tx.appended {
		if err := tx.saveHead(ctx); err != nil {
			return err
		}
	}
	if tx.wrote {
		end = `COMMIT`
	}
	return nil
}

// transaction is what a job works in.
type transaction struct {
	*session
	now   time.Time // cut to milliseconds, as times are stored
	tail  *tail     // of the log; nil: not read yet
	open  bool      // the job at work has written: its savepoint is open
	wrote bool      // some job that succeeded has written

	appended bool // to the log
}

// run runs one job in its savepoint. If it fails, it leaves nothing behind.
// broken says that the whole transaction is lost.
func (tx *transaction) run(ctx context.Context, do func(context.Context, *transaction) error) (failed, broken error) {
	before, appended := tx.tail, tx.appended
	tx.open = false
	failed = protect(func() error { return do(ctx, tx) })
	if failed == nil {
		if !tx.open {
			return nil, nil
		}
		if err := tx.exec(ctx, `RELEASE job`); err != nil {
			return nil, fmt.Errorf("release savepoint: %w", err)
		}
		tx.wrote = true
		return nil, nil
	}
	tx.tail, tx.appended = before, appended
	if tx.open {
		if err := tx.exec(ctx, `ROLLBACK TO job`); err != nil {
			return nil, fmt.Errorf("%w (roll back to savepoint: %w)", failed, err)
		}
		if err := tx.exec(ctx, `RELEASE job`); err != nil {
			return nil, fmt.Errorf("release savepoint: %w", err)
		}
	}
	if alive, err := tx.inTransaction(); err != nil || !alive {
		return nil, fmt.Errorf("the transaction is lost: %w", errors.Join(failed, err))
	}
	return failed, nil
}

// write runs a statement that writes. The savepoint is made by the first one:
// jobs that find nothing to do, or fail before they write, need none.
func (tx *transaction) write(ctx context.Context, query string, args ...any) error {
	if !tx.open {
		if err := tx.exec(ctx, `SAVEPOINT job`); err != nil {
			return fmt.Errorf("savepoint: %w", err)
		}
		tx.open = true
	}
	return tx.exec(ctx, query, args...)
}

// protect makes a panic an error: it concerns one caller, not all who wait.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
