package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

// markOf is the key of a list's mark among the facts about the whole database.
func markOf(list string) string { return "sweep: " + list }

// Mark is how far the list was read; "": never.
func (s *Store) Mark(ctx context.Context, list string) (mark gate.Mark, err error) {
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		err := r.get(ctx, `SELECT value FROM meta WHERE key = ?1`, []any{markOf(list)}, &mark)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read how far the sweep is: %w", err)
	}
	return mark, nil
}

// SetMark stores to in the place of from; false: something else stands there.
func (s *Store) SetMark(ctx context.Context, list string, from, to gate.Mark) (set bool, err error) {
	err = s.write(ctx, false, func(ctx context.Context, tx *transaction) error {
		var now gate.Mark
		found, err := tx.rows(ctx, `SELECT value FROM meta WHERE key = ?1`, markOf(list))
		if err != nil {
			return err
		}
		for _, row := range found {
			text, err := as[string](row[0])
			if err != nil {
				return err
			}
			now = gate.Mark(text)
		}
		if set = now == from; !set {
			return nil
		}
		return tx.write(ctx, `INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
			markOf(list), string(to))
	})
	if err != nil {
		return false, fmt.Errorf("note how far the sweep is: %w", err)
	}
	return set, nil
}

// Followed names the merge requests with a followed request that was opened at
// least that long ago.
func (s *Store) Followed(ctx context.Context, opened time.Duration) (refs []gate.Ref, err error) {
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		// By when they were opened, all that ever were would be gone through.
		found, err := r.rows(ctx, `
			SELECT merge_request.forge, merge_request.project, merge_request.number
			FROM request INDEXED BY request_followed
			JOIN merge_request ON merge_request.id = request.merge_request
			WHERE request.state IN ('pending', 'approved', 'blocked', 'rejected')
				AND request.opened_at <= CAST(?1 AS INTEGER)
				AND request.seq = (
					SELECT MAX(later.seq) FROM request AS later WHERE later.merge_request = request.merge_request)`,
			s.now().Add(-opened).UnixMilli())
		if err != nil {
			return err
		}
		for _, row := range found {
			var ref gate.Ref
			err := r.restore([]field{
				{"forge", text[string]{&ref.Forge}}, {"project", number[int64]{&ref.Project}}, {"number", number[int64]{&ref.Number}},
			}, row)
			if err != nil {
				return err
			}
			refs = append(refs, ref)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is followed: %w", err)
	}
	return refs, nil
}
