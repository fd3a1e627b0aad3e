package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

const (
	maxPages   = 20 // of 100: more commits than that nobody reviews
	perPage    = 100
	shownFiles = 8
	shown      = 5 // commits
)

// The REST API has no count of changed lines, and no accounts of authors; one
// query has both. docs.gitlab.com/api/graphql/reference: MergeRequest, Commit.
// Other pages of commits leave the rest out.
const (
	contentsQuery = `query mrgateContents($path: ID!, $iid: String!) {
  project(fullPath: $path) {
    visibility
    mergeRequest(iid: $iid) {
      diffHeadSha
      commitCount
      diffStatsSummary { additions deletions fileCount }
      diffStats { path additions deletions }
      commits(first: 100) {` + commitFields + `}
    }
  }
}`
	commitsQuery = `query mrgateCommits($path: ID!, $iid: String!, $after: String!) {
  project(fullPath: $path) {
    mergeRequest(iid: $iid) {
      diffHeadSha
      commits(first: 100, after: $after) {` + commitFields + `}
    }
  }
}`
	commitFields = `
        pageInfo { hasNextPage endCursor }
        nodes { sha title authorEmail committerEmail author { id username name } }
      `
)

type graphContents struct {
	Project *struct {
		Visibility   string `json:"visibility"`
		MergeRequest *struct {
			DiffHeadSHA      string `json:"diffHeadSha"`
			CommitCount      int    `json:"commitCount"`
			DiffStatsSummary *struct {
				Additions int `json:"additions"`
				Deletions int `json:"deletions"`
				FileCount int `json:"fileCount"`
			} `json:"diffStatsSummary"`
			DiffStats []struct {
				Path      string `json:"path"`
				Additions int    `json:"additions"`
				Deletions int    `json:"deletions"`
			} `json:"diffStats"`
			Commits *struct {
				PageInfo struct {
					HasNextPage bool   `json:"hasNextPage"`
					EndCursor   string `json:"endCursor"`
				} `json:"pageInfo"`
				Nodes []struct {
					SHA            string `json:"sha"`
					Title          string `json:"title"`
					AuthorEmail    string `json:"authorEmail"`
					CommitterEmail string `json:"committerEmail"`
					Author         *struct {
						ID       string `json:"id"`
						Username string `json:"username"`
						Name     string `json:"name"`
					} `json:"author"`
				} `json:"nodes"`
			} `json:"commits"`
		} `json:"mergeRequest"`
	} `json:"project"`
}

// commit is one commit, from either API.
type commit struct {
	ID             string `json:"id"`
	Title          string `json:"title"`
	AuthorEmail    string `json:"author_email"`
	CommitterEmail string `json:"committer_email"`
	author         gate.User
}

// errTooMany: a list is longer than anybody reads.
var errTooMany = errors.New("there are more than 2000 commits in it, so that mrgate cannot tell who has written it")

// Contents implements gate.Forge: by GraphQL, and where that fails in any way
// (an old server, a proxy that does not let it through, a renamed project) by
// REST, without the size and the accounts of authors. The project then counts as
// public, since that is the side on which a mistake does no harm: a note in it
// is written for members only.
func (f *Forge) Contents(ctx context.Context, mr gate.Ref, path string, head gate.CommitID) (gate.Contents, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	half, cancelHalf := context.WithTimeout(ctx, f.timeout/2) // the rest is for REST
	c, commits, err := f.graphContents(half, mr, path, head)
	cancelHalf()
	var wait *gate.RetryAfter
	if err != nil && !errors.Is(err, gate.ErrHeadMoved) && !errors.Is(err, errTooMany) && !errors.As(err, &wait) {
		f.log.WarnContext(ctx, "GraphQL failed: the size of the change is not known", "merge_request", mr.String(), "error", err)
		c = gate.Contents{Public: true}
		commits, err = f.restCommits(ctx, mr)
	}
	if err == nil {
		err = ofHead(commits, head)
	}
	switch {
	case errors.Is(err, errTooMany):
		return gate.Contents{}, fmt.Errorf("read the commits of %s: %w: %w", mr, gate.ErrNotPermitted, err)
	case err != nil:
		return gate.Contents{}, f.fail("read the commits of", mr, err)
	}
	c.Head = head
	for _, m := range commits[:min(len(commits), shown)] {
		c.Commits = append(c.Commits, gate.CommitTitle{ID: gate.CommitID(m.ID), Title: m.Title})
	}
	c.Committers = committers(commits)
	return c, nil
}

// ofHead says whether these are the head's commits: it is one of them. Right
// after the opening GitLab has none yet, and nobody can say whom to bar.
func ofHead(commits []commit, head gate.CommitID) error {
	if len(commits) == 0 {
		return errors.New("GitLab shows no commits (yet)")
	}
	if !slices.ContainsFunc(commits, func(c commit) bool { return c.ID == string(head) }) {
		return gate.ErrHeadMoved
	}
	return nil
}

