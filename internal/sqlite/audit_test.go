package sqlite

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"mrgate/internal/gate"
)

// TestAuditWhileAnotherWrites verifies what a listener is writing: it sees one
// moment, and no flaw.
func TestAuditWhileAnotherWrites(t *testing.T) {
	path := newPath(t)
	listener := openStore(t, path)
	enter := func(mr *gate.MergeRequest, kind gate.EntryKind, data string) *gate.Entry {
		e := &gate.Entry{Kind: kind, Request: mr.Current().ID, Data: []byte(data)}
		mr.Entries = append(mr.Entries, e)
		return e
	}
	var all sync.WaitGroup
	written := make(chan struct{}, 1000)
	all.Go(func() {
		defer close(written)
		for i := range int64(150) {
			change(t, listener, byRef(i+1), func(mr *gate.MergeRequest) error {
				mr.Requests = []*gate.Request{{ID: mr.NextRequest, Seq: 1, Head: "c0ffee", Target: "main", State: gate.Pending}}
				enter(mr, gate.EntryOpened, `{"head":"c0ffee","target":"main"}`)
				return nil
			})
			change(t, listener, byRef(i+1), func(mr *gate.MergeRequest) error {
				r := mr.Current()
				r.State = gate.Approved
				e := enter(mr, gate.EntryDecided, fmt.Sprintf(`{"person":"ou_alice","verdict":"approve","at":%q}`, mr.Now.Format("2006-01-02T15:04:05.000Z")))
				r.Decisions = []*gate.Decision{{Person: "ou_alice", Verdict: gate.Approve, At: mr.Now, Entry: e}}
				enter(mr, gate.EntryState, `{"from":"pending","to":"approved"}`)
				return nil
			})
			written <- struct{}{}
		}
	})
	seen := int64(0)
	for range written {
		if seen++; seen%10 != 0 {
			continue
		}
		s, err := Open(t.Context(), path, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		v := gate.NewVerification()
		if err := s.Audit(t.Context(), v); err != nil || v.Err() != nil || v.Entries < 3*seen {
			t.Errorf("%d entries after %d: %v, %v", v.Entries, seen, err, v.Err())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

// TestAuditPlans asks SQLite how it reads a whole log: in the order of what is
// there, so that nothing that grows with it is sorted.
func TestAuditPlans(t *testing.T) {
	s := openStore(t, newPath(t))
	if err := s.Audit(t.Context(), gate.NewVerification()); err != nil {
		t.Fatal(err)
	}
	queries := 0
	for range readers {
		r := <-s.readers
		defer func() { s.readers <- r }()
		for _, query := range queriesOf(r) {
			if !strings.HasPrefix(strings.TrimSpace(query), "SELECT") {
				continue
			}
			queries++
			plan, err := s.writer.session.rows(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
			for _, step := range plan {
				if strings.Contains(step[3].(string), "USE TEMP B-TREE FOR ORDER BY") {
					t.Errorf("%s\nin %s", step[3], query)
				}
			}
		}
	}
	if queries < 5 {
		t.Errorf("only %d statements were seen", queries)
	}
}
