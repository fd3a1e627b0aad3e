package gatetest

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // commit IDs are SHA-1; nothing is protected by these
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// FakeForge is a code host in memory: a [gate.Forge], the [World] around it, and
// what tests of gate need besides: the calls in their order, failures, delays
// and late answers. It passes the suite [Forge].
type FakeForge struct {
	script

	mrs      map[gate.Ref]*fakeMR
	projects map[string]int64
	commits  int
	notes    int
	changes  int                              // so many, ever: its clock
	roles    map[int64]map[string]policy.Role // of a project's members, by username
	public   bool                             // there are no internal notes
}

type fakeMR struct {
	snap      gate.Snapshot
	contents  gate.Contents
	approved  bool // by mrgate, whichever head it was: GitLab CE keeps it through a push
	late      int  // this many more Gets until the mergeability is known
	notes     []gate.Note
	refs      []string
	statuses  map[gate.CommitID]gate.CommitStatus
	squashed  *bool
	protected bool // mrgate may not merge into the target
	opened    time.Time
	changed   int // the forge's clock at its last change
}

var (
	_ gate.Forge = (*FakeForge)(nil)
	_ World      = (*FakeForge)(nil)
)

// NewForge is an empty one.
func NewForge() *FakeForge {
	return &FakeForge{mrs: map[gate.Ref]*fakeMR{}, projects: map[string]int64{}}
}

// Open opens a merge request in the project s.Path (its first is number 1) and
// gives its name. What s leaves out is filled in: state open, head, source,
// target "main", title, author, URL, can be merged.
func (f *FakeForge) Open(s gate.Snapshot) gate.Ref {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Path == "" {
		s.Path = "payments/api"
	}
	if f.projects[s.Path] == 0 {
		f.projects[s.Path] = int64(100 + len(f.projects) + 1)
	}
	ref := gate.Ref{Forge: "gitlab", Project: f.projects[s.Path], Number: 1}
	for f.mrs[ref] != nil {
		ref.Number++
	}
	f.put(ref, s)
	return ref
}

// OpenAs is Open for a name that the test chose.
func (f *FakeForge) OpenAs(ref gate.Ref, s gate.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Path == "" {
		s.Path = "payments/api"
	}
	f.put(ref, s)
}

func (f *FakeForge) put(ref gate.Ref, s gate.Snapshot) {
	fill := func(field *string, with string) {
		if *field == "" {
			*field = with
		}
	}
	fill(&s.URL, fmt.Sprintf("https://gitlab.example.com/%s/-/merge_requests/%d", s.Path, ref.Number))
	fill(&s.Title, fmt.Sprintf("Change %d", ref.Number))
	fill(&s.Source, fmt.Sprintf("change-%d", ref.Number))
	fill(&s.Target, "main")
	if s.State == "" {
		s.State = gate.ForgeOpen
	}
	if s.Author == (gate.User{}) {
		s.Author = gate.User{ID: 11, Username: "bob", Name: "Bob Chen"}
	}
	mr := &fakeMR{snap: s, opened: time.Now().Add(-s.Age)}
	f.mrs[ref] = mr
	f.touch(mr)
	if s.Head == "" {
		f.commit(mr)
	}
	if mr.snap.Merging == (gate.Mergeability{}) {
		f.rest(mr)
	}
	mr.contents = f.contents(mr)
}

// touch notes that the merge request has changed.
func (f *FakeForge) touch(mr *fakeMR) {
	f.changes++
	mr.changed = f.changes
}

// commit gives the merge request a new head.
func (f *FakeForge) commit(mr *fakeMR) {
	f.commits++
	sum := sha1.Sum(fmt.Appendf(nil, "commit %d", f.commits)) //nolint:gosec // see the import
	mr.snap.Head = gate.CommitID(hex.EncodeToString(sum[:]))
}

func (f *FakeForge) contents(mr *fakeMR) gate.Contents {
	return gate.Contents{
		Head:       mr.snap.Head,
		Size:       &gate.Size{Files: 1, Additions: 3, Deletions: 1, Commits: 1},
		Files:      []gate.FileChange{{Path: "README.md", Additions: 3, Deletions: 1}},
		Commits:    []gate.CommitTitle{{ID: mr.snap.Head, Title: mr.snap.Title}},
		Committers: []gate.Committer{{User: mr.snap.Author, Email: mr.snap.Author.Username + "@example.com"}},
	}
}

