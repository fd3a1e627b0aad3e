package e2e

import (
	"context"
	"database/sql"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const doctorPolicy = `
rules:
  - name: production
    projects: ["acme/*"]
    target_branches: ["main"]
    approvers: [alice@example.com, carol@example.com]
users:
  bob: bob@example.com
  alice: alice@example.com
locale: en
`

const hookURL = "https://mrgate.example.com/gitlab/webhook"

// wellWorld is one in which nothing is wrong.
func wellWorld(t *testing.T, settings ...setting) *world {
	t.Helper()
	w := newWorld(t, append([]setting{withPolicy(doctorPolicy)}, settings...)...)
	w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) {
		p.BotOnly, p.PushAccess, p.Members = true, gitlabsim.NoOne, map[string]int{"bob": gitlabsim.Developer, "alice": gitlabsim.Maintainer}
	})
	w.gitlab.OnWebhook(hookURL, webhookSecret)
	w.gitlab.AddDelivery(gitlabsim.Delivery{At: time.Now(), URL: hookURL, Status: 200})
	return w
}

// line is what mrgate doctor prints of one check.
type line struct{ status, subject, what, remedy string }

func (w *world) doctor(env []string, args ...string) (ran, []line) {
	w.t.Helper()
	r := w.run(env, append([]string{"doctor", "--config", w.config, "--db", w.db}, args...)...)
	var lines []line
	for text := range strings.Lines(r.stdout) {
		m := regexp.MustCompile(`^(ok|warning|failure|unchecked) +(.*?): (.*)\n$`).FindStringSubmatch(text)
		if m == nil {
			w.t.Errorf("no line of a check: %q", text)
			continue
		}
		what, remedy, _ := strings.Cut(m[3], " → ")
		lines = append(lines, line{m[1], m[2], what, remedy})
	}
	return r, lines
}

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	w := wellWorld(t)
	r, lines := w.doctor(nil)
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	seen := map[string]bool{}
	for _, l := range lines {
		seen[l.subject] = true
		if l.status != "ok" && l != (line{"unchecked", "feishu.callback", l.what, l.remedy}) {
			t.Errorf("%+v", l)
		}
	}
	for _, subject := range []string{
		"config", "gitlab", "gitlab.clock", "gitlab.user", "gitlab.token", "gitlab.projects", "gitlab.merge acme/webhook",
		"gitlab.gate acme/webhook", "gitlab.webhook acme/webhook", "feishu", "feishu.clock", "feishu.credentials", "feishu.bot",
		"feishu.scopes", "feishu.names", "feishu.long_connection", "feishu.callback", "policy.approver alice@example.com",
		"policy.approver carol@example.com", "policy.rule production", "policy.authors production", "database", "database.space",
	} {
		if !seen[subject] {
			t.Errorf("no line on %s:\n%s", subject, r.stdout)
		}
	}
	for _, says := range []string{"GitLab 19.5.0", "mrgate-bot (mrgate, user ", "is Alice (" + w.alice.OpenID + ")", "main is a hard gate", "was answered 200"} {
		if !strings.Contains(r.stdout, says) {
			t.Errorf("it does not say %q:\n%s", says, r.stdout)
		}
	}
	w.untouched()
}

// untouched holds that nothing was changed anywhere.
func (w *world) untouched() {
	w.t.Helper()
	for _, c := range w.gitlab.Calls() {
		if c.Method != http.MethodGet {
			w.t.Errorf("it called %s %s", c.Method, c.Path)
		}
	}
	if n := len(w.feishu.Messages()); n > 0 {
		w.t.Errorf("it sent %d messages", n)
	}
	files, err := os.ReadDir(w.dir)
	if err != nil || len(files) != 1 {
		w.t.Errorf("it made files: %v, %v", files, err)
	}
}

func TestDoctorInJSON(t *testing.T) {
	t.Parallel()
	w := wellWorld(t, func(s *setup) { s.feishu.BotStatus = 1 })
	w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.BotOnly = false })
	r := w.run(nil, "doctor", "--config", w.config, "--db", w.db, "--json")
	type check struct {
		Check, About, Status, What, Remedy string
	}
	d := decode[struct {
		OK       bool
		Failures int
		Warnings int
		Checks   []check
	}](t, []byte(r.stdout))
	if r.code != 1 || d.OK || d.Failures != 1 || d.Warnings != 1 {
		t.Errorf("exit %d, ok %t, %d failures, %d warnings, want 1, false, 1, 1:\n%s", r.code, d.OK, d.Failures, d.Warnings, r.stdout)
	}
	found := map[string]check{}
	for _, c := range d.Checks {
		found[c.Check] = c
		if c.Check == "" || c.What == "" || c.Status != "ok" && c.Remedy == "" {
			t.Errorf("a check lacks something: %+v", c)
		}
	}
	if c := found["feishu.bot"]; c.Status != "failure" || !strings.Contains(c.What, "switched off by the company") {
		t.Errorf("the bot: %+v", c)
	}
	if c := found["gitlab.gate"]; c.Status != "warning" || c.About != projectPath {
		t.Errorf("the gate: %+v", c)
	}
}

