package gitlab_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
)

func TestContentsInOneQuery(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Visibility = "public" })
	s.AddUser(gitlabsim.User{ID: 31, Username: "bob", Name: "Bob Chen", CommitEmail: "bob@example.com"})
	s.AddUser(gitlabsim.User{ID: 32, Username: "carol", Name: "Carol", CommitEmail: "carol@example.com"})
	var files []gitlabsim.FileChange
	for i := range 12 {
		files = append(files, gitlabsim.FileChange{Path: fmt.Sprintf("f%02d", i), Additions: i, Deletions: 1})
	}
	var commits []gitlabsim.Commit
	for i := range 6 {
		commits = append(commits, gitlabsim.Commit{Title: fmt.Sprintf("commit %d", i), AuthorEmail: "Bob@Example.com"})
	}
	commits[2].AuthorEmail, commits[2].CommitterEmail = "mallory@evil.example", "carol@example.com"
	commits[4].AuthorEmail = "carol@example.com"
	ref, head := s.open(gitlabsim.MergeRequest{Author: "bob", Files: files, Commits: commits})

	got, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head)
	if err != nil {
		t.Fatal(err)
	}
	bob := gate.User{ID: 31, Username: "bob", Name: "Bob Chen"}
	carol := gate.User{ID: 32, Username: "carol", Name: "Carol"}
	want := gate.Contents{
		Head: head, Size: &gate.Size{Files: 12, Additions: 66, Deletions: 12, Commits: 6}, Public: true,
		Committers: []gate.Committer{
			{User: bob, Email: "Bob@Example.com"}, {User: carol, Email: "carol@example.com"}, {Email: "mallory@evil.example"},
		},
	}
	for i := range 8 {
		want.Files = append(want.Files, gate.FileChange{Path: fmt.Sprintf("f%02d", 11-i), Additions: 11 - i, Deletions: 1})
	}
	there := s.mr(ref).Commits
	for i := range 5 {
		c := there[len(there)-1-i]
		want.Commits = append(want.Commits, gate.CommitTitle{ID: gate.CommitID(c.ID), Title: c.Title})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if calls := s.calls(); len(calls) != 1 {
		t.Errorf("called %q", calls)
	}
}

// Nobody of three hundred is forgotten, by either API.
func TestContentsOfManyCommits(t *testing.T) {
	for _, graph := range []bool{true, false} {
		s := newSim(t)
		s.project(func(p *gitlabsim.Project) { p.Visibility = "internal" })
		var commits []gitlabsim.Commit
		for i := range 300 {
			commits = append(commits, gitlabsim.Commit{Title: "x", AuthorEmail: fmt.Sprintf("u%d@example.com", i)})
		}
		ref, head := s.open(gitlabsim.MergeRequest{Commits: commits})
		if !graph {
			s.Inject(gitlabsim.Fault{PathSuffix: "/api/graphql", Status: 404})
		}
		got, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head)
		if err != nil || len(got.Committers) != 300 || len(got.Commits) != 5 || got.Commits[0].ID != head {
			t.Errorf("%d committers, %d commits, %v", len(got.Committers), len(got.Commits), err)
		}
		if (got.Size != nil) != graph || got.Public == graph || graph && got.Size.Commits != 300 {
			t.Errorf("size %+v, public %v", got.Size, got.Public)
		}
		want := 3
		if !graph {
			want = 4
		}
		if calls := s.calls(); len(calls) != want {
			t.Errorf("called %q", calls)
		}
	}
}