// rest is what the forge says of the mergeability when nothing else was scripted.
func (f *FakeForge) rest(mr *fakeMR) {
	s := &mr.snap
	switch {
	case s.State != gate.ForgeOpen:
		s.Merging = gate.Mergeability{Class: gate.MergeSoon, Reason: "not_open"}
	case s.Draft:
		s.Merging = gate.Mergeability{Class: gate.MergeBlocked, Reason: "draft_status"}
	case s.Conflicts:
		s.Merging = gate.Mergeability{Class: gate.MergeBlocked, Reason: "conflict"}
	default:
		s.Merging = gate.Mergeability{Class: gate.MergeGo, Reason: "mergeable"}
	}
}

// Edit changes what the forge says of a merge request, in any way. Who leaves
// its mergeability alone gets the one that follows from the rest.
func (f *FakeForge) Edit(ref gate.Ref, change func(s *gate.Snapshot)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mr := f.mrs[ref]
	head, merging := mr.snap.Head, mr.snap.Merging
	change(&mr.snap)
	if mr.snap.Merging == merging {
		f.rest(mr)
	}
	if mr.snap.Head != head {
		mr.contents.Head = mr.snap.Head
	}
	f.touch(mr)
}

// EditSilently is Edit, and no list of what has changed tells of it.
func (f *FakeForge) EditSilently(ref gate.Ref, change func(s *gate.Snapshot)) {
	before := f.stamp(ref, 0)
	f.Edit(ref, change)
	f.stamp(ref, before)
}

// stamp sets when the merge request changed, unless to 0, and gives when it had.
func (f *FakeForge) stamp(ref gate.Ref, at int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	mr := f.mrs[ref]
	was := mr.changed
	if at != 0 {
		mr.changed = at
	}
	return was
}

// SetMerging sets the mergeability, until the next Edit, Push and so on.
func (f *FakeForge) SetMerging(ref gate.Ref, class gate.MergeClass, reason string) {
	f.Edit(ref, func(s *gate.Snapshot) { s.Merging = gate.Mergeability{Class: class, Reason: reason} })
}

// SetContents sets what the head changes and who committed to it.
func (f *FakeForge) SetContents(ref gate.Ref, change func(c *gate.Contents)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.mrs[ref].contents)
}

// SetProtected says that mrgate may not merge this one (GitLab: a protected branch).
func (f *FakeForge) SetProtected(ref gate.Ref, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mrs[ref].protected = yes
}

// Late has the next gets answer that the mergeability is still being computed;
// merging is impossible until then.
func (f *FakeForge) Late(ref gate.Ref, gets int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mrs[ref].late = gets
}

// Remove makes the merge request unknown.
func (f *FakeForge) Remove(ref gate.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mrs, ref)
}

// call is one call of the port about a merge request: "get 7", "merge 7 1a2b3c4d
// green". Numbers and commits, eight digits of them, stand as in the call.
func (f *FakeForge) call(ctx context.Context, method string, ref gate.Ref, rest []string, do func(mr *fakeMR) error) error {
	recorded := strings.Join(append([]string{method, fmt.Sprint(ref.Number)}, rest...), " ")
	return f.script.call(ctx, method, recorded, method+" "+ref.String(), func() error {
		mr := f.mrs[ref]
		if mr == nil {
			return gate.ErrNotFound
		}
		return do(mr)
	})
}

// Get implements gate.Forge.
func (f *FakeForge) Get(ctx context.Context, ref gate.Ref) (gate.Snapshot, error) {
	var s gate.Snapshot
	err := f.call(ctx, "get", ref, nil, func(mr *fakeMR) error {
		s = mr.snap
		s.Age = time.Since(mr.opened)
		s.Reviewers = slices.Clone(s.Reviewers)
		if s.Pipeline != nil {
			p := *s.Pipeline
			s.Pipeline = &p
		}
		if mr.late > 0 {
			mr.late--
			s.Merging = gate.Mergeability{Class: gate.MergeSoon, Reason: "checking"}
		}
		return nil
	})
	if err != nil {
		return gate.Snapshot{}, err
	}
	return s, nil
}

