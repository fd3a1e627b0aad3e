package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const rulesText = `
rules:
  - name: hotfix
    projects: ["47778247"]
    target_branches: ["hotfix/*"]
    approvers: [carol@example.com, dave@example.com]
    on_approve: approve
    on_reject: comment
  - name: production
    projects: ["acme/*"]
    target_branches: ["main", "release/*"]
    approvers: [alice@example.com, carol@example.com, ou_7d8a6e6df7621556ce0d21922b676706]
    cards_to: [oc_a0553eda9014c201e6969b478895c230]
    required: 2
    merge: {squash: true, remove_source_branch: false}
    require_reason: true
    remind_after: 4h
user_email: "{username}@example.com"
`

func TestRulesExplainsWhoDecidesWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(rulesText))
	for name, c := range map[string]struct {
		args   []string
		code   int
		says   []string // on stdout
		not    []string
		stderr string
	}{
		"all": {nil, 0, []string{
			"PLACE  RULE        PROJECTS  TARGET BRANCHES  REQUIRED",
			"1  hotfix      47778247  hotfix/*           1 of 2  carol@example.com, dave@example.com",
			"approve in GitLab", "comment",
			"2  production  acme/*    main, release/*    2 of 3", "merge, squash, keep the source branch", "close, with a reason",
		}, nil, ""},
		"a target branch": {[]string{"--target-branch", "release/2"}, 0, []string{"production"}, []string{"hotfix"}, ""},
		"a project": {
			[]string{"--project", "ACME/web"},
			0,
			[]string{"hotfix", "production"},
			nil,
			"mrgate: warning: rule hotfix may name project ACME/web by its ID; give its ID to --project, to be sure\n",
		},
		"both": {[]string{"--project", "acme/web", "--target-branch", "main"}, 0, []string{
			"main of acme/web: rule production holds, number 2 of the policy",
			"approvers        alice@example.com, carol@example.com, ou_7d8a6e6df7621556ce0d21922b676706",
			"required         2 of 3; one rejection rejects",
			"neither the author nor who has commits in it may approve",
			"cards to         oc_a0553eda9014c201e6969b478895c230",
			"when approved    merge, squash, keep the source branch",
			"when rejected    close, with a reason",
			"reminder         4h", "expires after    13d",
			"1  hotfix: acme/web may be one of its projects, 47778247, but that cannot be told from this; main is not among its target branches, hotfix/*",
		}, nil, ""},
		"by ID": {
			[]string{"--project", "47778247", "--target-branch", "hotfix/1"},
			0,
			[]string{"rule hotfix holds, number 1", "approve in GitLab", "the reviewers who are approvers, else all approvers"},
			[]string{"production"},
			"",
		},
		"no rule": {[]string{"--project", "acme/web", "--target-branch", "dev"}, 1, []string{
			"dev of acme/web: no rule holds", "2  production: dev is not among its target branches, main, release/*",
		}, nil, "mrgate: no rule matches dev of acme/web; mrgate stays out\n"},
		"no rule for a project": {
			[]string{"--project", "12"},
			0,
			[]string{"production"},
			[]string{"hotfix"},
			"mrgate: warning: rule production may name project 12 by its path; give its path to --project, to be sure\n",
		},
	} {
		r := w.run(nil, append([]string{"rules", "--config", w.config}, c.args...)...)
		if r.code != c.code || r.stderr != c.stderr {
			t.Errorf("%s: exit %d, want %d; stderr %q, want %q", name, r.code, c.code, r.stderr, c.stderr)
		}
		for _, s := range c.says {
			if !strings.Contains(r.stdout, s) {
				t.Errorf("%s: stdout lacks %q:\n%s", name, s, r.stdout)
			}
		}
		for _, s := range c.not {
			if strings.Contains(r.stdout, s) {
				t.Errorf("%s: stdout has %q:\n%s", name, s, r.stdout)
			}
		}
	}
	if n := len(w.gitlab.Calls()) + len(w.feishu.Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// rulesJSON is what mrgate rules --json prints, as far as these tests read it.
type rulesJSON struct {
	Policy, Since, Until, Rule string
	Rules                      []struct {
		Place     int
		Name      string
		Approvers []string
		Required  int
		Expire    string `json:"expire_after"`
		Matches   *struct {
			Project bool
			Target  bool `json:"target_branch"`
		}
	}
}

func (w *world) rules(args ...string) rulesJSON {
	w.t.Helper()
	r := w.run(nil, append([]string{"rules", "--config", w.config, "--db", w.db, "--json"}, args...)...)
	if r.code != 0 || r.stderr != "" {
		w.t.Fatalf("rules %v: %+v", args, r)
	}
	return decode[rulesJSON](w.t, []byte(r.stdout))
}

func TestRulesAreAlsoForPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPolicy(rulesText))
	all := w.rules()
	if len(all.Rules) != 2 || all.Rules[1].Required != 2 || all.Rules[1].Expire != "13d" || len(all.Rules[1].Approvers) != 3 || len(all.Policy) != 64 || all.Rule != "" {
		t.Errorf("all: %+v", all)
	}
	one := w.rules("--project", "47778247", "--target-branch", "hotfix/7")
	if one.Rule != "hotfix" || len(one.Rules) != 1 || one.Rules[0].Matches == nil || !one.Rules[0].Matches.Project {
		t.Errorf("one: %+v", one)
	}
	r := w.run(nil, "rules", "--config", w.config, "--json", "--project", "other/x", "--target-branch", "main")
	none := decode[rulesJSON](t, []byte(r.stdout))
	if r.code != 1 || none.Rule != "" || len(none.Rules) != 2 || !none.Rules[1].Matches.Target || none.Rules[1].Matches.Project {
		t.Errorf("none: %+v", r)
	}
}

