package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// admin is the listener's address for operators.
func (l *listener) admin() string {
	l.t.Helper()
	return "http://" + l.logs(`msg=listening for=admin addr=(\S+)`)
}

// request makes a request without a body.
func request(t testing.TB, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestListenerIsHealthyOnBothAddressesAndKnowsNoOtherPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	for _, address := range []string{l.url, l.admin()} {
		if status, body := request(t, http.MethodGet, address+"/healthz"); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s/healthz: %d %q", address, status, body)
		}
		for _, path := range []string{"/nothing", "/gitlab", "/feishu/callback/x", "/.env", "/debug/pprof/", "/gitlab/webhook/../../etc/passwd"} {
			if status, _ := request(t, http.MethodPost, address+path); status != http.StatusNotFound {
				t.Errorf("POST %s%s: %d, want 404", address, path, status)
			}
		}
	}
	// What belongs to one address does not exist on the other.
	for _, path := range []string{"/feishu/callback", "/gitlab/webhook"} {
		if status, _ := request(t, http.MethodPost, l.admin()+path); status != http.StatusNotFound {
			t.Errorf("POST %s on the operators' address: %d, want 404", path, status)
		}
	}
}

func TestWebhookWithoutItsSecretDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(append(w.environ(), "MRGATE_GITLAB_WEBHOOK_SECRET="))
	mr := w.open()
	body := w.gitlab.WebhookBody(project, mr.IID, "open")
	for _, token := range []string{"", webhookSecret} {
		if status, _ := post(t, l.url+"/gitlab/webhook", body, http.Header{"X-Gitlab-Token": {token}}); status != http.StatusNotFound {
			t.Errorf("the webhook was answered %d, want 404", status)
		}
	}
	if !strings.Contains(l.log.String(), "gitlab-webhook-secret") {
		t.Errorf("nothing says which setting is missing:\n%s", l.log)
	}
	w.never("somebody was asked", func() bool { return len(w.feishu.Messages()) > 0 })
}

func TestListenerRefusesToStartWhatCannotWork(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"MRGATE_GITLAB_URL": "http://127.0.0.1:1", "MRGATE_GITLAB_TOKEN": gitlabToken, "MRGATE_GITLAB_WEBHOOK_SECRET": webhookSecret,
		"MRGATE_FEISHU_URL": "http://127.0.0.1:1", "MRGATE_FEISHU_APP_ID": appID, "MRGATE_FEISHU_APP_SECRET": appSecret,
		"MRGATE_FEISHU_VERIFICATION_TOKEN": verification,
	}
	for _, c := range []struct {
		name   string
		change map[string]string
		policy string
		args   []string
		says   []string // the thing, and the remedy
	}{
		{name: "no verification token", change: map[string]string{"MRGATE_FEISHU_VERIFICATION_TOKEN": ""}, says: []string{"no click could reach", "feishu-verification-token"}},
		{name: "no GitLab token", change: map[string]string{"MRGATE_GITLAB_TOKEN": ""}, says: []string{"gitlab-token"}},
		{name: "no app", change: map[string]string{"MRGATE_FEISHU_APP_ID": ""}, says: []string{"feishu-app-id"}},
		{name: "no app secret", change: map[string]string{"MRGATE_FEISHU_APP_SECRET": ""}, says: []string{"feishu-app-secret"}},
		{name: "no rules", policy: "locale: en\n", says: []string{"policy", "--config"}},
		{name: "GitLab without encryption", change: map[string]string{"MRGATE_GITLAB_URL": "http://gitlab.example.com"}, says: []string{"https"}},
		{name: "unknown key", policy: policyText + "aprovers: [x]\n", says: []string{"policy.yaml:", "aprovers"}},
		{name: "a rule without approvers", policy: strings.Replace(policyText, "[alice@example.com, carol@example.com]", "[]", 1), says: []string{"policy.yaml:", "approvers"}},
		{name: "more approvals than approvers", policy: strings.Replace(policyText, "    approvers:", "    required: 3\n    approvers:", 1), says: []string{"policy.yaml:", "required"}},
		{name: "broken YAML", policy: "rules: [", says: []string{"policy.yaml:"}},
		{name: "unknown flag", args: []string{"--nonsense"}, says: []string{"--nonsense", "--help"}},
		{name: "stray argument", args: []string{"now"}, says: []string{"now"}},
		{name: "bad duration", args: []string{"--sweep", "often"}, says: []string{"sweep", "often"}},
		{name: "secret twice", change: map[string]string{"MRGATE_GITLAB_TOKEN_FILE": "/dev/null"}, says: []string{"MRGATE_GITLAB_TOKEN"}},
		{name: "secret in a file that is not there", change: map[string]string{"MRGATE_GITLAB_TOKEN": "", "MRGATE_GITLAB_TOKEN_FILE": "/nowhere/token"}, says: []string{"/nowhere/token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policy := c.policy
			if policy == "" {
				policy = policyText
			}
			dir, file := policyFile(t, policy)
			env := maps.Clone(environ)
			maps.Copy(env, c.change)
			var list []string
			for name, value := range env {
				list = append(list, name+"="+value)
			}
			o := mrgate(t, dir, list, "", append([]string{"serve-callback", "--config", file, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, c.args...)...)
			o.refuses(t, 2, c.says...)
			for _, secret := range []string{gitlabToken, webhookSecret, appSecret, verification} {
				if strings.Contains(o.stderr, secret) {
					t.Errorf("the error holds a secret: %s", o.stderr)
				}
			}
			if _, err := os.Stat(dir + "/mrgate.db"); err == nil {
				t.Error("it made a database all the same")
			}
		})
	}
}

func TestUnauthenticatedLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.open()
	body := w.gitlab.WebhookBody(project, mr.IID, "open")
	var refusals []string
	for name, header := range map[string]http.Header{
		"none":      {},
		"empty":     {"X-Gitlab-Token": {""}},
		"wrong":     {"X-Gitlab-Token": {"wrong"}},
		"longer":    {"X-Gitlab-Token": {webhookSecret + "x"}},
		"shorter":   {"X-Gitlab-Token": {webhookSecret[:8]}},
		"doubled":   {"X-Gitlab-Token": {webhookSecret, webhookSecret}},
		"elsewhere": {"Private-Token": {webhookSecret}},
	} {
		status, answer := post(t, l.url+"/gitlab/webhook", body, header)
		if status != http.StatusUnauthorized {
			t.Errorf("a webhook with the token %s was answered %d, want 401", name, status)
		}
		refusals = append(refusals, answer)
	}
	alike(t, refusals)
	w.never("a webhook without its token had an effect", func() bool { return len(w.gitlab.Calls()) > 0 || len(w.feishu.Messages()) > 0 })

	w.webhook(l, mr.IID, "open")
	w.card(w.alice)
	w.card(w.carol)
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	w.settle()
	header := func(f func(map[string]any)) func(map[string]any) {
		return func(body map[string]any) {
			h, _ := body["header"].(map[string]any)
			f(h)
		}
	}
	refusals = nil
	for name, mutate := range map[string]func(map[string]any){
		"a wrong verification token":  header(func(h map[string]any) { h["token"] = "wrong" }),
		"an empty verification token": header(func(h map[string]any) { h["token"] = "" }),
		"no verification token":       header(func(h map[string]any) { delete(h, "token") }),
		"a verification token elsewhere": func(b map[string]any) {
			header(func(h map[string]any) { delete(h, "token") })(b)
			b["token"] = verification
		},
		"a verification token in a list":    header(func(h map[string]any) { h["token"] = []string{verification} }),
		"another app's ID":                  header(func(h map[string]any) { h["app_id"] = "cli_other" }),
		"another company":                   header(func(h map[string]any) { h["tenant_key"] = "tenant_other" }),
		"the name of the token in capitals": header(func(h map[string]any) { h["TOKEN"] = h["token"]; delete(h, "token") }),
		"nobody": func(b map[string]any) {
			event, _ := b["event"].(map[string]any)
			operator, _ := event["operator"].(map[string]any)
			delete(operator, "open_id")
		},
	} {
		click := w.pressed(w.alice, w.newest(w.alice).ID, feishusim.ClickOptions{Button: "approve", Mutate: mutate})
		status, answer := post(t, l.url+"/feishu/callback", click, nil)
		if status != http.StatusUnauthorized {
			t.Errorf("a click with %s was answered %d %s, want 401", name, status, answer)
		}
		refusals = append(refusals, answer)
	}
	for name, raw := range map[string]func([]byte) []byte{
		"something after it": func(b []byte) []byte { return append(b, "{}"...) },
		"a doubled name":     func(b []byte) []byte { return append([]byte(`{"schema":"2.0",`), b[1:]...) },
		"invalid UTF-8":      func(b []byte) []byte { return append([]byte("{\"x\":\"\xff\","), b[1:]...) },
		"nothing in it":      func([]byte) []byte { return nil },
	} {
		click := w.pressed(w.alice, w.newest(w.alice).ID, feishusim.ClickOptions{Button: "approve", MutateRaw: raw})
		status, answer := post(t, l.url+"/feishu/callback", click, nil)
		if status != http.StatusUnauthorized {
			t.Errorf("a click with %s was answered %d %s, want 401", name, status, answer)
		}
		refusals = append(refusals, answer)
	}
	alike(t, refusals)
	w.undecided(mr.IID)
	if calls := w.chatCalls(); len(calls) > 0 {
		t.Errorf("refused clicks made calls to Feishu: %v", calls)
	}
	if err := w.feishu.Challenge(context.Background(), l.url+"/feishu/callback", feishusim.ChallengeOptions{Token: "wrong"}); err == nil {
		t.Error("a challenge with a wrong token was answered")
	}
	if err := w.feishu.Challenge(context.Background(), l.url+"/feishu/callback", feishusim.ChallengeOptions{}); err != nil {
		t.Error(err)
	}
	// The same click, not tampered with, is taken.
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
}

