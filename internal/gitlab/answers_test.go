package gitlab_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/policy"
	"mrgate/internal/sqlite"
	"mrgate/internal/words"
)

// What a gate makes of GitLab's answers: the real adapter and the simulated
// GitLab, in a bubble in which waiting takes no time.

// bench is a gate at work on project 7, with Bob's merge request !1 about which
// Alice and Carol were asked.
type bench struct {
	*testing.T
	*gitlabsim.Server
	gate              *gate.Gate
	ref               gate.Ref
	chat              *gatetest.FakeChat
	alice, carol, bob gate.Person
}

// at is the simulated GitLab, without a network between.
type at struct{ sim *gitlabsim.Server }

// RoundTrip implements http.RoundTripper.
func (a at) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	defer func() {
		if cut := recover(); cut != nil {
			err = fmt.Errorf("the connection was cut: %v", cut)
		}
	}()
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	a.sim.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// setting changes a bench before its gate starts.
type setting struct {
	gitlab  gitlabsim.Options
	project gitlabsim.Project
	open    gitlabsim.MergeRequest
	rule    func(r *policy.Rule)
}

func whenPipelineSucceeds(r *policy.Rule) { r.Merge.WhenPipelineSucceeds = new(true) }

// onBench runs a test on a bench where everybody was asked.
func onBench(t *testing.T, s setting, f func(b *bench)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.db")
	synctest.Test(t, func(t *testing.T) {
		if s.gitlab.MergeabilityDelay == 0 {
			s.gitlab.MergeabilityDelay = gitlabsim.AtOnce
		}
		s.gitlab.Token = secretToken
		b := &bench{T: t, Server: gitlabsim.New(s.gitlab), chat: gatetest.NewChat()}
		b.alice = b.chat.AddPerson("Alice", "alice@example.com", "")
		b.carol = b.chat.AddPerson("Carol", "carol@example.com", "")
		b.bob = b.chat.AddPerson("Bob", "bob@example.com", "")
		s.project.ID, s.project.Path = 7, "acme/webhook"
		if s.project.BotAccess == 0 {
			s.project.BotAccess = gitlabsim.Developer
		}
		b.AddProject(s.project)
		b.AddUser(gitlabsim.User{Username: "bob", Name: "Bob", CommitEmail: "bob@example.com"})
		s.open.ProjectID, s.open.Author = 7, "bob"
		b.ref = gate.Ref{Forge: gitlab.Name, Project: 7, Number: int64(b.Open(s.open).IID)}

		p := policy.New()
		p.Locale = policy.LocaleEN
		rule := policy.NewRule(1)
		rule.Name, rule.Projects, rule.TargetBranches = "production", []string{"acme/*"}, []string{"main"}
		rule.Approvers = []policy.Identity{mail("alice"), mail("carol")}
		if s.rule != nil {
			s.rule(&rule)
		}
		p.Rules, p.Users = []policy.Rule{rule}, map[string]policy.Identity{"bob": mail("bob")}

		forge, err := gitlab.New(gitlab.Config{BaseURL: "https://gitlab.example.com", Token: secretToken, Transport: at{b.Server}})
		if err != nil {
			t.Fatal(err)
		}
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.gate = gate.New(gate.Parts{Forge: forge, Chat: b.chat, Store: store, Policy: p, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.gate.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		b.look()
		wait(2 * time.Second)
		f(b)
	})
}

func mail(name string) policy.Identity {
	return policy.Identity{Kind: policy.KindEmail, Value: name + "@example.com"}
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// look tells the gate where to look, as a webhook would.
func (b *bench) look() {
	b.Helper()
	if _, err := b.gate.Look(context.Background(), gate.Hint{Ref: b.ref, Path: "acme/webhook"}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) mr() gitlabsim.MergeRequest { return b.MR(7, int(b.ref.Number)) }

// newest is the newest message that a person got.
func (b *bench) newest(who gate.Person) gatetest.ChatMessage {
	b.Helper()
	all := b.chat.MessagesTo(gate.Recipient{ID: who.ID})
	if len(all) == 0 {
		b.Fatalf("%s got no message", who.Name)
	}
	return all[len(all)-1]
}

// reads is all that a card says.
func reads(c gate.Card) string {
	lines := []string{c.Title}
	for _, t := range append(slices.Clone(c.Facts), c.Status...) {
		lines = append(lines, t.String())
	}
	for _, a := range c.Actions {
		lines = append(lines, strings.TrimSpace("["+a.Label+"] "+a.URL))
	}
	return strings.Join(lines, "\n")
}

// sees waits no longer, and demands that the person's newest message says all of this.
func (b *bench) sees(who gate.Person, all ...string) {
	b.Helper()
	text := reads(b.newest(who).Card)
	for _, want := range all {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(strings.ReplaceAll(want, "Bob", "@bob"))) {
			b.Errorf("%s reads\n%s\nwhich lacks %q", who.Name, text, want)
		}
	}
}

// offers says whether the person's newest message has the button.
func (b *bench) offers(who gate.Person, action gate.ActionID) bool {
	return slices.ContainsFunc(b.newest(who).Card.Actions, func(a gate.Action) bool { return a.ID == action })
}

// press has a person press a button on their newest message.
func (b *bench) press(who gate.Person, action gate.ActionID) gate.Answer {
	b.Helper()
	m := b.newest(who)
	if !b.offers(who, action) {
		b.Fatalf("%s has no button %s on\n%s", who.Name, action, reads(m.Card))
	}
	a := b.gate.Click(context.Background(), m.Click(action, who, ""))
	if a.Card != nil {
		b.chat.Answered(m.Ref, *a.Card)
	}
	return a
}

// approve has Alice approve.
func (b *bench) approve() {
	b.Helper()
	if a := b.press(b.alice, gate.ActionApprove); a.Kind != gate.AnswerOK {
		b.Fatalf("answer %+v", a)
	}
	wait(3 * time.Second)
}

// blocked demands that everybody is told why, and offered to try again, and that
// nothing was merged.
func (b *bench) blocked(title, why string) {
	b.Helper()
	if s := b.mr().State; s != "opened" && s != "locked" {
		b.Fatalf("it is %s", s)
	}
	for _, who := range []gate.Person{b.alice, b.carol} {
		b.sees(who, title, why, "[Retry]")
	}
	b.sees(b.bob, title, why, "[Retry]", "[Open the merge request]")
}

// merged demands that it is merged, once, and that everybody reads so.
func (b *bench) merged() {
	b.Helper()
	if s := b.mr().State; s != "merged" {
		b.Fatalf("it is %s: %s\nAlice reads\n%s", s, b.mr().Status, reads(b.newest(b.alice).Card))
	}
	for _, who := range []gate.Person{b.alice, b.carol, b.bob} {
		b.sees(who, "Merged · acme/webhook !1")
		for _, m := range b.chat.MessagesTo(gate.Recipient{ID: who.ID}) {
			if slices.ContainsFunc(m.Card.Actions, func(a gate.Action) bool { return a.ID == gate.ActionRetry }) {
				b.Errorf("%s can still retry on\n%s", who.Name, reads(m.Card))
			}
		}
	}
}

// puts counts the merges that were tried.
func (b *bench) puts() int {
	n := 0
	for _, c := range b.Calls() {
		if c.Method == http.MethodPut && strings.HasSuffix(c.Path, "/merge") {
			n++
		}
	}
	return n
}

// answer is a value of detailed_merge_status, its class, and what people read.
type answer struct {
	status string
	class  gate.MergeClass
	zh, en string // "": nobody is told, it is waited for
}

// answers are all that GitLab documents (docs.gitlab.com/api/merge_requests,
// "Merge status"), those of its GraphQL type besides, and one of tomorrow's.
func answers() []answer {
	return []answer{
		{"mergeable", gate.MergeGo, "", ""},
		{"preparing", gate.MergeSoon, "", ""},
		{"checking", gate.MergeSoon, "", ""},
		{"unchecked", gate.MergeSoon, "", ""},
		{"approvals_syncing", gate.MergeSoon, "", ""},
		{"not_open", gate.MergeSoon, "", ""},
		{"ci_still_running", gate.MergeCI, "", ""},
		{
			"ci_must_pass", gate.MergeBlocked, "项目要求流水线通过，但此提交没有流水线，需 Bob 运行一条",
			"The project requires a pipeline, and this commit has none; Bob has to run one",
		},
		{
			"status_checks_must_pass", gate.MergeBlocked, "外部状态检查未通过，需 Bob 查看哪项未通过",
			"External status checks have not passed; Bob has to see which",
		},
		{
			"merge_time", gate.MergeBlocked, "设定的合并时间未到，无需操作",
			"Its scheduled merge time has not come; nobody has to do anything",
		},
		{
			"security_policy_violations", gate.MergeBlocked, "违反安全策略，需 Bob 修复，或由安全策略指定的人批准",
			"Violates a security policy; Bob has to fix that, or the policy's approvers have to approve it",
		},
		{
			"security_policy_pipeline_check", gate.MergeBlocked, "安全策略要求的流水线未通过，需 Bob 查看",
			"The pipelines that a security policy demands have not passed; Bob has to see why",
		},
		{
			"merge_request_blocked", gate.MergeBlocked, "被另一个合并请求阻塞，需先合并那一个",
			"Blocked by another merge request, which has to be merged first",
		},
		{
			"commits_status", gate.MergeBlocked, "源分支不存在或没有提交，需 Bob 重新推送",
			"The source branch is missing or has no commits; Bob has to push it again",
		},
		{
			"conflict", gate.MergeBlocked, "与 main 有冲突，需 Bob 解决（会产生新提交并重新审批）",
			"Conflicts with main; Bob has to resolve them (the new commit needs a new approval)",
		},
		{
			"need_rebase", gate.MergeBlocked, "需要变基到最新的 main，由 Bob 操作（变基后重新审批）",
			"Must be rebased onto main by Bob (needs a new approval afterwards)",
		},
		{
			"discussions_not_resolved", gate.MergeBlocked, "有未解决的主题，需 Bob 或评审人解决",
			"Unresolved threads; Bob or a reviewer has to resolve them",
		},
		{"draft_status", gate.MergeBlocked, "仍是草稿，需 Bob 标记为就绪", "Still a draft; Bob has to mark it ready"},
		{
			"not_approved", gate.MergeBlocked, "GitLab 还要求其他人批准，需他们在 GitLab 中批准",
			"GitLab requires further approvals, which others have to give in GitLab",
		},
		{
			"requested_changes", gate.MergeBlocked, "有评审人要求修改，需该评审人在 GitLab 中重新评审",
			"A reviewer requested changes, and has to review it again in GitLab",
		},
		{
			"jira_association_missing", gate.MergeBlocked, "标题和描述中没有 Jira 工单，需 Bob 补上",
			"Names no Jira issue in title or description; Bob has to add one",
		},
		{"title_regex", gate.MergeBlocked, "标题不符合项目要求，需 Bob 修改", "The title does not meet the project's rule; Bob has to change it"},
		{"locked_paths", gate.MergeBlocked, "文件被锁定，需锁定者解锁", "Locked files; whoever locked them has to unlock them"},
		{"locked_lfs_files", gate.MergeBlocked, "文件被锁定，需锁定者解锁", "Locked files; whoever locked them has to unlock them"},
		{
			"moon_phase", gate.MergeBlocked, "GitLab 返回“moon_phase”，需 Bob 在 GitLab 中查看",
			"GitLab says \"moon_phase\"; Bob has to look in GitLab",
		},
	}
}

func TestEveryAnswerHasItsClassAndItsSentence(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	for _, a := range answers() {
		s.SetBlocker(7, 1, a.status)
		got, err := s.forge.Get(t.Context(), ref)
		if err != nil || got.Merging != (gate.Mergeability{Class: a.class, Reason: a.status}) {
			t.Errorf("%s: %+v, %v", a.status, got.Merging, err)
		}
		if a.en == "" {
			continue
		}
		block := words.Block{Reason: a.status, Target: "main", Author: "Bob"}
		if zh, en := words.For("zh").Blocked(block), words.For("en").Blocked(block); zh != a.zh || en != a.en {
			t.Errorf("%s:\n%s\n%s", a.status, zh, en)
		}
	}
}

func TestEveryAnswerIsDescribed(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "answers.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers() {
		if row := fmt.Sprintf("\n| `%s` | %s | ", a.status, a.class); a.status != "moon_phase" && !strings.Contains(string(doc), row) {
			t.Errorf("docs/answers.md has no row%s", row)
		}
	}
}

func TestEveryAnswerDrivesTheRequest(t *testing.T) {
	for _, a := range answers() {
		t.Run(a.status, func(t *testing.T) {
			t.Parallel()
			onBench(t, setting{}, func(b *bench) {
				if a.status != "mergeable" {
					b.SetBlocker(7, 1, a.status)
				}
				b.approve()
				switch a.class {
				case gate.MergeGo:
					b.merged()
					return
				case gate.MergeSoon:
					b.sees(b.alice, "Approved, merging ·")
				case gate.MergeCI:
					b.sees(b.alice, "Approved, waiting for the pipeline ·")
					if !b.mr().AutoMerge {
						t.Error("no auto-merge was set")
					}
				case gate.MergeBlocked:
					b.blocked("Approved, but blocked ·", a.en)
				}
				if told := len(b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})); (told > 1) != (a.class == gate.MergeBlocked) {
					t.Errorf("Bob has %d messages", told)
				}
				// What mends it is told by nobody.
				b.SetBlocker(7, 1, "")
				wait(11 * time.Minute)
				b.merged()
			})
		})
	}
}

