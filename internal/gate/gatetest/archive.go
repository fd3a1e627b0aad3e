package gatetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// ArchiveStore is a store that can also be asked what is in it.
type ArchiveStore interface {
	gate.Store
	gate.Archive
}

// Archive checks that what open gives, an empty store each time, is a
// gate.Archive of what was written to it. Each check runs in a bubble of
// testing/synctest; the store's clock is the bubble's.
func Archive(t *testing.T, open func(t *testing.T) ArchiveStore) {
	t.Helper()
	for _, check := range []struct {
		name string
		f    func(a *archived)
	}{
		{"an empty archive has nothing", testArchiveEmpty},
		{"a list has what a request is", testListed},
		{"a list begins with the newest", testListOrder},
		{"a list by state", testListState},
		{"a list by project", testListProject},
		{"a list by approver", testListApprover},
		{"a list by age", testListAge},
		{"filters add up", testListAll},
		{"who is awaited", testAwaited},
		{"a merge request is found", testFindMergeRequest},
		{"a commit is found", testFindCommit},
		{"what names nothing is refused", testFindNothing},
		{"a story has the request last, and whole", testStory},
		{"a merge has what it was", testLanded},
		{"merges begin with the newest", testLandings},
		{"requests are counted by state, and what is due", testCounts},
		{"the log is given in order", testLogAll},
		{"the log of a request", testLogRequest},
		{"another policy is in the log", testLogPolicy},
		{"an audit is told all", testAudit},
	} {
		t.Run(check.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				check.f(&archived{try(t, s), s})
			})
		})
	}
}

type archived struct {
	*tried
	gate.Archive
}

// request opens a request of merge request number in the project payments/api,
// changes it, and ends the one before.
func (a *archived) request(number int64, change func(mr *gate.MergeRequest, r *gate.Request)) int64 {
	a.t.Helper()
	return a.change(byRef(number), func(mr *gate.MergeRequest) {
		if cur := mr.Current(); cur != nil && cur.State.Open() {
			cur.State, cur.Cause, cur.Settled = gate.Superseded, gate.CausePush, true
		}
		mr.Snapshot = &gate.Snapshot{
			Path: "payments/api", URL: fmt.Sprintf("https://gitlab.example.com/payments/api/-/merge_requests/%d", number),
			Title: "Add retries", Source: "retries", State: gate.ForgeOpen, Author: gate.User{ID: 11, Username: "bob", Name: "Bob"},
		}
		r := ask(mr)
		r.OpenedAt, r.Rule = mr.Now, policy.Rule{Name: "production", Required: 1}
		r.Panel.Approvers = []gate.Member{approver("alice"), approver("carol")}
		enter(mr, "opened").Request = r.ID
		if change != nil {
			change(mr, r)
		}
		mr.Snapshot.Head, mr.Snapshot.Target = r.Head, r.Target
	}).Current().ID
}

// approver is one whom the directory knows: ou_alice, Alice.
func approver(name string) gate.Member {
	return gate.Member{
		Identity: policy.Identity{Kind: policy.KindEmail, Value: name + "@example.com"},
		Person:   gate.Person{ID: "ou_" + name, Name: strings.ToUpper(name[:1]) + name[1:]},
	}
}

func (a *archived) list(f gate.Filter) []gate.Listed {
	a.t.Helper()
	list, err := a.List(a.t.Context(), f)
	if err != nil {
		a.t.Fatalf("list %+v: %v", f, err)
	}
	return list
}

// numbers compares the numbers of the requests that a filter lets through.
func (a *archived) numbers(what string, f gate.Filter, want ...int64) {
	a.t.Helper()
	var got []int64
	for _, l := range a.list(f) {
		got = append(got, l.Number)
	}
	equal(a.t, what, got, want)
}

func (a *archived) finds(what string, s gate.Sought, want ...int64) {
	a.t.Helper()
	got, err := a.Find(a.t.Context(), s)
	if err != nil {
		a.t.Fatalf("find %s: %v", what, err)
	}
	equal(a.t, what, append([]int64(nil), got...), want)
}

func (a *archived) log(f gate.LogFilter) []gate.Entry {
	a.t.Helper()
	var all []gate.Entry
	for e, err := range a.Log(a.t.Context(), f) {
		if err != nil {
			a.t.Fatalf("log %+v: %v", f, err)
		}
		all = append(all, e)
	}
	return all
}

// entries compares the numbers of the entries that a filter lets through.
func (a *archived) entries(what string, f gate.LogFilter, want ...int64) {
	a.t.Helper()
	var got []int64
	for _, e := range a.log(f) {
		got = append(got, e.Number)
	}
	equal(a.t, what, got, want)
}

