package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/story"
)

func TestShow(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		for n := range 5 {
			golden(t, fmt.Sprintf("show-%d.golden", n+1), p.prints("show", fmt.Sprint(n+1)))
		}
		golden(t, "show.json", p.prints("show", "1", "--json"))
		_, stdout, _ := runIn(p.dir, []string{"TZ=Asia/Shanghai"}, "show", "1")
		golden(t, "show-shanghai.golden", stdout)

		head := p.forge.Look(gate.Ref{Forge: "gitlab", Project: 102, Number: 1}).Head
		merged := p.forge.Look(gate.Ref{Forge: "gitlab", Project: 101, Number: 1}).MergeCommit
		for ref, want := range map[string]int64{
			"4":                4,
			"payments/api!1":   1,
			"Payments/API!2":   2,
			"web/shop!1":       4,
			string(head):       4,
			string(merged[:8]): 1,
			"https://gitlab.example.com/web/shop/-/merge_requests/1":                          4,
			"https://gitlab.example.com/web/shop/-/merge_requests/1/diffs?view=inline#note_7": 4,
			"http://GitLab.example.com/Payments/API/-/merge_requests/2/diffs":                 2,
			strings.ToUpper(string(merged[:12])):                                              1,
		} {
			var got story.Story
			if err := json.Unmarshal([]byte(p.prints("show", ref, "--json")), &got); err != nil || got.Request != want {
				t.Errorf("show %s: request %d, %v; want %d", ref, got.Request, err, want)
			}
		}
		for ref, says := range map[string]string{
			"99":              "there is no request 99 in this database",
			"99999999":        "no request in this database is about commit 99999999",
			"deadbeef00":      "no request in this database is about commit deadbeef00",
			"payments/api!99": "there is no request for payments/api!99 in this database",
			"https://elsewhere.example.com/web/shop/-/merge_requests/1": "there is no request for https://elsewhere",
		} {
			code, stdout, stderr := p.run("show", ref)
			if code != ExitFailed || stdout != "" || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("show %s: exit %d, %q, %q", ref, code, stdout, stderr)
			}
		}
		for _, ref := range []string{"https://gitlab.example.com/web/shop", "https://gitlab.example.com/web/shop/-/merge_requests/x"} {
			if code, _, stderr := p.run("show", ref); code != ExitUsage {
				t.Errorf("show %s: exit %d, %q", ref, code, stderr)
			}
		}
	})
}

func TestShowOneCommitOfSeveral(t *testing.T) {
	inPast(t, func(p *past) {
		defer p.start()()
		const head = "abcdef0123456789abcdef0123456789abcdef01"
		p.open(gate.Snapshot{Path: "payments/api", Head: head})
		p.open(gate.Snapshot{Path: "web/shop", Head: head})
		code, stdout, stderr := p.run("show", head[:10])
		if code != ExitDone || !strings.HasPrefix(stdout, "Request 2, web/shop!1") ||
			stderr != "mrgate: 2 requests are about commit abcdef0123; this is the newest, the others are 1\n" {
			t.Errorf("exit %d, %q, %q", code, stdout, stderr)
		}
	})
}

func TestShowGitLabBelowAPath(t *testing.T) {
	inPast(t, func(p *past) {
		defer p.start()()
		p.open(gate.Snapshot{Path: "payments/api", URL: "https://example.com/git/lab/payments/api/-/merge_requests/1"})
		if got := p.prints("show", "https://example.com/git/lab/payments/api/-/merge_requests/1/diffs"); !strings.HasPrefix(got, "Request 1, ") {
			t.Errorf("prints %q", got)
		}
		if code, _, _ := p.run("show", "https://example.com/payments/api/-/merge_requests/1"); code != ExitFailed {
			t.Errorf("another address: exit %d", code)
		}
	})
}

// TestShowForetells has people whom nobody knows.
func TestShowForetells(t *testing.T) {
	inPast(t, func(p *past) {
		r := &p.policy.Rules[0]
		r.AllowSelfApproval, r.Required = false, 2
		r.Approvers = append(r.Approvers, email("dave"))
		p.policy.Users = map[string]policy.Identity{"azhang": email("zhang")}
		defer p.start()()
		p.open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		got := p.prints("show", "1")
		for _, want := range []string{
			"waits for     2 approvals of Alice, 张伟\n",
			"trouble       dave@example.com is not known to the chat",
			"trouble       nobody can tell who bob is in the chat, so only an approval of 张伟 counts until then; add bob to users in the policy\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("lacks %q:\n%s", want, got)
			}
		}
		var s story.Story
		if err := json.Unmarshal([]byte(p.prints("show", "1", "--json")), &s); err != nil || len(s.Troubles) != 2 || s.Approvers[2].ID != "" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// TestShowTrouble has GitLab and the chat fail.
func TestShowTrouble(t *testing.T) {
	inPast(t, func(p *past) {
		defer p.start()()
		p.open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		p.chat.Fail(func(string) error { return fmt.Errorf("the chat is \x1b[31mdown\x1b[0m: %w", gate.ErrGone) })
		p.forge.Fail(func(method string) error {
			if method == "approve" {
				return fmt.Errorf("502 Bad\x1b]0;Gateway\x07")
			}
			return nil
		})
		p.click(gate.ActionApprove, "ok\n/merge\u202E")
		got := p.prints("show", "payments/api!1")
		for _, want := range []string{
			"payments/api!1: approved\n", "waits for     GitLab to take the approval\n", "next look     2000-01-01 00:0",
			"502 Bad ]0;Gateway", "calls to GitLab have failed, ", `the card to Alice is followed no more: "`, `Alice approved: "ok /merge"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("lacks %q:\n%s", want, got)
			}
		}
		safe(t, got)
		_, asJSON, _ := p.run("show", "1", "--json")
		safe(t, asJSON)
	})
}

// safe looks for what must never reach a terminal.
func safe(t *testing.T, printed string) {
	t.Helper()
	for _, r := range printed {
		if r < ' ' && r != '\n' || r >= 0x7F && r <= 0x9F || r >= 0x202A && r <= 0x202E {
			t.Errorf("%U is printed in %q", r, printed)
		}
	}
}

func TestShowOperator(t *testing.T) {
	inPast(t, func(p *past) {
		defer p.start()()
		ref := p.open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
		_, _, err := p.gate.Decide(p.Context(), ref, 0, gate.Order{Verdict: gate.Approve, Operator: "root@build-3", By: "Eve", Reason: "hotfix"})
		if err != nil {
			t.Fatal(err)
		}
		p.wait(time.Minute)
		if got := p.prints("show", "1"); !strings.Contains(got, `operator root@build-3 (Eve?) approved from a shell: "hotfix"`) {
			t.Errorf("prints\n%s", got)
		}
	})
}
