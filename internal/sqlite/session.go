package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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

	documents documents
}

func newSession(ctx context.Context, db *sql.DB, t *tables) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, tables: t, prepared: make(map[string]*sql.Stmt)}, nil
}

func (s *session) close() error {
	var errs []error
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

// exec runs a statement that gives no rows.
func (s *session) exec(ctx context.Context, query string, args ...any) error {
	if err := s.prepare(ctx, query); err != nil {
		return err
	}
	_, err := s.prepared[query].ExecContext(ctx, args...)
	return err
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
	if err := s.prepare(ctx, query); err != nil {
		return nil, err
	}
	rows, err := s.prepared[query].QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
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