// ill is a world in which one thing is wrong, and what the doctor says of it.
type ill struct {
	with    setting
	make    func(*world) (env, args []string)
	status  string // of the line
	subject string
	what    string // these are parts
	remedy  string
}

func (w *world) change(f func(*gitlabsim.Project)) ([]string, []string) {
	w.gitlab.ChangeProject(project, f)
	return nil, nil
}

// environmental is a fault in the settings.
func environmental(env ...string) func(*world) ([]string, []string) {
	return func(*world) ([]string, []string) { return env, nil }
}

// answering is an address that answers everything in one way.
func answering(t *testing.T, status int, text string) string {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
}

func examine(t *testing.T, c ill) {
	t.Helper()
	settings := []setting{}
	if c.with != nil {
		settings = append(settings, c.with)
	}
	w := wellWorld(t, settings...)
	var env, args []string
	if c.make != nil {
		env, args = c.make(w)
	}
	r, lines := w.doctor(env, args...)
	want := 0
	if c.status == "failure" {
		want = 1
	}
	found := false
	for _, l := range lines {
		switch {
		case l.status == c.status && l.subject == c.subject && strings.Contains(l.what, c.what) && strings.Contains(l.remedy, c.remedy):
			found = true
		case l.status == "failure":
			t.Errorf("beside: %+v", l)
		}
	}
	if !found {
		t.Errorf("no line %s %s with %q and %q:\n%s%s", c.status, c.subject, c.what, c.remedy, r.stdout, r.stderr)
	}
	if r.code != want {
		t.Errorf("exit %d, want %d: %s", r.code, want, r.stderr)
	}
}

