package gitlabsim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// What becomes of a hook that fails: GitLab leaves it alone for a while, and
// switches it off for good after many failures
// (docs.gitlab.com/user/project/integrations/webhooks, "Auto-disabled webhooks").
const (
	HookExecutable  = "executable"
	HookForAWhile   = "temporarily_disabled"
	HookForGood     = "disabled"
	hookEventsKept  = 7 * 24 * time.Hour // WebHookLog::MAX_RECENT_DAYS
	hookEventsAPage = 20                 // lib/api/hooks/events.rb, per_page
)

// SetHook changes the hooks with this address: their alert_status, and whether
// they are told of merge requests. One that is disabled gets nothing.
func (s *Server) SetHook(url, alertStatus string, mergeRequests bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.webhooks {
		if h := &s.webhooks[i]; h.url == url {
			h.alert, h.deaf = alertStatus, !mergeRequests
			h.until = time.Time{}
			if alertStatus == HookForAWhile {
				h.until = s.now().Add(time.Minute)
			}
		}
	}
}

// AddDelivery adds to the record of what was sent, for a test that sends nothing.
func (s *Server) AddDelivery(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, d)
}

// listHooks is GET /projects/:id/hooks: a Maintainer's (lib/api/project_hooks.rb,
// authorize_admin_project). System hooks are no project's.
func (s *Server) listHooks(q *request) answer {
	if no := s.administers(q); no != nil {
		return *no
	}
	hooks := slices.DeleteFunc(slices.Clone(s.webhooks), func(h webhook) bool { return h.system })
	return paginate(q, hooks, func(h webhook) any { return s.hookJSON(q, h) })
}

// hookJSON is lib/api/entities/project_hook.rb.
func (s *Server) hookJSON(q *request, h webhook) object {
	p, _ := s.projectOf(q)
	return object{
		"id": h.id, "url": h.url, "name": nil, "description": nil, "created_at": stamp(h.created), "push_events": false,
		"tag_push_events": false, "merge_requests_events": !h.deaf, "repository_update_events": false, "enable_ssl_verification": true,
		"alert_status": or(h.alert, HookExecutable), "disabled_until": stamp(h.until), "url_variables": []string{},
		"push_events_branch_filter": nil, "branch_filter_strategy": "wildcard", "custom_webhook_template": nil, "custom_headers": []string{},
		"project_id": p.ID, "issues_events": false, "note_events": false, "pipeline_events": false, "job_events": false,
		"token_present": h.secret != "", "signing_token_present": len(s.signingKey) > 0,
	}
}

// listHookEvents is what was sent to a hook in the last seven days, the newest
// first (lib/api/hooks/events.rb, lib/api/entities/web_hook_log.rb).
func (s *Server) listHookEvents(q *request) answer {
	if no := s.administers(q); no != nil {
		return *no
	}
	if q.integer("per_page", hookEventsAPage) > hookEventsAPage {
		return problem(http.StatusBadRequest, "per_page does not have a valid value")
	}
	i := slices.IndexFunc(s.webhooks, func(h webhook) bool { return h.id == q.number("hook_id") && !h.system })
	if i < 0 {
		return message(http.StatusNotFound, "404 Not found")
	}
	var sent []Delivery
	for _, d := range slices.Backward(s.deliveries) {
		if d.URL == s.webhooks[i].url && s.now().Sub(d.At) < hookEventsKept {
			sent = append(sent, d)
		}
	}
	return paginate(q, sent, func(d Delivery) any {
		status := "internal error" // WebHookService::InternalErrorResponse: there was no answer
		if d.Status != 0 {
			status = strconv.Itoa(d.Status)
		}
		return object{
			"id": 1, "url": d.URL, "trigger": "merge_request_hooks", "request_headers": object{}, "request_data": object{},
			"response_headers": object{}, "response_body": "", "execution_duration": 0.1, "response_status": status,
			"created_at": stamp(d.At),
		}
	})
}

// administers refuses who is no Maintainer.
func (s *Server) administers(q *request) *answer {
	p, no := s.projectOf(q)
	if no != nil {
		return no
	}
	if p.BotAccess < Maintainer {
		return refuse(http.StatusForbidden, "403 Forbidden")
	}
	return nil
}
