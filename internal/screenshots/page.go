package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3" // the listener's database is one of SQLite

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const (
	gitlabToken  = "glpat-screenshots"
	hookToken    = "hook-screenshots"
	verification = "verification-screenshots"
	policyText   = `
rules:
  - name: release
    projects: ["acme/*"]
    target_branches: ["release/*"]
    approvers: [alice@example.com, carol@example.com, li@example.com]
    required: 2
  - name: production
    projects: ["acme/*"]
    target_branches: ["main"]
    approvers: [alice@example.com, carol@example.com]
users:
  bob: bob@example.com
locale: en
`
)

// story is a listener with something of everything that happens.
type story struct {
	ctx    context.Context //nolint:containedctx // of one run
	studio *studio

	gitlab   *gitlabsim.Server
	feishu   *feishusim.Server
	people   map[string]string // open IDs by name
	env      []string
	cmd      *exec.Cmd
	url      string
	admin    string
	requests int
}

// page takes the pictures of the listener's page.
func (s *studio) page(ctx context.Context) error {
	t := &story{ctx: ctx, studio: s, people: map[string]string{}}
	t.gitlab = gitlabsim.New(gitlabsim.Options{Token: gitlabToken, MergeabilityDelay: gitlabsim.AtOnce})
	t.feishu = feishusim.New(feishusim.Options{
		AppID: "cli_screenshots", AppSecret: "app-screenshots", TenantKey: "tenant", VerificationToken: verification, NamesReadable: true,
	})
	gitlab, feishu := httptest.NewServer(t.gitlab), httptest.NewServer(t.feishu)
	defer gitlab.Close()
	defer feishu.Close()
	for _, name := range []string{"Alice", "Carol", "Bob", "Li"} {
		mail := strings.ToLower(name) + "@example.com"
		called := map[string]string{"Bob": "Bob Chen", "Li": "李雷"}[name]
		if called == "" {
			called = name
		}
		t.people[name] = t.feishu.AddUser(feishusim.User{Name: called, Email: mail}).OpenID
		t.gitlab.AddUser(gitlabsim.User{Username: strings.ToLower(name), Name: called, CommitEmail: mail})
	}
	t.gitlab.AddUser(gitlabsim.User{Username: "erin", Name: "Erin", CommitEmail: "erin@example.com"})
	t.gitlab.AddProject(gitlabsim.Project{ID: 47, Path: "acme/payments", BotAccess: gitlabsim.Maintainer})
	t.gitlab.AddProject(gitlabsim.Project{ID: 48, Path: "acme/shop", BotAccess: gitlabsim.Maintainer, PipelinesMustSucceed: true})
	if err := os.WriteFile(filepath.Join(s.dir, "policy.yaml"), []byte(policyText), 0o600); err != nil {
		return err
	}
	t.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TZ=Asia/Shanghai",
		"MRGATE_GITLAB_URL=" + gitlab.URL, "MRGATE_GITLAB_TOKEN=" + gitlabToken, "MRGATE_GITLAB_WEBHOOK_SECRET=" + hookToken,
		"MRGATE_FEISHU_URL=" + feishu.URL, "MRGATE_FEISHU_APP_ID=cli_screenshots", "MRGATE_FEISHU_APP_SECRET=app-screenshots",
		"MRGATE_FEISHU_VERIFICATION_TOKEN=" + verification,
	}
	if err := t.start(); err != nil {
		return err
	}
	err := t.tell()
	t.stop()
	if err != nil {
		return err
	}
	if err := t.age(); err != nil {
		return err
	}
	if err := t.start(); err != nil {
		return err
	}
	defer t.stop()
	for look, how := range looks() {
		for name, path := range map[string]string{
			"now": "/", "request": "/requests/8", "merges": "/merges?show=all", "search": "/requests?q=%E6%94%AF%E4%BB%98",
		} {
			if err := s.picture("page-"+name+"-"+look, t.admin+path, whole(), how); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell has it all happen.
func (t *story) tell() error {
	steps := []func() error{
		t.opens(47, "Raise the limit for refunds", "feature/refunds", "main", 2, nil),
		t.clicks("Carol", 1, "reject", "Finance has to agree first", func() bool { return t.gitlab.MR(47, 1).State == "closed" }),
		t.opens(47, "Hotfix: lower the size of the pool", "hotfix/pool", "main", 2, nil),
		func() error {
			t.gitlab.MergeByHand(47, 2, "erin")
			return t.until("it is merged around the gate", func() bool { return strings.Contains(t.log(), "merged around the gate") })
		},
		t.opens(47, "Show refunds in the monthly statement", "feature/statement", "main", 2, nil),
		func() error {
			t.gitlab.Push(47, 3, gitlabsim.Commit{Title: "Round as the bank does", AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"})
			t.requests++
			return t.until("it is asked about again", func() bool { return t.opened() == t.requests })
		},
		t.opens(47, "Move the ledger to a package of its own", "chore/ledger", "main", 2, func() { t.gitlab.SetConflict(47, 4, true) }),
		t.clicks("Alice", 4, "approve", "", func() bool { return strings.Contains(strings.ToLower(t.reads("Alice", 4)), "conflict") }),
		t.opens(48, "Cache exchange rates", "feature/rates", "main", 2, func() { t.gitlab.SetPipeline(48, 1, "running") }),
		t.clicks("Carol", 101, "approve", "", func() bool { return t.gitlab.MR(48, 1).AutoMerge }),
		t.opens(47, "支付回调失败时自动重试，并在第三次失败后通知值班同事", "feature/支付回调重试", "release/2.4", 3, nil),
		t.clicks("Alice", 5, "approve", "", func() bool { return strings.Contains(t.reads("Alice", 5), "1 more needed") }),
		t.opens(47, "Retry payment callbacks when the bank does not answer", "feature/retry", "main", 2, nil),
		t.clicks("Alice", 6, "approve", "", func() bool { return t.gitlab.MR(47, 6).State == "merged" }),
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second) // for what follows a click after a second, and would be shown as outstanding
	return nil
}

// age has some of it happened a while ago: nothing does in the seconds that all of
// this takes. What the log says stays as it is.
func (t *story) age() (err error) {
	db, err := sql.Open("sqlite3", t.database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for request, hours := range map[int]int{1: 26, 2: 20, 3: 5, 4: 5, 5: 3, 6: 1} {
		for _, change := range []string{
			`UPDATE request SET opened_at = opened_at - ?2, decided_at = decided_at - ?2, ended_at = ended_at - ?2 WHERE id = ?1`,
			`UPDATE landing SET at = at - ?2 WHERE merge_request = (SELECT merge_request FROM request WHERE id = ?1)`,
		} {
			if _, err := db.ExecContext(t.ctx, change, request, (time.Duration(hours)*time.Hour + 12*time.Minute).Milliseconds()); err != nil {
				return err
			}
		}
	}
	return nil
}

// opens has Bob open a merge request; cards is how many people are asked; before
// that, then is done.
func (t *story) opens(project int64, title, source, target string, cards int, then func()) func() error {
	return func() error {
		mr := t.gitlab.Open(gitlabsim.MergeRequest{
			ProjectID: project, Title: title, Source: source, Target: target, Author: "bob", HasPipeline: project == 48,
			Commits: []gitlabsim.Commit{{Title: title, AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"}},
			Files:   []gitlabsim.FileChange{{Path: "callback.go", Additions: 142, Deletions: 38}},
		})
		if then != nil {
			then()
		}
		t.requests++
		return t.until(fmt.Sprintf("%d people are asked about %s", cards, title), func() bool {
			n := 0
			for _, m := range t.feishu.Messages() {
				if strings.Contains(m.Card, title) && strings.Contains(m.Card, `"callback"`) {
					n++
				}
			}
			return mr.IID > 0 && n >= cards
		})
	}
}

// clicks has somebody press a button on their card about the nth request, and waits
// until that has become so.
func (t *story) clicks(who string, n int, button, reason string, so func() bool) func() error {
	return func() error {
		m := t.message(who, n)
		press := feishusim.ClickOptions{Button: button}
		if reason != "" {
			press.Form = map[string]string{"reason": reason}
		}
		if _, err := t.feishu.Click(t.ctx, t.url+"/feishu/callback", m.ID, t.people[who], press); err != nil {
			return err
		}
		return t.until(who+"'s click on "+button+" is carried out", so)
	}
}

// message is the person's card about the merge request with this number in
// acme/payments, or, from 101 on, in acme/shop.
func (t *story) message(who string, n int) (found feishusim.Message) {
	about := fmt.Sprintf("acme/payments !%d", n)
	if n > 100 {
		about = fmt.Sprintf("acme/shop !%d", n-100)
	}
	for _, m := range t.feishu.MessagesTo(t.people[who]) {
		if strings.Contains(m.Card, about) {
			found = m
		}
	}
	return found
}

func (t *story) reads(who string, n int) string {
	return feishusim.PlainText(t.message(who, n).Card)
}

// opened is how many requests there are.
func (t *story) opened() int { return strings.Count(t.log(), "approval request opened") }

func (t *story) until(what string, so func() bool) error {
	for range 3000 {
		if so() {
			return nil
		}
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("in vain waited until %s\n%s", what, t.log())
}

func (t *story) database() string { return filepath.Join(t.studio.dir, "mrgate.db") }

func (t *story) log() string {
	text, _ := os.ReadFile(filepath.Join(t.studio.dir, "log"))
	return string(text)
}

// start starts the listener.
func (t *story) start() error {
	log, err := os.Create(filepath.Join(t.studio.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	t.cmd = exec.CommandContext(t.ctx, t.studio.mrgate, "serve-callback", "--config", "policy.yaml", "--db", t.database(), //nolint:gosec // it was built here
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--sweep", "0")
	t.cmd.Dir, t.cmd.Env, t.cmd.Stdout, t.cmd.Stderr = t.studio.dir, t.env, log, log
	if err := t.cmd.Start(); err != nil {
		return err
	}
	at := func(name string) string {
		m := regexp.MustCompile(`msg=listening for=` + name + ` addr=(\S+)`).FindStringSubmatch(t.log())
		if m == nil {
			return ""
		}
		return "http://" + m[1]
	}
	if err := t.until("the listener listens", func() bool { return at("public") != "" && at("admin") != "" }); err != nil {
		return err
	}
	t.url, t.admin = at("public"), at("admin")
	t.gitlab.OnWebhook(t.url+"/gitlab/webhook", hookToken)
	return nil
}

func (t *story) stop() {
	_ = t.cmd.Process.Signal(os.Interrupt)
	_ = t.cmd.Wait() // however it ended, it has
}
