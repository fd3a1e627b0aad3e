package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// ran is what a command printed and how it ended.
type ran struct {
	stdout, stderr string
	code           int
}

// run runs the binary in the world's directory, with the world's settings and
// what env adds.
func (w *world) run(env []string, args ...string) ran {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(context.Background(), binary(w.t), args...)
	cmd.Dir, cmd.Env = w.dir, append(w.environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	r := ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	for _, secret := range secrets() {
		if strings.Contains(r.stdout+r.stderr, secret) {
			w.t.Errorf("%v printed a secret:\n%s%s", args, r.stdout, r.stderr)
		}
	}
	return r
}

func secrets() []string {
	return []string{gitlabToken, webhookSecret, appSecret, verification, apiToken, operatorToken}
}

// pipeline is the environment of a job in a merge request pipeline.
func (w *world) pipeline(mr gitlabsim.MergeRequest, kind string) []string {
	env := []string{
		"CI=true", "GITLAB_CI=true", "CI_PIPELINE_SOURCE=merge_request_event",
		"CI_PROJECT_ID=47778247", "CI_MERGE_REQUEST_PROJECT_ID=47778247", "CI_MERGE_REQUEST_PROJECT_PATH=" + projectPath,
		"CI_MERGE_REQUEST_PROJECT_URL=" + w.gitlabURL + "/" + projectPath, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID=47778247",
		"CI_MERGE_REQUEST_IID=1", "CI_MERGE_REQUEST_TITLE=" + mr.Title, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=" + mr.Source,
		"CI_MERGE_REQUEST_TARGET_BRANCH_NAME=" + mr.Target, "GITLAB_USER_LOGIN=erin", "GITLAB_USER_NAME=Erin", "GITLAB_USER_ID=1091278",
	}
	switch kind {
	case "detached":
		env = append(env, "CI_MERGE_REQUEST_EVENT_TYPE=detached", "CI_COMMIT_SHA="+mr.Head)
	case "merged results":
		env = append(env, "CI_MERGE_REQUEST_EVENT_TYPE=merged_result", "CI_COMMIT_SHA="+strings.Repeat("ab", 20), "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA="+mr.Head)
	case "fork":
		env = append(env, "CI_MERGE_REQUEST_EVENT_TYPE=detached", "CI_COMMIT_SHA="+mr.Head,
			"CI_PROJECT_ID=555", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID=555", "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH=erin/webhook")
	}
	return env
}

func TestPipelineAsksAndTheListenerAdopts(t *testing.T) {
	for _, kind := range []string{"detached", "merged results", "fork"} {
		for _, mode := range []string{"confirm", "trust"} {
			for _, verdict := range []string{"approve", "reject"} {
				t.Run(kind+", "+mode+", "+verdict, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, withPolicy(policyText+"adopt_cards: "+mode+"\n"))
					mr := w.open()
					r := w.run(w.pipeline(mr, kind), "notify", "--config", w.config, "--approver", "alice@example.com")
					if r.code != 0 || !strings.Contains(r.stdout, "alice@example.com") {
						t.Fatalf("notify: %+v", r)
					}
					if got := w.reads(w.alice); !strings.Contains(got, "Erin started the pipeline") {
						t.Errorf("the card does not say who started the pipeline:\n%s", got)
					}
					if n := len(w.gitlab.Calls()); n != 0 {
						t.Errorf("the job called GitLab %d times: %v", n, w.forgeCalls())
					}
					l := w.start()
					answer := w.click(l, w.alice, verdict, "as you like")
					if answer.Toast == nil || answer.Toast.Type != "info" {
						t.Errorf("toast %+v", answer.Toast)
					}
					if mode == "confirm" {
						w.eventually("the card is the listener's, with GitLab's facts", func() bool {
							text := feishusim.PlainText(w.card(w.alice).Card)
							return strings.Contains(text, "Bob Chen") && strings.Contains(text, "+142")
						})
						if w.mr(1).State != "opened" || len(w.mr(1).ApprovedBy) != 0 {
							t.Errorf("the first click counted: %+v", w.mr(1))
						}
						w.click(l, w.alice, verdict, "as you like")
					}
					w.ends(verdict)
				})
			}
		}
	}
}

// ends waits until the merge request is merged or closed, and Alice's one card
// says so.
func (w *world) ends(verdict string) {
	w.t.Helper()
	state, title := "merged", "Merged ·"
	if verdict == "reject" {
		state, title = "closed", "Rejected ·"
	}
	w.eventually("it is "+state, func() bool { return w.mr(1).State == state && len(w.mr(1).Notes) == 1 })
	w.eventually("Alice's card says so", func() bool {
		cards := w.feishu.MessagesTo(w.alice.OpenID)
		return len(cards) == 1 && strings.HasPrefix(feishusim.PlainText(cards[0].Card), title)
	})
}

func TestNotifyAgainSendsOnlyWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	mr := w.open()
	broken := w.feishu.Inject(feishusim.Fault{Method: "POST", PathSuffix: "/im/v1/messages", Match: nil, Times: 0, Code: 230013, Status: 400})
	r := w.run(w.pipeline(mr, "detached"), "notify", "--config", w.config)
	if r.code != 1 || strings.Count(r.stderr, "not sent: card to") != 2 || !strings.Contains(r.stderr, "alice@example.com") {
		t.Errorf("all failing: %+v", r)
	}
	broken()
	if r = w.run(w.pipeline(mr, "detached"), "notify", "--config", w.config); r.code != 0 {
		t.Errorf("then: %+v", r)
	}
	if r = w.run(w.pipeline(mr, "detached"), "notify", "--config", w.config); r.code != 0 {
		t.Errorf("and again: %+v", r)
	}
	if n := len(w.feishu.Messages()); n != 2 {
		t.Errorf("%d messages, want one for each approver", n)
	}
}

func TestNotifyReadsTheMergeRequestFromGitLab(t *testing.T) {
	w := newWorld(t)
	w.open()
	r := w.run(nil, "notify", "--config", w.config, "--project", projectPath, "--mr", "1")
	if r.code != 0 {
		t.Fatalf("notify: %+v", r)
	}
	if got := w.reads(w.alice); !strings.Contains(got, "Bob Chen") || !strings.Contains(got, "+142") {
		t.Errorf("Alice reads:\n%s", got)
	}
	if n := len(w.feishu.MessagesTo(w.bob.OpenID)); n != 1 {
		t.Errorf("the author has %d messages, want a notice", n)
	}
}

func TestJobAndWebhookAskOnce(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	mr := w.open()
	w.webhook(l, mr.IID, "open")
	w.card(w.carol)
	w.card(w.alice)
	if r := w.run(w.pipeline(mr, "detached"), "notify", "--config", w.config); r.code != 0 {
		t.Errorf("notify: %+v", r)
	}
	if n := len(w.cards(w.alice)); n != 1 {
		t.Errorf("Alice has %d cards", n)
	}
	w.click(l, w.alice, "approve", "")
	w.ends("approve")
}

func TestOldStyleAndEncryptedClicks(t *testing.T) {
	const key = "enc-e2e-Pl45MkTy"
	for name, c := range map[string]struct {
		env   string // of the listener, beside the usual
		style feishusim.Style
		key   string
	}{
		"old style":                {"MRGATE_FEISHU_OLD_CALLBACKS=true", feishusim.OldStyle, ""},
		"encrypted":                {"MRGATE_FEISHU_ENCRYPT_KEY=" + key, feishusim.NewStyle, key},
		"encrypted, in a rotation": {"MRGATE_FEISHU_ENCRYPT_KEY=another-one\n" + key, feishusim.NewStyle, key},
	} {
		for _, verdict := range []string{"approve", "reject"} {
			t.Run(name+", "+verdict, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, func(s *setup) { s.feishu.EncryptKey = c.key })
				l := w.startIn(append(w.environ(), c.env))
				if err := w.feishu.Challenge(t.Context(), l.url+"/feishu/callback", feishusim.ChallengeOptions{}); err != nil {
					t.Errorf("challenge: %v", err)
				}
				mr := w.open()
				w.webhook(l, mr.IID, "open")
				w.card(w.carol)
				card := w.card(w.alice)
				answer, err := w.feishu.Click(t.Context(), l.url+"/feishu/callback", card.ID, w.alice.OpenID, feishusim.ClickOptions{
					Button: verdict, Form: map[string]string{"reason": "so be it"}, Style: c.style,
				})
				if err != nil || answer.Toast == nil || answer.Toast.Type != "success" {
					t.Fatalf("answer %+v, %v", answer, err)
				}
				w.ends(verdict)
			})
		}
	}
}

func TestOperatorDecidesFromAShell(t *testing.T) {
	for _, listening := range []bool{true, false} {
		for _, verdict := range []string{"approve", "reject"} {
			name := verdict + ", alone"
			if listening {
				name = verdict + ", beside a listener"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				mr := w.open()
				if listening {
					w.webhook(w.start(), mr.IID, "open")
					w.card(w.alice)
				}
				r := w.run([]string{"MRGATE_FEISHU_APP_ID=", "MRGATE_FEISHU_APP_SECRET="},
					"decide", "--"+verdict, projectPath+"!1", "--config", w.config, "--db", w.db, "--reason", "the house is on fire", "--by", "Carol")
				state := map[string]string{"approve": "merged", "reject": "closed"}[verdict]
				if r.code != 0 || !strings.Contains(r.stdout, state) {
					t.Fatalf("decide: %+v", r)
				}
				if listening != !strings.Contains(r.stderr, w.db) {
					t.Errorf("the warning about a new database: %q", r.stderr)
				}
				got := w.mr(1)
				if got.State != state || len(got.Notes) != 1 || !strings.Contains(got.Notes[0].Body, "the house is on fire") || !strings.Contains(got.Notes[0].Body, "operator") {
					t.Errorf("in GitLab: %+v", got)
				}
				if listening {
					w.eventually("the cards say that it was an operator", func() bool {
						return strings.Contains(w.reads(w.alice), "operator") && strings.Contains(w.reads(w.carol), "operator")
					})
				}
			})
		}
	}
}

