package gitlabsim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// webhookTimeout is GitLab's default (gitlab.yml, webhook_timeout).
const webhookTimeout = 10 * time.Second

type webhook struct {
	id          int64
	url, secret string
	system      bool
	created     time.Time

	deaf  bool   // it is not told of merge requests
	alert string // as the API calls it; "": executable
	until time.Time
}

// event is something that happened to a merge request, as a webhook tells it.
type event struct {
	action  string
	by      *User // who did it, not the author
	oldrev  string
	changes object
}

// Delivery is one webhook that was sent. It is never sent again, whatever
// became of it (app/services/web_hook_service.rb rescues and logs).
type Delivery struct {
	At     time.Time
	URL    string
	Header http.Header
	Body   []byte
	Status int
	Err    error
}

// OnWebhook adds a project hook. A second one gets everything as well, as where
// a group hook stands beside a project's. An empty url takes all away.
func (s *Server) OnWebhook(url, secret string) { s.addWebhook(webhook{url: url, secret: secret}) }

// OnSystemHook adds a system hook: another event header, and bodies that lack
// the action, the project's ID and the event type (testdata's playground-system-…).
func (s *Server) OnSystemHook(url, secret string) {
	s.addWebhook(webhook{url: url, secret: secret, system: true})
}

func (s *Server) addWebhook(h webhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.url == "" {
		s.webhooks = nil
		return
	}
	h.id, h.created = s.id(), s.now()
	s.webhooks = append(s.webhooks, h)
}

// SignWebhooks has every delivery signed by Standard Webhooks, as well
// (gitlab-org/gitlab!230944). The token is whsec_ and the key in base64; ""
// ends it.
func (s *Server) SignWebhooks(token string) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic("gitlabsim: a signing token is whsec_ and base64")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signingKey = key
}

// Deliveries gives the webhooks sent so far; call Wait for those under way.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deliveries)
}

// WebhookBody makes the body that a project hook would get for this action by
// the author, for tests that post it themselves; nothing is sent.
func (s *Server) WebhookBody(project int64, iid int, action string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	mr := s.must(project, iid)
	return encode(s.mergeRequestEvent(mr, event{action: action, by: mr.author}))
}

func encode(o object) []byte { return jsonAnswer(0, o).body }

