package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"

	"mrgate/internal/gate"
)

// ErrClosed is the answer to whoever comes after Close.
var ErrClosed = errors.New("the database is closed")

// ErrReadOnly is the answer to a write to a store that was opened to be read.
var ErrReadOnly = errors.New("the database was opened to be read only")

const (
	// busyTimeout is how long to wait for another process that writes. A click
	// has to be answered within 2 s.
	busyTimeout = 1500 * time.Millisecond
	// readers is how many reads can go on at once.
	readers = 3

	// durable: on macOS fsync alone leaves data in the disk's cache.
	durable = `PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; `
	// writerPragmas: what a savepoint may have to put back stays in memory, or
	// each transaction would make a temporary file.
	writerPragmas = durable + `PRAGMA temp_store = MEMORY; ` + longestLog
)

// Options are how to open a database.
type Options struct {
	Now       func() time.Time // nil: time.Now
	MustExist bool             // don't create one
	ReadOnly  bool             // don't write, nor create one
	Directory string           // whose IDs People and Learn are about: those of one chat application mean nothing to another
}

// Store is a gate.Store in an SQLite file.
type Store struct {
	now       func() time.Time
	directory string
	writes    *sql.DB // nil: read only
	reads     *sql.DB
	writer    *writer       // nil: read only
	readers   chan *session // those that are free

	sessions int // how many readers there are
	close    sync.Once
	closed   chan struct{}
	closeErr error
}

var _ gate.Store = (*Store)(nil)

// Open opens the database at path, creates it where there is none (with mode
// 0600: what it holds is not everybody's), and brings its schema up to date.
// Errors name the file and what to do.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s, err := open(ctx, abs, opts)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", abs, explain(err))
	}
	return s, nil
}

func open(ctx context.Context, path string, opts Options) (_ *Store, err error) {
	s := &Store{now: opts.Now, directory: opts.Directory, readers: make(chan *session, readers), closed: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	defer func() {
		if err != nil {
			_ = s.Close() // the reason is known
		}
	}()

	params := url.Values{}
	info, err := os.Stat(path) //nolint:gosec // the path is the operator's, who may name any file
	switch {
	case err == nil && info.IsDir():
		return nil, errors.New("it is a directory")
	case errors.Is(err, fs.ErrNotExist) && (opts.MustExist || opts.ReadOnly):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		model, err := modelFile(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(model) }() //nolint:gosec // it was made here
		params.Set("modeof", model)
	case err != nil:
		return nil, err
	}

	tables := newTables()
	if !opts.ReadOnly {
		params.Set("mode", "rwc")
		if opts.MustExist {
			params.Set("mode", "rw")
		}
		// With NORMAL a power cut could take back what was acknowledged.
		params.Set("_synchronous", "FULL")
		params.Set("_foreign_keys", "on")
		if s.writes, err = openDB(path, params); err != nil {
			return nil, err
		}
		session, err := newSession(ctx, s.writes, tables)
		if err != nil {
			return nil, err
		}
		s.writer = newWriter(session, s.now)
		go s.writer.run(context.WithoutCancel(ctx)) // idle until Open is through
		if err := session.migrate(ctx); err != nil {
			return nil, err
		}
		if _, err := session.conn.ExecContext(ctx, writerPragmas); err != nil {
			return nil, err
		}
		if s.writer.checkpointer, err = newCheckpointer(ctx, s.writes, tables); err != nil {
			return nil, err
		}
	}

	params = url.Values{"mode": {"rw"}, "_query_only": {"on"}}
	if opts.ReadOnly {
		params.Set("mode", "ro")
	}
	if s.reads, err = openDB(path, params); err != nil {
		return nil, err
	}
	for range readers {
		session, err := newSession(ctx, s.reads, tables)
		if err != nil {
			return nil, err
		}
		s.readers <- session
		s.sessions++
	}
	if opts.ReadOnly {
		if err := s.read(ctx, checkVersion); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// modelFile makes an empty file beside path whose mode the database will get:
// SQLite would make one that everybody can read. It is not the database itself
// that is made here, because closing it would drop the locks that another
// connection of this process may have taken on it meanwhile (POSIX).
func modelFile(path string) (string, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".mrgate-*")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the directory %s does not exist; make it, or name another database", dir)
	}
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

func openDB(path string, params url.Values) (*sql.DB, error) {
	params.Set("_mutex", "no") // a session is used by one goroutine at a time
	params.Set("_busy_timeout", fmt.Sprint(busyTimeout.Milliseconds()))
	return sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+params.Encode())
}

// checkVersion refuses what cannot be migrated because it is only read.
func checkVersion(ctx context.Context, r *session) error {
	steps, err := steps()
	if err != nil {
		return err
	}
	version, err := r.version(ctx, len(steps))
	if err != nil || version == len(steps) {
		return err
	}
	var tables int
	if err := r.get(ctx, `SELECT COUNT(*) FROM sqlite_schema`, nil, &tables); err != nil {
		return err
	}
	if tables == 0 {
		return errors.New("it is empty: no listener has written to it")
	}
	return fmt.Errorf("it has version %d, and this mrgate reads version %d: start its listener once, which brings it up to date", version, len(steps))
}

// explain says what to do about an error in opening a database.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is none: %w", err)
	case isCode(err, sqlite3.ErrNotADB):
		return fmt.Errorf("it is not an SQLite database: %w", err)
	case isCode(err, sqlite3.ErrCorrupt):
		return fmt.Errorf("it is damaged, restore it from a backup: %w", err)
	case isCode(err, sqlite3.ErrReadonly), isCode(err, sqlite3.ErrPerm), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("it cannot be written, check the permissions of the file and of its directory: %w", err)
	case isCode(err, sqlite3.ErrCantOpen):
		return fmt.Errorf("check the permissions of the file and of its directory: %w", err)
	case isCode(err, sqlite3.ErrBusy):
		return fmt.Errorf("another process has locked it for more than %s: %w", busyTimeout, err)
	}
	return err
}