// The list has no end: nobody reads it, and nobody asks for it for ever.
func TestContentsOfTooManyCommits(t *testing.T) {
	for _, graph := range []bool{true, false} {
		calls := 0
		f := canned(t, func(w http.ResponseWriter, r *http.Request) {
			calls++
			switch {
			case !strings.HasSuffix(r.URL.Path, "/graphql"):
				w.Header().Set("X-Next-Page", "2")
				_, _ = w.Write([]byte(`[{"id":"abc"}]`))
			case graph:
				_, _ = w.Write([]byte(`{"data":{"project":{"mergeRequest":{"diffHeadSha":"abc","commits":{` +
					`"pageInfo":{"hasNextPage":true,"endCursor":"x"},"nodes":[{"sha":"abc"}]}}}}}`))
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
		if _, err := f.Contents(t.Context(), gate.Ref{}, "acme/webhook", "abc"); !errors.Is(err, gate.ErrNotPermitted) || calls > 21 {
			t.Errorf("got %v after %d calls", err, calls)
		}
	}
}

// GraphQL fails, in every way: the committers come by REST.
func TestContentsWithoutGraphQL(t *testing.T) {
	for name, fault := range map[string]gitlabsim.Fault{
		"404": {Status: 404}, "500": {Status: 500}, "401": {Status: 401}, "403": {Status: 403}, "302": {Status: 302}, "dropped": {Drop: true},
		"an error":       {Status: 200, Body: `{"errors":[{"message":"Field 'committerEmail' doesn't exist on type 'Commit'"}]}`},
		"half an answer": {Status: 200, Body: `{"data":{"project":{"visibility":"private","mergeRequest":null}},"errors":[{"message":"Timeout"}]}`},
		"no project":     {Status: 200, Body: `{"data":{"project":null}}`},
		"no head":        {Status: 200, Body: `{"data":{"project":{"mergeRequest":{"diffHeadSha":null,"commits":{"nodes":[]}}}}}`},
		"no commits":     {Status: 200, Body: `{"data":{"project":{"mergeRequest":{"diffHeadSha":"x","commits":null}}}}`},
		"a page":         {Status: 200, Body: `<html>log in</html>`},
		"hangs":          {Delay: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, func(c *gitlab.Config) { c.Timeout = 2 * time.Second })
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			fault.PathSuffix = "/api/graphql"
			s.Inject(fault)
			got, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head)
			if err != nil || got.Size != nil || !got.Public || len(got.Committers) != 1 || got.Committers[0].Email == "" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A project that was renamed since: GraphQL knows it by path only.
func TestContentsOfARenamedProject(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.Rename(7, "acme/other")
	if got, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head); err != nil || len(got.Committers) == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestContentsOfAHeadThatMoved(t *testing.T) {
	for _, graph := range []bool{true, false} {
		s := newSim(t)
		s.project()
		ref, head := s.open(gitlabsim.MergeRequest{})
		s.ForcePush(7, 1)
		if !graph {
			s.Inject(gitlabsim.Fault{PathSuffix: "/api/graphql", Status: 404})
		}
		if _, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head); !errors.Is(err, gate.ErrHeadMoved) {
			t.Errorf("GraphQL %v: %v", graph, err)
		}
	}
}

// A push between two pages of commits.
func TestContentsWhileItMoves(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{Commits: make([]gitlabsim.Commit, 150)})
	pushed := false
	s.Hook(func(_ *http.Request, p gitlabsim.Phase) {
		if p == gitlabsim.Done && !pushed {
			pushed = true
			s.ForcePush(7, 1)
		}
	})
	if _, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head); !errors.Is(err, gate.ErrHeadMoved) {
		t.Errorf("got %v", err)
	}
}

// Nobody knows yet who has written it: that is an error, not nobody.
func TestContentsWithoutCommitters(t *testing.T) {
	f := canned(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/graphql") {
			_, _ = w.Write([]byte(`{"data":{"project":{"visibility":"public","mergeRequest":{"diffHeadSha":"abc","commits":{"pageInfo":{"hasNextPage":false},"nodes":[]}}}}}`))
			return
		}
		_, _ = w.Write([]byte(`[]`))
	})
	if c, err := f.Contents(t.Context(), gate.Ref{}, "a/b", "abc"); !plain(err) {
		t.Errorf("got %+v, %v", c, err)
	}
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.Inject(gitlabsim.Fault{PathSuffix: "/api/graphql", Status: 404})
	s.Inject(gitlabsim.Fault{PathSuffix: "/commits", Status: 500})
	if c, err := s.forge.Contents(t.Context(), ref, "acme/webhook", head); !plain(err) {
		t.Errorf("got %+v, %v", c, err)
	}
}
