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

// besideUrgent is how many changes that are not urgent are committed together
// with one that is: somebody waits for that.
const besideUrgent = 4

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
	urgent  chan *job     // of somebody who waits: a click, a webhook
	queue   chan *job     // of workers
	closing chan struct{} // closed: take no more
	ended   chan struct{} // closed: run has returned

	checkpointer *checkpointer // nil: the database is not open yet
}

func newWriter(s *session, now func() time.Time) *writer {
	return &writer{
		session: s, now: now,
		urgent:  make(chan *job, batchSize),
		queue:   make(chan *job, batchSize),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

// submit has do run and committed, and says what became of it. An error means
// that nothing of it was written. A context that ends before do was begun takes
// it back; after that it is waited for.
func (w *writer) submit(ctx context.Context, urgent bool, do func(context.Context, *transaction) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	j := &job{do: do, done: make(chan error, 1)}
	queue := w.queue
	if urgent {
		queue = w.urgent
	}
	select {
	case queue <- j:
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

// run writes until the writer is closed and the queues are empty. A started batch
// is never given up on, so ctx is one that does not end.
func (w *writer) run(ctx context.Context) {
	defer close(w.ended)
	for {
		b := &batch{writer: w}
		select {
		case j := <-w.urgent:
			b.begin(j, true)
		case j := <-w.queue:
			b.begin(j, false)
		case <-w.closing:
			if b.next() == nil {
				return
			}
		}
		if len(b.jobs) > 0 {
			b.run(ctx)
		}
	}
}

// batch is what is committed together. Jobs join it for as long as it goes on: one
// that is urgent is next, and then the batch soon ends.
type batch struct {
	*writer
	jobs    []*job // begun, in their order
	results []error
	rushed  bool // an urgent one is among them
	others  int  // those that are not urgent
}

// begin begins a job, unless its caller has given up on it.
func (b *batch) begin(j *job, urgent bool) bool {
	if !j.taken.CompareAndSwap(false, true) {
		return false
	}
	b.jobs, b.results = append(b.jobs, j), append(b.results, nil)
	if urgent {
		b.rushed = true
	} else {
		b.others++
	}
	return true
}

// next begins the next job that joins; nil: none does.
func (b *batch) next() *job {
	for len(b.jobs) < batchSize {
		queue := b.queue
		if b.rushed && b.others >= besideUrgent {
			queue = nil
		}
		var j *job
		var urgent bool
		select {
		case j = <-b.urgent:
			urgent = true
		default:
			select {
			case j = <-queue:
			default:
				return nil
			}
		}
		if b.begin(j, urgent) {
			return j
		}
	}
	return nil
}

// run runs and commits the jobs, and then answers them.
func (b *batch) run(ctx context.Context) {
	broken := b.transact(ctx)
	if broken != nil {
		// What keeps this from being written keeps all who wait: they need not
		// find that out one after the other.
		b.rushed = false
		for b.next() != nil {
		}
	}
	for i, j := range b.jobs {
		if b.results[i] == nil && broken != nil {
			b.results[i] = fmt.Errorf("not written: %w", broken)
		}
		j.done <- b.results[i]
	}
}

// transact runs the jobs in one transaction and notes in results which of them
// failed alone. An error means that nothing was written at all.
func (b *batch) transact(ctx context.Context) (err error) {
	// IMMEDIATE takes the lock at once. A transaction that begins by reading
	// would fail, without waiting, when another process has written meanwhile.
	if err := b.session.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	end := `ROLLBACK`
	defer func() {
		// It fails if SQLite has ended the transaction by itself, and then the
		// reason is known.
		e := b.session.exec(ctx, end)
		switch {
		case e == nil && end == `COMMIT`:
			b.checkpointer.committed()
		case e != nil && err == nil:
			err = fmt.Errorf("%s: %w", end, e)
			if end == `COMMIT` {
				_ = b.session.exec(ctx, `ROLLBACK`)
			}
		}
	}()
	// Those who were just answered are about to come back: let them, or every
	// second batch would hold one change.
	runtime.Gosched()
	tx := &transaction{session: b.session, now: b.now().UTC().Truncate(time.Millisecond)}
	for i := 0; i < len(b.jobs) || b.next() != nil; i++ {
		failed, err := tx.run(ctx, b.jobs[i].do)
		if err != nil {
			return err
		}
		b.results[i] = failed
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