func TestDoctorOnGitLab(t *testing.T) {
	t.Parallel()
	html := answering(t, 200, "<html>welcome</html>")
	for name, c := range map[string]ill{
		"nobody listens": {
			make:   environmental("MRGATE_GITLAB_URL=http://127.0.0.1:1"),
			status: "failure", subject: "gitlab", what: "nobody listens at 127.0.0.1:1", remedy: "check gitlab-url",
		},
		"another server": {
			make:   func(w *world) ([]string, []string) { return []string{"MRGATE_GITLAB_URL=" + html}, nil },
			status: "failure", subject: "gitlab", what: "is no GitLab", remedy: "set gitlab-url to GitLab's own address",
		},
		"another path": {
			make:   func(w *world) ([]string, []string) { return []string{"MRGATE_GITLAB_URL=" + w.gitlabURL + "/git"}, nil },
			status: "failure", subject: "gitlab", what: "is no GitLab", remedy: "with the path",
		},
		"in trouble": {
			make: func(w *world) ([]string, []string) {
				w.gitlab.Inject(gitlabsim.Fault{Status: http.StatusBadGateway})
				return nil, nil
			},
			status: "failure", subject: "gitlab", what: "cannot answer now: it was asked for /api/v4/version, and said 502", remedy: "run it again later",
		},
		"over its limit": {
			make: func(w *world) ([]string, []string) {
				w.gitlab.Inject(gitlabsim.Fault{Status: http.StatusTooManyRequests, RetryAfter: 42 * time.Second})
				return nil, nil
			},
			status: "failure", subject: "gitlab", what: "it asks to wait for 42s", remedy: "run it again later",
		},
		"cut off": {
			make: func(w *world) ([]string, []string) {
				w.gitlab.Inject(gitlabsim.Fault{Drop: true})
				return nil, nil
			},
			status: "failure", subject: "gitlab", what: "no answer of 127.0.0.1:", remedy: "check gitlab-url",
		},
		"fails on the way": {
			make: func(w *world) ([]string, []string) {
				w.gitlab.Inject(gitlabsim.Fault{PathSuffix: "/protected_branches", Status: http.StatusInternalServerError})
				return nil, nil
			},
			status: "failure", subject: "gitlab.project acme/webhook", what: "read the protected branches of project 47778247: GitLab answered 500", remedy: "run it again",
		},
		"unknown authority": {
			make: func(w *world) ([]string, []string) {
				return []string{"MRGATE_GITLAB_URL=" + serveTLS(t, w.gitlab).URL}, nil
			},
			status: "failure", subject: "gitlab", what: "authority that this machine does not trust (x509)", remedy: "--gitlab-ca-file",
		},
		"another name": {
			make: func(w *world) ([]string, []string) {
				s := serveTLS(t, w.gitlab)
				return []string{
					"MRGATE_GITLAB_URL=" + strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "MRGATE_GITLAB_CA_FILE=" + w.authority(s),
				}, nil
			},
			status: "failure", subject: "gitlab", what: "not for that name (x509: certificate is valid for", remedy: "check gitlab-url",
		},
		"its own authority": {
			make: func(w *world) ([]string, []string) {
				s := serveTLS(t, w.gitlab)
				return []string{"MRGATE_GITLAB_URL=" + s.URL, "MRGATE_GITLAB_CA_FILE=" + w.authority(s)}, nil
			},
			status: "ok", subject: "gitlab", what: "answers, GitLab 19.5.0",
		},
		"no TLS": {
			make: func(w *world) ([]string, []string) {
				return []string{"MRGATE_GITLAB_URL=" + strings.Replace(w.gitlabURL, "http:", "https:", 1)}, nil
			},
			status: "failure", subject: "gitlab", what: "does not speak TLS", remedy: "check the port in gitlab-url",
		},
		"dead proxy": {
			make:   environmental("MRGATE_GITLAB_URL=https://gitlab.test", "HTTPS_PROXY=http://127.0.0.1:1"),
			status: "failure", subject: "gitlab", what: "the proxy 127.0.0.1:1 does not answer", remedy: "name gitlab.test in NO_PROXY",
		},
		"proxy that wants a password": {
			make: func(w *world) ([]string, []string) {
				return []string{"MRGATE_GITLAB_URL=https://gitlab.test", "HTTPS_PROXY=" + answering(t, 407, "")}, nil
			},
			status: "failure", subject: "gitlab", what: "Proxy Authentication Required", remedy: "ask who runs the proxy",
		},
		"no token": {
			make:   environmental("MRGATE_GITLAB_TOKEN="),
			status: "failure", subject: "config", what: "gitlab-token is missing", remedy: "MRGATE_GITLAB_TOKEN_FILE",
		},
		"wrong token": {
			make:   environmental("MRGATE_GITLAB_TOKEN=glpat-other"),
			status: "failure", subject: "gitlab.token", what: "GitLab refuses the token", remedy: "make a new access token with the scope api",
		},
		"expired token": {
			make:   func(w *world) ([]string, []string) { w.gitlab.ExpireToken(); return nil, nil },
			status: "failure", subject: "gitlab.token", what: "Token is expired", remedy: "make a new access token",
		},
		"revoked token": {
			make:   func(w *world) ([]string, []string) { w.gitlab.RevokeToken(); return nil, nil },
			status: "failure", subject: "gitlab.token", what: "Token was revoked", remedy: "make a new access token",
		},
		"expires soon": {
			with:   func(s *setup) { s.gitlab.TokenExpires = time.Now().AddDate(0, 0, 9) },
			status: "warning", subject: "gitlab.token", what: "in 9 days", remedy: "make another access token",
		},
		"reads only": {
			with:   func(s *setup) { s.gitlab.TokenScopes = []string{"read_api"} },
			status: "failure", subject: "gitlab.token", what: "has the scopes read_api, and lacks api", remedy: "with the scope api",
		},
		"other scopes": {
			with:   func(s *setup) { s.gitlab.TokenScopes = []string{"read_repository"} },
			status: "failure", subject: "gitlab.token", what: "has the scopes read_repository, and lacks api", remedy: "with the scope api",
		},
		"clock a minute ahead": {
			with:   func(s *setup) { s.gitlab.Now = func() time.Time { return time.Now().Add(time.Minute) } },
			status: "warning", subject: "gitlab.clock", what: "ahead of this machine's", remedy: "set this machine's clock",
		},
		"clock ten minutes behind": {
			with:   func(s *setup) { s.gitlab.Now = func() time.Time { return time.Now().Add(-10 * time.Minute) } },
			status: "failure", subject: "gitlab.clock", what: "behind this machine's", remedy: "set this machine's clock",
		},
		"no project": {
			make:   func(w *world) ([]string, []string) { return w.change(func(p *gitlabsim.Project) { p.BotAccess = 0 }) },
			status: "failure", subject: "gitlab.projects", what: "in no project that the rules can match", remedy: "add mrgate-bot to the projects",
		},
		"a named project is not seen": {
			with:   withPolicy(strings.Replace(doctorPolicy, `"acme/*"`, `"acme/webhook", "acme/gone"`, 1)),
			status: "failure", subject: "gitlab.projects acme/gone", what: "cannot see one of that name", remedy: "add mrgate-bot to it",
		},
		"a named project is called otherwise": {
			with: withPolicy(strings.Replace(doctorPolicy, `"acme/*"`, `"acme/webhook", "tools/*", "47778247"`, 1)),
			make: func(w *world) ([]string, []string) {
				w.gitlab.AddProject(gitlabsim.Project{ID: 9, Path: "tools/old", BotAccess: 40, BotOnly: true, PushAccess: gitlabsim.NoOne})
				w.gitlab.Rename(project, "acme/renamed")
				w.setPolicy(strings.Replace(doctorPolicy, `"acme/*"`, `"acme/webhook", "tools/*"`, 1))
				return nil, nil
			},
			status: "warning", subject: "gitlab.projects acme/webhook", what: "is called acme/renamed by now", remedy: "ID 47778247",
		},
		"another project is asked for": {
			make:   func(*world) ([]string, []string) { return nil, []string{"--project", "acme/other"} },
			status: "failure", subject: "gitlab.projects acme/other", what: "no rule matches", remedy: "mend the rule",
		},
		"too little of a member": {
			make: func(w *world) ([]string, []string) {
				return w.change(func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Reporter })
			},
			status: "failure", subject: "gitlab.project acme/webhook", what: "mrgate-bot is Reporter", remedy: "make mrgate-bot Maintainer",
		},
		"may not merge": {
			make: func(w *world) ([]string, []string) {
				return w.change(func(p *gitlabsim.Project) { p.BotOnly, p.MergeAccess = false, gitlabsim.NoOne })
			},
			status: "failure", subject: "gitlab.merge acme/webhook", what: "may not merge into main", remedy: "Protected branches",
		},
		"may not know whether it may merge": {
			make: func(w *world) ([]string, []string) {
				return w.change(func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Developer })
			},
			status: "unchecked", subject: "gitlab.merge acme/webhook", what: "whether it may merge into main cannot be told", remedy: "Protected branches",
		},
		"others may merge": {
			make:   func(w *world) ([]string, []string) { return w.change(func(p *gitlabsim.Project) { p.BotOnly = false }) },
			status: "warning", subject: "gitlab.gate acme/webhook", what: "main is no hard gate: alice (Maintainer), bob (Developer)", remedy: "only mrgate-bot merge",
		},
		"others may push": {
			make: func(w *world) ([]string, []string) {
				return w.change(func(p *gitlabsim.Project) { p.PushAccess = gitlabsim.Maintainer })
			},
			status: "warning", subject: "gitlab.gate acme/webhook", what: "main is no hard gate: alice (Maintainer) may", remedy: "let nobody push",
		},
		"nothing is protected": {
			make: func(w *world) ([]string, []string) {
				return w.change(func(p *gitlabsim.Project) { p.Unprotected = true })
			},
			status: "warning", subject: "gitlab.gate acme/webhook", what: "main is not protected", remedy: "Protected branches",
		},
		"a pattern with nothing protected": {
			with:   withPolicy(strings.Replace(doctorPolicy, `["main"]`, `["main", "release/*"]`, 1)),
			status: "warning", subject: "gitlab.gate acme/webhook", what: "release/* is not protected", remedy: "Protected branches",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examine(t, c)
		})
	}
}

