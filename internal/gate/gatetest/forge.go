// Package gatetest holds one conformance suite for each port of gate, and small
// fakes in memory that pass them.
package gatetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// World is what happens in a forge besides mrgate, and what it looks like there.
type World interface {
	// Open opens a merge request with one commit that can be merged at once; of
	// s only Path, Title, Description, Source and Target are looked at.
	Open(s gate.Snapshot) gate.Ref
	Push(mr gate.Ref) gate.CommitID // one commit, which can be merged at once
	Retarget(mr gate.Ref, target string)
	SetDraft(mr gate.Ref, draft bool)
	SetConflict(mr gate.Ref, conflict bool)
	SetPipeline(mr gate.Ref, status string) // of the head; the project demands none
	MergeByHand(mr gate.Ref)
	CloseByHand(mr gate.Ref)
	Reopen(mr gate.Ref)
	// SetRole gives somebody a role in the merge request's project, or takes it
	// away (""), and says whose account that is.
	SetRole(mr gate.Ref, username string, role policy.Role) int64
	Look(mr gate.Ref) Sight
}

// Sight is how a merge request looks in the forge.
type Sight struct {
	State       gate.ForgeState
	Head        gate.CommitID
	Target      string
	MergeCommit gate.CommitID
	Approved    bool // by mrgate
	AutoMerge   bool
	Notes       []string                           // those by mrgate, oldest first
	Statuses    map[gate.CommitID]gate.StatusState // that of mrgate on each commit
}