// committers are all authors and committers, each once.
func committers(commits []commit) []gate.Committer {
	type key struct {
		id    int64
		email string
	}
	var list []gate.Committer
	seen := map[key]bool{}
	add := func(u gate.User, email string) {
		k := key{u.ID, strings.ToLower(email)}
		if k == (key{}) || seen[k] {
			return
		}
		seen[k] = true
		list = append(list, gate.Committer{User: u, Email: email})
	}
	known := map[string]gate.User{} // whose address it is, where GitLab has said so
	for _, c := range commits {
		if c.author.ID != 0 {
			known[strings.ToLower(c.AuthorEmail)] = c.author
		}
	}
	for _, c := range commits {
		add(known[strings.ToLower(c.AuthorEmail)], c.AuthorEmail)
		add(known[strings.ToLower(c.CommitterEmail)], c.CommitterEmail)
	}
	return list
}

func (f *Forge) graphContents(ctx context.Context, mr gate.Ref, path string, head gate.CommitID) (gate.Contents, []commit, error) {
	var c gate.Contents
	var commits []commit
	after := ""
	for range maxPages {
		query, vars := contentsQuery, map[string]string{"path": path, "iid": strconv.FormatInt(mr.Number, 10)}
		if after != "" {
			query, vars["after"] = commitsQuery, after
		}
		var answer graphContents
		if err := f.graph(ctx, query, vars, &answer); err != nil {
			return c, nil, err
		}
		if answer.Project == nil || answer.Project.MergeRequest == nil || answer.Project.MergeRequest.Commits == nil {
			return c, nil, fmt.Errorf("GraphQL knows no such merge request in %q", path)
		}
		m := answer.Project.MergeRequest
		switch {
		case m.DiffHeadSHA == "":
			return c, nil, errors.New("GraphQL says no head commit")
		case m.DiffHeadSHA != string(head):
			return c, nil, gate.ErrHeadMoved
		}
		for _, n := range m.Commits.Nodes {
			it := commit{ID: n.SHA, Title: n.Title, AuthorEmail: n.AuthorEmail, CommitterEmail: n.CommitterEmail}
			if n.Author != nil {
				it.author = gate.User{ID: globalID(n.Author.ID), Username: n.Author.Username, Name: n.Author.Name}
			}
			commits = append(commits, it)
		}
		if after == "" {
			c.Public = answer.Project.Visibility == "public"
			if s := m.DiffStatsSummary; s != nil {
				c.Size = &gate.Size{Files: s.FileCount, Additions: s.Additions, Deletions: s.Deletions, Commits: m.CommitCount}
			}
			for _, d := range m.DiffStats {
				c.Files = append(c.Files, gate.FileChange{Path: d.Path, Additions: d.Additions, Deletions: d.Deletions})
			}
			slices.SortStableFunc(c.Files, func(a, b gate.FileChange) int {
				return cmp.Compare(b.Additions+b.Deletions, a.Additions+a.Deletions)
			})
			c.Files = slices.Clip(c.Files[:min(len(c.Files), shownFiles)])
		}
		if !m.Commits.PageInfo.HasNextPage {
			return c, commits, nil
		}
		if after = m.Commits.PageInfo.EndCursor; after == "" {
			return c, nil, errors.New("GraphQL says that there are more commits, and not where")
		}
	}
	return c, nil, errTooMany
}

// graph asks GraphQL, which lives beside the REST API: …/api/graphql, with the
// same header for the token. It answers 200 also where it failed.
func (f *Forge) graph(ctx context.Context, query string, vars map[string]string, v any) error {
	body := struct {
		Query     string            `json:"query"`
		Variables map[string]string `json:"variables"`
	}{query, vars}
	req, err := f.api.NewRequest(http.MethodPost, "", body, []gogitlab.RequestOptionFunc{gogitlab.WithContext(ctx)})
	if err != nil {
		return err
	}
	req.URL.Path = strings.TrimRight(f.base.Path, "/") + "/api/graphql"
	req.URL.RawPath = ""
	answer := struct {
		Data   any `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}{Data: v}
	resp, err := f.api.Do(req, &answer)
	if err := f.trouble(resp, err); err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		return fmt.Errorf("GraphQL: %s", f.clean(answer.Errors[0].Message))
	}
	return nil
}

// globalID is the number in "gid://gitlab/User/51"; 0 if there is none.
func globalID(gid string) int64 {
	id, err := strconv.ParseInt(gid[strings.LastIndexByte(gid, '/')+1:], 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// restCommits are all commits, newest first. go-gitlab's own type takes
// extended_trailers for strings, and they are lists of them.
func (f *Forge) restCommits(ctx context.Context, mr gate.Ref) ([]commit, error) {
	var all []commit
	opt := gogitlab.GetMergeRequestCommitsOptions{PerPage: perPage, Page: 1}
	for range maxPages {
		var page []commit
		resp, err := f.call(ctx, http.MethodGet, path(mr, "/commits"), &opt, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if resp.NextPage == 0 {
			return all, nil
		}
		opt.Page = resp.NextPage
	}
	return nil, errTooMany
}
