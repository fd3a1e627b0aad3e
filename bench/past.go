package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mrgate/internal/gate"
)

// budgetPast is how much longer the same may take with many past requests in the
// database.
const budgetPast = 1.2

// pastAside is where the numbers of past merge requests and rows begin: beyond
// those that the bench itself has opened.
const pastAside = 10_000_000

// past measures the same clicks with as many past requests in the database as
// years leave.
func (w *world) past(ctx context.Context, o options, s *sheet) error {
	if w.atRate.Took == nil { // else it was measured already
		if err := w.fullRate(ctx, o, s); err != nil {
			return err
		}
	}
	if w.calm == nil {
		if err := w.calmClicks(ctx, o, s); err != nil {
			return err
		}
	}
	if err := w.listener.stop(); err != nil {
		return err
	}
	began := time.Now()
	if err := addPast(ctx, w.database(), o.past); err != nil {
		return fmt.Errorf("write past requests: %w", err)
	}
	s.add("past requests written", fmt.Sprintf("%d in %.0f s", o.past, time.Since(began).Seconds()), "", "")
	began = time.Now()
	var err error
	if w.listener, err = w.start(ctx); err != nil {
		return err
	}
	s.add("… the listener starts", fmt.Sprintf("in %.1f s", time.Since(began).Seconds()), "", "")
	if err := w.quiet(ctx); err != nil {
		return err
	}
	calmThen, _, err := w.oneByOne(ctx, min(100, o.mergeRequests/20))
	if err != nil {
		return err
	}
	besidePast(s, "… click → answer, one at a time", w.calm, calmThen)
	then, err := w.presses(ctx, w.take(len(w.atRate.Took)))
	if err != nil {
		return err
	}
	r, err := w.clickAll(ctx, sending{Rate: o.rate, List: then})
	if err != nil {
		return err
	}
	besidePast(s, fmt.Sprintf("… click → answer, %d a second", o.rate), w.atRate.Took, r.Took)
	s.add("… CPU of the listener for a click and all that follows", ms(r.cpu),
		held(float64(r.cpu) <= budgetPast*float64(w.atRate.cpu), fmt.Sprintf("%.1f times", budgetPast)), "without: "+ms(w.atRate.cpu))
	return nil
}

// besidePast adds a figure beside the same without past requests. The budget is
// for the middle one: the slowest of two runs differ by chance as much as that.
func besidePast(s *sheet, what string, without, with []time.Duration) {
	times := float64(quantile(with, 0.5)) / float64(quantile(without, 0.5))
	s.add(what, answered(with), held(times <= budgetPast, fmt.Sprintf("p50 %.1f times", budgetPast)),
		fmt.Sprintf("without: %s; p50 is %.2f times that", answered(without), times))
}