// Contents implements gate.Forge.
func (f *FakeForge) Contents(ctx context.Context, ref gate.Ref, _ string, head gate.CommitID) (gate.Contents, error) {
	var c gate.Contents
	err := f.call(ctx, "contents", ref, []string{head.Short()}, func(mr *fakeMR) error {
		if mr.snap.Head != head {
			return gate.ErrHeadMoved
		}
		c = mr.contents
		c.Files, c.Commits, c.Committers = slices.Clone(c.Files), slices.Clone(c.Commits), slices.Clone(c.Committers)
		return nil
	})
	if err != nil {
		return gate.Contents{}, err
	}
	return c, nil
}

// Approve implements gate.Forge.
func (f *FakeForge) Approve(ctx context.Context, ref gate.Ref, head gate.CommitID) error {
	return f.call(ctx, "approve", ref, []string{head.Short()}, func(mr *fakeMR) error {
		if mr.snap.Head != head {
			return gate.ErrHeadMoved
		}
		if mr.snap.State != gate.ForgeOpen && !mr.approved {
			return fmt.Errorf("it is %s by now", mr.snap.State)
		}
		mr.approved = true
		return nil
	})
}

// Merge implements gate.Forge.
func (f *FakeForge) Merge(ctx context.Context, ref gate.Ref, head gate.CommitID, how gate.MergeOptions) (gate.MergeResult, error) {
	var r gate.MergeResult
	rest := []string{head.Short()}
	if how.WhenGreen {
		rest = append(rest, "green")
	}
	err := f.call(ctx, "merge", ref, rest, func(mr *fakeMR) error {
		s := &mr.snap
		running := s.Pipeline != nil && s.Pipeline.Status == "running"
		switch {
		case s.State == gate.ForgeMerged && s.Head == head:
			r = gate.MergeResult{Status: gate.Merged, Commit: s.MergeCommit, By: s.MergedBy, At: s.MergedAt}
		case s.State == gate.ForgeClosed || s.State == gate.ForgeMerged || s.Draft:
			r.Status = gate.Moved
		case s.Head != head:
			return gate.ErrHeadMoved
		case mr.protected:
			r = gate.MergeResult{Status: gate.Blocked, Why: gate.Mergeability{Class: gate.MergeBlocked, Reason: "not_permitted"}}
		case mr.late > 0:
			r = gate.MergeResult{Status: gate.Computing, Why: gate.Mergeability{Class: gate.MergeSoon, Reason: "checking"}}
		case how.WhenGreen && running && s.Merging.Class != gate.MergeBlocked:
			s.AutoMerge = true
			r = gate.MergeResult{Status: gate.Scheduled, Why: s.Merging}
		case s.Merging.Class == gate.MergeGo:
			mr.squashed = how.Squash
			f.merge(mr, gate.User{ID: 1, Username: "mrgate"})
			r = gate.MergeResult{Status: gate.Merged, Commit: s.MergeCommit, By: s.MergedBy, At: s.MergedAt}
		case s.Merging.Class == gate.MergeBlocked:
			r = gate.MergeResult{Status: gate.Blocked, Why: s.Merging}
		default:
			r = gate.MergeResult{Status: gate.Computing, Why: s.Merging}
		}
		return nil
	})
	if err != nil {
		return gate.MergeResult{}, err
	}
	return r, nil
}

func (f *FakeForge) merge(mr *fakeMR, by gate.User) {
	f.commits++
	sum := sha1.Sum(fmt.Appendf(nil, "merge %d", f.commits)) //nolint:gosec // see the import
	s := &mr.snap
	s.State, s.MergeCommit, s.MergedBy, s.MergedAt = gate.ForgeMerged, gate.CommitID(hex.EncodeToString(sum[:])), by, time.Now()
	s.AutoMerge = false
	f.rest(mr)
	f.touch(mr)
}

// Role implements gate.Forge.
func (f *FakeForge) Role(ctx context.Context, ref gate.Ref, of policy.GitLabUser) (gate.Role, error) {
	var found gate.Role
	err := f.call(ctx, "role", ref, []string{cmp.Or(of.Username, strconv.FormatInt(of.ID, 10))}, func(*fakeMR) error {
		for username, role := range f.roles[ref.Project] {
			if id := fakeAccount(username); id == of.ID || username == of.Username {
				found = gate.Role{User: gate.User{ID: id, Username: username}, Role: role}
			}
		}
		return nil
	})
	return found, err
}

