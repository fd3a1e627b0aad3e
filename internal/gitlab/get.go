package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// mergeRequest is what is used of GitLab's answer about a merge request.
// go-gitlab's own type has no merge_user, and fails as a whole where one of its
// hundred fields comes in another shape.
// docs.gitlab.com/api/merge_requests, "Get single MR".
type mergeRequest struct {
	IID             int64  `json:"iid"`
	Title           string `json:"title"`
	Description     string `json:"description"`
	State           string `json:"state"`
	Draft           bool   `json:"draft"`
	WorkInProgress  bool   `json:"work_in_progress"` // before 14.9
	SHA             string `json:"sha"`
	SourceBranch    string `json:"source_branch"`
	TargetBranch    string `json:"target_branch"`
	SourceProjectID int64  `json:"source_project_id"` // null: the fork is gone
	TargetProjectID int64  `json:"target_project_id"`
	WebURL          string `json:"web_url"`
	References      struct {
		Full string `json:"full"`
	} `json:"references"`
	Author    user   `json:"author"`
	Reviewers []user `json:"reviewers"`

	DetailedMergeStatus string `json:"detailed_merge_status"`
	MergeStatus         string `json:"merge_status"`
	MergeError          string `json:"merge_error"`
	AutoMerge           bool   `json:"merge_when_pipeline_succeeds"`
	HasConflicts        bool   `json:"has_conflicts"`
	DiscussionsResolved *bool  `json:"blocking_discussions_resolved"`
	User                struct {
		CanMerge *bool `json:"can_merge"` // the token's user, into this target
	} `json:"user"`
	HeadPipeline *struct {
		ID     int64  `json:"id"`
		SHA    string `json:"sha"`
		Ref    string `json:"ref"`
		Status string `json:"status"`
		WebURL string `json:"web_url"`
	} `json:"head_pipeline"`
	LatestBuildStartedAt *time.Time `json:"latest_build_started_at"`

	MergeUser       *user      `json:"merge_user"` // who merged, or who set the auto-merge
	MergedBy        *user      `json:"merged_by"`  // before 14.7
	MergedAt        *time.Time `json:"merged_at"`
	ClosedBy        *user      `json:"closed_by"`
	MergeCommitSHA  string     `json:"merge_commit_sha"`
	SquashCommitSHA string     `json:"squash_commit_sha"`
	CreatedAt       *time.Time `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`

	answeredAt time.Time // by GitLab's clock
}

type user struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
}

func (u *user) user() gate.User {
	if u == nil {
		return gate.User{}
	}
	return gate.User{ID: u.ID, Username: u.Username, Name: u.Name}
}

// Get implements gate.Forge. It also makes GitLab find out whether it can merge,
// which it does for nobody who does not ask (gitlab-org/gitlab#288846).
func (f *Forge) Get(ctx context.Context, ref gate.Ref) (gate.Snapshot, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	mr, err := f.read(ctx, ref)
	if err != nil {
		return gate.Snapshot{}, f.fail("read", ref, err)
	}
	s, err := f.snapshot(ref, mr)
	if err != nil {
		return gate.Snapshot{}, f.fail("read", ref, err)
	}
	return s, nil
}

func (f *Forge) read(ctx context.Context, ref gate.Ref) (*mergeRequest, error) {
	mr, _, err := f.one(ctx, path(ref, ""))
	return mr, err
}

// one reads the merge request at path.
func (f *Forge) one(ctx context.Context, path string) (*mergeRequest, *gogitlab.Response, error) {
	mr := new(mergeRequest)
	resp, err := f.call(ctx, http.MethodGet, path, nil, mr)
	if err == nil {
		mr.answeredAt = f.answeredAt(resp.Header)
	}
	return mr, resp, err
}

// answeredAt is when an answer was made, by the clock of who made it. Where it
// does not say, it counts as made when it came (RFC 9110, 6.6.1).
func (f *Forge) answeredAt(header http.Header) time.Time {
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		return at.UTC()
	}
	return f.hold.now().UTC()
}

func (f *Forge) snapshot(ref gate.Ref, mr *mergeRequest) (gate.Snapshot, error) {
	s, err := f.partial(ref, mr)
	if err == nil && (s.Path == "" || s.Target == "" || s.Head == "" && s.Ready()) { // none: its branch was deleted before it had a commit
		err = fmt.Errorf("GitLab's answer lacks something: path %q, head %q, target %q", s.Path, s.Head, s.Target)
	}
	return s, err
}

