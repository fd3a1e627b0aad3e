package gitlab_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/gitlabsim/contract"
	"mrgate/internal/policy"
)

const secretToken = "glpat-0123456789abcdefghij"

// sim is a simulated GitLab on this machine, and an adapter that talks to it.
type sim struct {
	*gitlabsim.Server
	forge *gitlab.Forge
	url   string
	now   func() time.Time // the adapter's clock
	skip  func(d time.Duration)
}

var apiDescription = sync.OnceValues(func() (*contract.Contract, error) { //nolint:gochecknoglobals // read once for all tests
	return contract.Load(filepath.Join("..", "..", "testdata", "gitlab", "openapi.yaml"))
})

// newSim starts one. When the test is over, every call that was made is held
// against GitLab's own description of its API.
func newSim(t *testing.T, options ...func(*gitlab.Config)) *sim {
	t.Helper()
	return newSimAt(t, nil, options...)
}

// newSimAt starts one with a clock of its own.
func newSimAt(t *testing.T, clock func() time.Time, options ...func(*gitlab.Config)) *sim {
	t.Helper()
	s := &sim{Server: gitlabsim.New(gitlabsim.Options{Token: secretToken, MergeabilityDelay: gitlabsim.AtOnce, Now: clock})}
	web := httptest.NewServer(s.Server)
	t.Cleanup(web.Close)
	s.SetURL(web.URL)
	s.url = web.URL

	var mu sync.Mutex
	skipped := time.Duration(0)
	s.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(skipped)
	}
	s.skip = func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		skipped += d
	}
	cfg := gitlab.Config{BaseURL: web.URL, Token: secretToken, UserAgent: "mrgate/test", Now: s.now}
	for _, o := range options {
		o(&cfg)
	}
	forge, err := gitlab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.forge = forge
	description, err := apiDescription()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range s.Calls() {
			if err := description.CheckCall(c.Method, c.Path, c.RawQuery, c.Header, c.Body); err != nil {
				t.Errorf("call %d: %v", c.Seq, err)
			}
			if c.Header.Get("User-Agent") != "mrgate/test" {
				t.Errorf("call %d: User-Agent %q", c.Seq, c.Header.Get("User-Agent"))
			}
		}
	})
	return s
}

// project 7 is acme/webhook, in which the bot is a Developer and may merge.
func (s *sim) project(change ...func(*gitlabsim.Project)) {
	p := gitlabsim.Project{ID: 7, Path: "acme/webhook", BotAccess: gitlabsim.Developer}
	for _, c := range change {
		c(&p)
	}
	s.AddProject(p)
}

// open opens a merge request in project 7.
func (s *sim) open(mr gitlabsim.MergeRequest) (gate.Ref, gate.CommitID) {
	mr.ProjectID = 7
	made := s.Open(mr)
	return gate.Ref{Forge: "gitlab", Project: 7, Number: int64(made.IID)}, gate.CommitID(made.Head)
}

func (s *sim) mr(ref gate.Ref) gitlabsim.MergeRequest { return s.MR(ref.Project, int(ref.Number)) }

// calls lists what was called since the last time: "PUT /merge", with the
// merge request's own path left out.
func (s *sim) calls() []string {
	var list []string
	for _, c := range s.Calls() {
		p := strings.TrimPrefix(c.Path, "/api/v4")
		if i := strings.Index(p, "/merge_requests/"); i >= 0 {
			p = p[i+len("/merge_requests/"):]
			p = strings.TrimLeft(p, "0123456789")
		}
		list = append(list, strings.TrimSpace(c.Method+" "+p))
	}
	s.ResetCalls()
	return list
}

// SetRole implements gatetest.World.
func (w *world) SetRole(mr gate.Ref, username string, role policy.Role) int64 {
	level := map[policy.Role]int{
		policy.RoleGuest: gitlabsim.Guest, policy.RoleReporter: gitlabsim.Reporter, policy.RoleDeveloper: gitlabsim.Developer,
		policy.RoleMaintainer: gitlabsim.Maintainer, policy.RoleOwner: gitlabsim.Owner,
	}[role]
	return w.SetMember(mr.Project, username, level).ID
}

