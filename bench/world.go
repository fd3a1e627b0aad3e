package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const (
	gitlabToken   = "glpat-bench"
	webhookSecret = "webhook-bench"
	appID         = "cli_bench"
	appSecret     = "app-secret-bench"
	verification  = "verification-bench"
	encryptKey    = "encrypt-key-bench"

	// projects is how many the merge requests are spread over: one of a project is
	// merged at a time.
	projects = 100
)

const policy = `
rules:
  - name: bench
    projects: ["bench/*"]
    target_branches: ["main"]
    approvers: [alice@example.com]
users:
  bob: bob@example.com
locale: en
`

// world is a GitLab, a Feishu with an approver and an author, and a listener.
type world struct {
	dir    string
	gitlab *gitlabsim.Server
	feishu *feishusim.Server
	env    []string
	close  func()

	alice     feishusim.User
	listener  *listener
	starts    int          // of listeners
	ahead     atomic.Int64 // of GitLab's clock, as a time.Duration
	calls     arrivals
	chat      atomic.Int64 // calls that Feishu has answered
	messages  atomic.Int64 // that Feishu has taken
	untouched []feishusim.Message
	feishuURL string
	calm      []time.Duration // answers to clicks one at a time; nil: not measured yet
	atRate    flood           // zero: not measured yet
}

// newWorld makes all but the merge requests and the listener.
func newWorld(ctx context.Context, dir string) (*world, error) {
	w := &world{dir: dir}
	if err := build(ctx, w.binary()); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.policy(), []byte(policy), 0o600); err != nil {
		return nil, err
	}
	w.gitlab = gitlabsim.New(gitlabsim.Options{
		Token: gitlabToken, MergeabilityDelay: gitlabsim.AtOnce,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	w.gitlab.AddUser(gitlabsim.User{ID: 2, Username: "bob", Name: "Bob Chen", CommitEmail: "bob@example.com"})
	for i := range projects {
		w.gitlab.AddProject(gitlabsim.Project{ID: project(i), Path: fmt.Sprintf("bench/project-%d", i), Visibility: "private", BotAccess: 40})
	}
	w.gitlab.Hook(func(r *http.Request, p gitlabsim.Phase) {
		if p == gitlabsim.Arrived {
			w.calls.arrived(r.URL.Path)
		}
	})
	w.feishu = feishusim.New(feishusim.Options{
		AppID: appID, AppSecret: appSecret, VerificationToken: verification, EncryptKey: encryptKey, NamesReadable: true, Unlimited: true,
	})
	w.alice = w.feishu.AddUser(feishusim.User{Name: "Alice", Email: "alice@example.com"})
	w.feishu.AddUser(feishusim.User{Name: "Bob", Email: "bob@example.com"})
	w.feishu.Hook(func(r *http.Request, p feishusim.Phase) {
		if p == feishusim.Done {
			w.chat.Add(1)
		}
		if p == feishusim.Done && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/im/v1/messages") {
			w.messages.Add(1)
		}
	})
	gitlabURL, closeGitLab, err := serve(ctx, w.gitlab)
	if err != nil {
		return nil, err
	}
	feishuURL, closeFeishu, err := serve(ctx, w.feishu)
	if err != nil {
		return nil, err
	}
	w.feishuURL = feishuURL
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TZ=UTC",
		"MRGATE_GITLAB_URL=" + gitlabURL, "MRGATE_GITLAB_TOKEN=" + gitlabToken, "MRGATE_GITLAB_WEBHOOK_SECRET=" + webhookSecret,
		"MRGATE_FEISHU_URL=" + feishuURL, "MRGATE_FEISHU_APP_ID=" + appID, "MRGATE_FEISHU_APP_SECRET=" + appSecret,
		"MRGATE_FEISHU_VERIFICATION_TOKEN=" + verification, "MRGATE_FEISHU_ENCRYPT_KEY=" + encryptKey,
	}
	w.close = func() {
		if w.listener != nil {
			w.listener.kill()
		}
		closeGitLab()
		closeFeishu()
	}
	return w, nil
}

func project(i int) int64 { return int64(1000 + i%projects) }