func testArchiveEmpty(a *archived) {
	a.numbers("everything", gate.Filter{})
	a.numbers("the last hour", gate.Filter{Since: time.Hour, Older: time.Minute})
	a.entries("the log", gate.LogFilter{})
	a.entries("the log of the last hour", gate.LogFilter{Since: time.Hour})
	a.entries("the log of no request", gate.LogFilter{Request: 7})
	a.finds("a merge request", gate.Sought{Path: "payments/api", Number: 1})
	a.merges("all", gate.LandingFilter{})
	a.counts("of nothing", gate.Counts{})
	if _, err := a.Story(a.t.Context(), 1); !errors.Is(err, gate.ErrNoRow) {
		a.t.Errorf("story: error is %v, should be %v", err, gate.ErrNoRow)
	}
}

func testListed(a *archived) {
	var opened time.Time
	a.request(7, func(mr *gate.MergeRequest, r *gate.Request) {
		opened = mr.Now
		mr.Error = "GitLab does not answer"
		r.Head, r.Target, r.State, r.Rule.Required = "c0ffee", "main", gate.BlockedNow, 2
		r.Blocked = gate.Mergeability{Class: gate.MergeBlocked, Reason: "conflict"}
		r.DecidedAt = mr.Now
		r.Panel.Approvers = append(r.Panel.Approvers, gate.Member{Identity: policy.Identity{Kind: policy.KindEmail, Value: "dave@example.com"}})
		e := enter(mr, "decided")
		e.Request = r.ID
		r.Decisions = []*gate.Decision{
			{Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Via: "card", At: mr.Now, Entry: e},
			{Person: "ou_erin", Name: "Erin", Verdict: gate.Approve, Via: "card", At: mr.Now, Void: true},
		}
	})
	want := gate.Listed{
		Number: 1, Ref: *byRef(7).Ref, Path: "payments/api", URL: "https://gitlab.example.com/payments/api/-/merge_requests/7",
		Title: "Add retries", Author: gate.User{ID: 11, Username: "bob", Name: "Bob"}, Head: "c0ffee", Source: "retries", Target: "main",
		State: gate.BlockedNow, Blocked: "conflict", Error: "GitLab does not answer", Rule: "production", Required: 2, Approvals: 1,
		OpenedAt: opened, DecidedAt: opened,
	}
	got := a.list(gate.Filter{})
	if len(got) != 1 {
		a.t.Fatalf("%d requests, want 1", len(got))
	}
	decided := got[0].Decided
	got[0].Decided = nil
	equal(a.t, "the request", got[0], want)
	if len(decided) != 2 || decided[0].Entry == nil || decided[0].Entry.Number != 2 || decided[0].Entry.Hash == "" || !decided[1].Void {
		a.t.Errorf("decisions: %+v", decided)
	}

	a.change(byRef(7), func(mr *gate.MergeRequest) {
		r := mr.Current()
		r.State, r.Settled, r.EndedAt = gate.MergedHere, true, mr.Now
		mr.Snapshot.State, mr.Snapshot.MergeCommit = gate.ForgeMerged, "beefcafe01"
	})
	if got := a.list(gate.Filter{})[0]; got.MergedAs != "beefcafe01" || got.Blocked != "" || got.Error != "" || got.EndedAt.IsZero() {
		a.t.Errorf("merged: %+v", got)
	}
}

func testListOrder(a *archived) {
	for n := range int64(5) {
		a.request(n+1, nil)
	}
	a.request(2, nil)
	a.numbers("all", gate.Filter{}, 6, 5, 4, 3, 2, 1)
	a.numbers("three", gate.Filter{Limit: 3}, 6, 5, 4)
	a.numbers("more than there are", gate.Filter{Limit: 30}, 6, 5, 4, 3, 2, 1)
	a.numbers("those behind", gate.Filter{Before: 4}, 3, 2, 1)
	a.numbers("two of those behind", gate.Filter{Before: 4, Limit: 2, Project: "payments/api"}, 3, 2)
	a.numbers("open ones behind", gate.Filter{Before: 6, Limit: 2, States: []gate.State{gate.Pending}}, 5, 4)
	a.numbers("nothing behind", gate.Filter{Before: 1})
}

