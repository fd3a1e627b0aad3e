package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MergeRequest is what Open is given and MR gives back. What stands below the
// line is GitLab's: Open ignores it.
type MergeRequest struct {
	ProjectID          int64
	IID                int // default: the project's next
	Title              string
	Description        string
	Source             string // default feature-<iid>
	Target             string // default: the project's default branch
	SourceProjectID    int64  // another one for a fork
	Author             string // username, as all the people here; default alice
	Draft              bool
	Commits            []Commit     // oldest first; default: one by the author
	Files              []FileChange // default: one
	Reviewers          []string
	Assignees          []string
	Labels             []string
	HasPipeline        bool // opened with a pipeline running
	Squash             bool
	RemoveSourceBranch bool
	CreatedAt          time.Time // default now

	ID                  int64
	State               string // opened, closed, merged, locked
	Head                string
	Status              string // detailed_merge_status
	Pipeline            *Pipeline
	ApprovedBy          []string
	AutoMerge           bool
	AutoMergeBy         string
	MergedBy            string
	MergeCommit         string
	SquashCommit        string
	MergeMessage        string // merge_commit_message of the merge
	SquashMessage       string
	SourceBranchRemoved bool
	MergeError          string
	ClosedBy            string
	UpdatedAt           time.Time
	Notes               []Note   // what people and the bot wrote
	SystemNotes         []Note   // what GitLab wrote itself
	Mentions            []string // who was mailed because of an @mention in a note
	Commands            []string // the quick actions in notes that GitLab took for its own
}

// Commit is a commit of a merge request.
type Commit struct {
	ID             string // default: made up
	Title          string
	Message        string
	AuthorName     string
	AuthorEmail    string
	CommitterName  string // default: the author
	CommitterEmail string
	At             time.Time // default: now
}

// FileChange is one changed file.
type FileChange struct {
	Path      string
	Additions int
	Deletions int
}

// Pipeline is a CI pipeline as the merge request sees it.
type Pipeline struct {
	ID     int64
	SHA    string // of a merged-results pipeline: the commit made for it, not the head
	Ref    string
	Status string // created, pending, running, success, failed, canceled, skipped, manual
	Source string
	// SourceSHA is the head that a merged-results pipeline is about. GitLab
	// knows it and does not show it.
	SourceSHA string

	project  int64
	own      string // what GitLab's own jobs make of it; "": it has none
	statuses []*CommitStatus
}

type mergeRequest struct {
	project                          *Project
	id, sourceProject                int64
	iid                              int
	title, description, state        string
	source, target                   string
	author                           *User
	assignees, reviewers             []*User
	labels                           []string
	commits, pushedWhileClosed       []Commit
	files                            []FileChange
	pipeline                         *Pipeline
	approvals                        []approval
	notes                            []*note
	mentions, commands               []string
	squash, removeSource             bool
	createdAt, updatedAt             time.Time
	builtAt                          time.Time // when a pipeline of it last started
	mergedAt, closedAt               time.Time
	mergedBy, closedBy               *User
	autoMergeBy                      *User // nil: no auto-merge
	params                           mergeParams
	mergeCommit, squashCommit        string
	sourceRemoved                    bool
	mergeError, failNext, blocker    string
	conflict, unresolved, needRebase bool
	check                            mergeability
}

// Open opens a merge request and gives back what became of it.
func (s *Server) Open(in MergeRequest) MergeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(in.ProjectID)
	if in.IID == 0 {
		for _, other := range s.mrs {
			if other.project == p {
				in.IID = max(in.IID, other.iid)
			}
		}
		in.IID++
	}
	mr := &mergeRequest{
		project: p, id: s.id(), iid: in.IID, state: "opened",
		title: or(in.Title, "Change "+strconv.Itoa(in.IID)), description: in.Description,
		source: or(in.Source, fmt.Sprintf("feature-%d", in.IID)), target: or(in.Target, p.DefaultBranch),
		sourceProject: or(in.SourceProjectID, p.ID), author: s.person(or(in.Author, "alice")),
		assignees: s.people(in.Assignees), reviewers: s.people(in.Reviewers), labels: slices.Clone(in.Labels),
		files: slices.Clone(in.Files), squash: in.Squash, removeSource: in.RemoveSourceBranch,
		createdAt: or(in.CreatedAt.UTC(), s.now()), updatedAt: s.now(),
	}
	if in.Draft && !isDraft(mr.title) {
		mr.title = "Draft: " + mr.title
	}
	if len(in.Commits) == 0 {
		in.Commits = []Commit{{Title: mr.title}}
	}
	if mr.files == nil {
		mr.files = []FileChange{{Path: "README.md", Additions: 1}}
	}
	mr.commits = s.commits(mr, in.Commits)
	if in.HasPipeline || p.CI {
		s.startPipeline(mr, "running")
	}
	mr.check.prepare(s.opts.MergeabilityDelay)
	s.mrs = append(s.mrs, mr)
	s.mergeRequestHook(mr, event{action: "open", by: mr.author})
	return s.snapshot(mr)
}