// fakeAccount is the ID of the account of a username.
func fakeAccount(username string) int64 { return 1000 + int64(crc32.ChecksumIEEE([]byte(username))) }

// SetRole implements World.
func (f *FakeForge) SetRole(ref gate.Ref, username string, role policy.Role) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.roles == nil {
		f.roles = map[int64]map[string]policy.Role{}
	}
	if f.roles[ref.Project] == nil {
		f.roles[ref.Project] = map[string]policy.Role{}
	}
	f.roles[ref.Project][username] = role
	return fakeAccount(username)
}

// Close implements gate.Forge.
func (f *FakeForge) Close(ctx context.Context, ref gate.Ref, head gate.CommitID) error {
	return f.call(ctx, "close", ref, []string{head.Short()}, func(mr *fakeMR) error {
		switch {
		case mr.snap.State == gate.ForgeClosed:
			return nil
		case mr.snap.Head != head:
			return gate.ErrHeadMoved
		case mr.snap.State != gate.ForgeOpen:
			return fmt.Errorf("it is %s", mr.snap.State)
		}
		mr.snap.State, mr.snap.ClosedBy, mr.snap.AutoMerge = gate.ForgeClosed, gate.User{ID: 1, Username: "mrgate"}, false
		f.rest(mr)
		f.touch(mr)
		return nil
	})
}

// Retract implements gate.Forge.
func (f *FakeForge) Retract(ctx context.Context, ref gate.Ref) error {
	return f.call(ctx, "retract", ref, nil, func(mr *fakeMR) error {
		mr.approved = false
		mr.snap.AutoMerge = false
		return nil
	})
}

// Lists implements gate.Forge: all projects are in two.
func (f *FakeForge) Lists(ctx context.Context, _ policy.Scope) ([]gate.List, error) {
	err := f.script.call(ctx, "lists", "lists", "lists", func() error { return nil })
	if err != nil {
		return nil, err
	}
	return []gate.List{{Of: "projects"}, {Of: "projects", Open: true}}, nil
}

// Changed implements gate.Forge. A mark is a number of the fake's clock: what
// changed later comes next. Like GitLab's, its lists of what is open say nothing
// of mergeability.
func (f *FakeForge) Changed(ctx context.Context, list gate.List, mark gate.Mark) (gate.Page, error) {
	const most = 100
	var page gate.Page
	err := f.script.call(ctx, "changed", list.String(), "read what is "+list.String(), func() error {
		if mark == "" && !list.Open {
			page.Mark = gate.Mark(strconv.Itoa(f.changes))
			return nil
		}
		since, _ := strconv.Atoi(string(mark))
		var refs []gate.Ref
		for ref, mr := range f.mrs {
			if mr.changed > since && (!list.Open || mr.snap.State == gate.ForgeOpen) {
				refs = append(refs, ref)
			}
		}
		slices.SortFunc(refs, func(a, b gate.Ref) int { return f.mrs[a].changed - f.mrs[b].changed })
		if page.More = len(refs) > most; page.More {
			refs = refs[:most]
		}
		for _, ref := range refs {
			s := f.mrs[ref].snap
			if list.Open {
				s.Merging.Reason = ""
			}
			page.Hints = append(page.Hints, gate.Hint{Ref: ref, Path: s.Path, Snapshot: &s})
			since = f.mrs[ref].changed
		}
		if page.More || !list.Open {
			page.Mark = gate.Mark(strconv.Itoa(since))
		}
		return nil
	})
	return page, err
}