// Forge holds a gate.Forge against what the port promises.
func Forge(t *testing.T, setup func(t *testing.T) (gate.Forge, World)) {
	t.Helper()
	mr := gate.Snapshot{
		Path: "payments/api", Title: "Add retries", Description: "as discussed",
		Source: "retries", Target: "main",
	}

	t.Run("GetSaysWhatIsThere", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		s := get(t, forge, ref)
		if s.Path != mr.Path || s.Title != mr.Title || s.Description != mr.Description || s.Source != mr.Source || s.Target != mr.Target {
			t.Errorf("got %+v", s)
		}
		if s.State != gate.ForgeOpen || s.Draft || s.Head != world.Look(ref).Head || s.Merging.Class != gate.MergeGo {
			t.Errorf("state %q, draft %v, head %q, merging %+v", s.State, s.Draft, s.Head, s.Merging)
		}
		if s.URL == "" || s.Author.ID == 0 || s.Author.Username == "" {
			t.Errorf("URL %q, author %+v", s.URL, s.Author)
		}
		if !s.ReadAt.IsZero() {
			t.Error("ReadAt is the caller's: it is the store's clock")
		}
	})
	t.Run("GetFollowsTheWorld", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Push(ref)
		world.Retarget(ref, "release/1")
		world.SetDraft(ref, true)
		s := get(t, forge, ref)
		if s.Head != head || s.Target != "release/1" || !s.Draft {
			t.Errorf("head %q, target %q, draft %v", s.Head, s.Target, s.Draft)
		}
		if s.Merging.Class != gate.MergeBlocked {
			t.Errorf("a draft is %+v", s.Merging)
		}
		world.SetDraft(ref, false)
		world.SetConflict(ref, true)
		if s := get(t, forge, ref); s.Draft || !s.Conflicts || s.Merging.Class != gate.MergeBlocked {
			t.Errorf("with a conflict: draft %v, conflicts %v, %+v", s.Draft, s.Conflicts, s.Merging)
		}
		world.SetConflict(ref, false)
		world.SetPipeline(ref, "running")
		if s := get(t, forge, ref); s.Pipeline == nil || s.Pipeline.Status != "running" {
			t.Errorf("pipeline %+v", s.Pipeline)
		}
		world.CloseByHand(ref)
		if s := get(t, forge, ref); s.State != gate.ForgeClosed || s.Ready() {
			t.Errorf("closed by hand: %q", s.State)
		}
		world.Reopen(ref)
		if s := get(t, forge, ref); s.State != gate.ForgeOpen {
			t.Errorf("reopened: %q", s.State)
		}
		world.MergeByHand(ref)
		s = get(t, forge, ref)
		if s.State != gate.ForgeMerged || s.Head != head || s.MergeCommit == "" || s.MergedBy.Username == "" {
			t.Errorf("merged by hand: %q, head %q, commit %q by %+v", s.State, s.Head, s.MergeCommit, s.MergedBy)
		}
	})
	t.Run("RoleIsThatOfNow", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		role := func(of policy.GitLabUser) gate.Role {
			t.Helper()
			r, err := forge.Role(t.Context(), ref, of)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		alice := policy.GitLabUser{Username: "alice"}
		if r := role(policy.GitLabUser{Username: "nobody"}); r != (gate.Role{}) {
			t.Errorf("of nobody: %+v", r)
		}
		if r := role(policy.GitLabUser{ID: 987654}); r.Role != "" {
			t.Errorf("of nobody's number: %+v", r)
		}
		for _, want := range []policy.Role{
			policy.RoleGuest, policy.RoleReporter, policy.RoleDeveloper, policy.RoleMaintainer, policy.RoleOwner, "",
		} {
			id := world.SetRole(ref, "alice", want)
			if r := role(alice); r.User.ID != id || r.User.Username != "alice" || r.Role != want {
				t.Errorf("of alice, who is %q: %+v", want, r)
			}
			if r := role(policy.GitLabUser{ID: id}); r.Role != want {
				t.Errorf("by number: %+v, want %q", r, want)
			}
		}
		if r := role(policy.GitLabUser{Username: "bob"}); r.Role != "" {
			t.Errorf("of another: %+v", r)
		}
	})
	t.Run("PipelineOfAnotherHeadIsNone", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		world.SetPipeline(ref, "success")
		world.Push(ref)
		if s := get(t, forge, ref); s.Pipeline != nil || !s.HadPipeline {
			t.Errorf("the pipeline of the commit before: %+v, %v", s.Pipeline, s.HadPipeline)
		}
		if s := get(t, forge, world.Open(mr)); s.Pipeline != nil || s.HadPipeline {
			t.Errorf("never a pipeline: %+v, %v", s.Pipeline, s.HadPipeline)
		}
	})
	t.Run("AgeIsSinceTheOpening", func(t *testing.T) {
		forge, world := setup(t)
		if s := get(t, forge, world.Open(mr)); s.Age < 0 || s.Age > time.Minute {
			t.Errorf("just opened, it is %s old", s.Age)
		}
	})
	t.Run("WhatIsNotThereIsNotFound", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		ref.Number = 4711
		ctx := t.Context()
		_, errGet := forge.Get(ctx, ref)
		_, errContents := forge.Contents(ctx, ref, mr.Path, head)
		_, errMerge := forge.Merge(ctx, ref, head, gate.MergeOptions{})
		_, errNote := forge.Note(ctx, ref, gate.Note{Key: "k", Body: "hello"})
		for method, err := range map[string]error{
			"Get": errGet, "Contents": errContents, "Merge": errMerge, "Note": errNote,
			"Approve": forge.Approve(ctx, ref, head), "Close": forge.Close(ctx, ref, head),
			"Status": forge.Status(ctx, ref, gate.CommitStatus{Head: "0123456789012345678901234567890123456789", State: gate.StatusPending, Text: "waits"}),
		} {
			if !errors.Is(err, gate.ErrNotFound) {
				t.Errorf("%s: %v", method, err)
			}
		}
	})
	t.Run("ContentsNameWhoCommitted", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		c, err := forge.Contents(t.Context(), ref, mr.Path, head)
		if err != nil {
			t.Fatal(err)
		}
		if c.Head != head || len(c.Committers) == 0 || len(c.Commits) == 0 || c.Commits[0].ID != head {
			t.Errorf("got %+v", c)
		}
		for _, who := range c.Committers {
			if who.User.ID == 0 && who.Email == "" {
				t.Errorf("a committer who is nobody: %+v", c.Committers)
			}
		}
	})
	t.Run("ContentsOfAnotherHead", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		world.Push(ref)
		if _, err := forge.Contents(t.Context(), ref, mr.Path, head); !errors.Is(err, gate.ErrHeadMoved) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("ApproveTwiceIsOneApproval", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		for range 2 {
			if err := forge.Approve(t.Context(), ref, head); err != nil {
				t.Fatal(err)
			}
		}
		if !world.Look(ref).Approved {
			t.Error("not approved")
		}
	})
	t.Run("ApproveOfWhatIsOver", func(t *testing.T) {
		forge, world := setup(t)
		for _, end := range []func(gate.Ref){world.MergeByHand, world.CloseByHand} {
			ref := world.Open(mr)
			end(ref)
			err := forge.Approve(t.Context(), ref, world.Look(ref).Head)
			if err == nil || errors.Is(err, gate.ErrNotPermitted) { // a look is called for, not a person
				t.Errorf("%q: %v", world.Look(ref).State, err)
			}
		}
	})
	t.Run("ApproveOfAnotherHead", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		world.Push(ref)
		if err := forge.Approve(t.Context(), ref, head); !errors.Is(err, gate.ErrHeadMoved) {
			t.Errorf("got %v", err)
		}
		if world.Look(ref).Approved {
			t.Error("a commit was approved that nobody decided on")
		}
	})

	t.Run("MergeMergesThisHead", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		r := merge(t, forge, ref, head, gate.MergeOptions{})
		seen := world.Look(ref)
		if r.Status != gate.Merged || seen.State != gate.ForgeMerged || r.Commit == "" || r.Commit != seen.MergeCommit {
			t.Errorf("%+v; there: %+v", r, seen)
		}
		if s := get(t, forge, ref); r.By == (gate.User{}) || r.By != s.MergedBy || r.At.IsZero() || !r.At.Equal(s.MergedAt) {
			t.Errorf("merged by %+v at %s; Get says by %+v at %s", r.By, r.At, s.MergedBy, s.MergedAt)
		}
		if again := merge(t, forge, ref, head, gate.MergeOptions{}); again.Status != gate.Merged || again.Commit != r.Commit {
			t.Errorf("merged already, and called again: %+v", again)
		}
	})
	t.Run("MergeOfAnotherHead", func(t *testing.T) {
		forge, world := setup(t)
		for _, trouble := range []func(ref gate.Ref){
			func(gate.Ref) {},
			func(ref gate.Ref) { world.SetDraft(ref, true) }, // GitLab: 405 before it looks at the commit
			func(ref gate.Ref) { world.SetConflict(ref, true) },
			func(ref gate.Ref) { world.MergeByHand(ref) },
			func(ref gate.Ref) { world.CloseByHand(ref) },
		} {
			ref := world.Open(mr)
			head := world.Look(ref).Head
			world.Push(ref)
			trouble(ref)
			before := world.Look(ref)
			r, err := forge.Merge(t.Context(), ref, head, gate.MergeOptions{})
			if !errors.Is(err, gate.ErrHeadMoved) && (err != nil || r.Status != gate.Moved) {
				t.Errorf("got %+v, %v", r, err)
			}
			if after := world.Look(ref); after.State != before.State || after.MergeCommit != before.MergeCommit {
				t.Errorf("it was %+v, is %+v", before, after)
			}
		}
	})
	t.Run("MergeOfWhatIsNoLongerAsked", func(t *testing.T) {
		forge, world := setup(t)
		for _, change := range []func(ref gate.Ref){
			func(ref gate.Ref) { world.SetDraft(ref, true) },
			func(ref gate.Ref) { world.CloseByHand(ref) },
		} {
			ref := world.Open(mr)
			change(ref)
			if r := merge(t, forge, ref, world.Look(ref).Head, gate.MergeOptions{}); r.Status != gate.Moved {
				t.Errorf("got %+v", r)
			}
		}
	})
	t.Run("MergeSaysWhatBlocks", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		world.SetConflict(ref, true)
		if r := merge(t, forge, ref, head, gate.MergeOptions{}); r.Status != gate.Blocked || r.Why.Class != gate.MergeBlocked || r.Why.Reason != "conflict" {
			t.Errorf("got %+v", r)
		}
		world.SetConflict(ref, false)
		if r := merge(t, forge, ref, head, gate.MergeOptions{}); r.Status != gate.Merged {
			t.Errorf("with the cause gone: %+v", r)
		}
	})
	t.Run("MergeWhenGreenWaits", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		world.SetPipeline(ref, "running")
		if r := merge(t, forge, ref, head, gate.MergeOptions{WhenGreen: true}); r.Status != gate.Scheduled {
			t.Fatalf("got %+v", r)
		}
		if seen := world.Look(ref); !seen.AutoMerge || seen.State != gate.ForgeOpen {
			t.Errorf("there: %+v", seen)
		}
		if s := get(t, forge, ref); !s.AutoMerge {
			t.Error("Get does not say so")
		}
		world.SetPipeline(ref, "success")
		if s := get(t, forge, ref); s.State != gate.ForgeMerged || s.MergeCommit == "" {
			t.Errorf("the pipeline passed: %q, %q", s.State, s.MergeCommit)
		}
	})

	t.Run("CloseCloses", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		for range 2 {
			if err := forge.Close(t.Context(), ref, head); err != nil {
				t.Fatal(err)
			}
		}
		if s := world.Look(ref).State; s != gate.ForgeClosed {
			t.Errorf("it is %q", s)
		}
	})
	t.Run("CloseOfAnotherHead", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		world.Push(ref)
		if err := forge.Close(t.Context(), ref, head); !errors.Is(err, gate.ErrHeadMoved) {
			t.Errorf("got %v", err)
		}
		if s := world.Look(ref).State; s != gate.ForgeOpen {
			t.Errorf("it is %q", s)
		}
	})
	t.Run("CloseOfWhatIsMerged", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		world.MergeByHand(ref)
		if err := forge.Close(t.Context(), ref, world.Look(ref).Head); err == nil {
			t.Error("was called a success")
		}
		if s := world.Look(ref).State; s != gate.ForgeMerged {
			t.Errorf("it is %q", s)
		}
	})

	t.Run("RetractTakesBack", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		head := world.Look(ref).Head
		if err := forge.Retract(t.Context(), ref); err != nil {
			t.Errorf("with nothing to take back: %v", err)
		}
		if err := forge.Approve(t.Context(), ref, head); err != nil {
			t.Fatal(err)
		}
		world.SetPipeline(ref, "running")
		merge(t, forge, ref, head, gate.MergeOptions{WhenGreen: true})
		for range 2 {
			if err := forge.Retract(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
		if seen := world.Look(ref); seen.Approved || seen.AutoMerge || seen.State != gate.ForgeOpen {
			t.Errorf("there: %+v", seen)
		}
	})
	t.Run("RetractOfWhatIsOver", func(t *testing.T) {
		forge, world := setup(t)
		for _, end := range []func(gate.Ref){world.MergeByHand, world.CloseByHand} {
			ref := world.Open(mr)
			end(ref)
			if err := forge.Retract(t.Context(), ref); err != nil {
				t.Errorf("%q: %v", world.Look(ref).State, err)
			}
		}
	})

	for name, scope := range map[string]policy.Scope{
		"AProject": {Paths: []string{"payments/api"}},
		"AGroup":   {Groups: []string{"payments"}},
		"Wherever": {Anywhere: true},
	} {
		scope.Covers = func(policy.ProjectRef) bool { return true }
		t.Run("ListsOf"+name+"SayWhatChanged", func(t *testing.T) { testChanged(t, setup, scope, mr) })
	}
	t.Run("ListsHaveManyPages", func(t *testing.T) {
		forge, world := setup(t)
		first := world.Open(mr)
		lists := readLists(t, forge, policy.Scope{Paths: []string{"payments/api"}, Covers: func(policy.ProjectRef) bool { return true }})
		lists.read(t, false)
		many := map[gate.Ref]bool{}
		for range 230 {
			many[world.Open(mr)] = true
		}
		if got := lists.read(t, false); len(got) != len(many) {
			t.Errorf("%d changed, want %d", len(got), len(many))
		}
		many[first] = true
		if got := lists.read(t, true); len(got) != len(many) {
			t.Errorf("%d are open, want %d", len(got), len(many))
		}
	})

	t.Run("StatusIsASignAndNoGate", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		first := world.Look(ref).Head
		before := get(t, forge, ref)
		say := func(head gate.CommitID, state gate.StatusState) {
			t.Helper()
			s := gate.CommitStatus{Head: head, State: state, Text: "it is " + string(state), URL: before.URL}
			for _, s.Again = range []bool{false, true} {
				if err := forge.Status(t.Context(), ref, s); err != nil {
					t.Errorf("%s, again %v: %v", state, s.Again, err)
				}
			}
			if got := world.Look(ref).Statuses[head]; got != state {
				t.Errorf("there: %q, want %q", got, state)
			}
		}
		for _, state := range []gate.StatusState{
			gate.StatusPending, gate.StatusPending, gate.StatusFailed, gate.StatusPending, gate.StatusSuccess, gate.StatusSuccess,
			gate.StatusCanceled, gate.StatusSuccess, gate.StatusPending,
		} {
			say(first, state)
			s := get(t, forge, ref)
			if s.Pipeline != nil || s.HadPipeline != before.HadPipeline || s.Merging != before.Merging {
				t.Errorf("with the status %s it is %+v, was %+v", state, s, before)
			}
		}
		head := world.Push(ref)
		say(head, gate.StatusPending)
		say(first, gate.StatusCanceled)
		if got := world.Look(ref).Statuses[head]; got != gate.StatusPending {
			t.Errorf("the other commit's: %q", got)
		}
		world.SetPipeline(ref, "running")
		say(head, gate.StatusSuccess)
		if s := get(t, forge, ref); s.Pipeline == nil || s.Pipeline.Status != "running" {
			t.Errorf("the pipeline: %+v", s.Pipeline)
		}
		if r := merge(t, forge, ref, head, gate.MergeOptions{WhenGreen: true}); r.Status != gate.Scheduled {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("NoteIsWrittenOnce", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		first, err := forge.Note(t.Context(), ref, gate.Note{Key: "abc123", Body: "approved by Alice"})
		if err != nil || first == "" {
			t.Fatalf("%q, %v", first, err)
		}
		again, err := forge.Note(t.Context(), ref, gate.Note{Key: "abc123", Body: "approved by Alice", Again: true})
		if err != nil || again != first {
			t.Errorf("again: %q instead of %q, %v", again, first, err)
		}
		if other, err := forge.Note(t.Context(), ref, gate.Note{Key: "def456", Body: "rejected", Again: true}); err != nil || other == first {
			t.Errorf("another key: %q, %v", other, err)
		}
		if notes := world.Look(ref).Notes; len(notes) != 2 || !strings.Contains(notes[0], "approved by Alice") {
			t.Errorf("there: %q", notes)
		}
	})
	t.Run("NoteIsKeptUpToDate", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		write := func(n gate.Note) string {
			t.Helper()
			id, err := forge.Note(t.Context(), ref, n)
			if err != nil || id == "" {
				t.Fatalf("%q, %v", id, err)
			}
			return id
		}
		first := write(gate.Note{Key: "abc123", Body: "approved by Alice"})
		for i, n := range []gate.Note{
			{Body: "approved by Alice, merged", Ref: first},
			{Body: "approved by Alice, merged", Ref: first}, // the answer was lost
			{Body: "rejected by Carol", Again: true},        // it was written, and nobody wrote down where
			{Body: "rejected by Carol", Ref: first, Again: true},
		} {
			n.Key = "abc123"
			if id := write(n); id != first {
				t.Errorf("%d: the note is %q, was %q", i, id, first)
			}
			if notes := world.Look(ref).Notes; len(notes) != 1 || !strings.Contains(notes[0], n.Body) {
				t.Errorf("%d: there: %q", i, notes)
			}
		}
	})
	t.Run("NoteObeysNothing", func(t *testing.T) {
		forge, world := setup(t)
		ref := world.Open(mr)
		before := world.Look(ref)
		for i, body := range []string{
			"/close", "fine\n/merge\n/target_branch evil", "```\n/close\n```", "~~~\n/close", "  /close", "\u2028/close", "a\r/close\r\n/close",
			"<!--\n-->\n/close", "-->\n/close", "\t/close", "> /close", "\n\n/draft",
		} {
			if _, err := forge.Note(t.Context(), ref, gate.Note{Key: "hostile" + string(rune('a'+i)), Body: body}); err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}
		after := world.Look(ref)
		if after.State != before.State || after.Target != before.Target || after.Approved {
			t.Errorf("it was %+v, is %+v", before, after)
		}
	})
}

