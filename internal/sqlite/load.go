package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mrgate/internal/gate"
)

// aggregate is a merge request with the rows that it was read from, to find out
// later which of them a change has made different.
type aggregate struct {
	*gate.MergeRequest
	stored    bool  // false: new
	next      int64 // the number of the next request
	row       []any
	seen      []any // nil: nothing was read of the forge yet
	landing   []any // nil: there is none
	requests  map[int64][]any
	decisions map[decisionKey][]any
	messages  map[string][]any
	claims    [][]any
}

type decisionKey struct {
	request int64
	person  string
}

// About CAST in what follows: SQLite (3.54, whereLoopOutputAdjust) guesses better
// if it knows whether what a column is compared to is 0 or 1. So it compiles a
// statement anew each time that a bare parameter, compared with = and not with a
// unique key of the only table, is bound anew. That takes five times as long as
// to run it.

// load reads what by names, as it stands at now. gate.ErrNoRow: it names nothing.
func (s *session) load(ctx context.Context, by gate.By, now time.Time) (*aggregate, error) {
	a := &aggregate{
		MergeRequest: &gate.MergeRequest{Now: now},
		requests:     make(map[int64][]any),
		decisions:    make(map[decisionKey][]any),
		messages:     make(map[string][]any),
	}
	named, err := s.find(ctx, a, by)
	if err != nil {
		return nil, err
	}
	if by.Lease != nil && (a.Lease == "" || a.Lease != by.Lease.Token) {
		return nil, gate.ErrLeaseLost
	}
	if err := s.loadRequests(ctx, a, named); err != nil {
		return nil, fmt.Errorf("read merge request %s: %w", a.Ref, err)
	}
	if err := s.loadClaims(ctx, a); err != nil {
		return nil, fmt.Errorf("read merge request %s: %w", a.Ref, err)
	}
	return a, nil
}

// find reads the row of the merge request. Where it is named by a request or a
// message of one, it also gives that request.
func (s *session) find(ctx context.Context, a *aggregate, by gate.By) (named int64, err error) {
	list := s.tables.mergeRequest.list + `, ` + s.tables.seen.list + `, ` + s.tables.landing.list +
		`, (SELECT hash FROM log WHERE number = landing.entry)`
	const next = `, (SELECT COALESCE(MAX(id), 0) + 1 FROM request)`
	const from = ` FROM merge_request LEFT JOIN seen ON seen.merge_request = merge_request.id
			LEFT JOIN landing ON landing.merge_request = merge_request.id`
	var found [][]any
	switch {
	case by.Ref != nil && by == (gate.By{Ref: by.Ref}):
		found, err = s.rows(ctx, `SELECT `+list+next+`, 0`+from+`
			WHERE merge_request.forge = CAST(?1 AS TEXT) AND merge_request.project = CAST(?2 AS INTEGER)
				AND merge_request.number = CAST(?3 AS INTEGER)`,
			by.Ref.Forge, by.Ref.Project, by.Ref.Number)
	case by.Message != "" && by == (gate.By{Message: by.Message}):
		found, err = s.rows(ctx, `SELECT `+list+next+`, request.id`+from+`
			JOIN request ON request.merge_request = merge_request.id
			JOIN message ON message.request = request.id
			WHERE message.key = CAST(?1 AS TEXT)`, by.Message)
	case by.Request != 0 && by == (gate.By{Request: by.Request}):
		found, err = s.rows(ctx, `SELECT `+list+next+`, request.id`+from+`
			JOIN request ON request.merge_request = merge_request.id
			WHERE request.id = CAST(?1 AS INTEGER)`, by.Request)
	case by.Lease != nil && by == (gate.By{Lease: by.Lease}):
		found, err = s.rows(ctx, `SELECT `+list+next+`, 0`+from+` WHERE merge_request.id = CAST(?1 AS INTEGER)`, by.Lease.Row)
	default:
		return 0, errors.New("a merge request is named by exactly one of ref, message, request and lease")
	}
	if err != nil {
		return 0, fmt.Errorf("find merge request: %w", err)
	}
	if len(found) == 0 {
		return 0, gate.ErrNoRow
	}
	row := found[0]
	end := len(row) - 2
	landing := end - len(s.tables.landing.columns) - 1
	split := landing - len(s.tables.seen.columns)
	a.stored, a.row = true, row[:split]
	if seen := row[split:landing]; seen[0] != nil {
		a.seen = seen
	}
	if err := s.restore(mergeRequestFields(a.MergeRequest), a.row); err != nil {
		return 0, fmt.Errorf("read merge request %v: %w", a.row[0], err)
	}
	if a.seen != nil {
		if err := s.restore(seenFields(a.MergeRequest), a.seen); err != nil {
			return 0, fmt.Errorf("read merge request %s: %w", a.Ref, err)
		}
	}
	if err := s.addLanding(a, row[landing:end-1], row[end-1]); err != nil {
		return 0, fmt.Errorf("read merge request %s: %w", a.Ref, err)
	}
	err = s.restore([]field{
		{"next request", number[int64]{&a.next}},
		{"named request", number[int64]{&named}},
	}, row[end:])
	a.NextRequest = a.next
	return named, err
}

// addLanding takes in the row of a landing and the hash of its entry, if there is one.
func (s *session) addLanding(a *aggregate, row []any, hash any) error {
	if row[0] == nil {
		return nil
	}
	a.landing, a.Landing = row, new(gate.Landing)
	var mergeRequest, entry int64
	if err := s.restore(landingFields(&mergeRequest, a.Landing, &entry), row); err != nil {
		return fmt.Errorf("landing: %w", err)
	}
	var err error
	a.Landing.Entry, err = entryOf(entry, hash)
	return err
}