// MR gives a copy of a merge request as it now stands.
func (s *Server) MR(project int64, iid int) MergeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot(s.must(project, iid))
}

func (s *Server) edit(project int64, iid int, change func(*mergeRequest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.must(project, iid))
}

func (s *Server) find(p *Project, iid int) *mergeRequest {
	for _, mr := range s.mrs {
		if mr.project == p && mr.iid == iid {
			return mr
		}
	}
	return nil
}

func (s *Server) must(project int64, iid int) *mergeRequest {
	mr := s.find(s.mustProject(project), iid)
	if mr == nil {
		panic(fmt.Sprintf("gitlabsim: project %d has no merge request %d", project, iid))
	}
	return mr
}

// save is a change of the merge request's own row: its updated_at follows.
//
// Not everything that changes in a merge request is one. Its mergeability
// (merge_request.rb, Gitlab::Timeless), its head commit (merge_request_diff.rb,
// set_as_latest_diff), its pipeline and its project's path are written without.
func (s *Server) save(mr *mergeRequest) { mr.updatedAt = s.now() }

// touch is what a note does to its merge request, also one that GitLab writes
// itself, of a push or an approval: nothing, where the last change was less than
// a minute ago (app/models/concerns/throttled_touch.rb; python-gitlab#743).
func (s *Server) touch(mr *mergeRequest) {
	if now := s.now(); now.Sub(mr.updatedAt) > time.Minute {
		mr.updatedAt = now
	}
}

func (mr *mergeRequest) head() string { return mr.commits[len(mr.commits)-1].ID }

// headPipeline is the pipeline that counts for the head: one of that very
// commit, or a merged-results one made for it. mr.pipeline may be of an older commit.
func (mr *mergeRequest) headPipeline() *Pipeline {
	if p := mr.pipeline; p != nil && (p.SHA == mr.head() || p.SourceSHA == mr.head()) {
		return p
	}
	return nil
}

func (p *Pipeline) active() bool {
	if p == nil {
		return false
	}
	return slices.Contains([]string{"created", "waiting_for_resource", "preparing", "pending", "running"}, p.Status)
}

// draftPrefixes as in app/models/concerns/… MergeRequest::DRAFT_REGEX.
func draftPrefixes() []string { return []string{"draft:", "[draft]", "(draft)"} }

func isDraft(title string) bool { return withoutDraft(title) != title }

func withoutDraft(title string) string {
	for _, prefix := range draftPrefixes() {
		if len(title) >= len(prefix) && strings.EqualFold(title[:len(prefix)], prefix) {
			return strings.TrimSpace(title[len(prefix):])
		}
	}
	return title
}

// commits fills in what was left out.
func (s *Server) commits(mr *mergeRequest, in []Commit) []Commit {
	var out []Commit
	for _, c := range in {
		c.Title, _, _ = strings.Cut(or(c.Title, c.Message), "\n")
		c.Message = or(c.Message, c.Title+"\n")
		c.ID = or(c.ID, s.sha(c.Title))
		c.AuthorName = or(c.AuthorName, mr.author.Name)
		c.AuthorEmail = or(c.AuthorEmail, mr.author.CommitEmail)
		c.CommitterName = or(c.CommitterName, c.AuthorName)
		c.CommitterEmail = or(c.CommitterEmail, c.AuthorEmail)
		if c.At.IsZero() {
			c.At = s.now()
		}
		out = append(out, c)
	}
	return out
}

func (s *Server) snapshot(mr *mergeRequest) MergeRequest {
	out := MergeRequest{
		ProjectID: mr.project.ID, IID: mr.iid, Title: mr.title, Description: mr.description,
		Source: mr.source, Target: mr.target, SourceProjectID: mr.sourceProject, Author: mr.author.Username,
		Draft: isDraft(mr.title), Commits: slices.Clone(mr.commits), Files: slices.Clone(mr.files),
		Reviewers: usernames(mr.reviewers), Assignees: usernames(mr.assignees), Labels: slices.Clone(mr.labels),
		HasPipeline: mr.pipeline != nil, Squash: mr.squash, RemoveSourceBranch: mr.removeSource,
		ID: mr.id, State: mr.state, Head: mr.head(), Status: mr.status(), AutoMerge: mr.autoMergeBy != nil,
		MergeCommit: mr.mergeCommit, SquashCommit: mr.squashCommit, MergeMessage: mr.params.message,
		SquashMessage: mr.params.squashMessage, SourceBranchRemoved: mr.sourceRemoved, MergeError: mr.mergeError,
		CreatedAt: mr.createdAt, UpdatedAt: mr.updatedAt,
		Mentions: slices.Clone(mr.mentions), Commands: slices.Clone(mr.commands),
	}
	if mr.pipeline != nil {
		p := *mr.pipeline
		p.statuses = nil
		out.Pipeline = &p
	}
	for _, a := range mr.approvals {
		out.ApprovedBy = append(out.ApprovedBy, a.by.Username)
	}
	for _, who := range []struct {
		to   *string
		user *User
	}{{&out.AutoMergeBy, mr.autoMergeBy}, {&out.MergedBy, mr.mergedBy}, {&out.ClosedBy, mr.closedBy}} {
		if who.user != nil {
			*who.to = who.user.Username
		}
	}
	for _, n := range mr.notes {
		if n.System {
			out.SystemNotes = append(out.SystemNotes, n.Note)
		} else {
			out.Notes = append(out.Notes, n.Note)
		}
	}
	return out
}

