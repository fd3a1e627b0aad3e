package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// tail is the last entry of the log. Other processes append too, so it holds for
// one transaction.
type tail struct {
	number int64
	hash   string
}

// saveEntries numbers, times and chains the new entries and appends them. Their
// numbers have no gaps, since they are given under the write lock and a rolled
// back change gives its own back; AUTOINCREMENT would not.
func (tx *transaction) saveEntries(ctx context.Context, a *aggregate) error {
	for _, e := range a.Entries {
		if tx.tail == nil {
			last := new(tail)
			err := tx.get(ctx, `SELECT number, hash FROM log WHERE number = (SELECT MAX(number) FROM log)`, nil, &last.number, &last.hash)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("read the end of the log: %w", err)
			}
			tx.tail = last
		}
		e.Number, e.At, e.MergeRequest = tx.tail.number+1, tx.now, a.ID
		e.Hash = e.Chain(tx.tail.hash)
		data := string(e.Data)
		row, err := store(entryFields(e, &data))
		if err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
		if err := tx.put(ctx, &tx.tables.log, nil, row); err != nil {
			return err
		}
		tx.tail = &tail{e.Number, e.Hash}
	}
	return nil
}
