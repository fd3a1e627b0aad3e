package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// together calls f for 0 … n-1, all at the same time.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	group.Wait()
}

// press is a press of a button on the person's own card.
type press struct {
	who feishusim.User
	c   feishusim.ClickOptions
}

// pressTogether has all pressed before any is answered, and shared among the
// listeners at the same moment.
func (w *world) pressTogether(ls []*listener, presses []press) []feishusim.Answer {
	w.t.Helper()
	var all sync.WaitGroup
	all.Add(len(presses))
	url := serve(w.t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		i, err2 := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		all.Done()
		all.Wait()
		status, answer := post(w.t, ls[i%len(ls)].url+"/feishu/callback", body, r.Header)
		if err != nil || err2 != nil || status == 0 {
			status = http.StatusBadGateway
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, answer)
	}))
	answers := make([]feishusim.Answer, len(presses))
	cards := make([]string, len(presses))
	for i, p := range presses {
		cards[i] = w.card(p.who).ID
	}
	together(len(presses), func(i int) {
		answer, err := w.feishu.Click(context.Background(), fmt.Sprintf("%s/%d", url, i), cards[i], presses[i].who.OpenID, presses[i].c)
		if err != nil {
			w.t.Errorf("press %d: %v", i, err)
		}
		answers[i] = answer
	})
	return answers
}

// listenersOn starts n listeners on the world's one database.
func (w *world) listenersOn(n int) []*listener {
	var all []*listener
	for range n {
		all = append(all, w.start())
	}
	return all
}

func TestTwentyEqualClicksAreOneApproval(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprintf("%d listeners", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ls := w.listenersOn(n)
			mr := w.begin(ls[0], w.alice, w.carol)
			w.settle()
			var presses []press
			for range 20 {
				presses = append(presses, press{w.alice, feishusim.ClickOptions{Button: "approve"}})
			}
			answers := w.pressTogether(ls, presses)

			taken := 0
			for _, a := range answers {
				switch {
				case a.Toast == nil:
					t.Error("an answer without a toast")
				case a.Toast.Type == "success":
					taken++
					says(t, a.Toast, "success", "Approved, merging")
				default:
					says(t, a.Toast, "info", "You have already approved this")
				}
			}
			if taken != 1 {
				t.Errorf("%d clicks were taken", taken)
			}
			w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
			w.once(mr.IID, "POST 1/approve", "PUT 1/merge 200")
			if got := len(w.feishu.Messages()); got != 4 {
				t.Errorf("%d messages, want two cards, a notice and a result", got)
			}
		})
	}
}

func TestOppositeClicksAtOnceHaveOneOutcome(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		n := 1 + i%2
		t.Run(fmt.Sprintf("%d listeners, %d", n, i/2), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ls := w.listenersOn(n)
			mr := w.begin(ls[0], w.alice, w.carol)
			w.settle()
			answers := w.pressTogether(ls, []press{
				{w.alice, feishusim.ClickOptions{Button: "approve"}},
				{w.carol, feishusim.ClickOptions{Button: "reject", Form: map[string]string{"reason": "not today"}}},
			})
			w.oneOutcome(mr, answers[1].Toast)
		})
	}
}

// oneOutcome demands that GitLab, all cards, the author's message and the note
// tell the same: merged, or closed.
func (w *world) oneOutcome(mr gitlabsim.MergeRequest, rejected *feishusim.Toast) {
	t := w.t
	t.Helper()
	w.eventually("it is merged or closed", func() bool { return w.mr(mr.IID).State != "opened" })
	if w.mr(mr.IID).State == "merged" {
		w.ended("Merged ·", "merged into main", w.alice, w.carol)
		w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
		if !strings.Contains(w.mr(mr.IID).Notes[0].Body, "Approved by Alice") {
			t.Errorf("the note does not say who approved: %s", w.mr(mr.IID).Notes[0].Body)
		}
		return
	}
	w.ended("Rejected ·", "Carol rejected acme/webhook !1: not today", w.alice, w.carol)
	w.once(mr.IID, "PUT 1 200")
	if rejected == nil || rejected.Type != "success" {
		t.Errorf("it was closed, but Carol was told %+v", rejected)
	}
	if by := w.mr(mr.IID).ApprovedBy; len(by) > 0 {
		t.Errorf("closed, and yet %v still approves it", by)
	}
	if !strings.Contains(w.mr(mr.IID).Notes[0].Body, "Rejected by Carol") {
		t.Errorf("the note does not say who rejected: %s", w.mr(mr.IID).Notes[0].Body)
	}
}

