package e2e

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// hangs is longer than mrgate waits for an answer (10 s).
const hangs = 11 * time.Second

// answeredAtOnce demands that a click did not wait for anybody.
func answeredAtOnce(t testing.TB, a feishusim.Answer) {
	t.Helper()
	if a.Took > promptly {
		t.Errorf("the click was answered after %s", a.Took)
	}
}

// everythingOnce waits for the end of the usual story after Alice's click, and
// demands that nothing was done or said twice.
func (w *world) everythingOnce(iid int, button string) {
	w.t.Helper()
	if button == "approve" {
		w.eventually("it is merged", func() bool { return w.mr(iid).State == "merged" })
		w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
		w.once(iid, "POST 1/approve 201", "PUT 1/merge 200")
	} else {
		w.eventually("it is closed", func() bool { return w.mr(iid).State == "closed" })
		w.ended("Rejected ·", "Alice rejected acme/webhook !1 and gave no reason. It was closed", w.alice, w.carol)
		w.once(iid, "PUT 1 200")
	}
	if n := len(w.feishu.Messages()); n != 4 {
		w.t.Errorf("%d messages, want two cards, a notice and a result", n)
	}
}

func TestGitLabFailsAtAnyCallAfterTheClick(t *testing.T) {
	t.Parallel()
	faults := map[string]gitlabsim.Fault{
		"is down for a while":               {Times: 2, Status: http.StatusBadGateway},
		"limits the rate":                   {Times: 1, Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second},
		"is slow":                           {Times: 1, Delay: 3 * time.Second},
		"hangs and does nothing":            {Times: 1, Delay: hangs},
		"hangs after it was done":           {Times: 1, AnswerDelay: hangs},
		"drops the call":                    {Times: 1, Drop: true},
		"does it and drops the answer":      {Times: 1, LoseAnswer: true},
		"answers what nobody can read":      {Times: 1, Status: http.StatusOK, Body: "<html>"},
		"answers that it had an error":      {Times: 2, Status: http.StatusInternalServerError},
		"answers that it is in maintenance": {Times: 1, Status: http.StatusServiceUnavailable, RetryAfter: time.Second},
	}
	calls := []struct{ name, button, method, suffix string }{
		{"approve", "approve", http.MethodPost, "/approve"},
		{"the look before the merge", "approve", http.MethodGet, "/merge_requests/1"},
		{"merge", "approve", http.MethodPut, "/merge"},
		{"the note", "approve", http.MethodPost, "/notes"},
		{"close", "reject", http.MethodPut, "/merge_requests/1"},
		{"the note of a rejection", "reject", http.MethodPost, "/notes"},
	}
	for what, fault := range faults {
		for _, call := range calls {
			t.Run(what+" at "+call.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				l := w.start()
				mr := w.begin(l, w.alice, w.carol)
				w.settle()
				here := fault
				here.Method, here.PathSuffix = call.method, call.suffix
				w.gitlab.Inject(here)
				answer := w.click(l, w.alice, call.button, "")
				answeredAtOnce(t, answer)
				if answer.Toast == nil || answer.Toast.Type != "success" {
					t.Errorf("toast %+v", answer.Toast)
				}
				w.everythingOnce(mr.IID, call.button)
				if !slices.ContainsFunc(w.gitlab.Calls(), func(c gitlabsim.Call) bool {
					return c.Fault != "" && c.Method == call.method && strings.HasSuffix(c.Path, call.suffix)
				}) {
					t.Error("the trouble was never met")
				}
			})
		}
	}
}

func TestGitLabFailsWhileItIsAskedAbout(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gitlabsim.Fault{
		"down":    {Times: 3, Status: http.StatusBadGateway},
		"hangs":   {Times: 1, Delay: hangs},
		"dropped": {Times: 2, Drop: true},
		"limited": {Times: 1, Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			w.gitlab.Inject(fault)
			mr := w.begin(l, w.alice, w.carol)
			w.click(l, w.alice, "approve", "")
			w.everythingOnce(mr.IID, "approve")
		})
	}
}

