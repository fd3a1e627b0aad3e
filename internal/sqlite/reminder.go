package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

const (
	// hasNoReminder says of a message that no reminder of its recipient is on its way,
	// of what is real or rehearsed as its request is.
	hasNoReminder = `NOT EXISTS (SELECT 1 FROM reminder WHERE reminder.recipient = message.recipient AND reminder.dry = message.dry)`
	// markedAtOnce is how many messages of somebody count as reminded with one
	// change: there may be thousands, and clicks come in between.
	markedAtOnce = 200
)

// Remind takes a reminder that is due, see [gate.Store].
//
// What it is about is marked before it is given out, in as many changes as that
// takes, of which the first makes the reminder: a process that dies in between is
// followed by one that goes on with it.
func (s *Store) Remind(ctx context.Context, dry bool, d time.Duration, lines int) (*gate.Reminder, error) {
	var r *gate.Reminder
	mode, _ := flag{&dry}.store() // never fails
	err := s.write(ctx, false, func(ctx context.Context, tx *transaction) (err error) {
		if r, err = tx.begun(ctx, mode); r == nil && err == nil {
			r, err = tx.remind(ctx, mode)
		}
		if r == nil || err != nil {
			return err
		}
		return tx.write(ctx, `UPDATE reminder SET due_at = ?3 WHERE recipient = ?1 AND key = ?2`, person(r), r.Key, tx.now.Add(d).UnixMilli())
	})
	if r == nil || err != nil {
		return nil, wrapReminder(err)
	}
	for more := true; more; {
		err := s.write(ctx, false, func(ctx context.Context, tx *transaction) (err error) {
			more, err = tx.mark(ctx, r, mode)
			return err
		})
		if err != nil {
			return nil, wrapReminder(err)
		}
	}
	err = s.read(ctx, func(ctx context.Context, read *session) error {
		return read.snapshot(ctx, func() error { return read.waiting(ctx, r, mode, lines) })
	})
	if err != nil {
		return nil, wrapReminder(err)
	}
	return r, nil
}

func wrapReminder(err error) error {
	if err != nil {
		return fmt.Errorf("reminder: %w", err)
	}
	return nil
}

func person(r *gate.Reminder) string { return gate.Recipient{ID: r.To}.String() }

// reminderFields binds a row of reminder without its due_at and dry.
func reminderFields(to *gate.Recipient, r *gate.Reminder) []field {
	return []field{
		{"recipient", recipient{to}},
		{"key", text[string]{&r.Key}},
		{"made_at", moment{&r.MadeAt}},
		{"tries", number[int]{&r.Tries}},
	}
}

// begun is the reminder that is due the longest; nil: none is. One of a dry run
// ends with it, as its requests do; a dry run leaves the others alone.
func (tx *transaction) begun(ctx context.Context, dry any) (*gate.Reminder, error) {
	for {
		found, err := tx.rows(ctx, `
			SELECT recipient, key, made_at, tries, dry FROM reminder
			WHERE due_at <= ?1 AND dry >= CAST(?2 AS INTEGER) ORDER BY due_at LIMIT 1`, tx.now.UnixMilli(), dry)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		var to gate.Recipient
		r := &gate.Reminder{Now: tx.now}
		if err := tx.restore(reminderFields(&to, r), found[0][:4]); err != nil {
			return nil, err
		}
		r.To = to.ID
		if found[0][4] == dry {
			return r, nil
		}
		if err := tx.write(ctx, `DELETE FROM reminder WHERE recipient = ?1 AND key = ?2`, person(r), r.Key); err != nil {
			return nil, err
		}
	}
}

// remind makes a reminder for whoever has to be reminded the longest; nil: nobody.
func (tx *transaction) remind(ctx context.Context, dry any) (*gate.Reminder, error) {
	found, err := tx.rows(ctx, `
		SELECT message.recipient, merge_request.forge, merge_request.project, merge_request.number, request.head, request.target, request.seq
		FROM message JOIN request ON request.id = message.request JOIN merge_request ON merge_request.id = request.merge_request
		WHERE message.dry = CAST(?2 AS INTEGER) AND message.remind_at <= ?1 AND `+hasNoReminder+`
		ORDER BY message.remind_at LIMIT 1`, tx.now.UnixMilli(), dry)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	var to gate.Recipient
	var ref gate.Ref
	var cause gate.Request
	if err := tx.restore([]field{
		{"recipient", recipient{&to}},
		{"forge", text[string]{&ref.Forge}},
		{"project", number[int64]{&ref.Project}},
		{"number", number[int64]{&ref.Number}},
		{"head", text[gate.CommitID]{&cause.Head}},
		{"target", text[string]{&cause.Target}},
		{"seq", number[int]{&cause.Seq}},
	}, found[0]); err != nil {
		return nil, err
	}
	r := &gate.Reminder{
		Key: gate.MessageKey(ref, cause.Head, cause.Target, cause.Seq, gate.KindReminder, to), To: to.ID, MadeAt: tx.now, Now: tx.now,
	}
	row, err := store(reminderFields(&to, r))
	if err != nil {
		return nil, err
	}
	return r, tx.write(ctx, `INSERT INTO reminder (recipient, key, made_at, tries, due_at, dry) VALUES (?1, ?2, ?3, ?4, ?3, ?5)`, append(row, dry)...)
}

