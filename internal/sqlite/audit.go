package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"mrgate/internal/gate"
)

// Audit tells the verification all that there is, as of one moment: a listener
// may go on writing meanwhile.
func (s *Store) Audit(ctx context.Context, v *gate.Verification) error {
	err := s.read(ctx, func(reading context.Context, r *session) error {
		return r.snapshot(reading, func() error {
			for _, part := range []func(context.Context, *gate.Verification) error{
				r.auditHead, r.auditEntries, r.auditPolicies, r.auditStories,
			} {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				if err := part(reading, v); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read the log: %w", explain(err))
	}
	v.Finish()
	return nil
}

// guards are the triggers that refuse to change the log.
func guards() []string { return []string{"log_append", "log_no_delete", "log_no_update"} }

func (s *session) auditHead(ctx context.Context, v *gate.Verification) error {
	head, known, err := s.head(ctx)
	if err != nil {
		return err
	}
	if known {
		v.Head(head.number, head.hash)
	}
	found, err := s.rows(ctx, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'log'`)
	if err != nil {
		return err
	}
	for _, name := range guards() {
		if !slices.ContainsFunc(found, func(row []any) bool { return row[0] == name }) {
			v.Unguarded(name)
		}
	}
	return nil
}

// auditEntries reads the whole log, and keeps one entry at a time.
func (s *session) auditEntries(ctx context.Context, v *gate.Verification) error {
	return s.each(ctx, `SELECT number, at, COALESCE(merge_request, 0), COALESCE(request, 0), kind, data, hash FROM log ORDER BY number`,
		func(rows *sql.Rows) error {
			var e gate.Entry
			var at int64
			var data sql.RawBytes
			if err := rows.Scan(&e.Number, &at, &e.MergeRequest, &e.Request, &e.Kind, &data, &e.Hash); err != nil {
				return err
			}
			e.At, e.Data = time.UnixMilli(at).UTC(), []byte(data)
			v.Entry(&e)
			return nil
		})
}

func (s *session) auditPolicies(ctx context.Context, v *gate.Verification) error {
	return s.each(ctx, `SELECT hash, text, dry, since FROM policy ORDER BY id`, func(rows *sql.Rows) error {
		var hash, text string
		var dry bool
		var since int64
		if err := rows.Scan(&hash, &text, &dry, &since); err != nil {
			return err
		}
		v.Policy(hash, text, dry, time.UnixMilli(since).UTC())
		return nil
	})
}

// auditStories reads requests, decisions and the entries that tell of them, one
// merge request after the other. Each part comes in its index's order, so SQLite
// merges the three and sorts nothing.
func (s *session) auditStories(ctx context.Context, v *gate.Verification) error {
	const request, decision, landing, entry = 1, 2, 3, 4
	var (
		current  int64
		requests []gate.Kept
		landed   *gate.Landing
		entries  []gate.Entry
	)
	err := s.each(ctx, `
		SELECT merge_request AS of, 1 AS part, id AS number, 0 AS request, state AS kind, target AS data, head AS hash, '' AS a, '' AS b, '' AS c, 0 AS at, dry AS flag
			FROM request
		UNION ALL
		SELECT request.merge_request, 2, COALESCE(decision.entry, 0), request.id, decision.verdict, decision.reason, decision.shown,
				decision.person, decision.name, decision.via, COALESCE(decision.at, 0), decision.void
			FROM request CROSS JOIN decision ON decision.request = request.id
		UNION ALL
		SELECT merge_request, 3, COALESCE(entry, 0), 0, around, rule, '', '', '', '', COALESCE(at, 0), 0
			FROM landing
		UNION ALL
		SELECT merge_request, 4, number, COALESCE(request, 0), kind, data, hash, '', '', '', at, 0
			FROM log WHERE merge_request IS NOT NULL AND kind IN ('opened', 'decided', 'counts', 'state', 'bypassed')
		ORDER BY 1, 2, 3`,
		func(rows *sql.Rows) error {
			var (
				of, part, number, about, at int64
				kind, data, hash            string
				person, name, via           string
				flag                        bool // of a request: dry; of a decision: void
			)
			if err := rows.Scan(&of, &part, &number, &about, &kind, &data, &hash, &person, &name, &via, &at, &flag); err != nil {
				return err
			}
			if of != current {
				v.Story(requests, landed, entries)
				current, requests, landed, entries = of, nil, nil, nil
			}
			switch part {
			case request:
				requests = append(requests, gate.Kept{Number: number, Head: gate.CommitID(hash), Target: data, State: gate.State(kind), Dry: flag})
			case decision:
				i := slices.IndexFunc(requests, func(r gate.Kept) bool { return r.Number == about })
				if i < 0 {
					return errors.New("a decision without its request") // not with one statement on one snapshot
				}
				requests[i].Decisions = append(requests[i].Decisions, gate.Decision{
					Person: person, Name: name, Verdict: gate.Verdict(kind), Reason: data, Via: via, Shown: hash, Void: flag,
					At: time.UnixMilli(at).UTC(), Entry: &gate.Entry{Number: number},
				})
			case landing:
				landed = &gate.Landing{At: time.UnixMilli(at).UTC(), Around: gate.Bypass(kind), Rule: data, Entry: &gate.Entry{Number: number}}
			case entry:
				entries = append(entries, gate.Entry{Number: number, Request: about, Kind: gate.EntryKind(kind), Data: []byte(data)})
			}
			return nil
		})
	v.Story(requests, landed, entries)
	return err
}

// each reads rows one at a time.
func (s *session) each(ctx context.Context, query string, take func(rows *sql.Rows) error) (err error) {
	if err := s.prepare(ctx, query); err != nil {
		return err
	}
	rows, err := s.prepared[query].QueryContext(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
