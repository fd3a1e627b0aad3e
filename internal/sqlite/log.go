package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mrgate/internal/gate"
)

// headKey is where meta keeps number and hash of the last entry of the log.
const headKey = "log_head"

// tail is the last entry of the log. Other processes append too, so it holds for
// one transaction.
type tail struct {
	number int64
	hash   string
}

func (t tail) String() string { return fmt.Sprintf("%d:%s", t.number, t.hash) }

func parseTail(s string) (tail, error) {
	number, hash, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || hash == "" {
		return tail{}, fmt.Errorf("%s in meta is %q, which is no entry's number and hash; restore the database from a backup", headKey, s)
	}
	return tail{n, hash}, nil
}

// head reads what meta says is the last entry; false: it says nothing.
func (s *session) head(ctx context.Context) (last tail, known bool, err error) {
	var text string
	err = s.get(ctx, `SELECT value FROM meta WHERE key = ?1`, []any{headKey}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return tail{}, false, nil
	}
	if err == nil {
		last, err = parseTail(text)
	}
	return last, err == nil, err
}

// saveEntries appends the aggregate's new entries.
func (tx *transaction) saveEntries(ctx context.Context, a *aggregate) error {
	for _, e := range a.Entries {
		e.MergeRequest = a.ID
		if err := tx.append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// append numbers, times and chains an entry and appends it. Numbers have no gaps,
// since they are given under the write lock and a rolled back change gives its
// own back; AUTOINCREMENT would not.
//
// They follow on from the head in meta, not from what the table holds: were
// entries cut off at its end, those that come after would hide it.
func (tx *transaction) append(ctx context.Context, e *gate.Entry) error {
	if tx.tail == nil {
		last, known, err := tx.head(ctx)
		if err == nil && !known {
			err = tx.get(ctx, `SELECT number, hash FROM log WHERE number = (SELECT MAX(number) FROM log)`, nil, &last.number, &last.hash)
			if errors.Is(err, sql.ErrNoRows) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("read the end of the log: %w", err)
		}
		tx.tail = &last
	}
	e.Number, e.At = tx.tail.number+1, tx.now
	e.Hash = e.Chain(tx.tail.hash)
	data := string(e.Data)
	row, err := store(entryFields(e, &data))
	if err != nil {
		return fmt.Errorf("log entry: %w", err)
	}
	if err := tx.put(ctx, &tx.tables.log, nil, row); err != nil {
		return err
	}
	tx.tail, tx.appended = &tail{e.Number, e.Hash}, true
	return nil
}

// saveHead writes down what is now the last entry, once for all jobs of a
// transaction.
func (tx *transaction) saveHead(ctx context.Context) error {
	err := tx.exec(ctx, `INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
		headKey, tx.tail.String())
	if err != nil {
		return fmt.Errorf("write the head of the log: %w", err)
	}
	return nil
}
