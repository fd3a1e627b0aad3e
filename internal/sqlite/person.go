package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// identityKey is an identity as the table has it: in one directory, since another
// one gives other IDs to the same people.
func (s *Store) identityKey(i policy.Identity) string {
	return s.directory + ":" + string(i.Kind) + ":" + i.Value
}

// People gives what is known of the identities; what is unknown is missing.
func (s *Store) People(ctx context.Context, ids []policy.Identity) (map[policy.Identity]gate.Known, error) {
	people := make(map[policy.Identity]gate.Known, len(ids))
	err := s.read(ctx, func(ctx context.Context, r *session) error {
		now := s.now()
		for _, id := range ids {
			var known gate.Known
			var expires int64
			err := r.get(ctx, `SELECT id, first, name, expires_at FROM person WHERE identity = ?1`,
				[]any{s.identityKey(id)}, &known.ID, &known.First, &known.Name, &expires)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			known.Fresh = time.UnixMilli(expires).Sub(now)
			people[id] = known
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	return people, nil
}

// Learn stores answers of the directory, also that somebody is not in it (a
// person without an ID), and keeps them fresh for keep. The first ID of an identity
// stays, whoever it is later.
func (s *Store) Learn(ctx context.Context, people map[policy.Identity]gate.Person, keep time.Duration) error {
	if len(people) == 0 {
		return nil
	}
	err := s.write(ctx, false, func(ctx context.Context, tx *transaction) error {
		expires := tx.now.Add(keep).UnixMilli()
		for id, p := range people {
			if err := tx.write(ctx, `
				INSERT INTO person (identity, id, first, name, expires_at) VALUES (?1, ?2, ?2, ?3, ?4)
				ON CONFLICT (identity) DO UPDATE SET id = excluded.id, name = excluded.name, expires_at = excluded.expires_at,
					first = CASE WHEN first = '' THEN excluded.id ELSE first END`,
				s.identityKey(id), p.ID, p.Name, expires); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("learn people: %w", err)
	}
	return nil
}
