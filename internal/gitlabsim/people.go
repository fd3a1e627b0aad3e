package gitlabsim

import (
	"fmt"
	"slices"
	"time"
)

// What people do in GitLab's pages, or with git. Each does what it would do
// there, whoever the bot is, and makes the webhooks fire that it would.

// Push pushes commits onto the source branch. It leaves approvals alone, drops
// an auto-merge, and puts mergeability back to unknown
// (app/services/merge_requests/refresh_service.rb). In a project with CI it
// starts a pipeline. The commits of a closed merge request show when it is
// reopened. Its updated_at follows only through the note that names the commits.
func (s *Server) Push(project int64, iid int, commits ...Commit) {
	s.edit(project, iid, func(mr *mergeRequest) { s.push(mr, commits, false, true) })
}

// PushWithoutPipeline is Push with -o ci.skip: the head pipeline stays the old commit's.
func (s *Server) PushWithoutPipeline(project int64, iid int, commits ...Commit) {
	s.edit(project, iid, func(mr *mergeRequest) { s.push(mr, commits, false, false) })
}

// ForcePush puts commits in the place of all there were. Those of before, named
// by their IDs, take the branch back to where it was.
func (s *Server) ForcePush(project int64, iid int, commits ...Commit) {
	s.edit(project, iid, func(mr *mergeRequest) { s.push(mr, commits, true, true) })
}

func (s *Server) push(mr *mergeRequest, commits []Commit, force, pipeline bool) {
	if len(commits) == 0 {
		commits = []Commit{{Title: "one more change"}}
	}
	commits = s.commits(mr, commits)
	if mr.state != "opened" {
		mr.pushedWhileClosed = append(mr.pushedWhileClosed, commits...)
		return
	}
	old, before := mr.head(), mr.commits
	if force {
		mr.commits = nil
	}
	mr.commits = append(mr.commits, commits...)
	s.dropAutoMerge(mr, mr.author, "aborted the automatic merge because source branch was updated")
	mr.check.forget(s.opts.MergeabilityDelay)
	if pipeline && mr.project.CI {
		s.startPipeline(mr, "running")
	}
	// A push that brings no commit, back to an earlier one, leaves no note, and so
	// does not even touch (refresh_service.rb, notify_about_push).
	added := slices.DeleteFunc(commits, func(c Commit) bool {
		return slices.ContainsFunc(before, func(b Commit) bool { return b.ID == c.ID })
	})
	if len(added) > 0 {
		s.systemNote(mr, mr.author, fmt.Sprintf("added %d commits", len(added)))
		s.touch(mr)
	}
	s.mergeRequestHook(mr, event{action: "update", by: mr.author, oldrev: old})
}

// Retarget changes the target branch. It drops an auto-merge and resets mergeability.
func (s *Server) Retarget(project int64, iid int, target string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.retarget(mr, target, mr.author) })
}

func (s *Server) retarget(mr *mergeRequest, target string, by *User) {
	old := mr.target
	if mr.state != "opened" || target == old {
		return
	}
	mr.target = target
	s.dropAutoMerge(mr, by, "aborted the automatic merge because target branch was changed")
	before := mr.check.status(mr)
	mr.check.forget(s.opts.MergeabilityDelay)
	s.systemNote(mr, by, fmt.Sprintf("changed target branch from `%s` to `%s`", old, target))
	s.save(mr)
	// What was changed is not in the body's changes, but for the merge status
	// (seen in the wild: testdata's …-update-target-branch).
	s.mergeRequestHook(mr, event{action: "update", by: by, changes: object{"merge_status": change(before, mr.check.status(mr))}})
}

// SetDraft makes a merge request a draft, or ready.
func (s *Server) SetDraft(project int64, iid int, draft bool) {
	s.edit(project, iid, func(mr *mergeRequest) { s.setDraft(mr, draft, mr.author) })
}

func (s *Server) setDraft(mr *mergeRequest, draft bool, by *User) {
	switch {
	case draft && !isDraft(mr.title):
		s.setTitle(mr, "Draft: "+mr.title, by)
	case !draft && isDraft(mr.title):
		s.setTitle(mr, withoutDraft(mr.title), by)
	}
}

// SetTitle changes the title; one that begins with "Draft:" makes a draft.
func (s *Server) SetTitle(project int64, iid int, title string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.setTitle(mr, title, mr.author) })
}

