package gitlabsim

import (
	"net/http"
)

// mergeParams are kept with a merge request between an auto-merge's setting and
// its doing.
type mergeParams struct {
	message, squashMessage string
	removeSource           any // nil, true, false
}

// canMerge is MergeRequest#can_be_merged_by?: the bot's level against the
// target branch's.
func (s *Server) canMerge(mr *mergeRequest) bool {
	p := mr.project
	if p.BotOnly || p.Unprotected {
		return p.BotAccess >= Developer
	}
	return p.BotAccess >= p.MergeAccess
}

// putMerge merges, or sets an auto-merge. The order of its checks, and what each
// answers, is that of lib/api/merge_requests.rb, "Merge a merge request": a
// stale sha shows only where everything else is in order, and 405 tells no reason.
func (s *Server) putMerge(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	// find_project_merge_request: one that may not be read does not exist.
	mr := s.find(p, int(q.number("merge_request_iid")))
	if mr == nil || !p.readable() {
		return message(http.StatusNotFound, "404 Not found")
	}
	if !s.canMerge(mr) {
		return message(http.StatusUnauthorized, "401 Unauthorized")
	}

	auto := q.flag("merge_when_pipeline_succeeds") || q.flag("auto_merge")
	if s.opts.ChecksOnMerge && mr.check.prepared() {
		// MergeRequest#mergeable? asks git only where nothing else is in the way.
		switch mr.obstacle() {
		case "mergeable", "conflict", "need_rebase":
			mr.check.done()
		case "ci_still_running":
			if auto {
				mr.check.done()
			}
		}
	}
	if auto && s.opts.OldAutoMerge {
		return s.putOldAutoMerge(q, mr)
	}
	automatically := auto && mr.autoMergeAvailable()
	immediately := mr.status() == "mergeable"
	if auto {
		immediately = mr.headPipelineSucceeded()
	}
	if mr.transient() || (!immediately && !automatically) {
		return message(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	if !automatically && mr.status() != "mergeable" {
		return message(http.StatusUnprocessableEntity, "Branch cannot be merged")
	}
	if no := mr.checkSHA(q); no != nil {
		return *no
	}

	params := mr.take(q)
	if !immediately {
		return s.setAutoMerge(mr, s.bot, params)
	}
	if mr.status() != "mergeable" || !s.merge(mr, s.bot, params) {
		return message(http.StatusUnprocessableEntity, "Branch cannot be merged")
	}
	return jsonAnswer(http.StatusOK, s.mergeRequestJSON(mr))
}

// putOldAutoMerge is the same with an auto-merge on a server before 12.0, which
// skips every check of CI and looks only whether the stored head pipeline is
// active: if it is not, of whatever commit it is, it merges.
func (s *Server) putOldAutoMerge(q *request, mr *mergeRequest) answer {
	switch mr.status() {
	case "mergeable", "ci_still_running", "ci_must_pass":
	default:
		return message(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	if no := mr.checkSHA(q); no != nil {
		return *no
	}
	params := mr.take(q)
	if mr.pipeline.active() {
		return s.setAutoMerge(mr, s.bot, params)
	}
	if !s.merge(mr, s.bot, params) {
		return message(http.StatusNotAcceptable, "Branch cannot be merged")
	}
	return jsonAnswer(http.StatusOK, s.mergeRequestJSON(mr))
}

// take reads what a merge is to be done with.
func (mr *mergeRequest) take(q *request) mergeParams {
	if q.flag("squash") { // only true is heard: squash cannot be switched off here
		mr.squash = true
	}
	params := mergeParams{message: q.str("merge_commit_message"), squashMessage: q.str("squash_commit_message")}
	if q.has("should_remove_source_branch") {
		params.removeSource = q.flag("should_remove_source_branch")
	}
	return params
}

func (s *Server) setAutoMerge(mr *mergeRequest, by *User, params mergeParams) answer {
	mr.autoMergeBy, mr.params = by, params
	s.systemNote(mr, by, "enabled an automatic merge when all merge checks for "+mr.head()+" pass")
	s.save(mr)
	s.processAutoMerge(mr)
	return jsonAnswer(http.StatusOK, s.mergeRequestJSON(mr))
}

// checkSHA is check_sha_param! (lib/api/helpers.rb). An empty sha is one, too.
func (mr *mergeRequest) checkSHA(q *request) *answer {
	if q.has("sha") && q.str("sha") != mr.head() {
		return refuse(http.StatusConflict, "SHA does not match HEAD of source branch: "+mr.head())
	}
	return nil
}

// autoMergeAvailable is app/services/auto_merge/merge_when_checks_pass_service.rb:
// drafts, open threads, missing approvals and CI may be waited for, a conflict
// may not; and where there is nothing to wait for it is refused, which is the
// trap: auto-merge on a mergeable merge request without a running pipeline is a 405.
func (mr *mergeRequest) autoMergeAvailable() bool {
	if mr.state != "opened" || mr.transient() || mr.conflict || mr.needRebase {
		return false
	}
	return mr.status() != "mergeable" || mr.headPipeline().active()
}

// processAutoMerge merges what an auto-merge was waiting for, in a worker, some
// time later, in the name of who set it.
func (s *Server) processAutoMerge(mr *mergeRequest) {
	if mr.autoMergeBy == nil || (mr.pipeline != nil || mr.project.CI) && !mr.headPipelineSucceeded() {
		return
	}
	mr.check.done() // the worker asks by itself, and waits
	if mr.status() != "mergeable" {
		return
	}
	head := mr.head()
	s.async(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if mr.autoMergeBy != nil && mr.head() == head && mr.status() == "mergeable" {
			s.merge(mr, mr.autoMergeBy, mr.params)
		}
	})
}

func (s *Server) dropAutoMerge(mr *mergeRequest, by *User, why string) {
	if mr.autoMergeBy != nil {
		mr.autoMergeBy, mr.params = nil, mergeParams{}
		s.systemNote(mr, by, why)
		s.save(mr)
	}
}

// merge merges and says whether it did. A merge_error stays for good, also
// after a later success (gitlab-org/gitlab work item 33231).
func (s *Server) merge(mr *mergeRequest, by *User, params mergeParams) bool {
	if mr.failNext != "" {
		mr.mergeError, mr.failNext, mr.autoMergeBy = mr.failNext, "", nil
		s.save(mr)
		return false
	}
	if mr.state == "merged" || mr.state == "closed" {
		return false
	}
	mr.check.done()
	mr.state, mr.mergedBy, mr.mergedAt, mr.autoMergeBy, mr.params = "merged", by, s.now(), nil, params
	if mr.squash {
		mr.squashCommit = s.sha("squash")
	}
	if mr.project.MergeMethod != "ff" {
		mr.mergeCommit = s.sha("merge")
	}
	mr.sourceRemoved = params.removeSource == true || params.removeSource == nil && mr.removeSource
	s.save(mr)
	s.mergeRequestHook(mr, event{action: "merge", by: by})

	for _, other := range s.mrs {
		if other == mr || other.project != mr.project || other.state != "opened" {
			continue
		}
		switch {
		case other.target == mr.target:
			// The target moved: nobody knows any more whether this one fits (refresh_service.rb).
			other.check.forget(s.opts.MergeabilityDelay)
		case other.target == mr.source && mr.sourceRemoved:
			// Stacked merge requests follow (merge_requests/retarget_chain_service.rb).
			s.retarget(other, mr.target, by)
		}
	}
	return true
}

// cancelAutoMerge answers 201 and a status, never the merge request, also for
// a refusal (gitlab-org/gitlab!255702).
func (s *Server) cancelAutoMerge(q *request) answer {
	p, no := s.projectOf(q)
	if no != nil {
		return *no
	}
	mr := s.find(p, int(q.number("merge_request_iid")))
	if mr == nil || !p.readable() {
		return message(http.StatusNotFound, "404 Not found")
	}
	if !s.canMerge(mr) && mr.author != s.bot {
		return message(http.StatusUnauthorized, "401 Unauthorized")
	}
	if mr.autoMergeBy == nil {
		return jsonAnswer(http.StatusCreated, object{
			"status": "error", "message": "Can't cancel the automatic merge", "http_status": http.StatusNotAcceptable,
		})
	}
	s.dropAutoMerge(mr, s.bot, "canceled the automatic merge")
	return jsonAnswer(http.StatusCreated, object{"status": "success"})
}