func newWebhookClient() *http.Client {
	return &http.Client{
		Timeout:   webhookTimeout,
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (s *Server) mergeRequestHook(mr *mergeRequest, e event) {
	if len(s.webhooks) > 0 {
		s.send("Merge Request Hook", s.mergeRequestEvent(mr, e))
	}
}

// send sends a body to every hook, each in its own time.
func (s *Server) send(kind string, body object) {
	eventUUID := uuid()
	for _, h := range s.webhooks {
		if h.deaf || h.alert == HookForGood || s.now().Before(h.until) {
			continue
		}
		mine, name := body, kind
		if h.system {
			mine, name = systemBody(body), "System Hook"
		}
		raw := encode(mine)
		header := http.Header{
			"Content-Type":          {"application/json"},
			"User-Agent":            {"GitLab/" + s.opts.Version},
			"Idempotency-Key":       {uuid()},
			"X-Gitlab-Event":        {name},
			"X-Gitlab-Instance":     {s.url},
			"X-Gitlab-Webhook-Uuid": {uuid()}, // one a request, whatever the docs say
			"X-Gitlab-Event-Uuid":   {eventUUID},
		}
		if h.secret != "" {
			header.Set("X-Gitlab-Token", h.secret)
		}
		if len(s.signingKey) > 0 {
			id, at := header.Get("Idempotency-Key"), strconv.FormatInt(time.Now().Unix(), 10)
			mac := hmac.New(sha256.New, s.signingKey)
			fmt.Fprintf(mac, "%s.%s.%s", id, at, raw)
			header.Set("Webhook-Id", id)
			header.Set("Webhook-Timestamp", at)
			header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
		d := Delivery{At: s.now(), URL: h.url, Header: header, Body: raw}
		s.async(func() { s.deliver(d) })
	}
}

func (s *Server) deliver(d Delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err == nil {
		req.Header = d.Header.Clone()
		var resp *http.Response
		if resp, err = s.client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
			d.Status = resp.StatusCode
		}
	}
	d.Err = err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, d)
}

func systemBody(body object) object {
	var c object
	if err := json.Unmarshal(encode(body), &c); err != nil {
		panic(err)
	}
	delete(c, "event_type")
	if p, ok := c["project"].(object); ok {
		delete(p, "id")
	}
	if a, ok := c["object_attributes"].(object); ok {
		delete(a, "action")
	}
	return c
}

// mergeRequestEvent is shaped like testdata's merge_request_open.json and
// docs.gitlab.com/user/project/integrations/webhook_events.
func (s *Server) mergeRequestEvent(mr *mergeRequest, e event) object {
	attributes := s.hookAttributes(mr)
	if e.action != "" {
		attributes["action"] = e.action
	}
	if e.oldrev != "" {
		attributes["oldrev"] = e.oldrev
	}
	changes := object{}
	maps.Copy(changes, e.changes)
	o := object{
		"object_kind": "merge_request", "event_type": "merge_request", "user": s.hookUser(e.by),
		"project": s.hookProject(mr.project), "object_attributes": attributes, "labels": s.hookLabels(mr),
		"changes": changes, "repository": s.hookRepository(mr.project),
	}
	if len(mr.assignees) > 0 {
		o["assignees"] = s.hookUsers(mr.assignees)
	}
	if len(mr.reviewers) > 0 {
		o["reviewers"] = s.hookUsers(mr.reviewers)
	}
	return o
}

func (s *Server) noteHook(mr *mergeRequest, n *note, action string) {
	if len(s.webhooks) == 0 {
		return
	}
	kind, eventType := "Note Hook", "note"
	if n.Internal {
		kind, eventType = "Confidential Note Hook", "confidential_note"
	}
	s.send(kind, object{
		"object_kind": "note", "event_type": eventType, "user": s.hookUser(n.by), "project_id": mr.project.ID,
		"project": s.hookProject(mr.project), "repository": s.hookRepository(mr.project), "merge_request": s.hookAttributes(mr),
		"object_attributes": object{
			"noteable_type": "MergeRequest", "noteable_id": mr.id, //nolint:misspell // GitLab's word
			"id": n.ID, "note": n.Body, "author_id": n.by.ID,
			"created_at": hookTime(n.CreatedAt), "updated_at": hookTime(n.UpdatedAt), "project_id": mr.project.ID,
			"system": false, "internal": n.Internal, "type": nil, "action": action, "discussion_id": s.sha("discussion"),
			"url": fmt.Sprintf("%s#note_%d", s.webURL(mr), n.ID),
		},
	})
}

func (s *Server) hookAttributes(mr *mergeRequest) object {
	head := mr.commits[len(mr.commits)-1]
	merged := any(nil)
	if mr.mergedBy != nil {
		merged = mr.mergedBy.ID
	}
	pipeline := any(nil)
	if mr.pipeline != nil {
		pipeline = mr.pipeline.ID
	}
	assignee := any(nil)
	if len(mr.assignees) > 0 {
		assignee = mr.assignees[0].ID
	}
	draft := isDraft(mr.title)
	return object{
		"id": mr.id, "iid": mr.iid, "title": mr.title, "description": mr.description, "author_id": mr.author.ID,
		"assignee_id": assignee, "assignee_ids": userIDs(mr.assignees), "reviewer_ids": userIDs(mr.reviewers),
		"created_at": hookTime(mr.createdAt), "updated_at": hookTime(mr.updatedAt), "prepared_at": hookTime(mr.preparedAt()),
		"merged_at": hookTime(mr.mergedAt), "last_edited_at": nil, "last_edited_by_id": nil, "updated_by_id": nil,
		"draft": draft, "work_in_progress": draft, "head_pipeline_id": pipeline,
		"merge_commit_sha": orNil(mr.mergeCommit), "squash_commit_sha": orNil(mr.squashCommit), "merge_error": orNil(mr.mergeError),
		"merge_params": object{"force_remove_source_branch": map[bool]string{true: "1", false: "0"}[mr.removeSource]},
		"merge_status": mr.check.status(mr), "detailed_merge_status": mr.status(), "merge_user_id": merged,
		"merge_when_pipeline_succeeds": mr.autoMergeBy != nil, "milestone_id": nil,
		"source_branch": mr.source, "source_project_id": mr.sourceProject,
		"target_branch": mr.target, "target_project_id": mr.project.ID, "target_branch_protected": mr.target == mr.project.DefaultBranch,
		"state": mr.state, "state_id": map[string]int{"opened": 1, "closed": 2, "merged": 3, "locked": 4}[mr.state],
		"time_estimate": 0, "total_time_spent": 0, "time_change": 0,
		"human_total_time_spent": nil, "human_time_change": nil, "human_time_estimate": nil,
		"url": s.webURL(mr), "source": s.hookProject(mr.project), "target": s.hookProject(mr.project), "labels": s.hookLabels(mr),
		"blocking_discussions_resolved": mr.discussionsResolved(),
		"first_contribution":            false, "system": false,
		"last_commit": object{
			"id": head.ID, "message": head.Message, "title": head.Title, "timestamp": head.At.Format(time.RFC3339),
			"url":    fmt.Sprintf("%s/%s/-/commit/%s", s.url, mr.project.Path, head.ID),
			"author": object{"name": head.AuthorName, "email": head.AuthorEmail},
		},
	}
}

func (s *Server) hookProject(p *Project) object {
	web := s.url + "/" + p.Path
	ssh := "git@gitlab.example.com:" + p.Path + ".git"
	return object{
		"id": p.ID, "name": path.Base(p.Path), "description": nil, "web_url": web, "avatar_url": nil,
		"git_ssh_url": ssh, "git_http_url": web + ".git", "namespace": path.Base(path.Dir(p.Path)),
		"visibility_level":    map[string]int{"private": 0, "internal": 10, "public": 20}[p.Visibility],
		"path_with_namespace": p.Path, "default_branch": p.DefaultBranch, "ci_config_path": "",
		"homepage": web, "url": ssh, "ssh_url": ssh, "http_url": web + ".git",
	}
}

func (s *Server) hookRepository(p *Project) object {
	o := s.hookProject(p)
	return object{"name": o["name"], "url": o["url"], "description": nil, "homepage": o["homepage"]}
}

// hookUser hides an e-mail address that is not public (docs, webhook_events).
func (s *Server) hookUser(u *User) object {
	return object{
		"id": u.ID, "name": u.Name, "username": u.Username, "avatar_url": nil, "email": or(u.PublicEmail, "[REDACTED]"),
	}
}

func (s *Server) hookUsers(users []*User) []object {
	all := []object{}
	for _, u := range users {
		all = append(all, s.hookUser(u))
	}
	return all
}

func (s *Server) hookLabels(mr *mergeRequest) []object {
	all := []object{}
	for i, l := range mr.labels {
		all = append(all, object{"id": i + 1, "title": l, "color": "#0033CC", "project_id": mr.project.ID, "type": "ProjectLabel"})
	}
	return all
}

func userIDs(users []*User) []int64 {
	ids := []int64{}
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	return ids
}

func change(previous, current any) object { return object{"previous": previous, "current": current} }

// hookTime writes a time as webhooks do, which is not as the API does.
func hookTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
