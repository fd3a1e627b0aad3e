package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/mattn/go-sqlite3"
)

// applicationID marks a database as mrgate's in its header: "mrgt".
const applicationID = 0x6d726774

//go:embed steps
var stepFiles embed.FS

// steps gives the SQL that leads from each version of the schema to the next:
// the n-th makes version n. A step that was released is never changed.
func steps() ([]string, error) {
	names, err := fs.Glob(stepFiles, "steps/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	sqls := make([]string, len(names))
	for i, name := range names {
		if want := fmt.Sprintf("steps/%04d.sql", i+1); name != want {
			return nil, fmt.Errorf("schema step %s should be %s", name, want)
		}
		b, err := stepFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sqls[i] = string(b)
	}
	return sqls, nil
}

// version gives the version of the schema, 0 for an empty file. It is an error if
// the database is not mrgate's, or of a newer mrgate.
func (s *session) version(ctx context.Context, newest int) (int, error) {
	var application, version, tables int
	if err := s.get(ctx, `
		SELECT a.application_id, v.user_version, (SELECT COUNT(*) FROM sqlite_schema)
		FROM pragma_application_id AS a, pragma_user_version AS v`, nil,
		&application, &version, &tables); err != nil {
		return 0, err
	}
	switch {
	case application == 0 && version == 0 && tables == 0:
		return 0, nil
	case application != applicationID:
		return 0, errors.New("it is a database of another program")
	case version > newest:
		return 0, fmt.Errorf("it has version %d, and this mrgate knows versions up to %d: use the mrgate that wrote it, or a newer one", version, newest)
	}
	return version, nil
}

// migrate brings the schema up to date. Several processes may do so at once: the
// first one does it all in one transaction, the others wait for it and find it done.
func (s *session) migrate(ctx context.Context) (err error) {
	steps, err := steps()
	if err != nil {
		return err
	}
	version, err := s.version(ctx, len(steps))
	if err != nil {
		return err
	}
	if err := s.enterWAL(ctx); err != nil {
		return err
	}
	if version == len(steps) {
		return nil
	}
	if err := s.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	end := `ROLLBACK`
	defer func() {
		e := s.exec(ctx, end)
		err = errors.Join(err, e)
	}()
	if version, err = s.version(ctx, len(steps)); err != nil {
		return err
	}
	for i, step := range steps[version:] {
		if _, err := s.conn.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("schema step %d: %w", version+i+1, err)
		}
	}
	// PRAGMA takes no parameters.
	marks := fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, len(steps))
	if _, err := s.conn.ExecContext(ctx, marks); err != nil {
		return fmt.Errorf("note schema version: %w", err)
	}
	end = `COMMIT`
	return nil
}

// enterWAL has the file written through a write-ahead log, which it remembers.
func (s *session) enterWAL(ctx context.Context) error {
	const tries = 20
	var err error
	for range tries {
		var mode string
		err = s.conn.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		if err == nil && mode == "wal" {
			return nil
		}
		if err == nil {
			return fmt.Errorf("it stays in journal mode %s; write-ahead logging needs a local file system", mode)
		}
		if !isCode(err, sqlite3.ErrBusy) {
			return err
		}
		// Two that do this to a new file at once are told "locked" without a
		// wait. A transaction does wait, until the other one is through.
		if err := s.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
			return err
		}
		if err := s.exec(ctx, `ROLLBACK`); err != nil {
			return err
		}
	}
	return err
}

func isCode(err error, code sqlite3.ErrNo) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == code
}