func testListState(a *archived) {
	for n, state := range []gate.State{gate.Pending, gate.MergedHere, gate.Approved, gate.Expired, gate.Pending, gate.MergedHere} {
		a.request(int64(n+1), func(_ *gate.MergeRequest, r *gate.Request) { r.State = state })
	}
	in := func(states ...gate.State) gate.Filter { return gate.Filter{States: states} }
	a.numbers("pending", in(gate.Pending), 5, 1)
	a.numbers("merged", in(gate.MergedHere), 6, 2)
	a.numbers("open and ended", in(gate.Expired, gate.Pending, gate.MergedHere), 6, 5, 4, 2, 1)
	a.numbers("twice the same", in(gate.Expired, gate.Expired), 4)
	a.numbers("two of them", gate.Filter{States: []gate.State{gate.Pending, gate.MergedHere}, Limit: 2}, 6, 5)
	a.numbers("none", in(gate.Rejected))
	a.numbers("no state", in("' OR 1=1 --"))
}

func testListProject(a *archived) {
	for n, path := range []string{"payments/api", "payments/web", "payments-old/api", "payments/core/ledger", "pay%ents/api", "Payments/API"} {
		a.request(int64(n+1), func(mr *gate.MergeRequest, _ *gate.Request) { mr.Snapshot.Path = path })
	}
	a.change(gate.By{Ref: &gate.Ref{Forge: "gitlab", Project: 5, Number: 1}}, func(mr *gate.MergeRequest) {
		ask(mr)
		mr.Snapshot = &gate.Snapshot{Path: "other/thing"}
	})
	in := func(project string) gate.Filter { return gate.Filter{Project: project} }
	a.numbers("by path", in("payments/web"), 2)
	a.numbers("in another case", in("PAYMENTS/api"), 6, 1)
	a.numbers("a group", in("payments/*"), 6, 4, 2, 1)
	a.numbers("a group in another case", in("PayMents/*"), 6, 4, 2, 1)
	a.numbers("a group below", in("payments/core/*"), 4)
	a.numbers("what LIKE would take for a sign", in("pay%ents/api"), 5)
	a.numbers("a sign of LIKE", in("payments/___"))
	a.numbers("a part", in("payments"))
	a.numbers("by ID", in("5"), 7)
	a.numbers("by the others' ID", in("47778247"), 6, 5, 4, 3, 2, 1)
	a.numbers("by another ID", in("6"))
	a.numbers("the newest of a group", gate.Filter{Project: "payments/*", Limit: 2}, 6, 4)
}

func testListApprover(a *archived) {
	a.request(1, nil)
	a.request(2, func(mr *gate.MergeRequest, r *gate.Request) {
		r.Panel.Approvers = []gate.Member{{Identity: policy.Identity{Kind: policy.KindMobile, Value: "+8613800138000"}, Person: gate.Person{ID: "ou_li", Name: "李雷 Ärger"}}}
		r.Decisions = []*gate.Decision{{Person: "operator:root@build", Name: "root@build", Verdict: gate.Approve, Via: "operator", At: mr.Now}}
	})
	a.request(3, func(mr *gate.MergeRequest, r *gate.Request) {
		r.Decisions = []*gate.Decision{{Person: "ou_erin", Name: "Erin", Verdict: gate.Approve, Via: "card", At: mr.Now, Void: true}}
	})
	for who, want := range map[string][]int64{
		"alice@example.com": {3, 1},
		"Alice@Example.com": {3, 1},
		"alice":             {3, 1},
		"ou_carol":          {3, 1},
		"李雷 ärger":          {2},
		"+86 138-0013-8000": {2},
		"root@build":        {2},
		"ERIN":              {3},
		"ali":               nil,
		"%":                 nil,
	} {
		a.numbers("of "+who, gate.Filter{Approver: who}, want...)
	}
	a.numbers("the newest", gate.Filter{Approver: "alice", Limit: 1}, 3)
}

func testListAge(a *archived) {
	for n := range int64(4) {
		a.request(n+1, nil) // 3h, 2h, 1h and 0h old
		if n < 3 {
			time.Sleep(time.Hour)
		}
	}
	a.numbers("since an hour", gate.Filter{Since: time.Hour}, 4, 3)
	a.numbers("since less", gate.Filter{Since: time.Hour - time.Minute}, 4)
	a.numbers("older", gate.Filter{Older: 90 * time.Minute}, 2, 1)
	a.numbers("older than the oldest", gate.Filter{Older: 3 * time.Hour})
	a.numbers("between", gate.Filter{Since: 150 * time.Minute, Older: 30 * time.Minute}, 3, 2)
	a.numbers("nothing between", gate.Filter{Since: time.Minute, Older: time.Hour})
}