// world is the simulated GitLab for the conformance suite.
type world struct {
	*sim
	paths map[string]int64
}

func (w *world) Open(s gate.Snapshot) gate.Ref {
	id, ok := w.paths[s.Path]
	if !ok {
		id = w.AddProject(gitlabsim.Project{Path: s.Path, BotAccess: gitlabsim.Maintainer}).ID
		w.paths[s.Path] = id
	}
	mr := w.Server.Open(gitlabsim.MergeRequest{
		ProjectID: id, Title: s.Title, Description: s.Description, Source: s.Source, Target: s.Target, Author: "bob",
	})
	return gate.Ref{Forge: "gitlab", Project: id, Number: int64(mr.IID)}
}

func (w *world) Push(r gate.Ref) gate.CommitID {
	w.Server.Push(r.Project, int(r.Number))
	return gate.CommitID(w.mr(r).Head)
}

func (w *world) Retarget(r gate.Ref, target string) {
	w.Server.Retarget(r.Project, int(r.Number), target)
}

func (w *world) SetDraft(r gate.Ref, draft bool) { w.Server.SetDraft(r.Project, int(r.Number), draft) }

func (w *world) SetConflict(r gate.Ref, yes bool) {
	w.Server.SetConflict(r.Project, int(r.Number), yes)
}
func (w *world) MergeByHand(r gate.Ref) { w.Server.MergeByHand(r.Project, int(r.Number), "carol") }
func (w *world) CloseByHand(r gate.Ref) { w.Close(r.Project, int(r.Number), "carol") }
func (w *world) Reopen(r gate.Ref)      { w.Server.Reopen(r.Project, int(r.Number), "carol") }
func (w *world) SetPipeline(r gate.Ref, status string) {
	w.Server.SetPipeline(r.Project, int(r.Number), status)
	w.Wait()
}

func (w *world) Look(r gate.Ref) gatetest.Sight {
	mr := w.mr(r)
	s := gatetest.Sight{
		State: gate.ForgeState(mr.State), Head: gate.CommitID(mr.Head), Target: mr.Target,
		MergeCommit: gate.CommitID(mr.MergeCommit), AutoMerge: mr.AutoMerge,
	}
	if mr.State == "opened" {
		s.State = gate.ForgeOpen
	}
	for _, by := range mr.ApprovedBy {
		s.Approved = s.Approved || by == "mrgate-bot"
	}
	for _, n := range mr.Notes {
		s.Notes = append(s.Notes, n.Body)
	}
	s.Statuses = map[gate.CommitID]gate.StatusState{}
	for _, c := range mr.Commits {
		for _, status := range w.Statuses(r.Project, c.ID) {
			if status.Name == "mrgate" && !status.Retried {
				s.Statuses[gate.CommitID(c.ID)] = gate.StatusState(status.Status)
			}
		}
	}
	return s
}

func TestForge(t *testing.T) {
	gatetest.Forge(t, func(t *testing.T) (gate.Forge, gatetest.World) {
		t.Helper()
		// Nothing happens in the same millisecond as something else.
		var mu sync.Mutex
		now := time.Now()
		s := newSimAt(t, func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Millisecond)
			return now
		})
		return s.forge, &world{sim: s, paths: map[string]int64{}}
	})
}

// canned is a GitLab that gives the same answer to everything, or one that f makes.
func canned(t *testing.T, f http.HandlerFunc, options ...func(*gitlab.Config)) *gitlab.Forge {
	t.Helper()
	web := httptest.NewServer(f)
	t.Cleanup(web.Close)
	cfg := gitlab.Config{BaseURL: web.URL, Token: secretToken}
	for _, o := range options {
		o(&cfg)
	}
	forge, err := gitlab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return forge
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func bodyOf(t *testing.T, r *http.Request) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Error(err)
	}
	return v
}
