package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

const newestPolicy = `SELECT hash, dry FROM policy WHERE id = (SELECT MAX(id) FROM policy)`

// lookNow has rows looked at now (?1); which, follows.
const lookNow = `UPDATE merge_request SET
	wake = wake + 1,
	look_at = MIN(COALESCE(look_at, ?1), ?1),
	due_at = CASE WHEN lease <> '' THEN due_at ELSE MIN(COALESCE(due_at, ?1), ?1) END `

// Policy notes that the policy with this hash and text is in force from now on,
// and makes every merge request due, with a look, of which it has a say; see
// [gate.Store]. The log tells of another policy.
func (s *Store) Policy(ctx context.Context, hash, text string, dry bool) error {
	mode, _ := flag{&dry}.store() // never fails
	err := s.write(ctx, true, func(ctx context.Context, tx *transaction) error {
		newest, err := tx.rows(ctx, newestPolicy)
		if err != nil {
			return err
		}
		if len(newest) == 0 || newest[0][0] != hash || newest[0][1] != mode {
			before := ""
			if len(newest) > 0 {
				if before, err = as[string](newest[0][0]); err != nil {
					return err
				}
			}
			if err := tx.append(ctx, gate.PolicyEntry(hash, before, dry, tx.now)); err != nil {
				return err
			}
			if err := tx.write(ctx, `INSERT INTO policy (hash, text, dry, since) VALUES (?1, ?2, ?3, ?4)`,
				hash, text, mode, tx.now.UnixMilli()); err != nil {
				return err
			}
			if len(newest) > 0 && newest[0][1] != mode && !dry {
				// What the dry run has left to this.
				if err := tx.write(ctx, lookNow+`WHERE id IN (SELECT merge_request FROM request WHERE settled = 0 AND state <> 'pending')`,
					tx.now.UnixMilli()); err != nil {
					return err
				}
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
					AND (policy_hash <> ?2 OR dry <> ?3) AND (dry = 1 OR ?3 = 0)
					AND (settled = 0 OR seq = (
						SELECT MAX(later.seq) FROM request AS later WHERE later.merge_request = request.merge_request)))`,
			tx.now.UnixMilli(), hash, mode)
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

// InForce is the hash of the policy that Policy noted last, and whether that was
// for a dry run; "": none was.
func (s *Store) InForce(ctx context.Context) (hash string, dry bool, err error) {
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		err := r.get(ctx, newestPolicy, nil, &hash, &dry)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("read policy: %w", err)
	}
	return hash, dry, nil
}
