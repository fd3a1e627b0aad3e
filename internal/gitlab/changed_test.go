package gitlab_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/policy"
)

// hands is a clock that stands still until it is moved.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func newHands() *hands { return &hands{at: time.Date(2026, 1, 16, 5, 56, 22, 123_000_000, time.UTC)} }

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// follower reads one list of what has changed.
type follower struct {
	t     *testing.T
	forge *gitlab.Forge
	list  gate.List
	mark  gate.Mark
}

func (s *sim) follow(t *testing.T, of string) *follower {
	t.Helper()
	f := &follower{t: t, forge: s.forge, list: gate.List{Of: of}}
	if got := f.read(); len(got) != 0 {
		t.Errorf("what was there before: %v", got)
	}
	return f
}

func (f *follower) page() gate.Page {
	f.t.Helper()
	page, err := f.forge.Changed(f.t.Context(), f.list, f.mark)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mark = page.Mark
	return page
}

// read reads to the end: the head of each merge request that was told.
func (f *follower) read() map[int64]gate.CommitID {
	f.t.Helper()
	found := map[int64]gate.CommitID{}
	for range 1000 {
		page := f.page()
		for _, hint := range page.Hints {
			found[hint.Ref.Number] = hint.Snapshot.Head
		}
		if !page.More {
			return found
		}
	}
	f.t.Fatal("it never ends")
	return nil
}

var bothLists = []string{"projects/7", "groups/acme"} //nolint:gochecknoglobals // a constant

func TestManyChangesAtOneMomentAreAllTold(t *testing.T) {
	for _, of := range bothLists {
		clock := newHands()
		s := newSimAt(t, clock.now)
		s.project()
		s.open(gitlabsim.MergeRequest{})
		f := s.follow(t, of)
		clock.pass(time.Second)
		for range 250 {
			s.open(gitlabsim.MergeRequest{})
		}
		clock.pass(time.Second)
		s.open(gitlabsim.MergeRequest{})
		if got := f.read(); len(got) != 251 {
			t.Errorf("%s: %d were told, want 251", of, len(got))
		}
		clock.pass(time.Hour)
		f.read()
		s.calls()
		if got := f.read(); len(got) != 0 || len(s.calls()) != 1 {
			t.Errorf("%s: an hour later %d are told again", of, len(got))
		}
	}
}

// While it is read, what was read changes again, and all behind it moves up.
func TestNothingIsLeftOutWhileItIsRead(t *testing.T) {
	clock := newHands()
	s := newSimAt(t, clock.now)
	s.project()
	f := s.follow(t, "groups/acme")
	for range 350 {
		clock.pass(time.Millisecond)
		s.open(gitlabsim.MergeRequest{})
	}
	found := map[int64]bool{}
	for more, i := true, 0; more; i++ {
		page := f.page()
		for _, hint := range page.Hints {
			found[hint.Ref.Number] = true
		}
		more = page.More
		for n := range 10 {
			clock.pass(time.Millisecond)
			s.SetTitle(7, i*10+n+1, "Another")
		}
	}
	if len(found) != 350 {
		t.Errorf("%d were told, want 350", len(found))
	}
}

// GitLab stamps no second note within a minute, and a push is stamped only by
// its note; lists of projects show an old head besides.
func TestPushRightAfterAnotherChangeIsTold(t *testing.T) {
	for _, of := range bothLists {
		clock := newHands()
		s := newSimAt(t, clock.now)
		s.project()
		f := s.follow(t, of)
		clock.pass(time.Second)
		_, first := s.open(gitlabsim.MergeRequest{})
		if got := f.read(); got[1] != first {
			t.Errorf("%s: opened: %v", of, got)
		}
		clock.pass(50 * time.Second)
		f.read()
		clock.pass(5 * time.Second)
		s.Push(7, 1)
		stamped := s.MR(7, 1).UpdatedAt
		clock.pass(55 * time.Second)
		if got := f.read(); string(got[1]) != s.MR(7, 1).Head || !s.MR(7, 1).UpdatedAt.Equal(stamped) {
			t.Errorf("%s: pushed within a minute: %v", of, got)
		}
		clock.pass(10 * time.Minute)
		f.read()
		if got := f.read(); len(got) != 0 {
			t.Errorf("%s: ten minutes later it is still told: %v", of, got)
		}
		s.Push(7, 1)
		if got := f.read(); string(got[1]) != s.MR(7, 1).Head {
			t.Errorf("%s: pushed later: %v", of, got)
		}
	}
}