// Mended by a push, it is another commit, which nobody has approved.
func TestMendedByAPushIsAskedAgain(t *testing.T) {
	for _, status := range []string{"conflict", "need_rebase", "commits_status", "ci_must_pass", "moon_phase"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			onBench(t, setting{}, func(b *bench) {
				b.SetBlocker(7, 1, status)
				b.approve()
				b.SetBlocker(7, 1, "")
				b.Push(7, 1)
				b.look()
				wait(11 * time.Minute)
				if mr := b.mr(); mr.State != "opened" || len(mr.ApprovedBy) > 0 || b.puts() > 0 {
					t.Fatalf("%s, approved by %q, %d merges", mr.State, mr.ApprovedBy, b.puts())
				}
				first := b.chat.MessagesTo(gate.Recipient{ID: b.alice.ID})[0].Card
				if !strings.HasPrefix(first.Title, "Outdated ·") {
					t.Errorf("Alice's first card reads\n%s", reads(first))
				}
				b.sees(b.alice, "Approval needed", "[Approve and merge]")
				b.sees(b.carol, "Approval needed, updated ·", "[Approve and merge]")
				b.approve()
				b.merged()
			})
		})
	}
}

func TestRetryIsForApproversAndTheAuthor(t *testing.T) {
	for _, who := range []string{"Alice", "Carol", "Bob"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			onBench(t, setting{}, func(b *bench) {
				b.SetBlocker(7, 1, "merge_time")
				b.approve()
				wait(2 * time.Hour) // by now it is looked at every ten minutes only
				b.SetBlocker(7, 1, "")
				if a := b.press(map[string]gate.Person{"Alice": b.alice, "Carol": b.carol, "Bob": b.bob}[who], gate.ActionRetry); a.Kind != gate.AnswerInfo || a.Text != "Retrying" {
					t.Errorf("answer %+v", a)
				}
				wait(3 * time.Second)
				b.merged()
			})
		})
	}
}