func TestDecideExitCodes(t *testing.T) {
	w := newWorld(t)
	mr := w.open()
	decide := func(args ...string) ran {
		return w.run(nil, append([]string{"decide", "--config", w.config, "--db", w.db}, args...)...)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"neither verdict":     {[]string{projectPath + "!1"}, 2, "--approve or --reject"},
		"both verdicts":       {[]string{"--approve", "--reject", projectPath + "!1"}, 2, "--approve or --reject"},
		"no merge request":    {[]string{"--approve"}, 2, "no merge request is named"},
		"nonsense":            {[]string{"--approve", "main"}, 2, `"main" names no merge request`},
		"no such one":         {[]string{"--approve", projectPath + "!99"}, 1, "99"},
		"no such request":     {[]string{"--approve", "4711"}, 1, "4711"},
		"another GitLab's":    {[]string{"--approve", "https://gitlab.example.org/a/b/-/merge_requests/1"}, 2, "gitlab-url"},
		"both ways of naming": {[]string{"--approve", "1", "--project", "a/b", "--mr", "1"}, 2, "once"},
	} {
		if r := decide(c.args...); r.code != c.code || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") > 2 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := decide("--approve", "--dry-run", w.gitlabURL+"/"+projectPath+"/-/merge_requests/1/diffs"); r.code != 0 || !strings.Contains(r.stdout, mr.Head[:8]) || w.mr(1).State != "opened" {
		t.Errorf("dry run: %+v", r)
	}
	w.gitlab.SetConflict(project, 1, true)
	if r := decide("--approve", projectPath+"!1"); r.code != 1 || !strings.Contains(r.stderr, "conflict") {
		t.Errorf("blocked: %+v", r)
	}
	if r := decide("--reject", "1"); r.code != 1 || !strings.Contains(r.stderr, "decided otherwise") {
		t.Errorf("a second thought: %+v", r)
	}
	second := w.open(func(m *gitlabsim.MergeRequest) { m.Source, m.Target = "other", "develop" })
	if r := decide("--approve", projectPath+"!2"); r.code != 2 || !strings.Contains(r.stderr, "no rule") || w.mr(second.IID).State != "opened" {
		t.Errorf("no rule: %+v", r)
	}
	third := w.open(func(m *gitlabsim.MergeRequest) { m.Source = "third" })
	fifth := w.open(func(m *gitlabsim.MergeRequest) { m.Source = "fifth" })
	if r := decide("--reject", fmt.Sprintf("%s!%d", projectPath, fifth.IID), "--reason", "enough"); r.code != 0 || w.mr(fifth.IID).State != "closed" {
		t.Errorf("reject: %+v", r)
	}
	if r := decide("--approve", fmt.Sprintf("%s!%d", projectPath, fifth.IID)); r.code != 3 {
		t.Errorf("approve what was rejected: %+v", r)
	}
	down := w.gitlab.Inject(gitlabsim.Fault{Method: "PUT", PathSuffix: "/merge", Status: 502})
	if r := decide("--approve", projectPath+"!3", "--timeout", "3s"); r.code != 4 || !strings.Contains(r.stderr, "recorded") {
		t.Errorf("GitLab down: %+v", r)
	}
	down()
	l := w.start()
	w.eventually("the listener does it", func() bool { return w.mr(third.IID).State == "merged" })
	l.stop()
	w.setPolicy(strings.Replace(policyText, "carol@", "dave@", 1))
	last := w.open(func(m *gitlabsim.MergeRequest) { m.Source = "last" })
	name := fmt.Sprintf("%s!%d", projectPath, last.IID)
	if r := decide("--approve", name); r.code != 2 || !strings.Contains(r.stderr, "another policy") {
		t.Errorf("another policy: %+v", r)
	}
	w.setPolicy(policyText + "operator_decisions: deny\n")
	if r := decide("--approve", name); r.code != 2 || !strings.Contains(r.stderr, "operator_decisions: deny") {
		t.Errorf("denied: %+v", r)
	}
}

func TestJobThatLiesIsBelievedNothingButWhereToLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mr := w.open(func(m *gitlabsim.MergeRequest) { m.Title = "Send me the money" })
	lie := mr
	lie.Title = "Fix a typo"
	if r := w.run(w.pipeline(lie, "detached"), "notify", "--config", w.config); r.code != 0 {
		t.Fatalf("notify: %+v", r)
	}
	if got := w.reads(w.alice); !strings.Contains(got, "Fix a typo") {
		t.Fatalf("Alice reads:\n%s", got)
	}
	l := w.start()
	w.click(l, w.alice, "approve", "")
	w.eventually("the card shows what GitLab says", func() bool { return strings.Contains(w.reads(w.alice), "Send me the money") })
	if got := w.mr(mr.IID); got.State != "opened" || len(got.ApprovedBy) != 0 || count(w.forgeCalls(), "PUT") != 0 {
		t.Errorf("something counted before Alice saw that: %+v, %v", got, w.forgeCalls())
	}
	w.click(l, w.alice, "reject", "no")
	w.ends("reject")
}
