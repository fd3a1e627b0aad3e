package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// logPage is how many entries of the log are read at once. Between two pages
// nothing is held: whoever takes the entries may be a pager that somebody reads,
// and a reading that goes on for long keeps the write-ahead log from shrinking.
const logPage = 500

var _ gate.Archive = (*Store)(nil)

// List gives requests, the newest first, all as they stood at one moment.
func (s *Store) List(ctx context.Context, f gate.Filter) ([]gate.Listed, error) {
	var list []gate.Listed
	err := s.read(ctx, func(reading context.Context, r *session) error {
		return r.snapshot(reading, func() error {
			ids, err := r.choose(reading, f, s.now())
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx) // by an approver, it may go through all there are
				}
				if f.Approver != "" {
					if concerns, err := r.concerns(reading, id, f.Approver); err != nil {
						return fmt.Errorf("request %d: %w", id, err)
					} else if !concerns {
						continue
					}
				}
				l, err := r.listed(reading, id)
				if err != nil {
					return fmt.Errorf("request %d: %w", id, err)
				}
				list = append(list, l)
				if f.Limit > 0 && len(list) == f.Limit {
					break
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return list, nil
}

// choose gives the numbers of the requests that the filter lets through, the
// newest first. It leaves the approver to [session.concerns], and then gives all.
func (s *session) choose(ctx context.Context, f gate.Filter, now time.Time) ([]int64, error) {
	var where []string
	var args []any
	with := conditions(&where, &args)
	// CROSS JOIN keeps the order: from few merge requests to their requests, or
	// the other way round.
	from, on := ``, ``
	if f.Project != "" {
		from, on = `merge_request CROSS JOIN `, ` ON request.merge_request = merge_request.id`
		ofProject(f.Project, with)
	}
	// Numbers follow the times, but for a clock that was set back: the numbers
	// bound how far to go, the times decide. (The + has SQLite look for the
	// least number among those of the time, not for the time among all numbers.)
	if f.Since > 0 {
		at := now.Add(-f.Since).UnixMilli()
		with(`request.id >= (SELECT MIN(+id) FROM request WHERE opened_at >= ?)`, at)
		with(`+request.opened_at >= ?`, at)
	}
	if f.Older > 0 {
		at := now.Add(-f.Older).UnixMilli()
		with(`request.id <= (SELECT MAX(+id) FROM request WHERE opened_at < ?)`, at)
		with(`+request.opened_at < ?`, at)
	}
	if f.Before > 0 {
		with(`request.id < ?`, f.Before)
	}
	var selects []string
	add := func(index string, more ...string) {
		all := append(slices.Clone(where), more...)
		q := `SELECT request.id FROM ` + from + `request` + index + on
		if len(all) > 0 {
			q += ` WHERE ` + strings.Join(all, ` AND `)
		}
		selects = append(selects, q)
	}
	// Each state is asked for by itself, because the index of those that ended has
	// each in order, and SQLite merges what it finds. The open ones are few, and
	// sorted. The lists say to SQLite that the partial index holds them all.
	for _, state := range slices.Compact(slices.Sorted(slices.Values(f.States))) {
		args = append(args, string(state))
		is := fmt.Sprintf(`request.state = CAST(?%d AS TEXT)`, len(args))
		if state.Open() {
			add(` INDEXED BY request_open`, is, `request.state IN ('pending', 'approved', 'blocked')`)
		} else {
			add(``, is, `request.state NOT IN ('pending', 'approved', 'blocked')`)
		}
	}
	if len(f.States) == 0 {
		add(``)
	}
	query := strings.Join(selects, ` UNION ALL `) + ` ORDER BY 1 DESC`
	if f.Limit > 0 && f.Approver == "" {
		args = append(args, f.Limit)
		query += fmt.Sprintf(` LIMIT ?%d`, len(args))
	}
	return s.numbers(ctx, query, args...)
}

// conditions gives a function that adds one to where, with the values of its marks
// to args.
func conditions(where *[]string, args *[]any) func(condition string, values ...any) {
	return func(condition string, values ...any) {
		var b strings.Builder
		for _, v := range values {
			before, after, _ := strings.Cut(condition, "?")
			*args = append(*args, v)
			fmt.Fprintf(&b, "%s?%d", before, len(*args))
			condition = after
		}
		*where = append(*where, b.String()+condition)
	}
}

// ofProject adds the conditions by which a merge request is one of the project, or
// of the group. See load.go about CAST.
func ofProject(project string, with func(condition string, values ...any)) {
	group, isGroup := strings.CutSuffix(project, "/*")
	if id, err := strconv.ParseInt(project, 10, 64); err == nil {
		with(`merge_request.project = CAST(? AS INTEGER)`, id)
	} else if isGroup {
		// What begins with "group/" comes before "group0", whatever follows.
		with(`merge_request.path > ?`, group+"/")
		with(`merge_request.path < ?`, group+"0")
	} else {
		with(`merge_request.path = CAST(? AS TEXT)`, project)
	}
}

// numbers reads a column of numbers.
func (s *session) numbers(ctx context.Context, query string, args ...any) (found []int64, err error) {
	if err := s.prepare(ctx, query); err != nil {
		return nil, err
	}
	rows, err := s.prepared[query].QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		found = append(found, n)
	}
	return found, rows.Err()
}

// concerns says whether who, an identity or a name, may decide on the request or
// did. Both are compared without regard to case.
func (s *session) concerns(ctx context.Context, id int64, who string) (bool, error) {
	found, err := s.rows(ctx, `SELECT panel FROM request WHERE id = ?1`, id)
	if err != nil || len(found) == 0 {
		return false, err
	}
	var panel gate.Panel
	if err := (document[gate.Panel]{&panel}).restore(found[0][0], &s.documents); err != nil {
		return false, fmt.Errorf("column panel: %w", err)
	}
	names := []string{who}
	if identity, err := policy.ParseIdentity(who); err == nil {
		names = append(names, identity.Value) // without what people write into numbers
	}
	is := func(said string) bool {
		return said != "" && slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, said) })
	}
	for _, m := range panel.Approvers {
		if is(m.Identity.Value) || is(m.Name) || is(m.ID) {
			return true, nil
		}
	}
	found, err = s.rows(ctx, `SELECT name, person FROM decision WHERE request = CAST(?1 AS INTEGER)`, id)
	if err != nil {
		return false, err
	}
	for _, row := range found {
		for _, v := range row {
			if text, err := as[string](v); err != nil {
				return false, fmt.Errorf("decision: %w", err)
			} else if is(text) {
				return true, nil
			}
		}
	}
	return false, nil
}

