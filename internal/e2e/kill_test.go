package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// crashWorld is a world whose listener is killed with kill -9 at one point of
// its story, and started again.
type crashWorld struct {
	*world
	at   string // the point: "7 arrived", "7 done", "webhook", "click"
	seen atomic.Int64

	mu       sync.Mutex
	listener *listener
	killed   bool
}

// point is a place in the story where the listener may die.
func (c *crashWorld) point(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed || name != c.at {
		return false
	}
	c.killed = true
	c.listener.kill()
	return true
}

// alive gives a listener that runs: the first, or the one after the crash.
func (c *crashWorld) alive() *listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-c.listener.done:
		c.listener.done <- err
		c.listener = c.start()
	default:
	}
	return c.listener
}

// watch counts the requests that reach either simulator, and dies at one.
func (c *crashWorld) watch() {
	var number sync.Map // *http.Request → int64
	arrived := func(r *http.Request) {
		n := c.seen.Add(1)
		number.Store(r, n)
		if c.point(fmt.Sprintf("%d arrived", n)) {
			panic(http.ErrAbortHandler) // it died before anything was done
		}
	}
	done := func(r *http.Request) {
		n, _ := number.Load(r)
		c.point(fmt.Sprintf("%d done", n))
	}
	c.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
		if p == gitlabsim.Arrived {
			arrived(r)
		} else {
			done(r)
		}
	})
	c.feishu.Hook(func(r *http.Request, p feishusim.Phase) {
		if p == feishusim.Arrived {
			arrived(r)
		} else {
			done(r)
		}
	})
}

// run plays the story from the webhook to the last card, whatever dies.
func (c *crashWorld) run(button string) {
	t := c.t
	t.Helper()
	c.listener = c.start()
	c.watch()
	mr := c.open()
	body, header := c.gitlab.WebhookBody(project, mr.IID, "open"), http.Header{
		"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {webhookSecret},
	}
	c.eventually("the webhook is acknowledged", func() bool {
		status, _ := post(t, c.alive().url+"/gitlab/webhook", body, header)
		return status == http.StatusOK
	})
	c.point("webhook")

	asked := func(who feishusim.User) func() bool {
		return func() bool {
			c.alive()
			return len(c.cards(who)) > 0
		}
	}
	c.eventually("Alice has a card", asked(c.alice))
	c.eventually("Carol has a card", asked(c.carol))
	// A notice that is still unsent when the request ends is never sent.
	c.eventually("Bob is told", func() bool {
		c.alive()
		return len(c.feishu.MessagesTo(c.bob.OpenID)) > 0
	})
	c.eventually("Alice's click is acknowledged", func() bool {
		// A person whose click fails presses again.
		answer, err := c.tryClick(c.alive(), c.alice, c.cards(c.alice)[0].ID, button, "because I say so")
		return err == nil && answer.Toast != nil && (answer.Toast.Type == "success" || strings.Contains(answer.Toast.Content, "already"))
	})
	c.point("click")

	state, title := "merged", "Merged ·"
	if button == "reject" {
		state, title = "closed", "Rejected ·"
	}
	final := func(who feishusim.User) bool {
		m := c.feishu.MessagesTo(who.OpenID)
		return len(m) == 1 && strings.HasPrefix(feishusim.PlainText(m[0].Card), title) && !strings.Contains(m[0].Card, `"callback"`)
	}
	c.eventually("everything is done and said", func() bool {
		c.alive()
		return c.mr(mr.IID).State == state && len(c.mr(mr.IID).Notes) == 1 &&
			final(c.alice) && final(c.carol) && len(c.feishu.MessagesTo(c.bob.OpenID)) == 2
	})
	effect := "PUT 1/merge 200"
	if button == "reject" {
		effect = "PUT 1 200"
	}
	calls := c.forgeCalls()
	if n := count(calls, effect); n != 1 {
		t.Errorf("%d times %s: %v", n, effect, calls)
	}
	if n := len(c.mr(mr.IID).Notes); n != 1 {
		t.Errorf("%d notes", n)
	}
	if n := len(c.feishu.Messages()); n != 4 {
		t.Errorf("%d messages, want two cards, a notice and a result", n)
	}
	c.mu.Lock()
	c.at = "" // from here on nothing dies any more
	c.mu.Unlock()
	c.alive().stop()
}

func TestKilledAnywhere(t *testing.T) {
	for _, button := range []string{"approve", "reject"} {
		// Once undisturbed, to know how many requests the story has.
		calm := &crashWorld{world: newWorld(t)}
		calm.run(button)
		n := calm.seen.Load()
		if n < 12 {
			t.Fatalf("only %d requests were seen", n)
		}
		points := []string{"webhook", "click"}
		for i := range n {
			points = append(points, fmt.Sprintf("%d arrived", i+1), fmt.Sprintf("%d done", i+1))
		}
		var died atomic.Int64
		t.Run(button, func(t *testing.T) {
			for _, at := range points {
				t.Run(at, func(t *testing.T) {
					t.Parallel()
					c := &crashWorld{world: newWorld(t), at: at}
					c.run(button)
					if c.killed {
						died.Add(1)
					}
				})
			}
		})
		// The last requests may come in fewer pieces than in the calm story.
		if n := died.Load(); n < int64(len(points))-4 {
			t.Errorf("the listener was killed at %d points of %d only", n, len(points))
		}
	}
}