// mergeRequestOf finds the merge request of a call as find_merge_request_with_access
// does (lib/api/helpers.rb): 404 where it is not there, 403 where it may not be read.
func (s *Server) mergeRequestOf(q *request) (*mergeRequest, *answer) {
	p, no := s.projectOf(q)
	if no != nil {
		return nil, no
	}
	mr := s.find(p, int(q.number("merge_request_iid")))
	if mr == nil {
		return nil, refuse(http.StatusNotFound, "404 Not found")
	}
	if !p.readable() {
		return nil, refuse(http.StatusForbidden, "403 Forbidden")
	}
	return mr, nil
}

// getMergeRequest also starts the check of mergeability, as the real one does,
// and as nothing else does.
func (s *Server) getMergeRequest(q *request) answer {
	mr, no := s.mergeRequestOf(q)
	if no != nil {
		return *no
	}
	if !s.opts.ChecksOnMerge {
		mr.check.start(s.opts.MergeabilityDelay)
	}
	return jsonAnswer(http.StatusOK, s.mergeRequestJSON(mr))
}

// putMergeRequest edits: lib/api/merge_requests.rb, "Update merge request".
// There is no sha to pin the head with.
func (s *Server) putMergeRequest(q *request) answer {
	understood := []string{
		"state_event", "title", "target_branch", "description", "labels", "add_labels", "remove_labels", "squash",
		"remove_source_branch", "discussion_locked",
	}
	if !slices.ContainsFunc(understood, q.has) {
		return problem(http.StatusBadRequest, strings.Join(understood, ", ")+" are missing, at least one parameter must be provided")
	}
	mr, no := s.mergeRequestOf(q)
	if no != nil {
		return *no
	}
	if mr.project.BotAccess < Developer && mr.author != s.bot && !slices.Contains(mr.assignees, s.bot) {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	if q.str("state_event") == "reopen" && mr.state == "closed" {
		for _, other := range s.mrs {
			if other != mr && other.project == mr.project && other.state == "opened" && other.source == mr.source && other.target == mr.target {
				return jsonAnswer(http.StatusConflict, object{"message": []string{
					fmt.Sprintf("Another open merge request already exists for this source branch: !%d", other.iid),
				}})
			}
		}
	}
	if q.has("title") {
		s.setTitle(mr, q.str("title"), s.bot)
	}
	if q.has("description") {
		mr.description = q.str("description")
		s.save(mr)
		s.mergeRequestHook(mr, event{action: "update", by: s.bot})
	}
	if q.has("target_branch") {
		s.retarget(mr, q.str("target_branch"), s.bot)
	}
	if q.has("squash") {
		mr.squash = q.flag("squash")
	}
	if q.has("remove_source_branch") {
		mr.removeSource = q.flag("remove_source_branch")
	}
	labels := slices.Clone(mr.labels)
	if q.has("labels") {
		labels = q.list("labels")
	}
	labels = append(labels, q.list("add_labels")...)
	labels = slices.DeleteFunc(labels, func(l string) bool { return slices.Contains(q.list("remove_labels"), l) })
	if !slices.Equal(labels, mr.labels) {
		s.setLabels(mr, labels, s.bot)
	}
	switch q.str("state_event") {
	case "close":
		s.close(mr, s.bot)
	case "reopen":
		s.reopen(mr, s.bot)
	}
	return jsonAnswer(http.StatusOK, s.mergeRequestJSON(mr))
}

// listCommits lists newest first.
func (s *Server) listCommits(q *request) answer {
	mr, no := s.mergeRequestOf(q)
	if no != nil {
		return *no
	}
	commits := slices.Clone(mr.commits)
	slices.Reverse(commits)
	return paginate(q, commits, func(c Commit) any {
		return object{
			"id": c.ID, "short_id": c.ID[:8], "created_at": stamp(c.At), "parent_ids": []string{}, "title": c.Title,
			"message": c.Message, "author_name": c.AuthorName, "author_email": c.AuthorEmail, "authored_date": stamp(c.At),
			"committer_name": c.CommitterName, "committer_email": c.CommitterEmail, "committed_date": stamp(c.At),
			"trailers": object{}, "extended_trailers": object{}, "web_url": s.url + "/" + mr.project.Path + "/-/commit/" + c.ID,
		}
	})
}
