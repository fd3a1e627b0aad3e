package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

// A lease is the holder's token in the row, and its end is when the row is due
// again. One that ran out is still good for writing as long as nobody has
// claimed the row since: what its holder learned (a merge went through, a card
// was sent) is better written than lost, and nobody else has begun anything. That
// it starts nothing new after half of the lease is the holder's own business.

// Claim leases up to n merge requests that are due, the longest due first, to
// token for d; those whose lease has run out are among them.
//
// With an error there may still be some that were leased. One that cannot be
// read (it was written by another version, or the file is damaged) is left out
// and comes up again when its lease ends: it must not keep the others from being
// worked on.
func (s *Store) Claim(ctx context.Context, token string, n int, d time.Duration) ([]*gate.MergeRequest, error) {
	if token == "" {
		return nil, errors.New("claim: no token")
	}
	var claimed []*gate.MergeRequest
	var unread []error
	// Urgent: somebody may wait for what is due first.
	err := s.write(ctx, true, func(ctx context.Context, tx *transaction) error {
		claimed, unread = nil, nil
		due, err := tx.rows(ctx, `
			SELECT id FROM merge_request WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2`,
			tx.now.UnixMilli(), n)
		if err != nil {
			return err
		}
		for _, row := range due {
			id, err := as[int64](row[0])
			if err != nil {
				return err
			}
			if err := tx.write(ctx, `UPDATE merge_request SET lease = ?2, due_at = ?3 WHERE id = ?1`,
				id, token, tx.now.Add(d).UnixMilli()); err != nil {
				return err
			}
			a, err := tx.load(ctx, gate.By{Lease: &gate.Lease{Row: id, Token: token}}, tx.now)
			if err != nil {
				unread = append(unread, fmt.Errorf("claim: %w", err))
				continue
			}
			claimed = append(claimed, a.MergeRequest)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return claimed, errors.Join(unread...)
}

// ClaimRow is Claim for one row, due or not. gate.ErrBusy: somebody else holds it.
// gate.ErrNoRow: by names nothing.
func (s *Store) ClaimRow(ctx context.Context, by gate.By, token string, d time.Duration) (*gate.MergeRequest, error) {
	if token == "" {
		return nil, errors.New("claim: no token")
	}
	var claimed *gate.MergeRequest
	err := s.write(ctx, true, func(ctx context.Context, tx *transaction) error {
		a, err := tx.load(ctx, by, tx.now)
		if err != nil {
			return err
		}
		if a.Lease != "" && a.Lease != token && a.DueAt.After(tx.now) {
			return gate.ErrBusy
		}
		a.Lease, a.DueAt = token, tx.now.Add(d).Truncate(time.Millisecond)
		claimed = a.MergeRequest
		return tx.save(ctx, a)
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// NextDue says in how long the next row and the next reminder are due, see
// [gate.Store]. A person is reminded of more only when the reminder before is sent.
func (s *Store) NextDue(ctx context.Context, dry bool) (row, reminder time.Duration, err error) {
	mode, _ := flag{&dry}.store() // never fails
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		due, err := r.rows(ctx, `SELECT
			(SELECT MIN(due_at) FROM merge_request WHERE due_at IS NOT NULL),
			(SELECT due_at FROM reminder WHERE due_at >= 0 AND dry >= CAST(?1 AS INTEGER) ORDER BY due_at LIMIT 1),
			(SELECT remind_at FROM message WHERE dry = CAST(?1 AS INTEGER) AND remind_at >= 0 AND `+hasNoReminder+` ORDER BY remind_at LIMIT 1)`, mode)
		if err != nil {
			return err
		}
		var in [3]time.Duration
		for i, at := range due[0] {
			in[i] = gate.Never
			if at != nil {
				ms, err := as[int64](at)
				if err != nil {
					return err
				}
				in[i] = max(0, time.UnixMilli(ms).Sub(s.now()))
			}
		}
		row, reminder = in[0], min(in[1], in[2])
		return nil
	})
	if err != nil {
		return gate.Never, gate.Never, fmt.Errorf("next due: %w", err)
	}
	return row, reminder, nil
}