func testListAll(a *archived) {
	a.request(1, func(_ *gate.MergeRequest, r *gate.Request) { r.State = gate.Expired })
	time.Sleep(time.Hour)
	a.request(2, func(_ *gate.MergeRequest, r *gate.Request) { r.State = gate.Expired })
	a.request(3, nil)
	a.request(4, func(mr *gate.MergeRequest, r *gate.Request) {
		mr.Snapshot.Path, r.State = "other/thing", gate.Expired
	})
	f := gate.Filter{States: []gate.State{gate.Expired, gate.Pending}, Project: "payments/api", Approver: "alice", Since: time.Minute, Limit: 5}
	a.numbers("all but the age", f, 3, 2)
	f.Since, f.Older = 0, time.Minute
	a.numbers("the other ones", f, 1)
	f.Approver = "erin"
	a.numbers("of another", f)
}

func testAwaited(a *archived) {
	for name, c := range map[string]struct {
		change func(mr *gate.MergeRequest, r *gate.Request)
		want   []string
	}{
		"nobody decided": {nil, []string{"Alice", "Carol"}},
		"one decided": {func(mr *gate.MergeRequest, r *gate.Request) {
			r.Decisions = []*gate.Decision{{Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Via: "card", At: mr.Now}}
		}, []string{"Carol"}},
		"without a name": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Approvers[1].Name = ""
		}, []string{"Alice", "carol@example.com"}},
		"whom the chat does not know": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Approvers[0].Person = gate.Person{}
		}, []string{"Carol"}},
		"whom nobody has looked up": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Approvers[0].Person, r.Panel.Blind = gate.Person{}, true
		}, []string{"alice@example.com", "Carol"}},
		"one person twice": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Approvers[1].Person = r.Panel.Approvers[0].Person
		}, []string{"Alice"}},
		"the author": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Author = r.Panel.Approvers[0].Person
		}, []string{"Carol"}},
		"a committer": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Committer = []gate.Person{r.Panel.Approvers[1].Person}
		}, []string{"Alice"}},
		"an author who may": {func(_ *gate.MergeRequest, r *gate.Request) {
			r.Panel.Author = r.Panel.Approvers[0].Person
			r.Rule.AllowSelfApproval = true
		}, []string{"Alice", "Carol"}},
		"approved": {func(_ *gate.MergeRequest, r *gate.Request) { r.State = gate.Approved }, nil},
	} {
		a.request(1, c.change)
		equal(a.t, name, a.list(gate.Filter{Limit: 1})[0].Awaited, c.want)
	}
	missing, others := []string{"erin@example.com"}, []gate.Other{{Identity: "alice@example.com", First: "ou_1", Now: "ou_2"}}
	a.request(1, func(_ *gate.MergeRequest, r *gate.Request) { r.Panel.Missing, r.Panel.Others = missing, others })
	equal(a.t, "who is missing", a.list(gate.Filter{Limit: 1})[0].Missing, missing)
	equal(a.t, "who is somebody else", a.list(gate.Filter{Limit: 1})[0].Others, others)
}

func testFindMergeRequest(a *archived) {
	a.request(7, nil)
	a.request(8, nil)
	a.request(7, nil)
	other := gate.Ref{Forge: "gitlab", Project: 5, Number: 7}
	a.change(gate.By{Ref: &other}, func(mr *gate.MergeRequest) {
		ask(mr)
		mr.Snapshot = &gate.Snapshot{Path: "other/thing"}
	})
	a.finds("by ref", gate.Sought{Ref: byRef(7).Ref}, 3, 1)
	a.finds("by another ref", gate.Sought{Ref: &other}, 4)
	a.finds("by path", gate.Sought{Path: "Payments/API", Number: 7}, 3, 1)
	a.finds("by a path that is none", gate.Sought{Path: "payments/%", Number: 7})
	a.finds("by another number", gate.Sought{Path: "payments/api", Number: 9})
}

func testFindCommit(a *archived) {
	const head, merge = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"
	with := func(head gate.CommitID) func(*gate.MergeRequest, *gate.Request) {
		return func(_ *gate.MergeRequest, r *gate.Request) { r.Head = head }
	}
	a.request(1, with(head))
	a.request(2, with("0123456789ffffffffffffffffffffffffffffff"))
	a.request(3, with("99999999999999999999"))
	a.request(3, func(mr *gate.MergeRequest, r *gate.Request) {
		r.Head, r.State = head, gate.MergedHere
		mr.Snapshot.State, mr.Snapshot.MergeCommit = gate.ForgeMerged, merge
	})
	a.finds("a whole head", gate.Sought{Commit: head}, 4, 1)
	a.finds("a beginning", gate.Sought{Commit: "01234567"}, 4, 2, 1)
	a.finds("in capitals", gate.Sought{Commit: "0123456789ABC"}, 4, 1)
	a.finds("a merge commit", gate.Sought{Commit: merge[:8]}, 4)
	a.finds("no commit", gate.Sought{Commit: "0000000000"})
}