func TestDoctorOnWebhooks(t *testing.T) {
	t.Parallel()
	hook := func(status string, mergeRequests bool) func(*world) ([]string, []string) {
		return func(w *world) ([]string, []string) {
			w.gitlab.SetHook(hookURL, status, mergeRequests)
			return nil, nil
		}
	}
	delivered := func(status int) func(*world) ([]string, []string) {
		return func(w *world) ([]string, []string) {
			w.gitlab.AddDelivery(gitlabsim.Delivery{At: time.Now(), URL: hookURL, Status: status})
			return nil, nil
		}
	}
	const subject = "gitlab.webhook acme/webhook"
	for name, c := range map[string]ill{
		"none":        {make: func(w *world) ([]string, []string) { w.gitlab.OnWebhook("", ""); return nil, nil }, status: "warning", subject: subject, what: "none of its webhooks calls mrgate", remedy: "/gitlab/webhook"},
		"not told":    {make: hook("executable", false), status: "warning", subject: subject, what: "not told of merge requests", remedy: "Merge request events"},
		"for a while": {make: hook("temporarily_disabled", true), status: "warning", subject: subject, what: "switched off until", remedy: "Recent events"},
		"for good":    {make: hook("disabled", true), status: "warning", subject: subject, what: "switched off, because it failed too often", remedy: "press Test"},
		"refused":     {make: delivered(401), status: "warning", subject: subject, what: "was answered 401", remedy: "the secret that the listener has"},
		"not there":   {make: delivered(404), status: "warning", subject: subject, what: "was answered 404", remedy: "gitlab-signing-token"},
		"unreachable": {make: delivered(0), status: "warning", subject: subject, what: "internal error", remedy: "Outbound requests"},
		"for good, and no sweep": {make: func(w *world) ([]string, []string) {
			w.gitlab.SetHook(hookURL, "disabled", true)
			return nil, []string{"--sweep", "0"}
		}, status: "failure", subject: subject, what: "switched off", remedy: "press Test"},
		"another address": {make: func(*world) ([]string, []string) {
			return []string{"MRGATE_PUBLIC_URL=https://other.example.com"}, nil
		}, status: "warning", subject: subject, what: "none of its webhooks calls mrgate"},
		"old GitLab": {make: func(w *world) ([]string, []string) {
			w.gitlab.Inject(gitlabsim.Fault{PathSuffix: "/events", Status: http.StatusNotFound})
			return nil, nil
		}, status: "ok", subject: subject, what: "nothing was delivered in the last seven days, or this GitLab does not tell"},
		"may not be seen": {make: func(w *world) ([]string, []string) {
			return w.change(func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Developer })
		}, status: "unchecked", subject: subject, what: "only a Maintainer may ask", remedy: "Settings > Webhooks"},
		"none is wanted": {make: func(*world) ([]string, []string) {
			return []string{"MRGATE_GITLAB_WEBHOOK_SECRET="}, nil
		}, status: "ok", subject: "gitlab.webhook", what: "sweeps find merge requests every 1m"},
		"neither webhook nor sweep": {make: func(*world) ([]string, []string) {
			return []string{"MRGATE_GITLAB_WEBHOOK_SECRET="}, []string{"--sweep", "0"}
		}, status: "failure", subject: "gitlab.webhook", what: "nothing tells mrgate", remedy: "set sweep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examine(t, c)
		})
	}
}

