package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// The budgets of calls for one merge request with one approver.
const (
	budgetOpen   = 2 // of GitLab, until everybody was asked
	budgetFollow = 5 // of GitLab, after the click
	budgetFeishu = 4 // card, notice, final card, result; without token and directory
)

// oneMergeRequest counts the calls for one merge request.
func (w *world) oneMergeRequest(ctx context.Context, o options, s *sheet) error {
	if err := w.quiet(ctx); err != nil {
		return err
	}
	sent := w.messages.Load()
	if err := w.tell(ctx, w.open(o.mergeRequests)); err != nil {
		return err
	}
	if err := w.allTold(ctx, sent+2); err != nil {
		return err
	}
	cards := w.feishu.MessagesTo(w.alice.OpenID)
	list, err := w.presses(ctx, cards[len(cards)-1:])
	if err != nil {
		return err
	}
	opened := len(w.gitlab.Calls())
	if _, err := w.clickOn(ctx, list[0]); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	followed, feishu := len(w.gitlab.Calls())-opened, 0
	for _, c := range w.feishu.Calls() {
		if !strings.Contains(c.Path, "/auth/") && !strings.Contains(c.Path, "/contact/") {
			feishu++
		}
	}
	if state := w.gitlab.MR(list[0].Project, list[0].IID).State; state != "merged" {
		return fmt.Errorf("it is %s, and not merged", state)
	}
	s.add("calls for one merge request with one approver: GitLab, to open", fmt.Sprint(opened), held(opened <= budgetOpen, fmt.Sprint(budgetOpen)), "")
	s.add("… GitLab, after the click", fmt.Sprint(followed), held(followed <= budgetFollow, fmt.Sprint(budgetFollow)), "")
	s.add("… Feishu, without token and directory", fmt.Sprint(feishu), held(feishu <= budgetFeishu, fmt.Sprint(budgetFeishu)), "")
	return nil
}

// tell has a webhook tell of a merge request.
func (w *world) tell(ctx context.Context, body []byte) error {
	header := http.Header{"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {webhookSecret}}
	_, err := post(ctx, w.listener.url+"/gitlab/webhook", header, body)
	return err
}