func testFindNothing(a *archived) {
	for name, s := range map[string]gate.Sought{
		"nothing":            {},
		"two things":         {Ref: byRef(1).Ref, Commit: "0123456789"},
		"a short commit":     {Commit: "0123456"},
		"no hexadecimal one": {Commit: "01234567%"},
		"a number alone":     {Number: 7},
	} {
		if found, err := a.Find(a.t.Context(), s); err == nil {
			a.t.Errorf("%s: found %v, want an error", name, found)
		}
	}
}

func testStory(a *archived) {
	first := a.request(1, func(mr *gate.MergeRequest, r *gate.Request) {
		message(mr, "first")
		r.Decisions = []*gate.Decision{{Person: "ou_alice", Verdict: gate.Reject, Reason: "no", At: mr.Now}}
	})
	a.request(1, func(mr *gate.MergeRequest, _ *gate.Request) { message(mr, "second") })
	last := a.request(1, func(mr *gate.MergeRequest, _ *gate.Request) { message(mr, "third") })
	for _, id := range []int64{first, last} {
		mr, err := a.Story(a.t.Context(), id)
		if err != nil {
			a.t.Fatal(err)
		}
		if r := mr.Current(); r.ID != id || len(r.Messages) != 1 || mr.Snapshot == nil || mr.Now.IsZero() {
			a.t.Errorf("story of %d: the last request is %+v", id, r)
		}
		if !slices.ContainsFunc(mr.Requests, func(r *gate.Request) bool { return r.ID == last }) {
			a.t.Errorf("story of %d lacks the latest request", id)
		}
	}
	if mr, _ := a.Story(a.t.Context(), first); len(mr.Current().Decisions) != 1 || mr.Current().Decisions[0].Reason != "no" {
		a.t.Errorf("decisions: %+v", mr.Current().Decisions)
	}
	for _, id := range []int64{0, -1, 4} {
		if _, err := a.Story(a.t.Context(), id); !errors.Is(err, gate.ErrNoRow) {
			a.t.Errorf("story of %d: error is %v, should be %v", id, err, gate.ErrNoRow)
		}
	}
}

// landings gives the merges that a filter lets through.
func (a *archived) landings(f gate.LandingFilter) []gate.Landed {
	a.t.Helper()
	var all []gate.Landed
	for l, err := range a.Landings(a.t.Context(), f) {
		if err != nil {
			a.t.Fatalf("landings %+v: %v", f, err)
		}
		all = append(all, l)
	}
	return all
}

// merges compares the numbers of the merge requests that a filter lets through.
func (a *archived) merges(what string, f gate.LandingFilter, want ...int64) {
	a.t.Helper()
	var got []int64
	for _, l := range a.landings(f) {
		got = append(got, l.Ref.Number)
	}
	equal(a.t, what, got, want)
}

// merged has the latest request's merge request merged.
func merged(mr *gate.MergeRequest) {
	s := mr.Snapshot
	s.State, s.MergeCommit, s.MergedBy, s.MergedAt = gate.ForgeMerged, "beefcafe01", gate.User{ID: 12, Username: "erin", Name: "Erin"}, mr.Now
	mr.Landing = &gate.Landing{At: mr.Now, Rule: "production"}
}