func (s *Server) setTitle(mr *mergeRequest, title string, by *User) {
	old, wasDraft := mr.title, isDraft(mr.title)
	if title == old {
		return
	}
	mr.title = title
	changes := object{"title": change(old, title)}
	if draft := isDraft(title); draft != wasDraft {
		changes["draft"] = change(wasDraft, draft)
		s.systemNote(mr, by, "marked this merge request as **"+map[bool]string{true: "draft", false: "ready"}[draft]+"**")
	}
	s.save(mr)
	s.mergeRequestHook(mr, event{action: "update", by: by, changes: changes})
	s.processAutoMerge(mr)
}

// SetReviewers changes who is asked to review.
func (s *Server) SetReviewers(project int64, iid int, reviewers ...string) {
	s.edit(project, iid, func(mr *mergeRequest) {
		old := s.hookUsers(mr.reviewers)
		mr.reviewers = s.people(reviewers)
		s.touch(mr)
		// An array of two arrays, unlike every other change (docs, webhook_events).
		s.mergeRequestHook(mr, event{action: "update", by: mr.author, changes: object{"reviewers": []any{old, s.hookUsers(mr.reviewers)}}})
	})
}

// SetLabels changes the labels.
func (s *Server) SetLabels(project int64, iid int, labels ...string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.setLabels(mr, labels, mr.author) })
}

func (s *Server) setLabels(mr *mergeRequest, labels []string, by *User) {
	old := s.hookLabels(mr)
	mr.labels = labels
	s.touch(mr)
	s.mergeRequestHook(mr, event{action: "update", by: by, changes: object{"labels": change(old, s.hookLabels(mr))}})
}

// Close closes a merge request in somebody's name.
func (s *Server) Close(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.close(mr, s.person(by)) })
}

// close closes an open merge request; one that is merged, closed or locked
// stays what it is (the state machine in app/models/merge_request.rb).
func (s *Server) close(mr *mergeRequest, by *User) {
	if mr.state != "opened" {
		return
	}
	mr.state, mr.closedBy, mr.closedAt = "closed", by, s.now()
	s.dropAutoMerge(mr, by, "aborted the automatic merge because the merge request was closed")
	s.save(mr)
	s.mergeRequestHook(mr, event{action: "close", by: by})
}

// Reopen opens a closed merge request again.
func (s *Server) Reopen(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.reopen(mr, s.person(by)) })
}

func (s *Server) reopen(mr *mergeRequest, by *User) {
	if mr.state != "closed" {
		return
	}
	mr.state, mr.closedBy, mr.closedAt = "opened", nil, time.Time{}
	mr.commits = append(mr.commits, mr.pushedWhileClosed...)
	mr.pushedWhileClosed = nil
	mr.check.forget(s.opts.MergeabilityDelay)
	s.save(mr)
	s.mergeRequestHook(mr, event{action: "reopen", by: by})
}

// MergeByHand merges in somebody's name, whatever stands in the way: they
// pressed the button, or pushed the commits to the target branch.
func (s *Server) MergeByHand(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.merge(mr, s.person(by), mergeParams{}) })
}

// ApproveByHand approves in somebody's name.
func (s *Server) ApproveByHand(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.addApproval(mr, s.person(by)) })
}

// Comment writes a note in somebody's name. Quick actions in it are obeyed with
// every right there is.
func (s *Server) Comment(project int64, iid int, by, body string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.addNote(mr, s.person(by), Owner, body, false, "") })
}

// RemoveNotes deletes everything that the bot wrote, as a Maintainer can.
func (s *Server) RemoveNotes(project int64, iid int) {
	s.edit(project, iid, func(mr *mergeRequest) {
		mr.notes = slices.DeleteFunc(mr.notes, func(n *note) bool { return n.by == s.bot && !n.System })
	})
}

// SetConflict makes the source branch conflict with the target, or not any
// more, as a push to the target branch would.
func (s *Server) SetConflict(project int64, iid int, conflict bool) {
	s.edit(project, iid, func(mr *mergeRequest) {
		mr.conflict = conflict
		mr.check.forget(s.opts.MergeabilityDelay)
		s.processAutoMerge(mr)
	})
}

