package sqlite

import (
	"context"
	"fmt"
	"time"

	"mrgate/internal/gate"
)

// Counts tells how much there is of what. Requests that ended are counted from
// their index alone: of a million in a few dozen milliseconds.
func (s *Store) Counts(ctx context.Context) (gate.Counts, error) {
	c := gate.Counts{Requests: make(map[gate.State]int64)}
	err := s.read(ctx, func(ctx context.Context, r *session) error {
		return r.snapshot(ctx, func() error { return r.counts(ctx, s.now().UnixMilli(), &c) })
	})
	if err != nil {
		return gate.Counts{}, fmt.Errorf("count requests: %w", err)
	}
	return c, nil
}

// counts counts. now is in milliseconds.
func (s *session) counts(ctx context.Context, now int64, c *gate.Counts) error {
	for _, query := range []string{
		`SELECT state, COUNT(*) FROM request INDEXED BY request_open
			WHERE state IN ('pending', 'approved', 'blocked') GROUP BY state`,
		`SELECT state, COUNT(*) FROM request INDEXED BY request_ended
			WHERE state NOT IN ('pending', 'approved', 'blocked') GROUP BY state`,
	} {
		found, err := s.rows(ctx, query)
		if err != nil {
			return err
		}
		for _, row := range found {
			state, err := as[string](row[0])
			if err != nil {
				return err
			}
			if c.Requests[gate.State(state)], err = as[int64](row[1]); err != nil {
				return err
			}
		}
	}
	if err := s.get(ctx, `SELECT COUNT(*) FROM landing WHERE around <> ''`, nil, &c.Around); err != nil {
		return err
	}
	if err := s.get(ctx, `SELECT COUNT(*) FROM merge_request WHERE due_at <= CAST(?1 AS INTEGER)`, []any{now}, &c.Due); err != nil {
		return err
	}
	found, err := s.rows(ctx, `SELECT MIN(due_at) FROM merge_request WHERE due_at > CAST(?1 AS INTEGER)`, gate.DueFirst().UnixMilli())
	if err != nil || found[0][0] == nil {
		return err
	}
	oldest, err := as[int64](found[0][0])
	c.Overdue = time.Duration(max(0, now-oldest)) * time.Millisecond
	return err
}