func testLanded(a *archived) {
	at := time.Now().UTC()
	approved := func(mr *gate.MergeRequest, r *gate.Request) {
		merged(mr)
		r.Head, r.Target, r.State = "c0ffee", "main", gate.MergedHere
		e := enter(mr, "decided")
		e.Request = r.ID
		r.Decisions = []*gate.Decision{
			{Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Via: "card", At: mr.Now, Entry: e},
			{Person: "ou_erin", Name: "Erin", Verdict: gate.Approve, Via: "card", At: mr.Now, Void: true},
			{Person: "operator:root@build", Name: "root@build", Verdict: gate.Approve, Via: "operator", At: mr.Now},
		}
	}
	a.request(7, nil)
	a.request(7, approved)
	got := a.landings(gate.LandingFilter{})
	if len(got) != 1 {
		a.t.Fatalf("%d merges, want 1", len(got))
	}
	want := gate.Landed{
		Landing: gate.Landing{At: at, Rule: "production"}, Row: got[0].Row, Ref: *byRef(7).Ref,
		Path: "payments/api", URL: "https://gitlab.example.com/payments/api/-/merge_requests/7", Title: "Add retries",
		Author: gate.User{ID: 11, Username: "bob", Name: "Bob"}, Head: "c0ffee", Target: "main", Commit: "beefcafe01",
		By: gate.User{ID: 12, Username: "erin", Name: "Erin"}, Request: 2,
	}
	given := got[0].Approved
	got[0].Approved = nil
	equal(a.t, "the merge", got[0], want)
	if len(given) != 2 || given[0].Name != "Alice" || given[0].Entry == nil || given[0].Entry.Number != 3 || given[0].Entry.Hash == "" || given[1].Via != "operator" {
		a.t.Errorf("approved by %+v", given)
	}

	time.Sleep(time.Hour)
	a.request(8, func(mr *gate.MergeRequest, r *gate.Request) {
		approved(mr, r)
		r.State, r.Cause = gate.Withdrawn, gate.CauseMerged
		mr.Landing.Around, mr.Landing.Entry = gate.BypassCommit, enter(mr, "bypassed")
	})
	time.Sleep(time.Hour)
	a.change(byRef(9), func(mr *gate.MergeRequest) { // nobody was ever asked
		mr.Snapshot = &gate.Snapshot{Path: "payments/api", Title: "Unasked", Head: "c0ffee", Target: "main"}
		merged(mr)
		mr.Landing.Around, mr.Landing.Entry = gate.BypassUnasked, enter(mr, "bypassed")
	})
	got = a.landings(gate.LandingFilter{})
	if len(got) != 3 {
		a.t.Fatalf("%d merges, want 3", len(got))
	}
	for i, want := range []struct {
		around  gate.Bypass
		request int64
	}{{gate.BypassUnasked, 0}, {gate.BypassCommit, 3}} {
		l := got[i]
		if l.Around != want.around || l.Request != want.request || l.Entry == nil || l.Entry.Number == 0 || l.Entry.Hash == "" || len(l.Approved) > 0 {
			a.t.Errorf("around the gate: %+v", l)
		}
	}
	if c, err := a.Counts(a.t.Context()); c.Around != 2 || err != nil {
		a.t.Errorf("%d merges around the gate, %v; want 2", c.Around, err)
	}
}