// alike demands that refusals tell no more than that they are.
func alike(t testing.TB, answers []string) {
	t.Helper()
	for _, a := range answers {
		if a != answers[0] || a == "" {
			t.Errorf("refusals differ: %q and %q", a, answers[0])
		}
	}
}

func TestDatabaseIsNobodyElsesToRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	w.begin(l, w.alice, w.carol)
	seen := 0
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(w.db + suffix)
		if os.IsNotExist(err) && suffix != "" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), info.Mode().Perm())
		}
	}
	if seen < 2 {
		t.Error("the database keeps no write-ahead log")
	}
}

func TestSecondListenerOnTheSameDatabaseTakesPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start()
	mr := w.begin(first, w.alice, w.carol)
	second := w.start()
	says(t, w.click(second, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	second.stop()
	again := w.open()
	w.webhook(first, again.IID, "open")
	w.eventually("the first goes on", func() bool { return len(w.cards(w.alice)) == 2 })
	first.stop()
}

func TestVersion(t *testing.T) {
	t.Parallel()
	o := mrgate(t, t.TempDir(), nil, "", "version")
	if o.code != 0 || o.stderr != "" || !regexp.MustCompile(`^mrgate \S+ go1\.\S+ \w+/\w+\n$`).MatchString(o.stdout) {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
}

func TestEndsGracefullyUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	const n = 6
	for i := range n {
		mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = fmt.Sprintf("feature/%d", i) })
		w.webhook(l, mr.IID, "open")
	}
	w.eventually("Alice is asked about each", func() bool { return len(w.cards(w.alice)) == n })
	var clicks [n][]byte
	for i, card := range w.cards(w.alice) {
		clicks[i] = w.pressed(w.alice, card.ID, feishusim.ClickOptions{Button: "approve"})
	}
	// GitLab is slow, so that everything is under way when the end comes.
	slow := w.gitlab.Inject(gitlabsim.Fault{Delay: 500 * time.Millisecond})
	together(n, func(i int) { says(t, w.postClick(l, clicks[i]).Toast, "success", "Approved, merging") })
	l.stop()
	slow()
	done := 0
	for i := range n {
		if w.mr(i+1).State == "merged" {
			done++
		}
	}
	if done == n {
		t.Error("everything was done before the end came: nothing was shown")
	}
	next := w.start()
	for i := range n {
		w.eventually("what was acknowledged is done", func() bool { return w.mr(i+1).State == "merged" && len(w.mr(i+1).Notes) == 1 })
		if got := count(w.forgeCalls(), fmt.Sprintf("PUT %d/merge 200", i+1)); got != 1 {
			t.Errorf("!%d was merged %d times", i+1, got)
		}
	}
	w.eventually("everybody hears of it", func() bool { return len(w.feishu.Messages()) == 4*n })
	next.stop()
}
