package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/mattn/go-sqlite3"
)

// mostPrepared bounds the memory that statements take. There are some dozens,
// but updates differ by the columns that they set.
const mostPrepared = 300

// session is one connection with the statements that were prepared on it. One
// goroutine at a time uses it.
type session struct {
	conn     *sql.Conn
	tables   *tables
	prepared map[string]*sql.Stmt // by their text, until the connection is closed
	direct   map[string]*sqlite3.SQLiteStmt

	documents documents
}

func newSession(ctx context.Context, db *sql.DB, t *tables) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, tables: t, prepared: make(map[string]*sql.Stmt), direct: make(map[string]*sqlite3.SQLiteStmt)}, nil
}

func (s *session) close() error {
	errs := []error{s.forget()}
	for _, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// prepare sees to it that the statement is prepared.
func (s *session) prepare(ctx context.Context, query string) error {
	if s.prepared[query] != nil {
		return nil
	}
	if len(s.prepared) >= mostPrepared {
		for _, stmt := range s.prepared {
			if err := stmt.Close(); err != nil {
				return fmt.Errorf("close statement: %w", err)
			}
		}
		clear(s.prepared)
	}
	stmt, err := s.conn.PrepareContext(ctx, query) //nolint:sqlclosecheck // close closes what is in prepared
	if err != nil {
		return fmt.Errorf("prepare %q: %w", query, err)
	}
	s.prepared[query] = stmt
	return nil
}

// run has the driver itself run a statement. Through database/sql, with its locks
// and conversions for any driver, a click and all that follows, more than a hundred
// statements, take an eighth longer in here.
func (s *session) run(ctx context.Context, query string, args []any, use func(*sqlite3.SQLiteStmt, []driver.NamedValue) error) error {
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return fmt.Errorf("parameter %d: %w", i+1, err)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	if len(s.direct) >= mostPrepared {
		if err := s.forget(); err != nil {
			return err
		}
	}
	return s.conn.Raw(func(c any) error {
		stmt := s.direct[query]
		if stmt == nil {
			made, err := c.(*sqlite3.SQLiteConn).PrepareContext(ctx, query)
			if err != nil {
				return fmt.Errorf("prepare %q: %w", query, err)
			}
			stmt = made.(*sqlite3.SQLiteStmt)
			s.direct[query] = stmt
		}
		if want := stmt.NumInput(); want != len(values) { // one that is left out would be NULL
			return fmt.Errorf("%d parameters for %q, want %d", len(values), query, want)
		}
		return use(stmt, values)
	})
}

// forget closes the driver's statements.
func (s *session) forget() error {
	return s.conn.Raw(func(any) error {
		var errs []error
		for _, stmt := range s.direct {
			errs = append(errs, stmt.Close())
		}
		clear(s.direct)
		return errors.Join(errs...)
	})
}

// exec runs a statement that gives no rows.
func (s *session) exec(ctx context.Context, query string, args ...any) error {
	return s.run(ctx, query, args, func(stmt *sqlite3.SQLiteStmt, values []driver.NamedValue) error {
		_, err := stmt.ExecContext(ctx, values)
		return err
	})
}

// get reads the first row into dest. sql.ErrNoRows: there is none.
func (s *session) get(ctx context.Context, query string, args []any, dest ...any) error {
	if err := s.prepare(ctx, query); err != nil {
		return err
	}
	return s.prepared[query].QueryRowContext(ctx, args...).Scan(dest...)
}

// rows reads all rows, each as SQLite stores it: int64, string or nil.
func (s *session) rows(ctx context.Context, query string, args ...any) (found [][]any, err error) {
	err = s.run(ctx, query, args, func(stmt *sqlite3.SQLiteStmt, values []driver.NamedValue) (err error) {
		rows, err := stmt.QueryContext(ctx, values)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		next := make([]driver.Value, len(rows.Columns()))
		for {
			switch err := rows.Next(next); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			row := make([]any, len(next))
			for i, v := range next {
				row[i] = v
			}
			found = append(found, row)
		}
	})
	return found, err
}

// inTransaction says whether one is open. SQLite ends one by itself after some
// errors (a full disk, for one); what follows would then be committed alone.
func (s *session) inTransaction() (bool, error) {
	open := false
	err := s.conn.Raw(func(c any) error {
		open = !c.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	})
	return open, err
}

// snapshot runs f in a transaction that only reads, so that all it reads is of
// one moment.
func (s *session) snapshot(ctx context.Context, f func() error) (err error) {
	if err := s.exec(ctx, `BEGIN`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if e := s.exec(ctx, `ROLLBACK`); e != nil && err == nil {
			err = fmt.Errorf("end of reading: %w", e)
		}
	}()
	return f()
}