func TestWhatWasMergedBeforeTheBeginningIsNotTold(t *testing.T) {
	clock := newHands()
	s := newSimAt(t, clock.now)
	s.project()
	for range 2 {
		s.open(gitlabsim.MergeRequest{})
	}
	s.MergeByHand(7, 1, "carol")
	clock.pass(time.Hour)
	f := s.follow(t, "groups/acme")
	clock.pass(time.Hour)
	s.MergeByHand(7, 2, "carol")
	s.Comment(7, 1, "bob", "well done")
	if got := f.read(); len(got) != 1 || got[2] == "" {
		t.Errorf("got %v, want the second alone", got)
	}
}

// A list that is empty begins by GitLab's clock, however far that is from ours.
func TestAnEmptyListBeginsByGitLabsClock(t *testing.T) {
	clock := newHands() // months ago
	s := newSimAt(t, clock.now)
	s.project()
	f := s.follow(t, "projects/7")
	clock.pass(time.Second)
	s.open(gitlabsim.MergeRequest{})
	if got := f.read(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// A description has up to a million characters, so that a hundred merge requests
// can be more than is read of an answer.
func TestTooLongAListIsReadInSmallerPages(t *testing.T) {
	s := newSim(t, func(c *gitlab.Config) { c.Timeout = time.Minute }) // these are megabytes, on a machine that may be busy
	s.project()
	f := s.follow(t, "groups/acme")
	for range 17 {
		s.open(gitlabsim.MergeRequest{Description: strings.Repeat("a", 1<<20)})
	}
	s.open(gitlabsim.MergeRequest{})
	if got := f.read(); len(got) != 18 {
		t.Errorf("%d were told, want 18", len(got))
	}
	if sizes := s.perPages(); !slices.Contains(sizes, "6") {
		t.Errorf("the pages were of %v", sizes)
	}
}

func (s *sim) perPages() []string {
	var sizes []string
	for _, c := range s.Calls() {
		if _, rest, ok := strings.Cut(c.RawQuery, "per_page="); ok {
			size, _, _ := strings.Cut(rest, "&")
			sizes = append(sizes, size)
		}
	}
	return sizes
}

func TestRenamedProjectIsReadOn(t *testing.T) {
	s := newSim(t)
	s.project()
	s.open(gitlabsim.MergeRequest{})
	s.Rename(7, "other/moved")
	page, err := s.forge.Changed(t.Context(), gate.List{Of: "projects/acme%2Fwebhook", Open: true}, "")
	if err != nil || len(page.Hints) != 1 || page.Hints[0].Path != "other/moved" || page.Hints[0].Snapshot.Path != "other/moved" {
		t.Errorf("got %+v, %v", page, err)
	}
}

func TestListThatCannotBeRead(t *testing.T) {
	s := newSim(t)
	s.AddProject(gitlabsim.Project{ID: 8, Path: "acme/guests", BotAccess: gitlabsim.Guest})
	for of, want := range map[string]error{
		"projects/9": gate.ErrNotFound, "groups/none": gate.ErrNotFound, "projects/8": gate.ErrNotPermitted,
	} {
		_, err := s.forge.Changed(t.Context(), gate.List{Of: of}, "")
		if !errors.Is(err, want) || !strings.Contains(err.Error(), of) {
			t.Errorf("%s: %v", of, err)
		}
	}
	if _, err := s.forge.Changed(t.Context(), gate.List{Of: "projects/8"}, "nonsense"); err == nil {
		t.Error("a mark that is none was taken")
	}
	s.Inject(gitlabsim.Fault{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second})
	_, err := s.forge.Changed(t.Context(), gate.List{Of: "projects/8"}, "")
	if wait, ok := errors.AsType[*gate.RetryAfter](err); !ok || wait.After > 7*time.Second {
		t.Errorf("429: %v", err)
	}
}

func TestListWithoutTimes(t *testing.T) {
	forge := canned(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, []map[string]any{{"iid": 1, "target_project_id": 7, "state": "opened"}})
	})
	if _, err := forge.Changed(t.Context(), gate.List{Of: "projects/7", Open: true}, ""); err == nil {
		t.Error("a list that could never be read on was taken")
	}
}

// scopeOf is the scope of a policy with these patterns of projects.
func scopeOf(patterns ...string) policy.Scope {
	p := policy.New()
	rule := policy.NewRule(1)
	rule.Projects, rule.TargetBranches = patterns, []string{"**"}
	p.Rules = []policy.Rule{rule}
	return p.Scope()
}