// Note implements gate.Forge.
func (f *FakeForge) Note(ctx context.Context, ref gate.Ref, note gate.Note) (string, error) {
	var id string
	err := f.call(ctx, "note", ref, []string{note.Key}, func(mr *fakeMR) error {
		for i, n := range mr.notes {
			if mr.refs[i] == note.Ref || (note.Again || note.Ref != "") && n.Key == note.Key {
				mr.notes[i].Body, id = note.Body, mr.refs[i]
				return nil
			}
		}
		if note.Internal && f.public {
			return gate.ErrPublic
		}
		f.notes++
		id = fmt.Sprint(f.notes)
		mr.notes, mr.refs = append(mr.notes, note), append(mr.refs, id)
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Status implements gate.Forge.
func (f *FakeForge) Status(ctx context.Context, ref gate.Ref, s gate.CommitStatus) error {
	return f.call(ctx, "status", ref, []string{s.Head.Short(), string(s.State)}, func(mr *fakeMR) error {
		if mr.statuses == nil {
			mr.statuses = map[gate.CommitID]gate.CommitStatus{}
		}
		mr.statuses[s.Head] = s
		return nil
	})
}

// Push implements World.
func (f *FakeForge) Push(ref gate.Ref) gate.CommitID {
	f.mu.Lock()
	defer f.mu.Unlock()
	mr := f.mrs[ref]
	f.commit(mr)
	mr.snap.AutoMerge, mr.snap.Pipeline, mr.snap.Conflicts = false, nil, false
	f.rest(mr)
	mr.contents = f.contents(mr)
	f.touch(mr)
	return mr.snap.Head
}

// Retarget implements World.
func (f *FakeForge) Retarget(ref gate.Ref, target string) {
	f.Edit(ref, func(s *gate.Snapshot) { s.Target, s.AutoMerge = target, false })
}

// SetDraft implements World.
func (f *FakeForge) SetDraft(ref gate.Ref, draft bool) {
	f.Edit(ref, func(s *gate.Snapshot) { s.Draft = draft })
}

// SetConflict implements World.
func (f *FakeForge) SetConflict(ref gate.Ref, conflict bool) {
	f.Edit(ref, func(s *gate.Snapshot) { s.Conflicts = conflict })
}

// SetPipeline implements World. Whether the project demands a green pipeline is
// the test's to say, with SetMerging.
func (f *FakeForge) SetPipeline(ref gate.Ref, status string) {
	f.Edit(ref, func(s *gate.Snapshot) { s.Pipeline, s.HadPipeline = &gate.Pipeline{ID: 500, Status: status}, true })
	if status != "success" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if mr := f.mrs[ref]; mr.snap.AutoMerge && mr.snap.Merging.Class == gate.MergeGo {
		f.merge(mr, gate.User{ID: 1, Username: "mrgate"})
	}
}

// MergeByHand implements World.
func (f *FakeForge) MergeByHand(ref gate.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.merge(f.mrs[ref], gate.User{ID: 12, Username: "carol", Name: "Carol"})
}

// CloseByHand implements World.
func (f *FakeForge) CloseByHand(ref gate.Ref) {
	f.Edit(ref, func(s *gate.Snapshot) {
		s.State, s.ClosedBy, s.AutoMerge = gate.ForgeClosed, gate.User{ID: 12, Username: "carol", Name: "Carol"}, false
	})
}

// Reopen implements World.
func (f *FakeForge) Reopen(ref gate.Ref) {
	f.Edit(ref, func(s *gate.Snapshot) { s.State, s.ClosedBy = gate.ForgeOpen, gate.User{} })
}

// Look implements World.
func (f *FakeForge) Look(ref gate.Ref) Sight {
	f.mu.Lock()
	defer f.mu.Unlock()
	mr := f.mrs[ref]
	sight := Sight{
		State: mr.snap.State, Head: mr.snap.Head, Target: mr.snap.Target, MergeCommit: mr.snap.MergeCommit,
		Approved: mr.approved, AutoMerge: mr.snap.AutoMerge,
	}
	for _, n := range mr.notes {
		sight.Notes = append(sight.Notes, n.Body)
	}
	for head, s := range mr.statuses {
		if sight.Statuses == nil {
			sight.Statuses = map[gate.CommitID]gate.StatusState{}
		}
		sight.Statuses[head] = s.State
	}
	return sight
}

// NoInternalNotes has the forge know public notes only.
func (f *FakeForge) NoInternalNotes() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.public = true
}

// RemoveNotes has somebody delete the notes of a merge request.
func (f *FakeForge) RemoveNotes(ref gate.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mrs[ref].notes, f.mrs[ref].refs = nil, nil
}

// Notes gives the notes of a merge request as they came.
func (f *FakeForge) Notes(ref gate.Ref) []gate.Note {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mrs[ref].notes)
}