// listed reads a request as a list shows it.
func (s *session) listed(ctx context.Context, id int64) (gate.Listed, error) {
	found, err := s.rows(ctx, `SELECT `+s.tables.request.list+`, `+s.tables.mergeRequest.list+`, seen.snapshot
		FROM request JOIN merge_request ON merge_request.id = request.merge_request
		LEFT JOIN seen ON seen.merge_request = merge_request.id
		WHERE request.id = CAST(?1 AS INTEGER)`, id)
	if err != nil {
		return gate.Listed{}, err
	}
	if len(found) == 0 {
		return gate.Listed{}, gate.ErrNoRow
	}
	var row int64
	var r gate.Request
	a := &aggregate{MergeRequest: new(gate.MergeRequest), decisions: make(map[decisionKey][]any)}
	fields := append(requestFields(&row, &r), mergeRequestFields(a.MergeRequest)...)
	if err := s.restore(append(fields, field{"snapshot", optional[gate.Snapshot]{&a.Snapshot}}), found[0]); err != nil {
		return gate.Listed{}, err
	}
	if err := s.loadDecisions(ctx, a, &r); err != nil {
		return gate.Listed{}, err
	}
	return a.Listed(&r), nil
}

// Find gives the numbers of the requests about a merge request or a commit, the
// newest first. A merge commit's is the latest of its merge request.
func (s *Store) Find(ctx context.Context, what gate.Sought) (found []int64, err error) {
	var query string
	var args []any
	const ofMergeRequest = `SELECT request.id FROM merge_request CROSS JOIN request ON request.merge_request = merge_request.id `
	switch {
	case what.Ref != nil && what == (gate.Sought{Ref: what.Ref}):
		query = ofMergeRequest + `
			WHERE merge_request.forge = CAST(?1 AS TEXT) AND merge_request.project = CAST(?2 AS INTEGER)
				AND merge_request.number = CAST(?3 AS INTEGER)
			ORDER BY request.id DESC`
		args = []any{what.Ref.Forge, what.Ref.Project, what.Ref.Number}
	case what.Path != "" && what == (gate.Sought{Path: what.Path, Number: what.Number}):
		query = ofMergeRequest + `
			WHERE merge_request.path = CAST(?1 AS TEXT) AND merge_request.number = CAST(?2 AS INTEGER)
			ORDER BY request.id DESC`
		args = []any{what.Path, what.Number}
	case isCommit(what.Commit) && what == (gate.Sought{Commit: what.Commit}):
		query = `
			SELECT id FROM request WHERE head >= ?1 AND head < ?2
			UNION
			SELECT request.id FROM merge_request CROSS JOIN request ON request.merge_request = merge_request.id
			WHERE merge_commit >= ?1 AND merge_commit < ?2 AND merge_commit <> ''
				AND seq = (SELECT MAX(later.seq) FROM request AS later WHERE later.merge_request = merge_request.id)
			ORDER BY 1 DESC`
		from := strings.ToLower(what.Commit)
		args = []any{from, from + "g"} // the letter behind the last digit
	default:
		return nil, errors.New("find requests: say exactly one of ref, path with number, and at least 8 digits of a commit")
	}
	err = s.read(ctx, func(ctx context.Context, r *session) error {
		found, err = r.numbers(ctx, query, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find requests: %w", err)
	}
	return found, nil
}

func isCommit(s string) bool {
	return len(s) >= 8 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F')
	})
}