// SetNeedRebase makes a rebase necessary, as a push to the target branch of a
// fast-forward project does.
func (s *Server) SetNeedRebase(project int64, iid int, need bool) {
	s.edit(project, iid, func(mr *mergeRequest) {
		mr.needRebase = need
		mr.check.forget(s.opts.MergeabilityDelay)
		s.processAutoMerge(mr)
	})
}

// SetDiscussionsUnresolved opens a thread, or resolves all. It matters only
// where the project demands that they be resolved.
func (s *Server) SetDiscussionsUnresolved(project int64, iid int, unresolved bool) {
	s.edit(project, iid, func(mr *mergeRequest) {
		mr.unresolved = unresolved
		if !unresolved {
			s.mergeRequestHook(mr, event{action: "update", by: mr.author})
		}
		s.processAutoMerge(mr)
	})
}

// SetBlocker puts any other detailed_merge_status in the way of the merge:
// not_approved, merge_time, or one that nobody has heard of. "" takes it away.
func (s *Server) SetBlocker(project int64, iid int, status string) {
	s.edit(project, iid, func(mr *mergeRequest) {
		mr.blocker = status
		s.processAutoMerge(mr)
	})
}

// FailNextMerge lets the next merge run and fail with this merge_error.
func (s *Server) FailNextMerge(project int64, iid int, mergeError string) {
	s.edit(project, iid, func(mr *mergeRequest) { mr.failNext = mergeError })
}

// SetPipeline sets the status of the head's pipeline, and starts one where the
// head has none. Success lets a waiting auto-merge go on.
func (s *Server) SetPipeline(project int64, iid int, status string) {
	s.edit(project, iid, func(mr *mergeRequest) {
		if p := mr.headPipeline(); p != nil && p.Source != external {
			p.own = status
			s.combine(p)
			s.built(mr)
		} else {
			s.startPipeline(mr, status)
		}
		s.processAutoMerge(mr)
	})
}

// PutPipeline makes p the head pipeline, whatever commit it is of; nil: none, as
// after the one there was has been deleted.
func (s *Server) PutPipeline(project int64, iid int, p *Pipeline) {
	s.edit(project, iid, func(mr *mergeRequest) {
		s.pipelines = slices.DeleteFunc(s.pipelines, func(of *Pipeline) bool { return p == nil && of == mr.pipeline })
		mr.pipeline = nil
		if p != nil {
			c := *p
			c.ID, c.project, c.own = or(c.ID, s.id()), mr.project.ID, c.Status
			mr.pipeline = &c
			s.pipelines = append(s.pipelines, &c)
			s.built(mr)
		}
		s.processAutoMerge(mr)
	})
}

func (s *Server) startPipeline(mr *mergeRequest, status string) {
	mr.pipeline = &Pipeline{
		ID: s.id(), SHA: mr.head(), Status: status, Source: mergeRequestEvent, project: mr.project.ID, own: status,
		Ref: fmt.Sprintf("refs/merge-requests/%d/head", mr.iid),
	}
	s.pipelines = append(s.pipelines, mr.pipeline)
	s.built(mr)
}

// built notes, as app/workers/pipeline_metrics_worker.rb, that a pipeline of the
// merge request runs or has succeeded. It stays when that pipeline is gone.
func (s *Server) built(mr *mergeRequest) {
	if st := mr.pipeline.Status; st == "running" || st == "success" {
		mr.builtAt = s.now()
	}
}

// SetAutoMerge sets an auto-merge in somebody's name.
func (s *Server) SetAutoMerge(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) { s.setAutoMerge(mr, s.person(by), mergeParams{}) })
}

// CancelAutoMerge takes an auto-merge back in somebody's name.
func (s *Server) CancelAutoMerge(project int64, iid int, by string) {
	s.edit(project, iid, func(mr *mergeRequest) {
		s.dropAutoMerge(mr, s.person(by), "canceled the automatic merge")
	})
}

// Lock puts a merge request into the state that it has while it is being merged
// (and, sometimes, for hours: gitlab-org/gitlab#389044).
func (s *Server) Lock(project int64, iid int) {
	s.edit(project, iid, func(mr *mergeRequest) { mr.state = "locked"; s.save(mr) })
}

// Unlock opens a locked merge request again.
func (s *Server) Unlock(project int64, iid int) {
	s.edit(project, iid, func(mr *mergeRequest) { mr.state = "opened"; s.save(mr) })
}