// The author hears of each cause once, however often they alternate.
func TestAuthorHearsOfEachCauseOnce(t *testing.T) {
	onBench(t, setting{}, func(b *bench) {
		b.SetBlocker(7, 1, "not_approved")
		b.approve()
		for range 3 {
			for _, status := range []string{"discussions_not_resolved", "checking", "not_approved"} {
				b.SetBlocker(7, 1, status)
				b.look()
				wait(10 * time.Second)
			}
		}
		told := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
		if len(told) != 3 { // that it was asked, and the two causes
			t.Errorf("Bob has %d messages", len(told))
		}
		b.blocked("Approved, but blocked ·", "GitLab requires further approvals")
	})
}

// What no detailed_merge_status names.
func TestOtherAnswersInTheirOwnWords(t *testing.T) {
	for name, c := range map[string]struct {
		setting setting
		happens func(b *bench)
		waits   time.Duration
		title   string // default: that it is blocked
		why     string
		mends   func(b *bench) // nil: nothing has to
	}{
		"locked for too long": {
			happens: func(b *bench) { b.Lock(7, 1) }, waits: 7 * time.Minute,
			why:   "GitLab got stuck while merging; Bob has to close and reopen it (needs a new approval afterwards)",
			mends: func(b *bench) { b.Unlock(7, 1) },
		},
		"a merge that fails": {
			happens: func(b *bench) { b.FailNextMerge(7, 1, "pre-receive hook declined") },
			why:     "GitLab: pre-receive hook declined. Bob or an administrator has to fix that",
		},
		"may not merge": {
			setting: setting{project: gitlabsim.Project{MergeAccess: gitlabsim.Maintainer}},
			title:   "Needs an administrator ·", why: "the bot mrgate-bot may not merge into main; an administrator must allow it in Protected branches",
			mends: func(b *bench) {
				b.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Maintainer })
			},
		},
		"may not approve": {
			setting: setting{project: gitlabsim.Project{BotAccess: gitlabsim.Reporter}},
			title:   "Needs an administrator ·", why: "the bot may not approve this merge request: its role is too low",
			mends: func(b *bench) {
				b.ChangeProject(7, func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Developer })
			},
		},
		"never finds out": {
			happens: func(b *bench) { b.SetBlocker(7, 1, "checking") }, waits: 6 * time.Minute,
			why:   "GitLab does not find out whether it can be merged; Bob has to open it in GitLab and see",
			mends: func(b *bench) { b.SetBlocker(7, 1, "") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, c.setting, func(b *bench) {
				if c.happens != nil {
					c.happens(b)
				}
				b.approve()
				if c.waits > 0 {
					b.sees(b.alice, "Approved, merging ·")
					wait(c.waits)
				}
				if c.title == "" {
					c.title = "Approved, but blocked ·"
				}
				b.blocked(c.title, c.why)
				if c.mends != nil {
					wait(20 * time.Minute)
					b.blocked(c.title, c.why)
					c.mends(b)
				}
				wait(11 * time.Minute)
				b.merged()
			})
		})
	}
}