func TestDoctorOnFeishu(t *testing.T) {
	t.Parallel()
	injected := func(f feishusim.Fault) func(*world) ([]string, []string) {
		return func(w *world) ([]string, []string) { w.feishu.Inject(f); return nil, nil }
	}
	long := func(f feishusim.Fault) func(*world) ([]string, []string) {
		return func(w *world) ([]string, []string) { w.feishu.Inject(f); return nil, []string{"--long-connection"} }
	}
	without := func(scopes ...string) setting {
		return func(s *setup) { s.feishu.Without = scopes }
	}
	endpoint := feishusim.Fault{PathSuffix: "/callback/ws/endpoint", Status: 200, Code: 1000040351, Msg: "Incorrect domain name"}
	for name, c := range map[string]ill{
		"nobody listens": {
			make:   environmental("MRGATE_FEISHU_URL=http://127.0.0.1:1"),
			status: "failure", subject: "feishu", what: "nobody listens at 127.0.0.1:1", remedy: "check feishu-url",
		},
		"another server": {
			make: func(*world) ([]string, []string) {
				return []string{"MRGATE_FEISHU_URL=" + answering(t, 200, "<html>welcome</html>")}, nil
			},
			status: "failure", subject: "feishu", what: "is not Feishu", remedy: "https://open.larksuite.com",
		},
		"in trouble": {
			make:   injected(feishusim.Fault{Status: http.StatusBadGateway}),
			status: "failure", subject: "feishu", what: "cannot answer now: HTTP 502", remedy: "run it again later",
		},
		"cut off": {
			make:   injected(feishusim.Fault{Drop: true}),
			status: "failure", subject: "feishu", what: "no answer of 127.0.0.1:", remedy: "check feishu-url",
		},
		"over its limit": {
			make:   injected(feishusim.RateLimited(7)),
			status: "failure", subject: "feishu.credentials", what: "99991400", remedy: "run it again in 7s",
		},
		"unknown authority": {
			make: func(w *world) ([]string, []string) {
				return []string{"MRGATE_FEISHU_URL=" + serveTLS(t, w.feishu).URL}, nil
			},
			status: "failure", subject: "feishu", what: "authority that this machine does not trust (x509)", remedy: "have the authority added",
		},
		"no app": {
			make:   environmental("MRGATE_FEISHU_APP_ID="),
			status: "failure", subject: "config", what: "feishu-app-id is missing", remedy: "--feishu-app-id",
		},
		"another app": {
			make:   environmental("MRGATE_FEISHU_APP_ID=cli_other"),
			status: "failure", subject: "feishu.credentials", what: "Feishu says 10014", remedy: "check feishu-app-id",
		},
		"wrong secret": {
			make:   environmental("MRGATE_FEISHU_APP_SECRET=other"),
			status: "failure", subject: "feishu.credentials", what: "Feishu says 10015", remedy: "MRGATE_FEISHU_APP_SECRET",
		},
		"address not allowed": {
			make:   injected(feishusim.Fault{PathSuffix: "/bot/v3/info", Code: 99991401, Msg: "ip not allowed"}),
			status: "failure", subject: "feishu.bot", what: "Feishu says 99991401", remedy: "IP allow-list",
		},
		"no bot": {
			with:   func(s *setup) { s.feishu.NoBot = true },
			status: "failure", subject: "feishu.bot", what: "11205 app do not have bot", remedy: "give the app the bot ability and publish a version",
		},
		"switched off": {
			with:   func(s *setup) { s.feishu.BotStatus = 1 },
			status: "failure", subject: "feishu.bot", what: "switched off by the company", remedy: "管理后台",
		},
		"no scope to send": {
			with:   without("im:message:send_as_bot"),
			status: "failure", subject: "feishu.scopes", what: "lacks the scope im:message:send_as_bot", remedy: "/app/" + appID + "/auth?q=im%3Amessage%3Asend_as_bot",
		},
		"scopes cannot be read": {
			make:   injected(feishusim.Fault{PathSuffix: "/application/v6/scopes", Code: 212100, Msg: "app not install"}),
			status: "unchecked", subject: "feishu.scopes", what: "212100", remedy: "im:message:send_as_bot",
		},
		"no scope to look people up": {
			with:   without("contact:user.id:readonly"),
			status: "failure", subject: "feishu.directory", what: "Feishu says 99991672",
			remedy: "ask for contact:user.id:readonly at https://open.feishu.cn/app/" + appID + "/auth?q=contact:user.id:readonly",
		},
		"no scope for people": {
			with:   without("contact:contact.base:readonly"),
			status: "warning", subject: "feishu.names", what: "Feishu says 99991672", remedy: "https://open.feishu.cn/app/" + appID + "/auth?q=contact:contact.base:readonly",
		},
		"no scope for names": {
			with:   without("contact:user.base:readonly"),
			status: "warning", subject: "feishu.names", what: "lacks the scope contact:user.base:readonly", remedy: "/auth?q=",
		},
		"clock": {
			with:   func(s *setup) { s.feishu.Now = func() time.Time { return time.Now().Add(6 * time.Minute) } },
			status: "failure", subject: "feishu.clock", what: "ahead of this machine's", remedy: "set this machine's clock",
		},
		"no long connection": {
			make: long(endpoint), status: "failure", subject: "feishu.long_connection",
			what: "1000040351", remedy: "https://open.larksuite.com",
		},
		"no long connection, and none is wanted": {
			make: injected(endpoint), status: "warning", subject: "feishu.long_connection",
			what: "needs none", remedy: "https://open.larksuite.com",
		},
		"no way for clicks": {
			make:   environmental("MRGATE_FEISHU_VERIFICATION_TOKEN="),
			status: "failure", subject: "config", what: "no click could reach this listener", remedy: "--long-connection",
		},
		"not to be told": {status: "unchecked", subject: "feishu.callback", what: "callback is subscribed cannot be told", remedy: "--send-test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examine(t, c)
		})
	}
}

