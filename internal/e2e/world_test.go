package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/gitlabsim/contract"
)

// What every test's world uses. Secrets are odd enough to be found wherever
// they should not be.
const (
	project       = int64(47778247)
	projectPath   = "acme/webhook"
	gitlabToken   = "glpat-e2e-Wq7xTz81"
	webhookSecret = "whs-e2e-9fKp2LmV"
	appID         = "cli_e2e0000000000001"
	appSecret     = "app-e2e-Xc45RtBn"
	verification  = "vtk-e2e-Jh31QwEr"
	tenantKey     = "tenant_e2e_1"

	patience = 90 * time.Second // for what takes milliseconds, or, after a kill -9, up to 15 s
)

const policyText = `
rules:
  - name: production
    projects: ["acme/*"]
    target_branches: ["main", "release/*"]
    approvers: [alice@example.com, carol@example.com]
users:
  bob: bob@example.com
locale: en
`

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mrgate-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "mrgate")
	build := exec.CommandContext(context.Background(), "go", "build", raceFlag, "-o", bin, "mrgate/cmd/mrgate")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build mrgate: %v\n%s", err, out)
		return 1
	}
	_ = os.Setenv("MRGATE_E2E_BINARY", bin)
	// Most of these tests wait for a lease or a time-out and need no core.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func binary(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("MRGATE_E2E_BINARY")
	if bin == "" {
		t.Fatal("no binary was built")
	}
	return bin
}

// world is a GitLab with one project, a Feishu with some people, and a
// database: everything but a listener.
type world struct {
	t      testing.TB
	dir    string
	config string
	db     string

	gitlab    *gitlabsim.Server
	gitlabURL string
	feishu    *feishusim.Server
	feishuURL string

	alice, carol, bob, dave feishusim.User // two approvers, the author, an outsider

	mu        sync.Mutex
	listeners []*listener
}

// setting changes a world before it is made.
type setting func(*setup)

type setup struct {
	policy string
	gitlab gitlabsim.Options
	feishu feishusim.Options
}

func withPolicy(text string) setting { return func(s *setup) { s.policy = text } }

// policyWith is the usual policy with some text replaced.
func policyWith(old, new string) setting {
	if !strings.Contains(policyText, old) {
		panic("the policy has no " + old)
	}
	return withPolicy(strings.Replace(policyText, old, new, 1))
}

func newWorld(t testing.TB, settings ...setting) *world {
	t.Helper()
	s := setup{
		policy: policyText,
		gitlab: gitlabsim.Options{Token: gitlabToken, MergeabilityDelay: 20 * time.Millisecond},
		feishu: feishusim.Options{
			AppID: appID, AppSecret: appSecret, TenantKey: tenantKey, VerificationToken: verification, NamesReadable: true,
			ChallengeLimit: promptly,
			CallbackLimit:  promptly, // not Feishu's three seconds: on a busy machine these would be a timed test
		},
	}
	for _, set := range settings {
		set(&s)
	}
	w := &world{t: t, dir: t.TempDir()}
	w.config = filepath.Join(w.dir, "policy.yaml")
	w.db = filepath.Join(w.dir, "mrgate.db")
	w.setPolicy(s.policy)

	w.gitlab = gitlabsim.New(s.gitlab)
	w.gitlabURL = serve(t, w.gitlab)
	w.gitlab.AddUser(gitlabsim.User{ID: 1091276, Username: "bob", Name: "Bob Chen", CommitEmail: "bob@example.com"})
	w.gitlab.AddUser(gitlabsim.User{ID: 1091277, Username: "alice", Name: "Alice Li", CommitEmail: "alice@example.com"})
	w.gitlab.AddUser(gitlabsim.User{ID: 1091278, Username: "erin", Name: "Erin", CommitEmail: "erin@home.example"})
	w.gitlab.AddProject(gitlabsim.Project{ID: project, Path: projectPath, Visibility: "private", BotAccess: 40})

	w.feishu = feishusim.New(s.feishu)
	w.feishuURL = serve(t, w.feishu)
	w.alice = w.feishu.AddUser(feishusim.User{Name: "Alice", Email: "alice@example.com"})
	w.carol = w.feishu.AddUser(feishusim.User{Name: "Carol", Email: "carol@example.com"})
	w.bob = w.feishu.AddUser(feishusim.User{Name: "Bob", Email: "bob@example.com"})
	w.dave = w.feishu.AddUser(feishusim.User{Name: "Dave", Email: "dave@example.com"})
	t.Cleanup(w.check)
	return w
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func (w *world) setPolicy(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// check holds, at each test's end, every call against GitLab's description of
// its API, everything that mrgate printed against the secrets, and what it did
// against its log.
func (w *world) check() {
	w.t.Helper()
	api, err := contract.Load("../../testdata/gitlab/openapi.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range w.gitlab.Calls() {
		if err := api.CheckCall(c.Method, c.Path, c.RawQuery, c.Header, c.Body); err != nil {
			w.t.Errorf("a call that GitLab does not describe: %s %s: %v", c.Method, c.Path, err)
		}
	}
	for _, m := range w.feishu.Messages() {
		if len(m.Mentions) > 0 {
			w.t.Errorf("%s to %s made the phones of %v ring: %s", m.ID, m.To.User.Name, m.Mentions, m.Card)
		}
	}
	for _, l := range w.listeners {
		if out := l.out.String(); out != "" {
			w.t.Errorf("a listener, which has no results, printed some: %s", out)
		}
		for _, secret := range []string{gitlabToken, webhookSecret, appSecret, verification} {
			if strings.Contains(l.log.String(), secret) {
				w.t.Errorf("the log holds the secret %s:\n%s", secret, l.log)
			}
		}
		if strings.Contains(l.log.String(), "DATA RACE") {
			w.t.Errorf("the race detector found something:\n%s", l.log)
		}
		if strings.Contains(l.log.String(), "panic") {
			w.t.Errorf("a listener panicked:\n%s", l.log)
		}
	}
	if _, err := os.Stat(w.db); err == nil && len(w.listeners) > 0 {
		if o := w.verify(w.db); o.code != 0 {
			w.t.Errorf("the log of what happened does not verify: %s%s", o.stdout, o.stderr)
		}
	}
	if w.t.Failed() {
		for i, l := range w.listeners {
			w.t.Logf("log of listener %d:\n%s", i+1, l.log)
		}
	}
}

// listener is a running mrgate serve-callback.
type listener struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  *buffer
	out  *buffer // what it printed as a result
	url  string
	done chan error
}

// environ is what the binary sees of the environment: nothing of the tests'.
func (w *world) environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TZ=UTC", atOnce,
		"MRGATE_GITLAB_URL=" + w.gitlabURL, "MRGATE_GITLAB_TOKEN=" + gitlabToken, "MRGATE_GITLAB_WEBHOOK_SECRET=" + webhookSecret,
		"MRGATE_FEISHU_URL=" + w.feishuURL, "MRGATE_FEISHU_APP_ID=" + appID, "MRGATE_FEISHU_APP_SECRET=" + appSecret,
		"MRGATE_FEISHU_VERIFICATION_TOKEN=" + verification,
	}
}