// An error that an older merge left is not this one's: it stays for good.
func TestOldMergeErrorBlocksNothing(t *testing.T) {
	onBench(t, setting{}, func(b *bench) {
		b.FailNextMerge(7, 1, "an old story")
		b.MergeByHand(7, 1, "erin")
		var once atomic.Bool
		b.Hook(func(r *http.Request, p gitlabsim.Phase) {
			if strings.HasSuffix(r.URL.Path, "/merge") && p == gitlabsim.Arrived && !once.Swap(true) {
				b.SetBlocker(7, 1, "checking") // a 405, and by the time of the look it is over
			} else if r.Method == http.MethodGet {
				b.SetBlocker(7, 1, "")
			}
		})
		b.approve()
		wait(5 * time.Second)
		b.merged()
		if n := len(b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})); n != 2 {
			t.Errorf("Bob has %d messages", n)
		}
	})
}

// On gitlab.com "unchecked" may stay until somebody tries to merge.
func TestTriesWhatIsNeverChecked(t *testing.T) {
	lazy := gitlabsim.Options{ChecksOnMerge: true, MergeabilityDelay: time.Second}
	onBench(t, setting{gitlab: lazy}, func(b *bench) {
		b.approve()
		b.sees(b.alice, "Approved, merging ·")
		wait(30 * time.Second)
		b.merged()
	})
	onBench(t, setting{gitlab: lazy}, func(b *bench) {
		b.SetConflict(7, 1, true)
		b.approve()
		wait(30 * time.Second)
		b.blocked("Approved, but blocked ·", "Conflicts with main")
	})
	// Under the rule it is not tried while no pipeline has passed.
	onBench(t, setting{gitlab: lazy, rule: whenPipelineSucceeds, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
		b.SetPipeline(7, 1, "failed")
		b.approve()
		wait(time.Hour)
		b.blocked("Approved, but blocked ·", "failed")
		if b.puts() > 0 {
			t.Errorf("%d merges", b.puts())
		}
	})
	// A pipeline that the project demands is no reason to call anybody.
	onBench(t, setting{gitlab: lazy, project: gitlabsim.Project{PipelinesMustSucceed: true}, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
		b.approve()
		wait(time.Hour)
		b.sees(b.alice, "Approved, merging ·")
		b.SetPipeline(7, 1, "success")
		wait(2 * time.Minute)
		b.merged()
	})
}
