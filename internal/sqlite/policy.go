package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

const newestPolicy = `SELECT hash FROM policy WHERE id = (SELECT MAX(id) FROM policy)`

// lookNow has rows looked at now (?1); which, follows.
const lookNow = `UPDATE merge_request SET
	wake = wake + 1,
	look_at = MIN(COALESCE(look_at, ?1), ?1),
	due_at = CASE WHEN lease <> '' THEN due_at ELSE MIN(COALESCE(due_at, ?1), ?1) END `

// Policy notes that the policy with this hash and text is in force from now on,
// and makes every merge request due, with a look, that has a followed request
// under another policy. The log tells of another policy.
func (s *Store) Policy(ctx context.Context, hash, text string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		newest, err := tx.rows(ctx, newestPolicy)
		if err != nil {
			return err
		}
		if len(newest) == 0 || newest[0][0] != hash {
			before := ""
			if len(newest) > 0 {
				if before, err = as[string](newest[0][0]); err != nil {
					return err
				}
			}
			if err := tx.append(ctx, gate.PolicyEntry(hash, before, tx.now)); err != nil {
				return err
			}
			if err := tx.write(ctx, `INSERT INTO policy (hash, text, since) VALUES (?1, ?2, ?3)`,
				hash, text, tx.now.UnixMilli()); err != nil {
				return err
			}
			// Perhaps a rule covers them now.
			if err := tx.write(ctx, lookNow+`WHERE why <> '' AND why >= CAST(?2 AS TEXT) AND why < CAST(?2 AS TEXT) || CHAR(1114111)`,
				tx.now.UnixMilli(), gate.WhyNoRule); err != nil {
				return err
			}
		}
		// An old request that was rejected, and asked again about, is settled and
		// no longer the latest: nobody follows it. While a row is leased, due_at
		// is the lease's end; its holder sees that wake has moved.
		err = tx.write(ctx, lookNow+`
			WHERE id IN (
				SELECT merge_request FROM request
				WHERE state IN ('pending', 'approved', 'blocked', 'rejected')
					AND policy_hash <> ?2
					AND (settled = 0 OR seq = (
						SELECT MAX(later.seq) FROM request AS later WHERE later.merge_request = request.merge_request)))`,
			tx.now.UnixMilli(), hash)
		return err
	})
	if err != nil {
		return fmt.Errorf("note policy: %w", err)
	}
	return nil
}

// PolicyAt is the policy that was in force at the time; the zero Noted: none was yet.
func (s *Store) PolicyAt(ctx context.Context, at time.Time) (gate.Noted, error) {
	var noted gate.Noted
	err := s.read(ctx, func(ctx context.Context, r *session) error {
		var since, until int64
		err := r.get(ctx, `
			SELECT hash, text, since, COALESCE((SELECT next.since FROM policy AS next WHERE next.id > this.id ORDER BY next.id LIMIT 1), 0)
			FROM policy AS this WHERE since <= ?1 ORDER BY id DESC LIMIT 1`,
			[]any{at.UnixMilli()}, &noted.Hash, &noted.Text, &since, &until)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		noted.Since = time.UnixMilli(since).UTC()
		if until != 0 {
			noted.Until = time.UnixMilli(until).UTC()
		}
		return err
	})
	if err != nil {
		return gate.Noted{}, fmt.Errorf("read policy: %w", err)
	}
	return noted, nil
}

// InForce is the hash of the policy that Policy noted last; "": none was.
func (s *Store) InForce(ctx context.Context) (hash string, err error) {
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		err := r.get(ctx, newestPolicy, nil, &hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read policy: %w", err)
	}
	return hash, nil
}