// start starts a listener and waits until it listens. Without --sweep among the
// arguments it does not sweep, and hears of things only by webhooks.
func (w *world) start(args ...string) *listener {
	w.t.Helper()
	return w.startIn(w.environ(), args...)
}

// startIn starts a listener in an environment of its own.
func (w *world) startIn(environ []string, args ...string) *listener {
	w.t.Helper()
	l := w.launch(environ, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	l.url = "http://" + l.logs(`msg=listening for=public addr=(\S+)`)
	return l
}

// launch starts a listener and does not wait for it.
func (w *world) launch(environ []string, args ...string) *listener {
	w.t.Helper()
	l := &listener{t: w.t, log: &buffer{}, out: &buffer{}, done: make(chan error, 1)}
	args = append([]string{"serve-callback", "--config", w.config, "--db", w.db, "--admin-listen", "127.0.0.1:0"}, args...)
	if !slices.Contains(args, "--sweep") {
		args = append(args, "--sweep", "0")
	}
	l.cmd = exec.Command(binary(w.t), args...)
	l.cmd.Dir, l.cmd.Env = w.dir, environ
	l.cmd.Stdout, l.cmd.Stderr = l.out, l.log
	if err := l.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { l.done <- l.cmd.Wait() }()
	w.mu.Lock()
	w.listeners = append(w.listeners, l)
	w.mu.Unlock()
	w.t.Cleanup(l.kill)
	return l
}

// logs waits until the listener has logged what the pattern finds, and gives the
// first group of that.
func (l *listener) logs(pattern string) (found string) {
	l.t.Helper()
	sought := regexp.MustCompile(pattern)
	eventually(l.t, "the listener logs "+pattern, func() bool {
		m := sought.FindStringSubmatch(l.log.String())
		if m == nil {
			select {
			case err := <-l.done:
				l.done <- err
				l.t.Fatalf("the listener ended: %v\n%s", err, l.log)
			default:
			}
			return false
		}
		found = m[len(m)-1]
		return true
	})
	return found
}

// kill is kill -9.
func (l *listener) kill() {
	_ = l.cmd.Process.Kill()
	err := <-l.done
	l.done <- err
}

// stop asks the listener to end, and demands that it does, gracefully and soon.
func (l *listener) stop() {
	l.t.Helper()
	began := time.Now()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	select {
	case err := <-l.done:
		l.done <- err
		if err != nil {
			l.t.Errorf("the listener ended with %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			l.t.Errorf("the listener took %s to end", took)
		}
	case <-time.After(patience):
		l.t.Error("the listener does not end")
	}
}

// buffer is what a process printed so far.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eventually waits until ok; what says what is waited for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("in vain waited until %s", what)
}

// eventually waits like the function; if in vain, it says what GitLab and Feishu saw.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Logf("GitLab saw:\n%s\nFeishu saw:\n%s", w.forgeCalls(), w.chatCalls())
	for _, m := range w.feishu.Messages() {
		w.t.Logf("%s to %s:\n%s", m.ID, m.To.User.Name, feishusim.PlainText(m.Card))
	}
	w.t.Fatalf("in vain waited until %s", what)
}

