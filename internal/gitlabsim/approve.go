package gitlabsim

import (
	"net/http"
	"slices"
	"time"
)

type approval struct {
	by *User
	at time.Time
}

func (mr *mergeRequest) approvedBy(u *User) bool {
	return slices.ContainsFunc(mr.approvals, func(a approval) bool { return a.by == u })
}

// eligible is Approvable#eligible_for_approval_by?, and that it is still open.
func (s *Server) eligible(mr *mergeRequest) bool {
	return mr.project.BotAccess >= Developer && !mr.approvedBy(s.bot) && mr.state == "opened"
}

// approvable finds the merge request of a call that takes a Developer:
// find_merge_request_with_access(iid, :approve_merge_request).
func (s *Server) approvable(q *request) (*mergeRequest, *answer) {
	mr, no := s.mergeRequestOf(q)
	if no == nil && mr.project.BotAccess < Developer {
		no = refuse(http.StatusForbidden, "403 Forbidden")
	}
	return mr, no
}

func (s *Server) getApprovals(q *request) answer {
	mr, no := s.mergeRequestOf(q)
	if no != nil {
		return *no
	}
	return jsonAnswer(http.StatusOK, s.approvalsJSON(mr))
}

// approve: lib/api/merge_request_approvals.rb. Who, then the sha, then whether;
// the last answers 401 for everything, also where the bot has approved before.
func (s *Server) approve(q *request) answer {
	mr, no := s.approvable(q)
	if no != nil {
		return *no
	}
	if no := mr.checkSHA(q); no != nil {
		return *no
	}
	if !s.eligible(mr) {
		return message(http.StatusUnauthorized, "401 Unauthorized")
	}
	s.addApproval(mr, s.bot)
	return jsonAnswer(http.StatusCreated, s.approvalsJSON(mr))
}

// unapprove answers 404 where there is nothing to take back.
func (s *Server) unapprove(q *request) answer {
	mr, no := s.approvable(q)
	if no != nil {
		return *no
	}
	if !mr.approvedBy(s.bot) {
		return message(http.StatusNotFound, "404 Not Found")
	}
	mr.approvals = slices.DeleteFunc(mr.approvals, func(a approval) bool { return a.by == s.bot })
	s.systemNote(mr, s.bot, "unapproved this merge request")
	s.touch(mr)
	s.mergeRequestHook(mr, event{action: "unapproved", by: s.bot})
	return jsonAnswer(http.StatusCreated, s.approvalsJSON(mr))
}

// addApproval fires "approved" each time: on CE one approval is all (approval_service.rb).
func (s *Server) addApproval(mr *mergeRequest, by *User) {
	if mr.approvedBy(by) {
		return
	}
	mr.approvals = append(mr.approvals, approval{by: by, at: s.now()})
	s.systemNote(mr, by, "approved this merge request")
	s.touch(mr)
	s.mergeRequestHook(mr, event{action: "approved", by: by})
	s.processAutoMerge(mr)
}

func (s *Server) approvalsJSON(mr *mergeRequest) object {
	by := []object{}
	for _, a := range mr.approvals {
		by = append(by, object{"user": s.userJSON(a.by), "approved_at": stamp(a.at)})
	}
	return object{
		"user_has_approved": mr.approvedBy(s.bot), "user_can_approve": s.eligible(mr),
		"approved": len(mr.approvals) > 0, "approved_by": by,
	}
}