// Story reads the merge request with the request whole, as the last of Requests.
func (s *Store) Story(ctx context.Context, request int64) (*gate.MergeRequest, error) {
	if request <= 0 {
		return nil, gate.ErrNoRow
	}
	mr, err := s.Peek(ctx, gate.By{Request: request})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(mr.Requests, func(r *gate.Request) bool { return r.ID == request })
	named := mr.Requests[i]
	mr.Requests = append(slices.Delete(mr.Requests, i, i+1), named)
	return mr, nil
}

// Log gives the entries of the log, the oldest first; of several, those that were
// there when it came to them.
func (s *Store) Log(ctx context.Context, f gate.LogFilter) iter.Seq2[gate.Entry, error] {
	return func(yield func(gate.Entry, error) bool) {
		q := logQuery{after: f.After, left: math.MaxInt}
		if f.Limit > 0 {
			q.left = f.Limit
		}
		if f.Since > 0 {
			q.since = s.now().Add(-f.Since).UnixMilli()
		}
		begun := false
		for {
			var page []gate.Entry
			err := s.read(ctx, func(ctx context.Context, r *session) (err error) {
				return r.snapshot(ctx, func() error {
					if !begun {
						if err := q.begin(ctx, r, f); err != nil {
							return err
						}
						begun = true
					}
					page, err = q.next(ctx, r)
					return err
				})
			})
			if err != nil {
				yield(gate.Entry{}, fmt.Errorf("read the log: %w", err))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// logQuery reads the log page by page.
type logQuery struct {
	after int64 // the last number that was read
	left  int   // entries
	since int64 // milliseconds

	// Of one request: its merge request, and between which entries that had no
	// other one.
	request, mergeRequest int64
	opened, until         int64
}

// begin finds out where to begin, and which entries belong to the request.
func (q *logQuery) begin(ctx context.Context, r *session, f gate.LogFilter) error {
	if f.Since > 0 {
		found, err := r.numbers(ctx, `SELECT COALESCE(MIN(+number), ?2) FROM log WHERE at >= ?1`, q.since, math.MaxInt64)
		if err != nil {
			return err
		}
		q.after = max(q.after, found[0]-1)
	}
	if f.Request == 0 {
		return nil
	}
	found, err := r.rows(ctx, `
		SELECT merge_request,
			COALESCE((SELECT MIN(number) FROM log WHERE log.merge_request = this.merge_request AND log.request = this.id), ?2),
			COALESCE((SELECT MIN(number) FROM log WHERE log.merge_request = this.merge_request AND log.request =
				(SELECT id FROM request AS later WHERE later.merge_request = this.merge_request AND later.seq = this.seq + 1)), ?2)
		FROM request AS this WHERE id = ?1`, f.Request, math.MaxInt64)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		q.left = 0
		return nil
	}
	q.request = f.Request
	return r.restore([]field{
		{"merge_request", number[int64]{&q.mergeRequest}}, {"opened", number[int64]{&q.opened}}, {"until", number[int64]{&q.until}},
	}, found[0])
}

func (q *logQuery) next(ctx context.Context, r *session) ([]gate.Entry, error) {
	n := min(q.left, logPage)
	if n == 0 {
		return nil, nil
	}
	var found [][]any
	var err error
	// Without the + SQLite would find the entries by their time, and sort them.
	if q.request == 0 {
		found, err = r.rows(ctx, `SELECT `+r.tables.log.list+` FROM log WHERE number > ?1 AND +at >= ?2 ORDER BY number LIMIT ?3`,
			q.after, q.since, n)
	} else {
		found, err = r.rows(ctx, `SELECT `+r.tables.log.list+` FROM log
			WHERE merge_request = CAST(?4 AS INTEGER) AND number > ?1 AND +at >= ?2
				AND (+request = ?5 OR +request IS NULL AND number > ?6 AND number < ?7)
			ORDER BY number LIMIT ?3`,
			q.after, q.since, n, q.mergeRequest, q.request, q.opened, q.until)
	}
	if err != nil {
		return nil, err
	}
	page := make([]gate.Entry, 0, len(found))
	for _, row := range found {
		var e gate.Entry
		var data string
		if err := r.restore(entryFields(&e, &data), row); err != nil {
			return nil, fmt.Errorf("entry %v: %w", row[0], err)
		}
		e.Data = []byte(data)
		page = append(page, e)
		q.after = e.Number
	}
	q.left -= len(page)
	return page, nil
}