func TestLists(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     string
		trouble  string
	}{
		{[]string{"acme/webhook", "7"}, "projects/7 projects/acme%2Fwebhook", ""},
		{[]string{"acme/*"}, "groups/acme", ""},
		{[]string{"acme/tools/**", "acme/webhook"}, "groups/acme%2Ftools projects/acme%2Fwebhook", ""},
		{[]string{"nowhere/*"}, "", "member of no project"},
		{[]string{"dave/*"}, "projects/11", ""}, // his own namespace, no group
		{[]string{"*/webhook"}, "groups/acme", ""},
		{[]string{"**"}, "groups/acme groups/shop projects/11", ""},
		{[]string{"**", "acme/*", "9", "11"}, "groups/acme projects/11 projects/9", ""},
		{[]string{"*/nothing"}, "", "member of no project"},
	} {
		s := newSim(t)
		s.project()
		s.AddProject(gitlabsim.Project{ID: 8, Path: "acme/tools/cli", BotAccess: gitlabsim.Developer})
		s.AddProject(gitlabsim.Project{ID: 9, Path: "shop/web", BotAccess: gitlabsim.Developer})
		s.AddProject(gitlabsim.Project{ID: 10, Path: "public/web", Visibility: "public"})
		s.AddUser(gitlabsim.User{Username: "dave"})
		s.AddProject(gitlabsim.Project{ID: 11, Path: "dave/own", BotAccess: gitlabsim.Developer})
		for range 2 { // the second time it is remembered
			lists, err := s.forge.Lists(t.Context(), scopeOf(c.patterns...))
			if got := names(lists); got != c.want {
				t.Errorf("%q: %s, want %s", c.patterns, got, c.want)
			}
			if c.trouble == "" && err != nil || c.trouble != "" && (err == nil || !strings.Contains(err.Error(), c.trouble)) {
				t.Errorf("%q: %v, want %q", c.patterns, err, c.trouble)
			}
		}
		for _, call := range s.Calls() {
			if strings.HasSuffix(call.Path, "/v4/merge_requests") {
				t.Error("the whole instance was listed")
			}
		}
	}
}

// names are those of the lists of what changed; there is one of what is open
// beside each.
func names(lists []gate.List) string {
	var changed, open []string
	for _, l := range lists {
		if l.Open {
			open = append(open, l.Of)
		} else {
			changed = append(changed, l.Of)
		}
	}
	if !slices.Equal(changed, open) {
		return fmt.Sprintf("changed in %v, open in %v", changed, open)
	}
	return strings.Join(changed, " ")
}

func TestListsOfManyProjects(t *testing.T) {
	s := newSim(t)
	for id := range int64(230) {
		s.AddProject(gitlabsim.Project{ID: 1000 + id, Path: fmt.Sprintf("group%d/p", id), BotAccess: gitlabsim.Developer})
	}
	lists, err := s.forge.Lists(t.Context(), scopeOf("**"))
	if err != nil || len(lists) != 460 {
		t.Errorf("%d lists, want 460: %v", len(lists), err)
	}
	s.calls()
	if _, err := s.forge.Lists(t.Context(), scopeOf("**")); err != nil || len(s.calls()) != 0 {
		t.Errorf("it was asked again at once: %v", err)
	}
}

// A group in which the bot is made a member counts since it was last asked
// where that is: what was opened between is told.
func TestListThatIsFoundLater(t *testing.T) {
	clock := newHands()
	s := newSimAt(t, clock.now)
	s.project()
	if _, err := s.forge.Lists(t.Context(), scopeOf("**")); err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Hour)
	s.AddProject(gitlabsim.Project{ID: 8, Path: "shop/web", BotAccess: gitlabsim.Developer})
	s.Open(gitlabsim.MergeRequest{ProjectID: 8})
	s.skip(time.Hour)
	lists, err := s.forge.Lists(t.Context(), scopeOf("**"))
	if err != nil || names(lists) != "groups/acme groups/shop" {
		t.Fatalf("%+v, %v", lists, err)
	}
	for _, list := range lists {
		if list.Open {
			continue
		}
		if list.Of != "groups/shop" {
			if list.From != "" {
				t.Errorf("%s begins at %s", list, list.From)
			}
			continue
		}
		page, err := s.forge.Changed(t.Context(), list, list.From)
		if err != nil || len(page.Hints) != 1 {
			t.Errorf("got %+v, %v", page, err)
		}
	}
}

func TestListsWhileGitLabFails(t *testing.T) {
	s := newSim(t)
	s.project()
	undo := s.Inject(gitlabsim.Fault{Status: http.StatusBadGateway})
	lists, err := s.forge.Lists(t.Context(), scopeOf("**", "acme/*", "7"))
	if names(lists) != "groups/acme projects/7" || err == nil {
		t.Errorf("%s, %v", names(lists), err)
	}
	undo()
	if lists, err := s.forge.Lists(t.Context(), scopeOf("**", "acme/*", "7")); names(lists) != "groups/acme projects/7" || err != nil {
		t.Errorf("%s, %v", names(lists), err)
	}
}
