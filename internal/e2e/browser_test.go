package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"mrgate/internal/browser"
	"mrgate/internal/gitlabsim"
)

// TestPageInABrowser looks at the listener's page with chromium: what people of all
// kinds need is there, it follows what happens, and it asks nobody else.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	rules := browser.Rules(t)
	chromium := browser.ForTest(t)
	w := newWorld(t)
	l := w.hooked(w.start())
	first := w.open(func(m *gitlabsim.MergeRequest) {
		m.Title = strings.Repeat("Averylongwordwithoutanybreak", 5) + " 支付回调失败时重试"
	})
	w.card(w.alice)
	w.card(w.carol)
	look := func(path string, how browser.Look) *browser.Tab {
		t.Helper()
		tab, err := browser.Open(chromium, l.admin()+path, how)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tab.Close)
		return tab
	}
	reads := func(tab *browser.Tab) string {
		t.Helper()
		text, err := tab.Text("main")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	live := look("/", browser.Look{})
	if text := reads(live); !strings.Contains(text, "Waiting: 1 for approval.") || !strings.Contains(text, "Alice, Carol") {
		t.Errorf("it reads\n%s", text)
	}
	if text := reads(look("/", browser.Look{NoScript: true})); !strings.Contains(text, "Waiting: 1 for approval.") {
		t.Errorf("without scripts it reads\n%s", text)
	}
	if err := chromedp.Do(live.Context, chromedp.KeyEvent("\t\r")); err != nil {
		t.Fatal(err)
	}
	if focused, err := chromedp.Run(live.Context, chromedp.Evaluate[string](`document.activeElement.id`)); err != nil || focused != "main" {
		t.Errorf("the first thing that a keyboard reaches leads to %q, %v; want the content", focused, err)
	}
	w.click(l, w.alice, "approve", "")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.eventually("the page that is open shows it", func() bool {
		text := reads(live)
		return strings.Contains(text, "Nothing waits.") && strings.Contains(text, "Alice approved")
	})

	around := w.open(func(m *gitlabsim.MergeRequest) { m.Source = "feature/hotfix" })
	w.eventually("both are asked", func() bool { return len(w.cards(w.alice)) == 2 && len(w.cards(w.carol)) == 2 })
	w.gitlab.MergeByHand(project, around.IID, "erin")
	w.eventually("it is known to be merged", func() bool { return w.shows(w.alice, "Merged in GitLab") })
	w.open(func(m *gitlabsim.MergeRequest) { m.Source = "feature/third" })
	w.eventually("both are asked", func() bool { return len(w.cards(w.alice)) == 3 && len(w.cards(w.carol)) == 3 })

	accessible(t, rules, "what was open all the time", live)
	story := fmt.Sprintf("/requests/%d", first.IID)
	for _, path := range []string{"/", story, "/requests", "/merges?show=all", "/requests?q=nothing+of+it"} {
		accessible(t, rules, path, look(path, browser.Look{}))
	}
	for _, path := range []string{"/", story} {
		accessible(t, rules, path+", dark, on a phone", look(path, browser.Look{Width: 380, Height: 800, Dark: true}))
	}
}

// accessible demands that a page breaks no rule of accessibility, fits its window,
// and has done nothing that it should not; and closes it.
func accessible(t *testing.T, rules, what string, tab *browser.Tab) {
	t.Helper()
	found, err := tab.Violations(rules)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, v := range found {
		t.Errorf("%s: %s", what, v)
	}
	if over, err := chromedp.Run(tab.Context, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); err != nil || over > 0 {
		t.Errorf("%s: %d pixels wider than the window, %v", what, over, err)
	}
	for _, wrong := range tab.Wrong() {
		t.Errorf("%s: %s", what, wrong)
	}
	tab.Close()
}

// TestSandboxIsForEverybody looks at the sandbox as TestPageInABrowser looks at the
// listener's page.
func TestSandboxIsForEverybody(t *testing.T) {
	t.Parallel()
	rules := browser.Rules(t)
	chromium := browser.ForTest(t)
	address, _ := startSandbox(t)
	look := func(how browser.Look) *visitor {
		t.Helper()
		tab, err := browser.Open(chromium, address, how)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tab.Close)
		return &visitor{t, tab}
	}
	v := look(browser.Look{Width: 1500, Height: 1000})
	v.reads(card("alice"), "Approve and merge")
	v.press("mr-1-conflict")
	v.reads("#mr-1", "Mend on the target")
	v.click("alice", "Approve and merge")
	v.reads(card("carol"), "Approved, but blocked")
	v.opens(2)
	phone := look(browser.Look{Width: 380, Height: 800, Dark: true})
	phone.reads(card("carol"), "Approval needed")
	accessible(t, rules, "dark, on a phone", phone.tab)
	v.run(`document.querySelector("#mrgate a[data-step]").click()`)
	v.reads("#step[open]", "Request", "Answer")
	accessible(t, rules, "with a step open", v.tab)
	desktop := look(browser.Look{Width: 1500, Height: 1000})
	desktop.reads(card("carol"), "Approval needed")
	accessible(t, rules, "on a desktop", desktop.tab)
}