// A rejection is taken until the merge; so it can come while GitLab is at it.
func TestRejectionWhileGitLabIsAtWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, suffix string
		answers              int // in place of GitLab; 0: GitLab does it
	}{
		{"approving", http.MethodPost, "/approve", 0},
		{"refusing to approve", http.MethodPost, "/approve", http.StatusForbidden},
		{"merging", http.MethodPut, "/merge", 0},
		{"not merging yet", http.MethodPut, "/merge", http.StatusMethodNotAllowed},
		{"refusing to merge", http.MethodPut, "/merge", http.StatusForbidden},
		{"refusing to merge for a conflict", http.MethodPut, "/merge", http.StatusConflict},
		{"down", http.MethodPut, "/merge", http.StatusBadGateway},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.start()
			mr := w.begin(l, w.alice, w.carol)
			w.settle()
			reject := w.pressed(w.carol, w.card(w.carol).ID, feishusim.ClickOptions{Button: "reject", Form: map[string]string{"reason": "not today"}})
			if c.answers != 0 {
				w.gitlab.Inject(gitlabsim.Fault{Method: c.method, PathSuffix: c.suffix, Times: 1, Status: c.answers})
			}
			var once sync.Once
			var rejected answered
			done := make(chan struct{})
			w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
				if p == gitlabsim.Done && r.Method == c.method && strings.HasSuffix(r.URL.Path, c.suffix) {
					once.Do(func() {
						rejected = w.postClick(l, reject)
						close(done)
					})
				}
			})
			w.click(l, w.alice, "approve", "")
			w.eventually("GitLab is "+c.name, func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
			w.oneOutcome(mr, rejected.Toast)
			if want := c.suffix == "/merge" && c.answers == 0; want != (w.mr(mr.IID).State == "merged") {
				t.Errorf("it ended %s", w.mr(mr.IID).State)
			}
		})
	}
}

func TestWebhookDeliveredFiveTimesAsksOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		listeners int
		deliver   func(n int, f func(i int))
	}{
		{"one after the other", 1, func(n int, f func(int)) {
			for i := range n {
				f(i)
			}
		}},
		{"in parallel", 1, together},
		{"in parallel to two listeners", 2, together},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ls := w.listenersOn(c.listeners)
			mr := w.open()
			body := w.gitlab.WebhookBody(project, mr.IID, "open")
			deliver := func(i int) {
				if status, answer := post(t, ls[i%len(ls)].url+"/gitlab/webhook", body, http.Header{
					"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {webhookSecret},
				}); status != http.StatusOK {
					t.Errorf("delivery %d was answered %d %s", i, status, answer)
				}
			}
			c.deliver(5, deliver)
			w.card(w.alice)
			w.card(w.carol)
			w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
			c.deliver(5, deliver)
			w.never("somebody got a second message", func() bool { return len(w.feishu.Messages()) != 3 })
			for _, m := range w.feishu.Messages() {
				if len(m.History) != 1 {
					t.Errorf("the message to %s was changed %d times", m.To.User.Name, len(m.History)-1)
				}
			}
			w.click(ls[len(ls)-1], w.alice, "approve", "")
			w.ended("Merged ·", "merged into main", w.alice, w.carol)
			c.deliver(5, deliver)
			w.once(mr.IID, "POST 1/approve", "PUT 1/merge 200")
			if n := len(w.feishu.Messages()); n != 4 {
				t.Errorf("%d messages, want two cards, a notice and a result", n)
			}
		})
	}
}

func TestTwoListenersShareManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ls := w.listenersOn(2)
	const n = 6
	for i := range n {
		mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = fmt.Sprintf("feature/%d", i) })
		w.webhook(ls[i%2], mr.IID, "open")
	}
	w.eventually("Alice is asked about each", func() bool { return len(w.cards(w.alice)) == n })
	w.eventually("everybody is", func() bool { return len(w.feishu.Messages()) == 3*n })
	cards := w.cards(w.alice)
	var clicks [n][]byte
	for i := range clicks {
		clicks[i] = w.pressed(w.alice, cards[i].ID, feishusim.ClickOptions{Button: "approve"})
	}
	var taken [2 * n]answered
	together(2*n, func(i int) { taken[i] = w.postClick(ls[i%2], clicks[i/2]) })
	for i := range n {
		one, other := taken[2*i].Toast, taken[2*i+1].Toast
		if one == nil || other == nil || (one.Type == "success") == (other.Type == "success") {
			t.Errorf("of two equal clicks on two listeners, one is taken: %+v %+v", one, other)
		}
	}
	for i := range n {
		w.eventually("all are merged", func() bool { return w.mr(i+1).State == "merged" && len(w.mr(i+1).Notes) == 1 })
	}
	w.eventually("the author is told of each", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 2*n })
	w.never("something was done or said twice", func() bool {
		for i := range n {
			if count(w.forgeCalls(), fmt.Sprintf("PUT %d/merge 200", i+1)) != 1 || count(w.forgeCalls(), fmt.Sprintf("POST %d/approve 201", i+1)) != 1 || len(w.mr(i+1).Notes) != 1 {
				return true
			}
		}
		return len(w.feishu.Messages()) != 4*n
	})
}