// addPast writes n merge requests with one merged request each, as clicks and
// cards of years leave them: copies of one that was merged a moment ago, with a
// card, a decision and its entry in the log, the only one there is of it. It takes
// the columns as they are, so that what it copies is what a listener writes.
func addPast(ctx context.Context, path string, n int) (err error) {
	// Without a log to write first it takes half as long, and nobody needs what a
	// crash would take away.
	db, err := sql.Open("sqlite3", path+"?_journal_mode=OFF&_synchronous=OFF&_cache_size=-400000")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of what was committed it is none
	var mr, request int64
	err = tx.QueryRowContext(ctx, `SELECT merge_request, id FROM request WHERE state = 'merged' AND settled = 1 ORDER BY id LIMIT 1`).Scan(&mr, &request)
	if err != nil {
		return fmt.Errorf("find one that was merged: %w", err)
	}
	const id = `(?3 + i)`
	for _, t := range []struct {
		name, of string
		columns  map[string]string
	}{
		{"merge_request", "id = ?1", map[string]string{
			"id": id, "number": id, "project": `1000 + (i % 100)`, "path": `'bench/project-' || (i % 100)`, "merge_commit": `printf('%040x', i)`,
		}},
		{"seen", "merge_request = ?1", map[string]string{
			"merge_request": id, "snapshot": `replace(snapshot, snapshot ->> '$.path', 'bench/project-' || (i % 100))`,
		}},
		{"request", "id = ?2", map[string]string{
			"id": id, "merge_request": id, "head": `printf('%040x', i)`, "opened_at": `opened_at - 60000 * i`,
		}},
		{"landing", "merge_request = ?1", map[string]string{"merge_request": id, "at": `at - 60000 * i`}},
		{"message", "request = ?2 AND kind = 'card'", map[string]string{
			// In no order, as hashes are in none.
			"key": `printf('%08x%040x', i * 2654435761 % 4294967296, i)`, "request": id,
		}},
	} {
		if err := copyRows(ctx, tx, t.name, t.of, t.columns, n, mr, request); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if err := addDecisions(ctx, tx, n, request); err != nil {
		return fmt.Errorf("decisions: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the bench's own
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close()) // or the clicks would pay for it
}

// copyRows copies a row n times; i counts from 1 in what stands for its columns.
func copyRows(ctx context.Context, tx *sql.Tx, table, of string, instead map[string]string, n int, mr, request int64) error {
	columns, err := columnsOf(ctx, tx, table)
	if err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = c
		if v, ok := instead[c]; ok {
			values[i] = v
		}
	}
	//nolint:gosec // all of it is made here
	result, err := tx.ExecContext(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
		INSERT INTO `+table+` (`+strings.Join(columns, ", ")+`) SELECT `+strings.Join(values, ", ")+` FROM n CROSS JOIN `+table+` WHERE `+of,
		mr, request, pastAside, n)
	if err != nil {
		return err
	}
	if copied, err := result.RowsAffected(); err != nil || copied != int64(n) {
		return errors.Join(err, fmt.Errorf("%d rows were copied, and should be %d", copied, n))
	}
	return nil
}

func columnsOf(ctx context.Context, tx *sql.Tx, table string) (columns []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM pragma_table_info(?1)`, table)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		columns = append(columns, name)
	}
	return columns, rows.Err()
}

// addDecisions copies the decision on the request, each with its entry at the end
// of the log, chained as the listener chains them.
func addDecisions(ctx context.Context, tx *sql.Tx, n int, request int64) error {
	var number, at int64
	var hash, data string
	err := tx.QueryRowContext(ctx, `SELECT number, hash FROM log ORDER BY number DESC LIMIT 1`).Scan(&number, &hash)
	if err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, `SELECT log.at, log.data FROM log JOIN decision ON decision.entry = log.number WHERE decision.request = ?1`, request).Scan(&at, &data)
	if err != nil {
		return err
	}
	columns, err := columnsOf(ctx, tx, "decision")
	if err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = c
		switch c {
		case "id", "request":
			values[i] = `?2`
		case "entry":
			values[i] = `?3`
		}
	}
	//nolint:gosec // all of it is made here
	decide, err := tx.PrepareContext(ctx, `INSERT INTO decision (`+strings.Join(columns, ", ")+`) SELECT `+strings.Join(values, ", ")+` FROM decision WHERE request = ?1`)
	if err != nil {
		return err
	}
	defer func() { _ = decide.Close() }()
	tell, err := tx.PrepareContext(ctx, `INSERT INTO log (number, at, merge_request, request, kind, data, hash) VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)`)
	if err != nil {
		return err
	}
	defer func() { _ = tell.Close() }()
	for i := range int64(n) {
		row := pastAside + i + 1
		e := gate.Entry{
			Number: number + i + 1, At: time.UnixMilli(at), MergeRequest: row, Request: row, Kind: gate.EntryDecided, Data: json.RawMessage(data),
		}
		hash = e.Chain(hash)
		if _, err := tell.ExecContext(ctx, e.Number, at, row, string(e.Kind), data, hash); err != nil {
			return err
		}
		if _, err := decide.ExecContext(ctx, request, row, e.Number); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ?1 WHERE key = 'log_head'`, fmt.Sprintf("%d:%s", number+int64(n), hash))
	return err
}
