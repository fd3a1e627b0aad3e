package sqlite

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"mrgate/internal/gate"
)

// landingPage is how many merges are read at once; see logPage.
const landingPage = 200

// Landings gives the merges into branches that a rule covered, the newest first:
// those that there were when it began.
func (s *Store) Landings(ctx context.Context, f gate.LandingFilter) iter.Seq2[gate.Landed, error] {
	return func(yield func(gate.Landed, error) bool) {
		var rows []int64
		err := s.read(ctx, func(ctx context.Context, r *session) (err error) {
			rows, err = r.chooseLandings(ctx, f, s.now().UnixMilli())
			return err
		})
		if err != nil {
			yield(gate.Landed{}, fmt.Errorf("list merges: %w", err))
			return
		}
		for some := range slices.Chunk(rows, landingPage) {
			var page []gate.Landed
			err := s.read(ctx, func(ctx context.Context, r *session) error {
				return r.snapshot(ctx, func() error {
					for _, row := range some {
						l, err := r.landed(ctx, row)
						if err != nil {
							return fmt.Errorf("merge request %d: %w", row, err)
						}
						page = append(page, l)
					}
					return nil
				})
			})
			if err != nil {
				yield(gate.Landed{}, fmt.Errorf("list merges: %w", err))
				return
			}
			for _, l := range page {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// chooseLandings gives the rows of the merge requests, the last merged first. now
// is in milliseconds.
func (s *session) chooseLandings(ctx context.Context, f gate.LandingFilter, now int64) ([]int64, error) {
	var where []string
	var args []any
	with := conditions(&where, &args)
	query := `SELECT landing.merge_request FROM landing`
	if f.Project != "" {
		query = `SELECT landing.merge_request FROM merge_request CROSS JOIN landing ON landing.merge_request = merge_request.id`
		ofProject(f.Project, with)
	}
	if f.Around {
		with(`landing.around <> ''`)
	}
	if !f.Before.At.IsZero() {
		with(`(landing.at, landing.merge_request) < (?, ?)`, f.Before.At.UnixMilli(), f.Before.Row)
	}
	if f.Since > 0 {
		with(`landing.at >= ?`, now-f.Since.Milliseconds())
	}
	if f.Older > 0 {
		with(`landing.at < ?`, now-f.Older.Milliseconds())
	}
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, ` AND `)
	}
	query += ` ORDER BY landing.at DESC, landing.merge_request DESC`
	if f.Limit > 0 {
		args = append(args, f.Limit)
		query += fmt.Sprintf(` LIMIT ?%d`, len(args))
	}
	return s.numbers(ctx, query, args...)
}

// landed reads a merge as a list shows it.
func (s *session) landed(ctx context.Context, row int64) (gate.Landed, error) {
	found, err := s.rows(ctx, `SELECT `+s.tables.mergeRequest.list+`, seen.snapshot, `+s.tables.landing.list+`,
			(SELECT hash FROM log WHERE number = landing.entry)
		FROM landing JOIN merge_request ON merge_request.id = landing.merge_request
		LEFT JOIN seen ON seen.merge_request = merge_request.id
		WHERE landing.merge_request = CAST(?1 AS INTEGER)`, row)
	if err != nil {
		return gate.Landed{}, err
	}
	if len(found) == 0 {
		return gate.Landed{}, gate.ErrNoRow
	}
	a := &aggregate{MergeRequest: new(gate.MergeRequest), requests: make(map[int64][]any), decisions: make(map[decisionKey][]any)}
	end := len(found[0]) - 1 - len(s.tables.landing.columns)
	fields := append(mergeRequestFields(a.MergeRequest), field{"snapshot", optional[gate.Snapshot]{&a.Snapshot}})
	if err := s.restore(fields, found[0][:end]); err != nil {
		return gate.Landed{}, err
	}
	if err := s.addLanding(a, found[0][end:len(found[0])-1], found[0][len(found[0])-1]); err != nil {
		return gate.Landed{}, err
	}
	latest, err := s.rows(ctx, `SELECT `+s.tables.request.list+` FROM request
		WHERE merge_request = CAST(?1 AS INTEGER) ORDER BY seq DESC LIMIT 1`, row)
	if err != nil {
		return gate.Landed{}, err
	}
	if len(latest) > 0 {
		if err := s.addRequest(a, latest[0]); err != nil {
			return gate.Landed{}, err
		}
		if err := s.loadDecisions(ctx, a, a.Current()); err != nil {
			return gate.Landed{}, err
		}
	}
	return a.Landed(), nil
}
