package gitlabsim

import "time"

// mergeability is what GitLab knows about whether git could merge. It knows
// nothing until it has checked, and checks only when somebody asks for the
// single merge request; asking for the merge is not asking
// (docs.gitlab.com/api/merge_requests, "Get single MR"; gitlab-org/gitlab#288846).
type mergeability struct {
	preparedAt time.Time // until then the diff is being made: preparing
	checkedAt  time.Time // zero: nobody has asked; in the future: checking
}

// prepare begins the life of a merge request.
func (m *mergeability) prepare(delay time.Duration) {
	m.preparedAt = time.Now()
	if delay > 0 {
		m.preparedAt = m.preparedAt.Add(delay)
	}
	m.forget(delay)
}

// forget puts it back to unknown: something was pushed, here or to the target.
func (m *mergeability) forget(delay time.Duration) {
	m.checkedAt = time.Time{}
	if delay < 0 {
		m.done()
	}
}

// start begins a check, where one is due.
func (m *mergeability) start(delay time.Duration) {
	if m.prepared() && m.checkedAt.IsZero() {
		m.checkedAt = time.Now().Add(delay)
	}
}

// done ends a check, or does it at once: GitLab's own workers wait for it.
func (m *mergeability) done() { m.checkedAt = time.Now() }

func (m *mergeability) prepared() bool { return !time.Now().Before(m.preparedAt) }

// status is merge_status as the database has it.
func (m *mergeability) status(mr *mergeRequest) string {
	switch {
	case !m.prepared():
		return "preparing"
	case m.checkedAt.IsZero():
		return "unchecked"
	case time.Now().Before(m.checkedAt):
		return "checking"
	case mr.conflict:
		return "cannot_be_merged"
	default:
		return "can_be_merged"
	}
}

// public is merge_status as the API shows it (MergeRequest#public_merge_status).
func (m *mergeability) public(mr *mergeRequest) string {
	if st := m.status(mr); st != "preparing" {
		return st
	}
	return "checking"
}

func (mr *mergeRequest) preparedAt() time.Time {
	if !mr.check.prepared() {
		return time.Time{}
	}
	return mr.createdAt
}

// transient says that GitLab does not know yet.
func (mr *mergeRequest) transient() bool {
	st := mr.check.status(mr)
	return st == "preparing" || st == "unchecked" || st == "checking"
}

// status is detailed_merge_status: the first thing in the way, by a fixed
// order, CI last (mergeability/detailed_merge_status_service.rb and
// MergeRequest.all_mergeability_checks). More may hide behind it.
func (mr *mergeRequest) status() string {
	if mr.transient() {
		return mr.check.status(mr)
	}
	return mr.obstacle()
}

// obstacle is the status once git has been asked.
func (mr *mergeRequest) obstacle() string {
	switch {
	case mr.state != "opened":
		return "not_open"
	case isDraft(mr.title):
		return "draft_status"
	case !mr.discussionsResolved():
		return "discussions_not_resolved"
	case mr.blocker != "":
		return mr.blocker
	case mr.conflict:
		return "conflict"
	case mr.needRebase:
		return "need_rebase"
	case !mr.project.PipelinesMustSucceed || mr.headPipelineSucceeded():
		return "mergeable"
	case mr.headPipeline().active():
		return "ci_still_running"
	default:
		return "ci_must_pass"
	}
}

// discussionsResolved is true also where the project does not demand it.
func (mr *mergeRequest) discussionsResolved() bool {
	return !mr.unresolved || !mr.project.DiscussionsMustBeResolved
}

func (mr *mergeRequest) headPipelineSucceeded() bool {
	p := mr.headPipeline()
	return p != nil && p.Status == "success"
}