// testChanged follows some merge requests through the lists alone.
func testChanged(t *testing.T, setup func(t *testing.T) (gate.Forge, World), scope policy.Scope, mr gate.Snapshot) {
	t.Helper()
	forge, world := setup(t)
	old := world.Open(mr)
	lists := readLists(t, forge, scope)
	if got := lists.read(t, false); len(got) != 0 {
		t.Errorf("at first sight: %v", got)
	}
	fresh := world.Open(mr)
	if got := lists.read(t, false); len(got) != 1 || got[fresh] == nil || got[fresh].Title != mr.Title {
		t.Errorf("opened: %v", got)
	}
	if got := lists.read(t, true); len(got) != 2 || got[old] == nil || got[fresh] == nil || got[old].Merging.Reason != "" {
		t.Errorf("open: %v", got)
	}
	for name, change := range map[string]func(){
		"retargeted": func() { world.Retarget(fresh, "release/1") },
		"a draft":    func() { world.SetDraft(fresh, true) },
		"ready":      func() { world.SetDraft(fresh, false) },
		"closed":     func() { world.CloseByHand(fresh) },
	} {
		change()
		got := lists.read(t, false)[fresh]
		if want := get(t, forge, fresh); got == nil || got.State != want.State || got.Head != want.Head || got.Target != want.Target ||
			got.Source != want.Source || got.Draft != want.Draft || got.Title != want.Title || got.Path != want.Path ||
			got.Description != want.Description {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := lists.read(t, true); got[fresh] != nil || got[old] == nil {
		t.Errorf("with one closed are open: %v", got)
	}
	world.Reopen(fresh)
	if got := lists.read(t, false)[fresh]; got == nil || got.State != gate.ForgeOpen {
		t.Errorf("reopened: %+v", got)
	}
	world.MergeByHand(fresh)
	if got := lists.read(t, false)[fresh]; got == nil || got.State != gate.ForgeMerged {
		t.Errorf("merged: %+v", got)
	}
	if got := lists.read(t, false); got[old] != nil {
		t.Errorf("what did not change: %+v", got[old])
	}
}

// reading is how far a forge's lists were read.
type reading struct {
	forge gate.Forge
	lists []gate.List
	marks map[gate.List]gate.Mark
}

func readLists(t *testing.T, forge gate.Forge, scope policy.Scope) *reading {
	t.Helper()
	lists, err := forge.Lists(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	return &reading{forge, lists, map[gate.List]gate.Mark{}}
}

// read reads one round through what is open, or else all that has changed since
// the last time.
func (r *reading) read(t *testing.T, open bool) map[gate.Ref]*gate.Snapshot {
	t.Helper()
	found := map[gate.Ref]*gate.Snapshot{}
	for _, list := range r.lists {
		if list.Open != open {
			continue
		}
		for more := true; more; {
			page, err := r.forge.Changed(t.Context(), list, r.marks[list])
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Hints) > 100 {
				t.Errorf("%d on one page", len(page.Hints))
			}
			for _, hint := range page.Hints {
				found[hint.Ref] = hint.Snapshot
			}
			r.marks[list], more = page.Mark, page.More
		}
		if open && r.marks[list] != "" {
			t.Errorf("after the round through what is %s the next begins at %q", list, r.marks[list])
		}
	}
	return found
}

func get(t *testing.T, forge gate.Forge, ref gate.Ref) gate.Snapshot {
	t.Helper()
	s, err := forge.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func merge(t *testing.T, forge gate.Forge, ref gate.Ref, head gate.CommitID, how gate.MergeOptions) gate.MergeResult {
	t.Helper()
	r, err := forge.Merge(t.Context(), ref, head, how)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