func (w *world) binary() string   { return filepath.Join(w.dir, "mrgate") }
func (w *world) policy() string   { return filepath.Join(w.dir, "policy.yaml") }
func (w *world) database() string { return filepath.Join(w.dir, "mrgate.db") }

// logFile is where the listener that was started last prints to.
func (w *world) logFile() string { return filepath.Join(w.dir, fmt.Sprintf("log-%d", w.starts)) }

// log is the end of what the listener has printed.
func (w *world) log() string {
	data, _ := os.ReadFile(w.logFile()) // if there is none, there is nothing to say
	return string(data[max(0, len(data)-4000):])
}

// serve serves on a port of its own.
func serve(ctx context.Context, h http.Handler) (address string, closing func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }() // it ends with an error, always
	return "http://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

// fill opens the merge requests and has webhooks tell of them, until everybody
// was asked and told.
func (w *world) fill(ctx context.Context, o options, s *sheet) error {
	var err error
	if w.listener, err = w.start(ctx); err != nil {
		return err
	}
	bodies := make([][]byte, o.mergeRequests)
	for i := range bodies {
		bodies[i] = w.open(i)
	}
	began := time.Now()
	group, told := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, body := range bodies {
		group.Go(func() error { return w.tell(told, body) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("tell of the merge requests: %w", err)
	}
	if err := w.allTold(ctx, int64(2*o.mergeRequests)); err != nil {
		return err
	}
	s.add("merge requests opened", fmt.Sprintf("%d, %.0f a second", o.mergeRequests, float64(o.mergeRequests)/time.Since(began).Seconds()), "", "")
	w.untouched = w.feishu.MessagesTo(w.alice.OpenID)
	return w.quiet(ctx)
}

// open opens a merge request, and gives what GitLab tells of it.
func (w *world) open(i int) (webhook []byte) {
	mr := w.gitlab.Open(gitlabsim.MergeRequest{
		ProjectID: project(i), IID: i/projects + 1, Title: fmt.Sprintf("Change %d of the payment callback", i), Description: "Because it fails at times.",
		Source: fmt.Sprintf("feature/%d", i), Target: "main", Author: "bob",
		Commits: []gitlabsim.Commit{{Title: "Retry the payment callback", AuthorName: "Bob Chen", AuthorEmail: "bob@example.com"}},
		Files:   []gitlabsim.FileChange{{Path: "callback.go", Additions: 142, Deletions: 38}},
	})
	return w.gitlab.WebhookBody(project(i), mr.IID, "open")
}

// allTold waits until Feishu has taken so many messages.
func (w *world) allTold(ctx context.Context, messages int64) error {
	said := int64(0)
	return until(ctx, 30*time.Minute, "everybody was asked and told", func() bool {
		n := w.messages.Load()
		if n/2000 > said && n < messages {
			said = n / 2000
			fmt.Fprintf(os.Stderr, "bench: %d of %d messages sent\n", n, messages)
		}
		return n >= messages
	})
}

// take takes cards that nobody has clicked yet.
func (w *world) take(n int) []feishusim.Message {
	n = min(n, len(w.untouched))
	taken := w.untouched[:n]
	w.untouched = w.untouched[n:]
	return taken
}

// quietFor is how long no call has to come until all counts as done.
const quietFor = 3 * time.Second

// settle waits until no calls have come for a while.
func (w *world) settle(ctx context.Context) error {
	last, since := int64(-1), time.Now()
	return until(ctx, 10*time.Minute, "all is done", func() bool {
		if n := w.calls.total.Load() + w.chat.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) >= quietFor
	})
}

// quiet waits until no calls have come for a while, and forgets those that did.
func (w *world) quiet(ctx context.Context) error {
	err := w.settle(ctx)
	w.gitlab.ResetCalls()
	w.feishu.ResetCalls()
	return err
}

// until waits for what ok says.
func until(ctx context.Context, most time.Duration, what string, ok func() bool) error {
	for deadline := time.Now().Add(most); time.Now().Before(deadline); {
		if ok() {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("in vain waited until " + what)
}

// post posts a JSON body, and gives the answer's.
func post(ctx context.Context, url string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // a simulator's
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d %s", url, resp.StatusCode, answer)
	}
	return answer, err
}
