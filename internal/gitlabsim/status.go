package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What a pipeline was started by.
const (
	external          = "external" // by a commit status, for which there was no pipeline
	mergeRequestEvent = "merge_request_event"
)

// maxStatusText is the longest ref, address and description of a commit status.
const maxStatusText = 255

// CommitStatus is a status that was posted on a commit: a job in its pipeline's
// stage "external".
type CommitStatus struct {
	ID          int64
	SHA         string
	Ref         string
	Name        string
	Status      string
	Description string
	TargetURL   string
	PipelineID  int64
	At          time.Time
	Retried     bool // a later one of the name has taken its place
}

// Statuses are those that were posted on the commit, oldest first, also those whose
// place others have taken.
func (s *Server) Statuses(project int64, sha string) []CommitStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []CommitStatus
	for _, p := range s.pipelinesOf(project, sha) {
		for _, c := range p.statuses {
			all = append(all, *c)
		}
	}
	slices.SortFunc(all, func(a, b CommitStatus) int { return int(a.ID - b.ID) })
	return all
}

// pipelinesOf are the project's pipelines of a commit, oldest first.
func (s *Server) pipelinesOf(project int64, sha string) []*Pipeline {
	return slices.DeleteFunc(slices.Clone(s.pipelines), func(p *Pipeline) bool { return p.project != project || p.SHA != sha })
}

// hasCommit says that the project has the commit: in one of its branches, or as
// that of a fork's merge request. branch is one that it is in; "": it is in none.
func (s *Server) hasCommit(p *Project, sha string) (branch string, there bool) {
	for _, mr := range s.mrs {
		if (mr.project == p || mr.sourceProject == p.ID) && slices.ContainsFunc(mr.commits, func(c Commit) bool { return c.ID == sha }) {
			there = true
			if mr.sourceProject == p.ID {
				branch = mr.source
			}
		}
	}
	return branch, there
}

// postStatus is lib/api/commit_statuses.rb and
// app/services/ci/create_commit_status_service.rb: the status joins the newest
// pipeline of the commit and, if one is given, the ref; where there is none, one is
// made. The 409 of two updates at once is left to Inject.
func (s *Server) postStatus(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	if p.BotAccess < Developer {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	sha := q.path["sha"]
	branch, there := s.hasCommit(p, sha)
	if !there {
		return message(http.StatusNotFound, "404 Commit Not Found")
	}
	pipelines := slices.DeleteFunc(s.pipelinesOf(p.ID, sha), func(of *Pipeline) bool {
		return q.has("ref") && of.Ref != q.str("ref") || q.has("pipeline_id") && of.ID != int64(q.integer("pipeline_id", 0))
	})
	if q.has("pipeline_id") && len(pipelines) == 0 {
		return message(http.StatusNotFound, "404 Pipeline for pipeline_id, sha and ref Not Found")
	}
	ref := or(q.str("ref"), branch)
	if len(pipelines) > 0 {
		ref = pipelines[len(pipelines)-1].Ref
	}
	if ref == "" {
		return message(http.StatusNotFound, "404 References for commit Not Found")
	}
	for _, name := range []string{"ref", "target_url", "description"} {
		if len([]rune(q.str(name))) > maxStatusText {
			return jsonAnswer(http.StatusBadRequest, object{"message": object{name: []string{"is too long (maximum is 255 characters)"}}})
		}
	}
	if url := q.str("target_url"); url != "" && !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return jsonAnswer(http.StatusBadRequest, object{"message": object{"target_url": []string{"is blocked: Only allowed schemes are http, https"}}})
	}
	if len(pipelines) == 0 {
		made := &Pipeline{ID: s.id(), SHA: sha, Ref: ref, Source: external, project: p.ID}
		s.pipelines = append(s.pipelines, made)
		pipelines = append(pipelines, made)
	}
	pipeline := pipelines[len(pipelines)-1]
	status, no := s.setStatus(pipeline, q)
	if no != nil {
		return *no
	}
	s.lead(pipeline)
	s.combine(pipeline)
	return jsonAnswer(http.StatusCreated, s.statusJSON(status))
}

