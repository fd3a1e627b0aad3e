package gatetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mrgate/internal/gate"
)

// full sets every field of mr, of two requests, and of what belongs to them, so
// that a field which a store forgets is missed. What has to be true of them for
// any store is set right afterwards.
func full(t *testing.T, mr *gate.MergeRequest) {
	t.Helper()
	kept := *mr
	fill := filler{t: t}
	fill.set(reflect.ValueOf(mr).Elem(), "merge request")
	mr.ID, mr.Ref, mr.Now, mr.NextRequest, mr.Entries = kept.ID, kept.Ref, kept.Now, kept.NextRequest, nil

	old, cur := mr.Requests[0], new(gate.Request)
	fill.set(reflect.ValueOf(cur).Elem(), "request")
	mr.Requests = append(mr.Requests, cur)
	for i, r := range mr.Requests {
		r.ID, r.Seq, r.Settled = mr.NextRequest, i+1, false
		mr.NextRequest++
		r.Decisions[0].Entry = enter(mr, "decided")
		r.Decisions[0].Entry.Request = r.ID
	}
	mr.Landing.Entry = enter(mr, "bypassed")
	old.State, cur.State = gate.Rejected, gate.BlockedNow
	old.Settled = false // or it would not come back
}

// filler gives every field a value of its own, and none the zero value.
type filler struct {
	t *testing.T
	n int64
}

func (f *filler) set(v reflect.Value, path string) {
	f.t.Helper()
	f.n++
	if at, ok := reflect.TypeAssert[*time.Time](v.Addr()); ok {
		*at = time.UnixMilli(1_700_000_000_000 + f.n).UTC()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d <&>\" \u2028 审批\x00", path, f.n))
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<40 + f.n)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.set(v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.set(v.Index(0), path)
	case reflect.Uint8: // of an entry's data, which is not looked at
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				f.set(v.Field(i), field.Name)
			}
		}
	default:
		f.t.Fatalf("%s: the suite knows no values of %s yet", path, v.Type())
	}
}

// same compares what was read with what was written.
func same(t *testing.T, what string, got, want *gate.MergeRequest) {
	t.Helper()
	diff := gocmp.Diff(want, got, exported(),
		cmpopts.IgnoreFields(gate.MergeRequest{}, "Now", "Entries"), // not stored, or not read back
		gocmp.Comparer(func(a, b gate.Entry) bool { return a.Number == b.Number && a.Hash == b.Hash }))
	if diff != "" {
		t.Errorf("%s: what was read is not what was written (-written +read):\n%s", what, diff)
	}
}

func testRoundTrip(s *tried) {
	t := s.t
	want := s.change(byRef(1), func(mr *gate.MergeRequest) { full(t, mr) })
	by := byLease(want, want.Lease, time.Until(want.DueAt))
	same(t, "by ref", s.peek(byRef(1)), want)
	same(t, "by message", s.peek(byMessage(want.Current().Messages[0].Key)), want)
	same(t, "by lease", s.peek(by), want)
	same(t, "in a change", s.change(byRef(1), func(*gate.MergeRequest) {}), want)
	same(t, "after a change of nothing", s.peek(byRef(1)), want)
	if want.Entries[0].At != want.Now || want.Entries[0].Number != 1 {
		t.Errorf("the first entry has number %d and time %s", want.Entries[0].Number, want.Entries[0].At)
	}

	// The opposite: everything empty.
	empty := s.change(byRef(2), func(mr *gate.MergeRequest) {
		r := ask(mr)
		r.Decisions = []*gate.Decision{{Person: "ou_alice"}}
		message(mr, "bare")
		mr.Claims = []*gate.Claim{{}}
	})
	same(t, "empty", s.peek(byRef(2)), empty)
}

// testEveryField empties one field after the other: a store that writes only
// what has changed has to find every change.
func testEveryField(s *tried) {
	t := s.t
	s.change(byRef(1), func(mr *gate.MergeRequest) { full(t, mr) })
	for _, part := range []struct {
		of   func(mr *gate.MergeRequest) any
		keep []string // what names the row, and what has checks of its own
	}{
		{func(mr *gate.MergeRequest) any { return mr }, []string{"ID", "Ref", "Now", "NextRequest", "Landing", "Requests", "Claims", "Entries"}},
		{func(mr *gate.MergeRequest) any { return mr.Landing }, nil},
		{func(mr *gate.MergeRequest) any { return mr.Current() }, []string{"ID", "Seq", "Decisions", "Messages"}},
		{func(mr *gate.MergeRequest) any { return mr.Current().Decisions[0] }, []string{"Person"}},
		{func(mr *gate.MergeRequest) any { return mr.Current().Messages[0] }, []string{"Key"}},
		{func(mr *gate.MergeRequest) any { return mr.Claims[0] }, nil},
	} {
		typ := reflect.TypeOf(part.of(s.peek(byRef(1)))).Elem()
	fields:
		for i := range typ.NumField() {
			for _, name := range part.keep {
				if typ.Field(i).Name == name {
					continue fields
				}
			}
			if !typ.Field(i).IsExported() {
				continue
			}
			want := s.change(byRef(1), func(mr *gate.MergeRequest) {
				reflect.ValueOf(part.of(mr)).Elem().Field(i).SetZero()
			})
			same(t, typ.Name()+"."+typ.Field(i).Name+" emptied", s.peek(byRef(1)), want)
		}
	}
}
