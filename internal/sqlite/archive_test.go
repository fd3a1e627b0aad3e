package sqlite

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
)

func TestArchive(t *testing.T) {
	gatetest.Archive(t, func(t *testing.T) gatetest.ArchiveStore {
		t.Helper()
		return openStore(t, newPath(t))
	})
}

// TestArchiveWhileAnotherWrites reads what a listener is writing, as `mrgate
// list` does: nothing is locked, and nothing half written is seen.
func TestArchiveWhileAnotherWrites(t *testing.T) {
	path := newPath(t)
	listener := openStore(t, path)
	change(t, listener, byRef(0), opened("0"))
	var all sync.WaitGroup
	all.Go(func() {
		for i := range int64(200) {
			change(t, listener, byRef(i+1), opened(fmt.Sprint("key ", i)))
		}
	})
	for range 5 {
		s, err := Open(t.Context(), path, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context(), gate.Filter{States: []gate.State{gate.Pending}})
		if err != nil || len(list) == 0 {
			t.Errorf("%d requests, %v", len(list), err)
		}
		n := int64(0)
		for e, err := range s.Log(t.Context(), gate.LogFilter{}) {
			if n++; err != nil || e.Number != n {
				t.Fatalf("entry %d is %+v, %v", n, e, err)
			}
		}
		if n < int64(len(list)) {
			t.Errorf("%d entries about %d requests", n, len(list))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

// TestArchivePlans asks SQLite how it finds what an archive is asked for: from an
// index, and a list by state in its order, so that a limit ends it.
func TestArchivePlans(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), opened("key"))
	change(t, s, byRef(1), func(mr *gate.MergeRequest) error { mr.Landing = &gate.Landing{At: mr.Now}; return nil })
	ctx := t.Context()
	for _, c := range []struct {
		f    gate.Filter
		sort bool // the rows are few, and sorted
	}{
		{f: gate.Filter{Limit: 5}},
		{f: gate.Filter{Limit: 5, Since: time.Hour, Older: time.Minute}},
		{f: gate.Filter{Limit: 5, Before: 7}},
		{f: gate.Filter{Limit: 5, States: []gate.State{gate.Expired}}},
		{f: gate.Filter{Limit: 5, Before: 7, States: []gate.State{gate.Expired, gate.MergedHere}}},
		{f: gate.Filter{Limit: 5, Before: 7, States: []gate.State{gate.Pending}}, sort: true},
		{f: gate.Filter{Limit: 5, States: []gate.State{gate.Expired, gate.MergedHere}, Since: time.Hour, Older: time.Minute}},
		{f: gate.Filter{Limit: 5, States: []gate.State{gate.Pending, gate.MergedHere}}, sort: true},
		{f: gate.Filter{Limit: 5, Project: "payments/api"}, sort: true},
		{f: gate.Filter{Limit: 5, Project: "payments/*", States: []gate.State{gate.BlockedNow, gate.MergedHere}, Since: time.Hour}, sort: true},
		{f: gate.Filter{Limit: 5, Project: "1", Approver: "alice", States: []gate.State{gate.Pending}}, sort: true},
	} {
		for query, plan := range plans(t, s, func() error { _, err := s.List(ctx, c.f); return err }) {
			for _, step := range plan {
				few := c.sort || strings.Contains(query, "FROM decision")
				open := step == "SCAN request USING INDEX request_open"              // it holds nothing else
				first := step == "SCAN request" && !strings.Contains(query, "WHERE") // from the newest on
				if strings.Contains(step, "SCAN request") && !first && !open || strings.Contains(step, "SCAN merge_request") ||
					strings.Contains(step, "TEMP B-TREE") && !few {
					t.Errorf("list %+v: %q\nin %s", c.f, plan, query)
				}
			}
		}
	}
	counted := plans(t, s, func() error { _, err := s.Counts(ctx); return err })
	for query, plan := range counted {
		for _, step := range plan {
			switch step {
			case "SCAN landing USING COVERING INDEX landing_around", // these hold nothing else
				"SCAN request USING INDEX request_open", "SCAN request USING COVERING INDEX request_ended":
			case "USE TEMP B-TREE FOR GROUP BY": // of the open ones
			default:
				if strings.HasPrefix(step, "SCAN") || !strings.Contains(step, "USING COVERING INDEX merge_request_due") {
					t.Errorf("%q\nin %s", plan, query)
				}
			}
		}
	}
	if len(counted) != 5 {
		t.Errorf("%d statements count, want 5", len(counted))
	}
	check := func(what any, do func() error) {
		for query, plan := range plans(t, s, do) {
			for _, step := range plan {
				if strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" || strings.Contains(step, "TEMP B-TREE") && strings.Contains(query, "FROM log") {
					t.Errorf("%+v: %q\nin %s", what, plan, query)
				}
			}
		}
	}
	behind := gate.LandingPlace{At: time.Now(), Row: 7}
	for _, f := range []gate.LandingFilter{{Limit: 5}, {Limit: 5, Around: true}, {Limit: 5, Around: true, Before: behind}, {Limit: 5, Before: behind}, {Since: time.Hour, Older: time.Minute}, {Project: "payments/api"}, {Project: "payments/*", Since: time.Hour}, {Project: "7"}} {
		for query, plan := range plans(t, s, func() error {
			for _, err := range s.Landings(ctx, f) {
				if err != nil {
					return err
				}
			}
			return nil
		}) {
			for _, step := range plan {
				inOrder := (strings.HasPrefix(step, "SCAN landing USING COVERING INDEX landing_at") || step == "SCAN landing USING COVERING INDEX landing_around") && f.Since == 0 && f.Project == ""
				if strings.HasPrefix(step, "SCAN") && !inOrder || strings.Contains(step, "TEMP B-TREE") && f.Project == "" && !strings.Contains(query, "FROM decision") {
					t.Errorf("landings %+v: %q\nin %s", f, plan, query)
				}
			}
		}
	}
	for _, w := range []gate.Sought{{Ref: byRef(1).Ref}, {Path: "payments/api", Number: 1}, {Commit: "0123456789"}} {
		check(w, func() error { _, err := s.Find(ctx, w); return err })
	}
	for _, f := range []gate.LogFilter{{Limit: 5}, {Since: time.Hour}, {Request: 1}} {
		check(f, func() error {
			for _, err := range s.Log(ctx, f) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// plans gives the plan of each SELECT that do makes on the store's readers.
func plans(t *testing.T, s *Store, do func() error) map[string][]string {
	t.Helper()
	for range readers {
		r := <-s.readers
		for query, statement := range r.prepared {
			// Left to the garbage collector, it would be freed while the connection,
			// which has no lock of its own, is at work.
			if err := statement.Close(); err != nil {
				t.Error(err)
			}
			delete(r.prepared, query)
		}
		if err := r.forget(); err != nil {
			t.Error(err)
		}
		s.readers <- r
	}
	if err := do(); err != nil {
		t.Error(err)
	}
	found := make(map[string][]string)
	for range readers {
		r := <-s.readers
		for _, query := range queriesOf(r) {
			if !strings.HasPrefix(strings.TrimSpace(query), "SELECT") {
				continue
			}
			marks := 0
			for i := range 20 {
				if strings.Contains(query, fmt.Sprintf("?%d", i+1)) {
					marks = i + 1
				}
			}
			steps, err := s.writer.session.rows(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, marks)...)
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
			for _, step := range steps {
				found[query] = append(found[query], step[3].(string))
			}
		}
		s.readers <- r
	}
	return found
}