func TestDoctorOnThePolicy(t *testing.T) {
	t.Parallel()
	with := func(change ...string) setting {
		text := doctorPolicy
		for i := 0; i < len(change); i += 2 {
			if !strings.Contains(text, change[i]) {
				panic("the policy has no " + change[i])
			}
			text = strings.Replace(text, change[i], change[i+1], 1)
		}
		return withPolicy(text)
	}
	for name, c := range map[string]ill{
		"unknown approver": {
			with:   with("carol@example.com", "carol@example.com, frank@example.com"),
			status: "failure", subject: "policy.approver frank@example.com", what: "nobody in Feishu is found", remedy: "可用范围",
		},
		"out of range": {
			make: func(w *world) ([]string, []string) {
				w.setPolicy(strings.Replace(doctorPolicy, "carol@example.com", "carol@example.com, "+w.dave.OpenID, 1))
				w.dave.Unavailable = true
				w.feishu.AddUser(w.dave)
				return nil, nil
			},
			status: "failure", subject: "policy.approver DAVE", what: "nobody in Feishu is found", remedy: "可用范围",
		},
		"an ID": {
			make: func(w *world) ([]string, []string) {
				w.setPolicy(strings.Replace(doctorPolicy, "carol@example.com", "carol@example.com, "+w.dave.OpenID, 1))
				return nil, nil
			},
			status: "ok", subject: "policy.approver DAVE", what: "is Dave (",
		},
		"an ID that may not be looked up": {
			with: func(s *setup) { s.feishu.NamesReadable = false },
			make: func(w *world) ([]string, []string) {
				w.setPolicy(strings.Replace(doctorPolicy, "carol@example.com", "carol@example.com, "+w.dave.OpenID, 1))
				return nil, nil
			},
			status: "unchecked", subject: "policy.approver DAVE", what: "99991672", remedy: "contact:contact.base:readonly",
		},
		"only one approver is left": {
			make: func(w *world) ([]string, []string) {
				w.setPolicy(strings.Replace(doctorPolicy, "carol@example.com]", "+8613800138000]\n    required: 1", 1))
				w.feishu.AddUser(feishusim.User{OpenID: w.alice.OpenID, Name: "Alice", Email: "alice@example.com", Mobile: "+8613800138000"})
				return nil, nil
			},
			status: "warning", subject: "policy.rule production", what: "its approvers are 1 person", remedy: "add an approver",
		},
		"as many as there are": {
			with:   with("    approvers:", "    required: 2\n    approvers:"),
			status: "warning", subject: "config", what: "all 2 approvers are required", remedy: "add an approver",
		},
		"users names nobody": {
			with:   with("  bob: bob@example.com", "  bob: bobby@example.com"),
			status: "warning", subject: "policy.user bob", what: "bobby@example.com, who bob is by users, is nobody in Feishu", remedy: "check the spelling",
		},
		"an author whom nobody knows": {
			with:   with("  bob: bob@example.com\n", ""),
			status: "warning", subject: "policy.authors production", what: "of 2 who may write what is approved here, mrgate does not know who 1 are in Feishu", remedy: "add to users in the policy: bob",
		},
		"authors by their e-mail": {
			with:   with("users:\n  bob: bob@example.com\n  alice: alice@example.com\n", "user_email: \"{username}@example.com\"\n"),
			status: "ok", subject: "policy.authors production", what: "all 2 who may write",
		},
		"nobody can tell": {
			with:   with("users:\n  bob: bob@example.com\n  alice: alice@example.com\n", ""),
			status: "failure", subject: "policy.authors production", what: "no approval will count", remedy: "user_email",
		},
		"all approvers are known": {
			with:   with("  bob: bob@example.com", "  carol: carol@example.com"),
			status: "ok", subject: "policy.authors production", what: "who all its approvers are in GitLab",
		},
		"authors may approve": {
			with:   with("    approvers:", "    allow_self_approval: true\n    approvers:"),
			status: "ok", subject: "policy.authors production", what: "authors may approve",
		},
		"no rules": {
			with:   withPolicy("locale: en\n"),
			status: "failure", subject: "config", what: "there is no policy", remedy: "--config",
		},
		"an approver without the role": {
			with:   with("    approvers:", "    require_gitlab_role: maintainer\n    approvers:", "  bob: bob@example.com", "  bob: bob@example.com\n  carol: carol@example.com"),
			status: "warning", subject: "policy.role production", what: "Carol (carol) is not maintainer in acme/webhook", remedy: "give them that role",
		},
		"an approver with the role": {
			with:   with("    approvers:", "    require_gitlab_role: maintainer\n    approvers:"),
			status: "ok", subject: "policy.role production", what: "Alice (alice) is maintainer or more in 1 project",
		},
		"an approver whom nobody knows in GitLab": {
			with:   with("    approvers:", "    require_gitlab_role: maintainer\n    approvers:"),
			status: "warning", subject: "policy.role production", what: "nobody can tell who Carol is in GitLab", remedy: "to users",
		},
		"nobody with the role": {
			with:   with("    approvers:", "    require_gitlab_role: owner\n    approvers:"),
			status: "failure", subject: "policy.role production", what: "nobody gets through in acme/webhook: it takes 1 approval of somebody who is owner there", remedy: "lines on its approvers",
		},
		"roles that GitLab does not tell": {
			with: with("    approvers:", "    require_gitlab_role: maintainer\n    approvers:"),
			make: func(w *world) ([]string, []string) {
				w.gitlab.Inject(gitlabsim.Fault{Method: http.MethodGet, PathSuffix: "/members/all", Status: http.StatusForbidden, Body: "{}"})
				return nil, nil
			},
			status: "unchecked", subject: "policy.role production", what: "GitLab does not tell the members of acme/webhook", remedy: "Manage > Members",
		},
		"an open door for operators": {
			make:   func(*world) ([]string, []string) { return nil, []string{"--admin-listen", "0.0.0.0:8081"} },
			status: "failure", subject: "config", what: "admin-listen 0.0.0.0:8081", remedy: "MRGATE_OPERATOR_TOKEN_FILE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if before := c.make; strings.HasSuffix(c.subject, "DAVE") {
				const dave = "ou_e2e000000000000000000000000dave"
				c.subject = strings.Replace(c.subject, "DAVE", dave, 1)
				c.make = func(w *world) ([]string, []string) {
					w.dave = w.feishu.AddUser(feishusim.User{OpenID: dave, Name: "Dave", Email: "dave@elsewhere.example"})
					return before(w)
				}
			}
			examine(t, c)
		})
	}
	w := wellWorld(t)
	w.setPolicy("rules: [")
	if r, _ := w.doctor(nil); r.code != 2 || !strings.Contains(r.stderr, "policy.yaml:") {
		t.Errorf("with a broken policy: %+v", r)
	}
}

func TestDoctorOnTheDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]ill{
		"there is none": {status: "ok", subject: "database", what: "there is none yet"},
		"no directory": {
			make: func(w *world) ([]string, []string) {
				return nil, []string{"--db", filepath.Join(w.dir, "nowhere", "mrgate.db")}
			},
			status: "failure", subject: "database", what: "no such file or directory", remedy: "--db",
		},
		"no database": {
			make:   func(w *world) ([]string, []string) { return nil, []string{"--db", w.config} },
			status: "failure", subject: "database", what: "is not an SQLite database", remedy: "--db",
		},
		"well": {
			make:   func(w *world) ([]string, []string) { w.work(); return nil, nil },
			status: "ok", subject: "database.log", what: "it is as mrgate wrote it",
		},
		"somebody changed the log": {
			make: func(w *world) ([]string, []string) {
				w.work()
				return nil, []string{"--db", w.tampered(func(db *sql.DB) {
					w.exec(db, `UPDATE log SET at = at - 1 WHERE number = 1`)
				})}
			},
			status: "failure", subject: "database.log", what: "it is not as mrgate wrote it", remedy: "mrgate log --verify",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examine(t, c)
		})
	}
	t.Run("read only", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		examine(t, ill{
			make: func(w *world) ([]string, []string) {
				dir := filepath.Join(w.dir, "closed")
				if err := os.Mkdir(dir, 0o500); err != nil {
					t.Fatal(err)
				}
				return nil, []string{"--db", filepath.Join(dir, "mrgate.db")}
			},
			status: "failure", subject: "database", what: "cannot be written to: permission denied", remedy: "the right to write",
		})
	})
}