// counts demands these; of states that none is in, both may say nothing.
func (a *archived) counts(what string, want gate.Counts) {
	a.t.Helper()
	got, err := a.Counts(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	maps.DeleteFunc(got.Requests, func(_ gate.State, n int64) bool { return n == 0 })
	if want.Requests == nil {
		want.Requests = map[gate.State]int64{}
	}
	equal(a.t, "counts "+what, got, want)
}

func testCounts(a *archived) {
	var number int64
	want := gate.Counts{Requests: map[gate.State]int64{}}
	for i, state := range gate.States() {
		for range i + 1 { // of each another number
			number++
			a.request(number, func(mr *gate.MergeRequest, r *gate.Request) {
				r.State, mr.DueAt = state, time.Time{}
			})
			want.Requests[state]++
		}
	}
	a.counts("by state", want)

	for n, due := range map[int64]time.Duration{1: time.Hour, 2: time.Minute, 3: 2 * time.Minute} {
		a.change(byRef(n), func(mr *gate.MergeRequest) { mr.DueAt = mr.Now.Add(due) })
	}
	a.counts("with nothing due yet", want)
	time.Sleep(3 * time.Minute)
	want.Due, want.Overdue = 2, 2*time.Minute
	a.counts("of what is due", want)
	a.change(byRef(4), func(mr *gate.MergeRequest) { mr.DueAt = gate.DueFirst() })
	want.Due++
	a.counts("of what a person waits for, too", want)
	a.claim("token", 10, time.Hour)
	want.Due, want.Overdue = 0, 0
	a.counts("while workers are at it", want)
}

func testLandings(a *archived) {
	for n, path := range []string{"payments/api", "payments/web", "payments-old/api", "Payments/API"} { // 3h, 2h, 1h and 0h old
		a.request(int64(n+1), func(mr *gate.MergeRequest, _ *gate.Request) { mr.Snapshot.Path = path; merged(mr) })
		if n < 3 {
			time.Sleep(time.Hour)
		}
	}
	a.request(5, nil) // not merged
	a.merges("all", gate.LandingFilter{}, 4, 3, 2, 1)
	a.merges("two", gate.LandingFilter{Limit: 2}, 4, 3)
	a.merges("since an hour", gate.LandingFilter{Since: time.Hour}, 4, 3)
	a.merges("older", gate.LandingFilter{Older: 90 * time.Minute}, 2, 1)
	a.merges("between", gate.LandingFilter{Since: 150 * time.Minute, Older: 30 * time.Minute}, 3, 2)
	a.merges("of a project", gate.LandingFilter{Project: "payments/API"}, 4, 1)
	a.merges("of a group", gate.LandingFilter{Project: "payments/*", Limit: 2}, 4, 2)
	a.merges("by ID", gate.LandingFilter{Project: "47778247", Since: time.Hour}, 4, 3)
	a.merges("by another ID", gate.LandingFilter{Project: "5"})
	third := a.landings(gate.LandingFilter{Limit: 2})[1]
	a.merges("those behind", gate.LandingFilter{Before: gate.LandingPlace{At: third.At, Row: third.Row}}, 2, 1)
	a.merges("one behind of a group", gate.LandingFilter{Before: gate.LandingPlace{At: third.At, Row: third.Row}, Project: "payments/*", Limit: 1}, 2)
	a.merges("around", gate.LandingFilter{Around: true})
	a.change(byRef(2), func(mr *gate.MergeRequest) { mr.Landing.Around = gate.BypassUndecided })
	a.merges("one around", gate.LandingFilter{Around: true, Limit: 5}, 2)
	a.merges("none around behind", gate.LandingFilter{Around: true, Before: gate.LandingPlace{At: third.At.Add(-2 * time.Hour)}})
	const many = 450 // more than a page of any size that is likely
	for n := range int64(many) {
		a.request(n+10, func(mr *gate.MergeRequest, _ *gate.Request) { merged(mr) })
	}
	if got := len(a.landings(gate.LandingFilter{})); got != many+4 {
		a.t.Errorf("%d merges, want %d", got, many+4)
	}
	for l, err := range a.Landings(a.t.Context(), gate.LandingFilter{}) {
		if err != nil || l.Ref.Number != many+9 {
			a.t.Errorf("the newest is %+v, %v", l, err)
		}
		break // nobody has to take them all
	}
}

func testLogAll(a *archived) {
	const n = 1203 // more than a page of any size that is likely
	a.change(byRef(1), func(mr *gate.MergeRequest) {
		for range n - 3 {
			enter(mr, "filler")
		}
	})
	time.Sleep(time.Hour)
	a.change(byRef(2), func(mr *gate.MergeRequest) {
		r := ask(mr)
		for i := range 3 {
			e := enter(mr, "late")
			e.Request, e.Kind, e.Data = r.ID, gate.EntryKind(fmt.Sprint("late ", i)), []byte(`{"said":"<&> 审批"}`)
		}
	})
	all := a.log(gate.LogFilter{})
	if len(all) != n {
		a.t.Fatalf("%d entries, want %d", len(all), n)
	}
	before := ""
	for i, e := range all {
		if e.Number != int64(i+1) || e.Hash != e.Chain(before) {
			a.t.Fatalf("entry %d has number %d and hash %s, which is not of its chain", i, e.Number, e.Hash)
		}
		before = e.Hash
	}
	last := all[n-1]
	if string(last.Data) != `{"said":"<&> 审批"}` || last.Kind != "late 2" || last.Request != 1 || last.MergeRequest != 2 || time.Since(last.At) > time.Minute {
		a.t.Errorf("the last entry is %+v", last)
	}
	a.entries("after", gate.LogFilter{After: n - 2}, n-1, n)
	a.entries("the first after", gate.LogFilter{After: 600, Limit: 2}, 601, 602)
	a.entries("since", gate.LogFilter{Since: time.Minute}, n-2, n-1, n)
	a.entries("since and after", gate.LogFilter{Since: time.Minute, After: n - 1}, n)
	if got := len(a.log(gate.LogFilter{Limit: 700})); got != 700 {
		a.t.Errorf("%d entries, want 700", got)
	}
	for e, err := range a.Log(a.t.Context(), gate.LogFilter{}) {
		if err != nil || e.Number == 2 {
			break // nobody has to take them all
		}
	}
}

func testLogRequest(a *archived) {
	about := func(r int64) {
		a.change(byRef(1), func(mr *gate.MergeRequest) { enter(mr, "about").Request = r })
	}
	a.request(9, nil)           // entry 1
	first := a.request(1, nil)  // 2
	about(0)                    // 3
	about(first)                // 4
	second := a.request(1, nil) // 5
	about(first)                // 6: late
	about(0)                    // 7
	a.request(9, nil)           // 8
	about(second)               // 9
	a.entries("the first", gate.LogFilter{Request: first}, 2, 3, 4, 6)
	a.entries("the second", gate.LogFilter{Request: second}, 5, 7, 9)
	a.entries("the second after", gate.LogFilter{Request: second, After: 5, Limit: 1}, 7)
	a.entries("of none", gate.LogFilter{Request: 77})
	time.Sleep(time.Hour)
	about(second) // 10
	a.entries("the second since", gate.LogFilter{Request: second, Since: time.Minute}, 10)
}

func testLogPolicy(a *archived) {
	for _, hash := range []string{"one", "one", "two", "one"} { // a policy may come back
		if err := a.Policy(a.t.Context(), hash, "rules: []", false); err != nil {
			a.t.Fatalf("policy: %v", err)
		}
		time.Sleep(time.Second)
	}
	a.request(1, nil)
	all := a.log(gate.LogFilter{})
	if len(all) != 4 {
		a.t.Fatalf("%d entries, want three of policies and one of a request", len(all))
	}
	before := ""
	for i, e := range all {
		if e.Number != int64(i+1) || e.Hash != e.Chain(before) {
			a.t.Errorf("entry %d is not chained to the one before: %+v", i+1, e)
		}
		before = e.Hash
		if about := e.MergeRequest != 0 || e.Request != 0; about != (i == 3) {
			a.t.Errorf("entry %d is about merge request %d and request %d", i+1, e.MergeRequest, e.Request)
		}
	}
	for i, want := range []gate.PolicyData{{Policy: "one"}, {Policy: "two", Before: "one"}, {Policy: "one", Before: "two"}} {
		var got gate.PolicyData
		if err := json.Unmarshal(all[i].Data, &got); err != nil || all[i].Kind != gate.EntryPolicy {
			a.t.Fatalf("entry %d: %v, %+v", i+1, err, all[i])
		}
		want.Since = all[i].At
		equal(a.t, "the entry of a policy", got, want)
	}
}

func testAudit(a *archived) {
	audit := func() *gate.Verification {
		a.t.Helper()
		v := gate.NewVerification()
		if err := a.Audit(a.t.Context(), v); err != nil {
			a.t.Fatalf("audit: %v", err)
		}
		return v
	}
	if v := audit(); v.Err() == nil {
		a.t.Error("an empty log was verified")
	}
	text := "rules: []"
	sum := sha256.Sum256([]byte(text))
	if err := a.Policy(a.t.Context(), hex.EncodeToString(sum[:]), text, false); err != nil {
		a.t.Fatalf("policy: %v", err)
	}
	tell := func(mr *gate.MergeRequest, kind gate.EntryKind, data any) *gate.Entry {
		b, err := json.Marshal(data)
		if err != nil {
			a.t.Fatal(err)
		}
		e := enter(mr, "")
		e.Kind, e.Data = kind, b
		return e
	}
	for n := range int64(3) {
		a.change(byRef(n+1), func(mr *gate.MergeRequest) {
			r := ask(mr)
			tell(mr, gate.EntryOpened, gate.OpenedData{Head: r.Head, Target: r.Target})
		})
	}
	a.change(byRef(1), func(mr *gate.MergeRequest) {
		r, d := mr.Current(), &gate.Decision{Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Reason: "审批 <&>", Via: "card", Shown: "digest", At: mr.Now}
		d.Entry = tell(mr, gate.EntryDecided, gate.DecidedData{
			Person: d.Person, Name: d.Name, Verdict: d.Verdict, Reason: d.Reason, Via: d.Via, At: d.At, Evidence: gate.Evidence{Shown: d.Shown},
		})
		r.Decisions, r.State = []*gate.Decision{d}, gate.Approved
		tell(mr, gate.EntryState, gate.StateData{From: gate.Pending, To: gate.Approved})
		d.Void = true
		tell(mr, gate.EntryCounts, gate.CountsData{Person: d.Person})
	})
	v := audit()
	if err := v.Err(); err != nil || v.Entries != 7 || v.First.Number != 1 || v.Last.Number != 7 {
		a.t.Errorf("%d entries, from %d to %d: %v", v.Entries, v.First.Number, v.Last.Number, err)
	}
	// What no entry tells of is missed.
	a.change(byRef(2), func(mr *gate.MergeRequest) {
		mr.Current().State = gate.MergedHere
		mr.Current().Decisions = []*gate.Decision{{Person: "ou_mallory", Name: "Mallory", Verdict: gate.Approve}}
	})
	a.change(byRef(4), func(mr *gate.MergeRequest) { ask(mr) })
	a.change(byRef(1), func(mr *gate.MergeRequest) { mr.Current().Decisions[0].Void = false })
	var requests []int64
	for _, f := range audit().Flaws {
		requests = append(requests, f.Request)
		if f.Request == 0 && f.Entry != 5 {
			a.t.Errorf("flaw: %s", f)
		}
	}
	equal(a.t, "requests with flaws", requests, []int64{0, 2, 2, 4})
}