// While GitLab is down, the cards say what is decided, and that it will be done.
func TestGitLabDownNeverDelaysACard(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gitlabsim.Fault{
		"answers 502": {Status: http.StatusBadGateway},
		"drops":       {Drop: true},
		"hangs":       {Delay: time.Hour},
	} {
		for _, c := range []struct{ button, toast, title string }{
			{"approve", "Approved, merging", "Approved, "},
			{"reject", "Rejected, closing the merge request", "Rejected, closing ·"},
		} {
			t.Run(name+", "+c.button, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				l := w.start()
				mr := w.begin(l, w.alice, w.carol)
				w.settle()
				up := w.gitlab.Inject(fault)
				answer := w.click(l, w.alice, c.button, "")
				answeredAtOnce(t, answer)
				says(t, answer.Toast, "success", c.toast)
				for _, who := range []feishusim.User{w.alice, w.carol} {
					said := func() bool { return w.shows(who, c.title) && !w.asks(who, "approve") }
					if fault.Delay > 0 && who != w.alice {
						// mrgate waits for the one call that hangs, not for GitLab.
						w.eventually(who.Name+"'s card says what was decided", said)
						continue
					}
					w.soon(who.Name+"'s card says what was decided", said)
				}
				if fault.Status != 0 && c.button == "approve" {
					w.eventually("the cards say that GitLab is waited for", func() bool {
						return w.shows(w.carol, "Approved, waiting for GitLab ·", "The approval is saved; merging resumes when GitLab answers")
					})
				}
				if w.mr(mr.IID).State != "opened" {
					t.Error("GitLab was not down")
				}
				up()
				w.everythingOnce(mr.IID, c.button)
			})
		}
	}
}

// A limit of GitLab's counts for the token: one merge request that meets it keeps
// all from calling.
func TestRetryAfterIsKeptForAllMergeRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	first := w.begin(l, w.alice, w.carol)
	second := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = "feature/other" })
	w.webhook(l, second.IID, "open")
	w.eventually("Alice is asked about both", func() bool { return len(w.cards(w.alice)) == 2 && len(w.feishu.Messages()) == 6 })
	cards := w.cards(w.alice)
	w.settle()
	const limit = 4 * time.Second
	w.gitlab.Inject(gitlabsim.Fault{Times: 1, Status: http.StatusTooManyRequests, RetryAfter: limit})
	if _, err := w.tryClick(l, w.alice, cards[0].ID, "approve", ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("GitLab limits the rate", func() bool { return count(w.forgeCalls(), "POST 1/approve 429") == 1 })
	answer, err := w.tryClick(l, w.alice, cards[1].ID, "approve", "")
	if err != nil {
		t.Fatal(err)
	}
	answeredAtOnce(t, answer)
	w.eventually("both are merged", func() bool {
		return w.mr(first.IID).State == "merged" && w.mr(second.IID).State == "merged"
	})
	calls := w.gitlab.Calls()
	if early := calls[1].At.Sub(calls[0].At); early < limit-100*time.Millisecond {
		t.Errorf("the next call came %s after GitLab asked for %s of silence: %v", early, limit, w.forgeCalls())
	}
}

func TestRevokedGitLabTokenIsWaitedOut(t *testing.T) {
	t.Parallel()
	for _, button := range []string{"approve", "reject"} {
		t.Run(button, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			w.settle()
			w.gitlab.RevokeToken()
			answer := w.click(l, w.alice, button, "")
			answeredAtOnce(t, answer)
			w.eventually("GitLab refuses the token", func() bool {
				return slices.ContainsFunc(w.gitlab.Calls(), func(c gitlabsim.Call) bool { return c.Status == http.StatusUnauthorized })
			})
			w.eventually("the log says whose fault it is", func() bool { return strings.Contains(l.log.String(), "gitlab_token") })
			w.gitlab.SetToken(gitlabToken)
			w.everythingOnce(mr.IID, button)
		})
	}
}

// The chat's trouble.

const (
	send   = "/im/v1/messages"
	lock   = "Failed to create card content, ext=ErrCode: 11310; ErrMsg: card action is lock; "
	change = "/im/v1/messages/"
)

func changing(r *http.Request) bool {
	return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, change)
}

