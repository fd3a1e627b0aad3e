package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mrgate/internal/gate"
)

// save writes the rows that differ from those that were read. Nothing that is
// history can be removed by leaving it out: requests and decisions stay.
func (tx *transaction) save(ctx context.Context, a *aggregate) error {
	row, err := store(mergeRequestFields(a.MergeRequest))
	if err != nil {
		return err
	}
	if !slices.Equal(row[:4], a.row[:4]) {
		return fmt.Errorf("number and ref of a merge request cannot be changed (%v to %v)", a.row[:4], row[:4])
	}
	parts := len(a.Requests) + len(a.Claims) + len(a.Entries)
	if !a.stored && slices.Equal(row, a.row) && a.Snapshot == nil && a.Contents == nil && parts == 0 {
		return nil // new, and nobody has anything to say about it
	}
	before := a.row
	if !a.stored {
		before = nil
	}
	// The order is that of the references between the tables.
	if err := tx.put(ctx, &tx.tables.mergeRequest, before, row); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *aggregate) error{
		tx.saveSeen, tx.saveRequests, tx.saveEntries, tx.saveLanding, tx.saveDecisions, tx.saveMessages, tx.saveClaims,
	} {
		if err := part(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// put writes a row: before is how it was read, nil if it is new.
func (tx *transaction) put(ctx context.Context, t *table, before, row []any) error {
	query, args := t.insert, row
	if before != nil {
		query, args = t.update(before, row)
	}
	if query == "" {
		return nil
	}
	if err := tx.write(ctx, query, args...); err != nil {
		return fmt.Errorf("write %s %v: %w", t.name, row[0], err)
	}
	return nil
}

func (tx *transaction) saveSeen(ctx context.Context, a *aggregate) error {
	if a.seen == nil && a.Snapshot == nil && a.Contents == nil {
		return nil
	}
	row, err := store(seenFields(a.MergeRequest))
	if err != nil {
		return err
	}
	return tx.put(ctx, &tx.tables.seen, a.seen, row)
}

func (tx *transaction) saveLanding(ctx context.Context, a *aggregate) error {
	switch {
	case a.Landing == nil && a.landing == nil:
		return nil
	case a.Landing == nil:
		return fmt.Errorf("the landing of %s was left out; it is kept", a.Ref)
	}
	entry, err := numberOf(a.Landing.Entry)
	if err != nil {
		return fmt.Errorf("landing of %s: %w", a.Ref, err)
	}
	row, err := store(landingFields(&a.ID, a.Landing, &entry))
	if err != nil {
		return fmt.Errorf("landing of %s: %w", a.Ref, err)
	}
	return tx.put(ctx, &tx.tables.landing, a.landing, row)
}

// numberOf is the number of a log entry that was written; 0: there is none.
func numberOf(e *gate.Entry) (int64, error) {
	switch {
	case e == nil:
		return 0, nil
	case e.Number == 0:
		return 0, errors.New("its log entry is not among the new ones")
	}
	return e.Number, nil
}

// saveRequests writes them in their order: an old one has to leave its open
// state before a new one may be open.
func (tx *transaction) saveRequests(ctx context.Context, a *aggregate) error {
	known := 0
	for _, r := range a.Requests {
		before := a.requests[r.ID]
		if before != nil {
			known++
		} else if r.ID < a.next {
			return fmt.Errorf("a new request of %s has the number %d; the next one is %d", a.Ref, r.ID, a.next)
		}
		row, err := store(requestFields(&a.ID, r))
		if err != nil {
			return fmt.Errorf("request %d: %w", r.ID, err)
		}
		if err := tx.put(ctx, &tx.tables.request, before, row); err != nil {
			return err
		}
	}
	if known != len(a.requests) {
		return fmt.Errorf("a request of %s was left out or doubled; requests are kept", a.Ref)
	}
	return nil
}

func (tx *transaction) saveDecisions(ctx context.Context, a *aggregate) error {
	seen := make(map[decisionKey]bool)
	known := 0
	for _, r := range a.Requests {
		for _, d := range r.Decisions {
			key := decisionKey{r.ID, d.Person}
			if seen[key] {
				return fmt.Errorf("a second decision of %s on request %d; the first one stands", d.Person, r.ID)
			}
			seen[key] = true
			before := a.decisions[key]
			if before != nil {
				known++
			}
			entry, err := numberOf(d.Entry)
			if err != nil {
				return fmt.Errorf("decision of %s on request %d: %w", d.Person, r.ID, err)
			}
			row, err := store(decisionFields(&r.ID, d, &entry))
			if err != nil {
				return fmt.Errorf("decision on request %d: %w", r.ID, err)
			}
			if err := tx.put(ctx, &tx.tables.decision, before, row); err != nil {
				return err
			}
		}
	}
	if known != len(a.decisions) {
		return fmt.Errorf("a decision on %s was left out; decisions are kept", a.Ref)
	}
	return nil
}

// saveMessages finds them by their key, not by their request: a newer request
// may have taken one over. What was left out goes first, and what is new comes
// last, so that a recipient's place is free when it is taken.
func (tx *transaction) saveMessages(ctx context.Context, a *aggregate) error {
	seen := make(map[string]bool)
	var changed, added [][]any
	for _, r := range a.Requests {
		for _, m := range r.Messages {
			if seen[m.Key] {
				return fmt.Errorf("message %s is there twice", m.Key)
			}
			seen[m.Key] = true
			row, err := store(messageFields(r, m))
			if err != nil {
				return fmt.Errorf("message %s: %w", m.Key, err)
			}
			if a.messages[m.Key] == nil {
				added = append(added, row)
			} else {
				changed = append(changed, row)
			}
		}
	}
	for key := range a.messages {
		if seen[key] {
			continue
		}
		if err := tx.write(ctx, `DELETE FROM message WHERE key = ?1`, key); err != nil {
			return fmt.Errorf("delete message %s: %w", key, err)
		}
	}
	for _, row := range slices.Concat(changed, added) {
		if err := tx.put(ctx, &tx.tables.message, a.messages[row[0].(string)], row); err != nil {
			return err
		}
	}
	return nil
}

// saveClaims writes them all anew if one has changed: they are few and short-lived,
// and have no key.
func (tx *transaction) saveClaims(ctx context.Context, a *aggregate) error {
	rows := make([][]any, len(a.Claims))
	for i, c := range a.Claims {
		var err error
		if rows[i], err = store(claimFields(&a.ID, c)); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
	}
	if slices.EqualFunc(rows, a.claims, slices.Equal[[]any]) {
		return nil
	}
	if len(a.claims) > 0 {
		if err := tx.write(ctx, `DELETE FROM claim WHERE merge_request = ?1`, a.ID); err != nil {
			return fmt.Errorf("delete claims: %w", err)
		}
	}
	for _, row := range rows {
		if err := tx.put(ctx, &tx.tables.claim, nil, row); err != nil {
			return err
		}
	}
	return nil
}