// work has a listener write a log.
func (w *world) work() {
	l := w.start()
	w.begin(l, w.alice, w.carol)
	l.stop()
}

func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// authority is a file with the server's own certificate.
func (w *world) authority(s *httptest.Server) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func TestDoctorSendsATestAndSeesItsClick(t *testing.T) {
	t.Parallel()
	w := wellWorld(t)
	args := []string{"doctor", "--config", w.config, "--db", w.db, "--long-connection", "--send-test", "dave@example.com"}
	j := w.startJob(w.environ(), args...)
	card := w.card(w.dave)
	answer, err := w.feishu.ClickLong(context.Background(), card.ID, w.dave.OpenID, feishusim.ClickOptions{Button: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	says(t, answer.Toast, "success", "The click has reached mrgate")
	if !strings.Contains(answer.Card, "the test has passed") || strings.Contains(answer.Card, `"callback"`) {
		t.Errorf("the card: %s", answer.Card)
	}
	j.ends(0)
	if !strings.Contains(j.out.String(), "ok         feishu.callback dave@example.com: a card was sent, and its click has arrived") {
		t.Errorf("it says\n%s", j.out)
	}
	if n := len(w.feishu.Messages()); n != 1 {
		t.Errorf("%d messages were sent", n)
	}

	// Nobody clicks.
	r, _ := w.doctor(nil, append(args[5:], "--timeout", "1s")...)
	if r.code != 1 || !regexp.MustCompile(`failure +feishu\.callback dave@example\.com: .*no click of it arrived here within 1s → .*card\.action\.trigger`).MatchString(r.stdout) {
		t.Errorf("without a click: %+v", r)
	}
	// Nobody is found, and nothing is sent.
	sent := len(w.feishu.Messages())
	r, _ = w.doctor(nil, "--long-connection", "--send-test", "frank@example.com")
	if r.code != 1 || !strings.Contains(r.stdout, "nobody in Feishu is found") || len(w.feishu.Messages()) != sent {
		t.Errorf("to nobody: %+v", r)
	}
	// The connection is refused, and nothing is sent.
	remove := w.feishu.Inject(feishusim.Fault{PathSuffix: "/ws/v2", Status: http.StatusForbidden, Header: http.Header{
		"Handshake-Status": {"514"}, "Handshake-Autherrcode": {"1000040350"}, "Handshake-Msg": {"too many"},
	}})
	r, _ = w.doctor(nil, "--long-connection", "--send-test", "dave@example.com")
	if r.code != 1 || !regexp.MustCompile(`no long connection could be opened.*1000040350.*→ .*50 connections`).MatchString(r.stdout) || len(w.feishu.Messages()) != sent {
		t.Errorf("without a connection: %+v", r)
	}
	remove()
	for _, bad := range []string{"oc_1234", "frank"} {
		if r, _ := w.doctor(nil, "--send-test", bad); r.code != 2 || !strings.Contains(r.stderr, "--send-test") {
			t.Errorf("to %s: %+v", bad, r)
		}
	}
}

func TestRunningListenerTakesTheTestsClick(t *testing.T) {
	t.Parallel()
	w := wellWorld(t)
	l := w.start()
	r, _ := w.doctor(nil, "--send-test", "dave@example.com")
	if r.code != 0 || !regexp.MustCompile(`unchecked  feishu\.callback dave@example\.com: a card was sent, whose click only the running listener can take → press its button`).MatchString(r.stdout) {
		t.Errorf("it says %+v", r)
	}
	answer := w.click(l, w.dave, "Test", "")
	says(t, answer.Toast, "success", "The click has reached mrgate")
	if !strings.Contains(answer.Card, "the test has passed") {
		t.Errorf("the card: %s", answer.Card)
	}
	l.stop()
	if n := len(w.entries("")); n > 1 {
		t.Errorf("a test left %d entries in the log", n)
	}
}

// A decision that Feishu gives to the doctor's connection is not lost in silence.
func TestDoctorsConnectionRecordsNobodysDecision(t *testing.T) {
	t.Parallel()
	w := wellWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	j := w.startJob(w.environ(), "doctor", "--config", w.config, "--db", w.db, "--long-connection", "--send-test", "dave@example.com")
	w.card(w.dave)
	says(t, w.press(w.alice, "approve", "").Toast, "error", "Not recorded. Please try again")
	w.undecided(mr.IID)
	if _, err := w.feishu.ClickLong(context.Background(), w.card(w.dave).ID, w.dave.OpenID, feishusim.ClickOptions{Button: "Test"}); err != nil {
		t.Fatal(err)
	}
	j.ends(0)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
}