func TestFeishuFailsAtAnyCall(t *testing.T) {
	t.Parallel()
	sending := func(r *http.Request) bool { return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, send) }
	for _, at := range []struct {
		name  string
		match func(*http.Request) bool
	}{{"sending", sending}, {"changing", changing}} {
		for name, fault := range map[string]feishusim.Fault{
			"down":                {Times: 3, Status: http.StatusServiceUnavailable},
			"dropped":             {Times: 2, Drop: true},
			"done, answer lost":   {Times: 3, LoseAnswer: true},
			"hangs":               {Times: 1, Delay: hangs},
			"hangs after it":      {Times: 1, Delay: hangs, LoseAnswer: true},
			"limited":             {Times: 1, Code: 99991400, Header: feishusim.RateLimited(2).Header},
			"limited per person":  {Times: 2, Code: 230020},
			"token is dead":       {Times: 1, Code: 99991663},
			"card action is lock": {Times: 2, Code: 230099, Msg: lock},
		} {
			if name == "card action is lock" && at.name == "sending" {
				continue // a card that is not there cannot be locked
			}
			t.Run(name+", "+at.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				l := w.start()
				fault.Match = at.match
				w.feishu.Inject(fault)
				mr := w.begin(l, w.alice, w.carol)
				answeredAtOnce(t, w.click(l, w.alice, "approve", ""))
				w.everythingOnce(mr.IID, "approve")
				if !slices.ContainsFunc(w.feishu.Calls(), func(c feishusim.Call) bool { return c.Fault != "" }) {
					t.Error("the trouble was never met")
				}
			})
		}
	}
}

func TestFeishusRateLimitIsKeptForAllCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	const limit = 4 * time.Second
	limited := feishusim.RateLimited(int(limit.Seconds()))
	limited.Times = 1
	// The first call but the token's looks people up; nothing goes on beside it.
	limited.Match = func(r *http.Request) bool { return !strings.Contains(r.URL.Path, "/auth/") }
	w.feishu.Inject(limited)
	w.begin(l, w.alice, w.carol)
	var at time.Time
	for _, c := range w.feishu.Calls() {
		if early := c.At.Sub(at); !at.IsZero() && early < limit-100*time.Millisecond {
			t.Errorf("%s %s came %s after Feishu asked for %s of silence", c.Method, c.Path, early, limit)
		}
		if c.Fault != "" {
			at = c.At
		}
	}
	if at.IsZero() {
		t.Error("the limit was never met")
	}
}

func TestRevokedFeishuTokensAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.feishu.RevokeTokens()
	w.click(l, w.alice, "approve", "")
	w.everythingOnce(mr.IID, "approve")
	if slices.ContainsFunc(w.feishu.Calls(), func(c feishusim.Call) bool { return strings.Contains(c.Answer, "99991663") }) != true {
		t.Error("the dead token was never used")
	}
}

// While the chat fails, or hangs, everything is done in GitLab; when it is back,
// everybody hears of it.
func TestFeishuDownNeverDelaysTheMerge(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]feishusim.Fault{
		"answers 503": {Status: http.StatusServiceUnavailable},
		"drops":       {Drop: true},
		"hangs":       {Delay: time.Hour},
		"is used up":  feishusim.QuotaExceeded(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			up := w.feishu.Inject(fault)
			answeredAtOnce(t, w.click(l, w.alice, "approve", ""))
			w.soon("it is merged, with a note", func() bool { return w.mr(mr.IID).State == "merged" && len(w.mr(mr.IID).Notes) == 1 })
			w.eventually("Feishu was tried", func() bool {
				return slices.ContainsFunc(w.feishu.Calls(), func(c feishusim.Call) bool { return c.Fault != "" })
			})
			if fault.Code == feishusim.QuotaExceeded().Code {
				up()
				return // a plan that is used up is looked at again after ten minutes
			}
			up()
			w.everythingOnce(mr.IID, "approve")
		})
	}
}

// Also where the hanging call was there before the click.
func TestHangingCardNeverDelaysAnothersClick(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	up := w.feishu.Inject(feishusim.Fault{Delay: time.Hour, Match: func(r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		return err == nil && strings.Contains(string(body), w.carol.OpenID)
	}})
	mr := w.open()
	w.webhook(l, mr.IID, "open")
	w.card(w.alice)
	w.eventually("Carol's card hangs", func() bool {
		return slices.ContainsFunc(w.feishu.Calls(), func(c feishusim.Call) bool { return c.Fault != "" })
	})
	answeredAtOnce(t, w.click(l, w.alice, "approve", ""))
	w.soon("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	up()
	w.ended("Merged ·", "merged into main", w.alice)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	if n := len(w.feishu.MessagesTo(w.carol.OpenID)); n > 1 {
		t.Errorf("Carol got %d messages", n)
	}
}
