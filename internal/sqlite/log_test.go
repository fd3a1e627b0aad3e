package sqlite

import (
	"testing"

	"mrgate/internal/gate"
)

// headOf is what meta says is the last entry, and what the log says.
func headOf(t *testing.T, s *Store) (head, last string) {
	t.Helper()
	ctx := t.Context()
	if err := s.writer.session.get(ctx, `SELECT value FROM meta WHERE key = 'log_head'`, nil, &head); err != nil {
		t.Fatal(err)
	}
	if err := s.writer.session.get(ctx, `SELECT number || ':' || hash FROM log ORDER BY number DESC LIMIT 1`, nil, &last); err != nil {
		t.Fatal(err)
	}
	return head, last
}

func TestHeadOfTheLogIsKept(t *testing.T) {
	s := openStore(t, newPath(t))
	for i, f := range []func(mr *gate.MergeRequest) error{opened("one"), decided, opened("two")} {
		change(t, s, byRef(1), f)
		if head, last := headOf(t, s); head != last {
			t.Errorf("after change %d the head is %s, the last entry %s", i+1, head, last)
		}
	}
	// A change that fails gives its entries back.
	err := s.Change(t.Context(), byRef(1), func(mr *gate.MergeRequest) error {
		mr.Entries = append(mr.Entries, &gate.Entry{Kind: gate.EntryState, Data: []byte("{}")})
		mr.Ref.Number++
		return nil
	})
	if err == nil {
		t.Error("the change did not fail")
	}
	change(t, s, byRef(2), opened("three"))
	if head, last := headOf(t, s); head != last {
		t.Errorf("the head is %s, the last entry %s", head, last)
	}
}

// TestCutOffEndStaysMissing shows that what is written later does not hide that
// the end of the log was cut off.
func TestCutOffEndStaysMissing(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), opened("one"))
	change(t, s, byRef(1), decided)
	for _, query := range []string{`DROP TRIGGER log_no_delete`, `DELETE FROM log WHERE number = 2`} {
		if err := raw(t, s, query); err != nil {
			t.Fatal(err)
		}
	}
	change(t, s, byRef(2), opened("two"))
	var numbers []int64
	for e, err := range s.Log(t.Context(), gate.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, e.Number)
	}
	if len(numbers) != 2 || numbers[0] != 1 || numbers[1] != 3 {
		t.Errorf("entries %v, want 1 and 3", numbers)
	}
}