func TestRulesOfThePast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := time.Now().Add(-time.Second)
	l := w.start()
	approvers := func(args ...string) string {
		t.Helper()
		return strings.Join(w.rules(args...).Rules[0].Approvers, " ")
	}
	w.eventually("the policy is noted", func() bool {
		return w.run(nil, "rules", "--db", w.db, "--at", time.Now().UTC().Format(time.DateOnly)).code == 0
	})
	first := time.Now()
	time.Sleep(5 * time.Millisecond)
	w.setPolicy(changed(bothApprove, onlyCarol))
	l.hup()
	second := time.Now()
	time.Sleep(5 * time.Millisecond)
	l.stop()
	w.setPolicy(changed(bothApprove, daveToo))

	at := func(m time.Time) []string { return []string{"--at", m.UTC().Format(time.RFC3339Nano)} }
	today := []string{"--at", time.Now().UTC().Format(time.DateOnly)}
	for _, c := range []struct {
		args []string
		want string
	}{
		{at(first), "alice@example.com carol@example.com"},
		{at(second), "carol@example.com"},
		{today, "carol@example.com"},
		{nil, "alice@example.com carol@example.com dave@example.com"}, // the file's
	} {
		if got := approvers(c.args...); got != c.want {
			t.Errorf("%v: %s may approve, want %s", c.args, got, c.want)
		}
	}
	page := w.rules(at(first)...)
	if page.Since == "" || page.Until == "" || page.Policy == w.rules(at(second)...).Policy || w.rules(at(second)...).Until != "" {
		t.Errorf("at first: %+v", page)
	}
	r := w.run(nil, append([]string{"rules", "--db", w.db, "--project", projectPath, "--target-branch", "main"}, at(first)...)...)
	if !strings.HasPrefix(r.stdout, "Policy "+page.Policy[:12]+", in force from ") || !strings.Contains(r.stdout, "rule production holds") {
		t.Errorf("for people: %+v", r)
	}
	r = w.run(nil, append([]string{"rules", "--db", w.db}, at(before)...)...)
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "no policy was in force") {
		t.Errorf("before the first start: %+v", r)
	}
}

func TestRulesCheckNeedsNothingButTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file("mrgate.yaml", "rules: [nonsense") // is not what is checked
	// What else is set matters to other commands.
	environ := []string{"MRGATE_GITLAB_URL=http://nonsense", "MRGATE_GITLAB_TOKEN=x", "MRGATE_GITLAB_TOKEN_FILE=/nowhere", "MRGATE_CONFIG=/nowhere.yaml", "HTTPS_PROXY=http://127.0.0.1:1"}
	for name, c := range map[string]struct {
		text   string
		code   int
		stdout string
		stderr string
	}{
		"good.yaml":     {policyText, 0, "good.yaml is good: 1 rule\n", ""},
		"settings.yaml": {policyText + "gitlab_url: https://gitlab.example.com\ngitlab_token: glpat-secret\n", 0, "settings.yaml is good: 1 rule\n", ""},
		"warn.yaml": {
			changed("users:\n  bob: bob@example.com\n", "") + "# end\n", 0, "warn.yaml is good: 1 rule\n",
			"warn.yaml:3:5: warning: rule \"production\": nobody can tell who the author is in the chat, so no approval will count; add users or user_email, or allow_self_approval: true\n",
		},
		"one.yaml": {
			changed(bothApprove, onlyCarol), 0, "one.yaml is good: 1 rule\n",
			"one.yaml:6:16: warning: rule \"production\": nobody can approve what its one approver wrote; add another\n",
		},
		"all.yaml": {
			changed(bothApprove, twoNeeded), 0, "all.yaml is good: 1 rule\n",
			"all.yaml:7:15: warning: rule \"production\": all 2 approvers are required, so nobody can get through what one of them wrote; add an approver, or require fewer\n",
		},
		"key.yaml": {
			policyText + "gitlab_token: glpat-secret\naprovers: []\n", 2, "",
			"mrgate: key.yaml:11:1: \"aprovers\" is no setting; did you mean approver?\n",
		},
		"two.yaml": {
			changed(bothApprove, "approvers: [oc_a0553eda9014c201e6969b478895c230]\n    required: 0"), 2, "",
			"mrgate: two.yaml:6:17: approvers: \"oc_a0553eda9014c201e6969b478895c230\" is a group, and only people decide; list them here, and the group under cards_to\n" +
				"mrgate: two.yaml:7:15: required: 0 people cannot approve; write 1 or more\n",
		},
		"none.yaml": {"locale: en\n", 2, "", "mrgate: none.yaml: holds no rules; add rules: with at least one\n"},
	} {
		o := mrgate(t, dir, environ, "", "rules", "--check", file(name, c.text))
		if o.code != c.code || o.stdout != c.stdout || o.stderr != c.stderr {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want %d, %q, %q", name, o.code, o.stdout, o.stderr, c.code, c.stdout, c.stderr)
		}
		o = mrgate(t, dir, environ, "", "rules", "--json", "--check", name)
		var page struct {
			File, Policy       string
			Rules              int
			Problems, Warnings []struct {
				Line, Column int
				Text         string
			}
		}
		if err := json.Unmarshal([]byte(o.stdout), &page); err != nil {
			t.Fatalf("%s: %v in %q", name, err, o.stdout)
		}
		bad := strings.Count(c.stderr, "\n")
		if c.code == 0 {
			bad -= len(page.Warnings)
		} else {
			bad -= len(page.Problems)
		}
		if o.code != c.code || page.File != name || bad != 0 || (page.Policy == "") != (c.code != 0) || strings.Contains(o.stdout, "glpat") {
			t.Errorf("%s: exit %d, %s", name, o.code, o.stdout)
		}
	}
}