// partial is as much of a snapshot as GitLab told.
func (f *Forge) partial(ref gate.Ref, mr *mergeRequest) (gate.Snapshot, error) {
	state, err := forgeState(mr.State)
	if err != nil {
		return gate.Snapshot{}, err
	}
	s := gate.Snapshot{
		Path: f.projectPath(mr), URL: mr.WebURL, Title: mr.Title, Description: mr.Description,
		State: state, Draft: mr.Draft || mr.WorkInProgress, Head: gate.CommitID(mr.SHA),
		Source: mr.SourceBranch, Target: mr.TargetBranch, Fork: mr.SourceProjectID != mr.TargetProjectID, From: mr.SourceProjectID,
		Author: mr.Author.user(), Merging: mr.mergeability(),
		AutoMerge: mr.AutoMerge && state != gate.ForgeMerged && state != gate.ForgeClosed,
		Pipeline:  mr.pipeline(ref), HadPipeline: mr.hadPipeline(ref), Conflicts: mr.HasConflicts,
		Unresolved: mr.DiscussionsResolved != nil && !*mr.DiscussionsResolved,
	}
	if mr.CreatedAt != nil {
		s.Age = max(mr.answeredAt.Sub(*mr.CreatedAt), 0)
	}
	for _, r := range mr.Reviewers {
		s.Reviewers = append(s.Reviewers, r.user())
	}
	switch state {
	case gate.ForgeOpen, gate.ForgeLocked:
	case gate.ForgeMerged:
		s.MergeCommit = mr.mergeCommit()
		s.MergedBy, s.MergedAt = mr.merged()
	case gate.ForgeClosed:
		s.ClosedBy = mr.ClosedBy.user()
	}
	return s, nil
}

func forgeState(state string) (gate.ForgeState, error) {
	switch state {
	case "opened":
		return gate.ForgeOpen, nil
	case "closed":
		return gate.ForgeClosed, nil
	case "merged":
		return gate.ForgeMerged, nil
	case "locked":
		return gate.ForgeLocked, nil
	}
	return "", fmt.Errorf("GitLab says the state %q, which mrgate does not know", oneLine(state, 50))
}

// mergeability is GitLab's word and its class. merge_error stands beside it as
// text and decides nothing: it is never cleared, not even by a merge that
// succeeds (gitlab-org/gitlab work item 33231).
func (mr *mergeRequest) mergeability() gate.Mergeability {
	m := gate.Mergeability{Reason: oneLine(cmp.Or(mr.DetailedMergeStatus, mr.MergeStatus), 100)}
	m.Class = class(m.Reason)
	if mr.State == "locked" {
		m.Class = gate.MergeSoon // a merge is under way
	}
	if mr.State != "merged" {
		m.Detail = oneLine(mr.MergeError, 500)
	}
	return m
}

// mergeCommit is the commit by which the change came into the target. A
// fast-forward makes none: then it is the head itself.
func (mr *mergeRequest) mergeCommit() gate.CommitID {
	for _, c := range []string{mr.MergeCommitSHA, mr.SquashCommitSHA} {
		if c != "" {
			return gate.CommitID(c)
		}
	}
	return gate.CommitID(mr.SHA)
}

// merged is who merged it, and when; zero where GitLab does not say.
func (mr *mergeRequest) merged() (by gate.User, at time.Time) {
	if by = mr.MergeUser.user(); by == (gate.User{}) {
		by = mr.MergedBy.user()
	}
	if mr.MergedAt != nil {
		at = mr.MergedAt.UTC()
	}
	return by, at
}

// pipeline is the head pipeline if it is the head's. GitLab keeps the last
// commit's where a push started none (skipped, or the CI file is gone;
// sortie-ai/sortie#828). A merged-results pipeline runs on a commit that GitLab
// makes of head and target and keeps as refs/merge-requests/N/merge: it is told
// by that name, since the REST API does not show which head it was made of. That
// one was seen with another head before is for gate to remember.
func (mr *mergeRequest) pipeline(ref gate.Ref) *gate.Pipeline {
	p := mr.HeadPipeline
	if p == nil || mr.ownStatus(ref) || p.SHA != mr.SHA && p.Ref != fmt.Sprintf("refs/merge-requests/%d/merge", ref.Number) {
		return nil
	}
	return &gate.Pipeline{ID: p.ID, Status: p.Status, URL: p.WebURL, MergedResults: p.SHA != mr.SHA}
}

// hadPipeline says that some commit of the merge request has had a pipeline.
// GitLab replaces the head pipeline and never takes it away, unless somebody
// deletes it (MergeRequest#update_head_pipeline); when the last build started
// stays even then (app/workers/pipeline_metrics_worker.rb).
func (mr *mergeRequest) hadPipeline(ref gate.Ref) bool {
	return mr.HeadPipeline != nil && (!mr.ownStatus(ref) || mr.SourceBranch == statusRef(ref)) || mr.LatestBuildStartedAt != nil
}

// ownStatus says that what GitLab calls the head pipeline is none, but was made for
// mrgate's own status on the commit: see statusRef. GitLab should not call it that,
// unless somebody has given their branch that very name.
func (mr *mergeRequest) ownStatus(ref gate.Ref) bool {
	return mr.HeadPipeline != nil && mr.HeadPipeline.Ref == statusRef(ref)
}

// projectPath is "group/project" of "group/project!7", or of the address.
func (f *Forge) projectPath(mr *mergeRequest) string {
	if i := strings.LastIndexByte(mr.References.Full, '!'); i > 0 {
		return mr.References.Full[:i]
	}
	return pathOfURL(mr.WebURL, f.base.Path)
}

// pathOfURL is the project's path in the address of one of its merge requests;
// "" if there is none. below is where GitLab lives: "/gitlab", or "".
func pathOfURL(address, below string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	i := strings.LastIndex(u.Path, "/merge_requests/")
	if i < 0 {
		return ""
	}
	p := strings.TrimSuffix(u.Path[:i], "/-")
	return strings.Trim(strings.TrimPrefix(p, strings.TrimRight(below, "/")), "/")
}