// open opens the usual merge request of Bob's in GitLab.
func (w *world) open(change ...func(*gitlabsim.MergeRequest)) gitlabsim.MergeRequest {
	mr := gitlabsim.MergeRequest{
		ProjectID: project, Title: "Retry the payment callback", Description: "Because it fails at times.",
		Source: "feature/retry", Target: "main", Author: "bob",
		Commits: []gitlabsim.Commit{{Title: "Retry the payment callback", AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"}},
		Files:   []gitlabsim.FileChange{{Path: "callback.go", Additions: 142, Deletions: 38}},
	}
	for _, f := range change {
		f(&mr)
	}
	return w.gitlab.Open(mr)
}

// mr is the merge request as GitLab now has it.
func (w *world) mr(iid int) gitlabsim.MergeRequest { return w.gitlab.MR(project, iid) }

// webhook delivers a merge request event to the listener, as GitLab would.
func (w *world) webhook(l *listener, iid int, action string) {
	w.t.Helper()
	if status, answer := post(w.t, l.url+"/gitlab/webhook", w.gitlab.WebhookBody(project, iid, action), http.Header{
		"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {webhookSecret},
	}); status != http.StatusOK {
		w.t.Fatalf("the webhook was answered %d %s", status, answer)
	}
}

// post posts a JSON body; a connection that breaks is status 0.
func post(t testing.TB, url string, body []byte, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// cards are the messages with buttons that the person got, oldest first.
func (w *world) cards(who feishusim.User) []feishusim.Message {
	var cards []feishusim.Message
	for _, m := range w.feishu.MessagesTo(who.OpenID) {
		if strings.Contains(m.History[0].Card, `"callback"`) {
			cards = append(cards, m)
		}
	}
	return cards
}

// card waits for the person's one card.
func (w *world) card(who feishusim.User) feishusim.Message {
	w.t.Helper()
	w.eventually(who.Name+" has a card", func() bool { return len(w.cards(who)) > 0 })
	return w.cards(who)[0]
}

// reads is what the person reads on the newest of their messages.
func (w *world) reads(who feishusim.User) string {
	all := w.feishu.MessagesTo(who.OpenID)
	if len(all) == 0 {
		return ""
	}
	return feishusim.PlainText(all[len(all)-1].Card)
}

// click has the person press a button on their card; reason goes into its field.
func (w *world) click(l *listener, who feishusim.User, button, reason string) feishusim.Answer {
	w.t.Helper()
	answer, err := w.tryClick(l, who, w.card(who).ID, button, reason)
	if err != nil {
		w.t.Fatalf("%s clicks %s: %v", who.Name, button, err)
	}
	return answer
}

func (w *world) tryClick(l *listener, who feishusim.User, message, button, reason string) (feishusim.Answer, error) {
	c := feishusim.ClickOptions{Button: button}
	if reason != "" {
		c.Form = map[string]string{"reason": reason}
	}
	return w.feishu.Click(context.Background(), l.url+"/feishu/callback", message, who.OpenID, c)
}

// forgeCalls are the calls that GitLab got so far, as "PUT …/merge 200".
func (w *world) forgeCalls() []string {
	var calls []string
	for _, c := range w.gitlab.Calls() {
		path := c.Path
		if i := strings.LastIndex(path, "/merge_requests/"); i >= 0 {
			path = path[i+len("/merge_requests/"):]
		}
		calls = append(calls, fmt.Sprintf("%s %s %d", c.Method, path, c.Status))
	}
	return calls
}

// chatCalls are the calls that Feishu got so far, without the token's and the
// directory's.
func (w *world) chatCalls() []string {
	var calls []string
	for _, c := range w.feishu.Calls() {
		if strings.Contains(c.Path, "/auth/") || strings.Contains(c.Path, "/contact/") {
			continue
		}
		calls = append(calls, fmt.Sprintf("%s %s %d", c.Method, c.Path, c.Status))
	}
	return calls
}

// count counts the calls that begin with what.
func count(calls []string, what string) int {
	n := 0
	for _, c := range calls {
		if strings.HasPrefix(c, what) {
			n++
		}
	}
	return n
}

func decode[T any](t testing.TB, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("decode %q: %v", data, err)
	}
	return v
}