// entryOf is an entry of the log as it is read back with what refers to it; nil:
// number is 0.
func entryOf(number int64, hash any) (*gate.Entry, error) {
	if number == 0 {
		return nil, nil
	}
	h, err := as[string](hash)
	if err != nil {
		return nil, fmt.Errorf("hash of log entry %d: %w", number, err)
	}
	return &gate.Entry{Number: number, Hash: h}, nil
}

// create gives a new merge request. It has a number already, for its entries in
// the log; its row is written when there is something to write.
func (tx *transaction) create(ctx context.Context, ref gate.Ref) (*aggregate, error) {
	a := &aggregate{MergeRequest: &gate.MergeRequest{Ref: ref, Now: tx.now}}
	if err := tx.get(ctx, `
		SELECT (SELECT COALESCE(MAX(id), 0) + 1 FROM merge_request), (SELECT COALESCE(MAX(id), 0) + 1 FROM request)`,
		nil, &a.ID, &a.next); err != nil {
		return nil, fmt.Errorf("number merge request: %w", err)
	}
	a.NextRequest = a.next
	var err error
	a.row, err = store(mergeRequestFields(a.MergeRequest))
	return a, err
}

// loadRequests reads the latest request, those before it that are not settled,
// and the one that was named, itself or by a message, however old that is. Each of these is
// found by an index of its own, since a merge request may have hundreds.
func (s *session) loadRequests(ctx context.Context, a *aggregate, named int64) error {
	from := `SELECT ` + s.tables.request.list + ` FROM request`
	latest, err := s.rows(ctx, from+` WHERE merge_request = CAST(?1 AS INTEGER) ORDER BY seq DESC LIMIT 1`, a.ID)
	if err != nil || len(latest) == 0 {
		return err
	}
	if err := s.addRequest(a, latest[0]); err != nil {
		return err
	}
	unsettled, err := s.rows(ctx, from+` WHERE merge_request = CAST(?1 AS INTEGER) AND settled = 0 AND seq < ?2`, a.ID, a.Current().Seq)
	if err != nil {
		return err
	}
	for _, row := range unsettled {
		if err := s.addRequest(a, row); err != nil {
			return err
		}
	}
	if named != 0 && a.requests[named] == nil {
		old, err := s.rows(ctx, from+` WHERE id = ?1`, named)
		if err != nil {
			return err
		}
		if err := s.addRequest(a, old[0]); err != nil {
			return err
		}
	}
	slices.SortFunc(a.Requests, func(a, b *gate.Request) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, r := range a.Requests {
		if err := s.loadDecisions(ctx, a, r); err != nil {
			return fmt.Errorf("decisions on request %d: %w", r.ID, err)
		}
		if err := s.loadMessages(ctx, a, r); err != nil {
			return fmt.Errorf("messages of request %d: %w", r.ID, err)
		}
	}
	return nil
}

func (s *session) addRequest(a *aggregate, row []any) error {
	r, mergeRequest := new(gate.Request), int64(0)
	if err := s.restore(requestFields(&mergeRequest, r), row); err != nil {
		return fmt.Errorf("request %v: %w", row[0], err)
	}
	a.requests[r.ID] = row
	a.Requests = append(a.Requests, r)
	return nil
}

func (s *session) loadDecisions(ctx context.Context, a *aggregate, r *gate.Request) error {
	found, err := s.rows(ctx, `
		SELECT `+s.tables.decision.list+`, (SELECT hash FROM log WHERE number = entry)
		FROM decision WHERE request = CAST(?1 AS INTEGER) ORDER BY id`, r.ID)
	if err != nil {
		return err
	}
	for _, row := range found {
		var (
			d              = new(gate.Decision)
			request, entry int64
			last           = len(row) - 1
		)
		if err := s.restore(decisionFields(&request, d, &entry), row[:last]); err != nil {
			return err
		}
		if d.Entry, err = entryOf(entry, row[last]); err != nil {
			return err
		}
		a.decisions[decisionKey{r.ID, d.Person}] = row[:last]
		r.Decisions = append(r.Decisions, d)
	}
	return nil
}

func (s *session) loadMessages(ctx context.Context, a *aggregate, r *gate.Request) error {
	// By rowid is in the order in which they were made.
	found, err := s.rows(ctx, `SELECT `+s.tables.message.list+` FROM message WHERE request = CAST(?1 AS INTEGER) ORDER BY rowid`, r.ID)
	if err != nil {
		return err
	}
	for _, row := range found {
		m := new(gate.Message)
		if err := s.restore(messageFields(r, m), row); err != nil {
			return err
		}
		a.messages[m.Key] = row
		r.Messages = append(r.Messages, m)
	}
	return nil
}

func (s *session) loadClaims(ctx context.Context, a *aggregate) error {
	found, err := s.rows(ctx, `SELECT `+s.tables.claim.list+` FROM claim WHERE merge_request = CAST(?1 AS INTEGER) ORDER BY id`, a.ID)
	if err != nil {
		return err
	}
	for _, row := range found {
		c, mergeRequest := new(gate.Claim), int64(0)
		if err := s.restore(claimFields(&mergeRequest, c), row); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		a.Claims = append(a.Claims, c)
	}
	a.claims = found
	return nil
}