// Close finishes what was begun, refuses the rest, and closes the file. It may be
// called more than once.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closed)
		var errs []error
		if s.writer != nil {
			close(s.writer.closing)
			<-s.writer.ended
		}
		for range s.sessions { // waits for those who read
			errs = append(errs, (<-s.readers).close())
		}
		if s.writer != nil {
			errs = append(errs, s.writer.checkpointer.close(), s.writer.session.close())
		}
		for _, db := range []*sql.DB{s.reads, s.writes} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if err := errors.Join(errs...); err != nil {
			s.closeErr = fmt.Errorf("close database: %w", err)
		}
	})
	return s.closeErr
}

// write has do run by the writer, see [writer.submit].
func (s *Store) write(ctx context.Context, urgent bool, do func(context.Context, *transaction) error) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	return s.writer.submit(ctx, urgent, do)
}

// read runs f on a connection that only reads. The context ends the wait for
// one; a read itself takes microseconds and is not interrupted, which would cost
// more than it does.
func (s *Store) read(ctx context.Context, f func(context.Context, *session) error) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	select {
	case r := <-s.readers:
		defer func() { s.readers <- r }()
		return f(context.WithoutCancel(ctx), r)
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Change hands the merge request that by names to f and writes what f changed in
// it, see [gate.Store]. A ref of a merge request that is not there yet creates
// it, unless f leaves it as it is. f must return: it runs in the goroutine on
// which all changes wait.
func (s *Store) Change(ctx context.Context, by gate.By, f func(mr *gate.MergeRequest) error) error {
	// Who has no lease is no worker: a person or the forge waits for the answer.
	return s.write(ctx, by.Lease == nil, func(ctx context.Context, tx *transaction) error {
		a, err := tx.load(ctx, by, tx.now)
		if errors.Is(err, gate.ErrNoRow) && by.Ref != nil {
			a, err = tx.create(ctx, *by.Ref)
		}
		if err != nil {
			return err
		}
		if by.Lease != nil {
			a.DueAt = tx.now.Add(by.Lease.For)
		}
		if err := f(a.MergeRequest); err != nil {
			return err
		}
		return tx.save(ctx, a)
	})
}

// Peek reads the merge request that by names as it is now, without a lock.
func (s *Store) Peek(ctx context.Context, by gate.By) (*gate.MergeRequest, error) {
	var a *aggregate
	err := s.read(ctx, func(ctx context.Context, r *session) error {
		return r.snapshot(ctx, func() (err error) {
			a, err = r.load(ctx, by, s.now().UTC().Truncate(time.Millisecond))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return a.MergeRequest, nil
}