// setStatus changes the status of the name that is not over yet, or makes one. From
// a state to itself there is no way, of those that are not over
// (app/models/commit_status.rb, state_machine).
func (s *Server) setStatus(p *Pipeline, q *request) (*CommitStatus, *answer) {
	name, state := or(or(q.str("name"), q.str("context")), "default"), q.str("state")
	i := slices.IndexFunc(p.statuses, func(c *CommitStatus) bool {
		return c.Name == name && !c.Retried && (c.Status == "pending" || c.Status == "running")
	})
	var status *CommitStatus
	if i >= 0 {
		status = p.statuses[i]
		event := map[string]string{"pending": "enqueue", "running": "run"}[state]
		if state == status.Status || event == "enqueue" {
			return nil, refuse(http.StatusBadRequest,
				fmt.Sprintf(`Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via "%[1]s")`, event, status.Status))
		}
	} else {
		for _, c := range p.statuses {
			c.Retried = c.Retried || c.Name == name
		}
		status = &CommitStatus{ID: s.id(), SHA: p.SHA, Ref: p.Ref, Name: name, PipelineID: p.ID, At: s.now()}
		p.statuses = append(p.statuses, status)
	}
	status.Status = state
	if q.has("description") {
		status.Description = q.str("description")
	}
	if q.has("target_url") {
		status.TargetURL = q.str("target_url")
	}
	return status, nil
}

// lead makes a pipeline the head pipeline of the merge requests whose head it is of:
// it has to be of their source branch, and one that was started for the merge
// request goes before it (app/finders/ci/pipelines_for_merge_request_finder.rb).
func (s *Server) lead(p *Pipeline) {
	for _, mr := range s.mrs {
		if mr.sourceProject != p.project || mr.source != p.Ref || mr.head() != p.SHA {
			continue
		}
		if of := mr.headPipeline(); of == nil || of.Source != mergeRequestEvent && of.ID < p.ID {
			mr.pipeline = p
		}
	}
}

// combine makes one status of those of a pipeline's jobs
// (lib/gitlab/ci/status/composite.rb), and has what waited for it go on.
func (s *Server) combine(p *Pipeline) {
	var all []string
	if p.own != "" {
		all = append(all, p.own)
	}
	for _, c := range p.statuses {
		if !c.Retried {
			all = append(all, c.Status)
		}
	}
	only := func(states ...string) bool {
		return !slices.ContainsFunc(all, func(one string) bool { return !slices.Contains(states, one) })
	}
	switch {
	case len(all) == 1:
		p.Status = all[0]
	case only("skipped"):
		p.Status = "skipped"
	case only("success", "skipped"):
		p.Status = "success"
	case only("created"):
		p.Status = "created"
	case only("canceled", "success", "skipped"):
		p.Status = "canceled"
	case only("pending", "created", "skipped"):
		p.Status = "pending"
	case slices.Contains(all, "running"), slices.Contains(all, "pending"):
		p.Status = "running"
	case slices.Contains(all, "manual"):
		p.Status = "manual"
	default:
		p.Status = "failed"
	}
	for _, mr := range s.mrs {
		if mr.pipeline == p {
			s.built(mr)
			s.processAutoMerge(mr)
		}
	}
}

// listStatuses lists the jobs of a commit's pipelines, statuses and GitLab's own
// alike, by default the latest of each name (lib/api/commit_statuses.rb).
func (s *Server) listStatuses(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	if !p.readable() {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	sha := q.path["sha"]
	if _, there := s.hasCommit(p, sha); !there {
		return message(http.StatusNotFound, "404 Commit Not Found")
	}
	var all []*CommitStatus
	for _, of := range s.pipelinesOf(p.ID, sha) {
		if of.own != "" && (q.str("stage") == "" || q.str("stage") == "test") {
			all = append(all, &CommitStatus{ID: of.ID, SHA: sha, Ref: of.Ref, Name: "test", Status: of.own, PipelineID: of.ID, At: s.now()})
		}
		if q.str("stage") == "" || q.str("stage") == external {
			all = append(all, of.statuses...)
		}
	}
	all = slices.DeleteFunc(all, func(c *CommitStatus) bool {
		return c.Retried && !q.flag("all") || q.str("ref") != "" && c.Ref != q.str("ref") || q.str("name") != "" && c.Name != q.str("name") ||
			q.str("pipeline_id") != "" && c.PipelineID != int64(q.integer("pipeline_id", 0))
	})
	slices.SortFunc(all, func(a, b *CommitStatus) int {
		by := int(a.ID - b.ID)
		if q.str("order_by") == "pipeline_id" {
			by = int(a.PipelineID - b.PipelineID)
		}
		if q.str("sort") == "desc" {
			by = -by
		}
		return by
	})
	return paginate(q, all, func(c *CommitStatus) any { return s.statusJSON(c) })
}

// statusJSON is lib/api/entities/commit_status.rb.
func (s *Server) statusJSON(c *CommitStatus) object {
	return object{
		"id": c.ID, "sha": c.SHA, "ref": c.Ref, "status": c.Status, "name": c.Name, "target_url": orNil(c.TargetURL),
		"description": orNil(c.Description), "created_at": stamp(c.At), "started_at": nil, "finished_at": nil, "allow_failure": false,
		"coverage": nil, "pipeline_id": c.PipelineID, "author": s.userJSON(s.bot),
	}
}
