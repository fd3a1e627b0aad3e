package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gitlabsim"
)

func TestClickIsFirstInLineAfterANightDown(t *testing.T) {
	w := newWorld(t, ready(), alone(), func(s *setup) { s.feishu.Unlimited = true })
	l := w.start("--sweep", "0")
	mr := w.begin(l, w.alice)

	// GitLab is slow, and much is to be looked at when the listener goes down.
	const n = 160
	w.gitlab.Inject(gitlabsim.Fault{Delay: 100 * time.Millisecond})
	for i := range n {
		other := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = fmt.Sprintf("feature/%d", i) })
		w.webhook(l, other.IID, "open")
	}
	l.stop()

	var clicked atomic.Bool
	var asked atomic.Int64
	var before, after atomic.Int64 // calls about others, between the click and the first call about its merge request
	w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
		about := strings.Contains(r.URL.Path+"/", fmt.Sprintf("/merge_requests/%d/", mr.IID))
		switch {
		case p != gitlabsim.Arrived || !clicked.Load():
		case about:
			if after.CompareAndSwap(0, 1) {
				asked.Store(int64(len(w.cards(w.alice))))
			}
		case after.Load() == 0:
			before.Add(1)
		}
	})
	l = w.start("--sweep", "0")
	w.eventually("it works on what was left", func() bool { return len(w.cards(w.alice)) > 2 })
	clicked.Store(true)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("GitLab hears of the click", func() bool { return after.Load() > 0 })
	// Eight workers are at it; each may have two calls to go before one is free.
	if got := before.Load(); got > 24 {
		t.Errorf("%d other calls came before the click had its turn", got)
	}
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	if got := asked.Load(); got > n {
		t.Errorf("nothing was left to do by then: Alice had %d cards, and the order shows nothing", got)
	}
}