// mark has some of what waits for the person count as reminded, and says whether
// there may be more.
func (tx *transaction) mark(ctx context.Context, r *gate.Reminder, dry any) (more bool, err error) {
	err = tx.write(ctx, `
		UPDATE message SET reminded_at = ?2, remind_at = NULL WHERE rowid IN (
			SELECT rowid FROM message
			WHERE recipient = CAST(?1 AS TEXT) AND dry = CAST(?3 AS INTEGER) AND awaited = 1 AND reminded_at IS NULL
				AND asked_at <= CAST(?2 AS INTEGER)
			LIMIT ?4)`,
		person(r), r.MadeAt.UnixMilli(), dry, markedAtOnce)
	if err != nil {
		return false, err
	}
	var marked int
	err = tx.get(ctx, `SELECT changes()`, nil, &marked)
	return marked == markedAtOnce, err
}

// waiting reads what the reminder is about and still waits. What has expired does
// not, also if nobody has noticed yet.
func (s *session) waiting(ctx context.Context, r *gate.Reminder, dry any, lines int) error {
	const from = `
		FROM message JOIN request ON request.id = message.request`
	const where = `
		WHERE message.recipient = CAST(?1 AS TEXT) AND message.dry = CAST(?4 AS INTEGER) AND message.awaited = 1
			AND message.reminded_at = CAST(?2 AS INTEGER) AND request.expires_at > CAST(?3 AS INTEGER)
		ORDER BY message.asked_at, message.request`
	args := []any{person(r), r.MadeAt.UnixMilli(), r.Now.UnixMilli(), dry}
	found, err := s.rows(ctx, `SELECT message.request`+from+where, args...)
	if err != nil {
		return err
	}
	for _, row := range found {
		request, err := as[int64](row[0])
		if err != nil {
			return err
		}
		r.Requests = append(r.Requests, request)
	}
	found, err = s.rows(ctx, `
		SELECT message.request, message.asked_at, request.expires_at,
			merge_request.forge, merge_request.project, merge_request.number, seen.snapshot`+from+`
			JOIN merge_request ON merge_request.id = request.merge_request
			JOIN seen ON seen.merge_request = merge_request.id`+where+` LIMIT ?5`, append(args, lines)...)
	if err != nil {
		return err
	}
	for _, row := range found {
		var w gate.Waiting
		var seen gate.Snapshot
		if err := s.restore([]field{
			{"request", number[int64]{&w.Request}},
			{"asked_at", moment{&w.AskedAt}},
			{"expires_at", moment{&w.ExpiresAt}},
			{"forge", text[string]{&w.Ref.Forge}},
			{"project", number[int64]{&w.Ref.Project}},
			{"number", number[int64]{&w.Ref.Number}},
			{"snapshot", document[gate.Snapshot]{&seen}},
		}, row); err != nil {
			return err
		}
		w.Path, w.URL, w.Title = seen.Path, seen.URL, seen.Title
		r.Listed = append(r.Listed, w)
	}
	return nil
}

// Reminded writes down what became of a reminder, see [gate.Store].
func (s *Store) Reminded(ctx context.Context, r *gate.Reminder, again time.Duration, entries ...*gate.Entry) error {
	err := s.write(ctx, false, func(ctx context.Context, tx *transaction) error {
		var tries int
		err := tx.get(ctx, `SELECT tries FROM reminder WHERE recipient = ?1 AND key = ?2`, []any{person(r), r.Key}, &tries)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		case again > 0:
			err = tx.write(ctx, `UPDATE reminder SET due_at = ?3, tries = ?4 WHERE recipient = ?1 AND key = ?2`,
				person(r), r.Key, tx.now.Add(again).UnixMilli(), tries+1)
		default:
			err = tx.write(ctx, `DELETE FROM reminder WHERE recipient = ?1 AND key = ?2`, person(r), r.Key)
		}
		for _, e := range entries {
			if err == nil {
				err = tx.get(ctx, `SELECT merge_request FROM request WHERE id = ?1`, []any{e.Request}, &e.MergeRequest)
			}
			if err == nil {
				err = tx.append(ctx, e)
			}
		}
		return err
	})
	return wrapReminder(err)
}
