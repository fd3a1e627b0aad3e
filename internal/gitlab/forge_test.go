package gitlab_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/gitlabsim"
)

// methods are all calls of the port, for what has to hold for each.
func methods(f gate.Forge, ref gate.Ref, head gate.CommitID) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": func(ctx context.Context) error { _, err := f.Get(ctx, ref); return err },
		"Contents": func(ctx context.Context) error {
			_, err := f.Contents(ctx, ref, "acme/webhook", head)
			return err
		},
		"Approve": func(ctx context.Context) error { return f.Approve(ctx, ref, head) },
		"Merge": func(ctx context.Context) error {
			_, err := f.Merge(ctx, ref, head, gate.MergeOptions{})
			return err
		},
		"Close":   func(ctx context.Context) error { return f.Close(ctx, ref, head) },
		"Retract": func(ctx context.Context) error { return f.Retract(ctx, ref) },
		"Note": func(ctx context.Context) error {
			_, err := f.Note(ctx, ref, gate.Note{Key: "k", Body: "b", Again: true})
			return err
		},
	}
}

// plain says that err is none of gate's, so that it is tried again.
func plain(err error) bool {
	var wait *gate.RetryAfter
	return err != nil && !errors.As(err, &wait) && !errors.Is(err, gate.ErrNotFound) && !errors.Is(err, gate.ErrHeadMoved) &&
		!errors.Is(err, gate.ErrNotPermitted) && !errors.Is(err, gate.ErrGone)
}

func TestNewNamesTheSetting(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		setting string
		cfg     gitlab.Config
	}{
		{"gitlab_url", gitlab.Config{Token: "t"}},
		{"gitlab_url", gitlab.Config{BaseURL: "gitlab.example.com", Token: "t"}},
		{"gitlab_url", gitlab.Config{BaseURL: "ftp://gitlab.example.com", Token: "t"}},
		{"gitlab_url", gitlab.Config{BaseURL: "https://u:p@gitlab.example.com", Token: "t"}},
		{"gitlab_url", gitlab.Config{BaseURL: "https://gitlab.example.com/?x=1", Token: "t"}},
		{"gitlab_token", gitlab.Config{BaseURL: "https://gitlab.example.com"}},
		{"gitlab_token", gitlab.Config{BaseURL: "https://gitlab.example.com", Token: secretToken + "\n"}},
		{"gitlab_ca_file", gitlab.Config{BaseURL: "https://gitlab.example.com", Token: "t", CAFile: empty}},
		{"gitlab_ca_file", gitlab.Config{BaseURL: "https://gitlab.example.com", Token: "t", CAFile: empty + "x"}},
	} {
		_, err := gitlab.New(c.cfg)
		if err == nil || !strings.HasPrefix(err.Error(), c.setting+":") || strings.Contains(err.Error(), secretToken) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestCompanyCA(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200, map[string]any{"state": "opened", "sha": "a", "target_branch": "main", "references": map[string]string{"full": "a/b!1"}})
	}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // one handshake fails on purpose
	web.StartTLS()
	t.Cleanup(web.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		ok   bool
	}{{"", false}, {ca, true}} {
		f, err := gitlab.New(gitlab.Config{BaseURL: web.URL, Token: "t", CAFile: c.file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Get(t.Context(), gate.Ref{Project: 1, Number: 1}); (err == nil) != c.ok {
			t.Errorf("CA file %q: %v", c.file, err)
		}
	}
}

// A GitLab below a path is reached there, by REST and by GraphQL, with the
// token in its header and nowhere else.
func TestBelowAPath(t *testing.T) {
	var paths []string
	f := canned(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.Path)
		if r.Header.Get("Private-Token") != secretToken {
			t.Errorf("%s: no token", r.URL)
		}
		if strings.Contains(r.URL.String(), secretToken) {
			t.Errorf("token in the address: %s", r.URL)
		}
		if strings.HasSuffix(r.URL.Path, "/graphql") {
			writeJSON(w, 200, map[string]any{"errors": []map[string]string{{"message": "no"}}})
			return
		}
		if strings.HasSuffix(r.URL.Path, "/commits") {
			writeJSON(w, 200, []map[string]any{{"id": "a", "extended_trailers": map[string]any{"Cc": []string{"x", "y"}}}})
			return
		}
		writeJSON(w, 200, map[string]any{
			"state": "opened", "sha": "a", "target_branch": "main",
			"web_url": "https://gl.example.com/git/lab/group/sub/project/-/merge_requests/3",
		})
	}, func(c *gitlab.Config) { c.BaseURL += "/git/lab/api/v4/" })
	ref := gate.Ref{Project: 9, Number: 3}
	s, err := f.Get(t.Context(), ref)
	if err != nil || s.Path != "group/sub/project" {
		t.Errorf("path %q, %v", s.Path, err)
	}
	if _, err := f.Contents(t.Context(), ref, "group/sub/project", "a"); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /git/lab/api/v4/projects/9/merge_requests/3",
		"POST /git/lab/api/graphql",
		"GET /git/lab/api/v4/projects/9/merge_requests/3/commits",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("called %q", paths)
	}
}

// A redirect is not followed: neither does the token go there, nor is a PUT
// made a GET of.
func TestRedirectIsNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 304, 307, 308} {
		var there int
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			there++
			writeJSON(w, 200, map[string]any{})
		}))
		f := canned(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere.URL+r.URL.Path+"?x="+secretToken)
			w.WriteHeader(code)
		})
		for name, call := range methods(f, gate.Ref{Project: 1, Number: 1}, "a") {
			if err := call(t.Context()); !plain(err) || strings.Contains(err.Error(), secretToken) {
				t.Errorf("%d, %s: %v", code, name, err)
			} else if !strings.Contains(err.Error(), "gitlab_url") {
				t.Errorf("%d, %s: the error names no remedy: %v", code, name, err)
			}
		}
		elsewhere.Close()
		if there > 0 {
			t.Errorf("%d was followed %d times", code, there)
		}
	}
}

// Whatever a broken or hostile GitLab answers, the error is short, in one line,
// without the token, and says what was being done.
func TestErrorsAreFitToBeShown(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, f := range map[string]http.HandlerFunc{
		"mirrors the token": func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, 400, map[string]any{"message": "bad token " + r.Header.Get("Private-Token") + "\x1b[31m\r\nlog line"})
		},
		"mirrors it in a 403": func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, 403, map[string]any{"error": "no " + r.Header.Get("Private-Token")})
		},
		"endless text": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = w.Write([]byte(long)) },
		"endless JSON": func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 422, map[string]any{"message": long}) },
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>Please log in</html>"))
		},
		"a proxy's page": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(502)
			_, _ = w.Write([]byte("\n<html><body>Bad gateway</body></html>"))
		},
		"nothing": func(w http.ResponseWriter, _ *http.Request) {},
		"another shape": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`["` + secretToken + `"]`))
		},
		"a key that is the token": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"state": {"` + secretToken + `":1}, "id": "x", "data": 7}`))
		},
	} {
		forge := canned(t, f)
		for method, call := range methods(forge, gate.Ref{Forge: "gitlab", Project: 1, Number: 8}, "a") {
			err := call(t.Context())
			switch {
			case err == nil:
				t.Errorf("%s: %s succeeded", name, method)
			case len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\r\n\x1b"):
				t.Errorf("%s: %s: %.300q", name, method, err)
			case strings.Contains(err.Error(), secretToken):
				t.Errorf("%s: %s shows the token", name, method)
			case strings.Contains(err.Error(), "unknown error format") || strings.Contains(err.Error(), "<body>"):
				t.Errorf("%s: %s: not in words: %.300q", name, method, err)
			case !strings.Contains(err.Error(), "gitlab 1!8"):
				t.Errorf("%s: %s does not name the merge request: %v", name, method, err)
			}
		}
	}
}

func TestAnswerWithoutEnd(t *testing.T) {
	f := canned(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"title":"`))
		block := []byte(strings.Repeat("x", 1<<20))
		for range 40 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		_, _ = w.Write([]byte(`"}`))
	})
	if _, err := f.Get(t.Context(), gate.Ref{}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
}

// 5xx, cut connections and time-outs are to be tried again, by gate: the
// adapter itself calls once.
func TestTroubleIsNotRetriedHere(t *testing.T) {
	for name, fault := range map[string]gitlabsim.Fault{
		"500": {Status: 500}, "502": {Status: 502}, "503": {Status: 503}, "504": {Status: 504},
		"dropped": {Drop: true}, "hangs": {Delay: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, func(c *gitlab.Config) { c.Timeout = 300 * time.Millisecond })
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			s.Inject(fault)
			for method, call := range methods(s.forge, ref, head) {
				s.ResetCalls()
				began := time.Now()
				if err := call(t.Context()); !plain(err) {
					t.Errorf("%s: %v", method, err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s took %s", method, took)
				}
				calls := s.calls()
				if n := len(calls); n != 1 && (method != "Contents" || n != 2) {
					t.Errorf("%s called %q", method, calls)
				}
			}
			if mr := s.mr(ref); mr.State != "opened" || len(mr.ApprovedBy) > 0 || len(mr.Notes) > 0 {
				t.Errorf("there: %+v", mr)
			}
		})
	}
}

func TestContextEndsACall(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.Inject(gitlabsim.Fault{Delay: time.Minute})
	for method, call := range methods(s.forge, ref, head) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", method, err)
		}
		cancel()
	}
}

// The answer to a write is lost: called again, each finds that it is so already.
func TestLostAnswers(t *testing.T) {
	for method, path := range map[string]string{"Approve": "/approve", "Merge": "/merge", "Close": "", "Note": "/notes", "Retract": "/unapprove"} {
		t.Run(method, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			if method == "Retract" {
				if err := s.forge.Approve(t.Context(), ref, head); err != nil {
					t.Fatal(err)
				}
			}
			s.Inject(gitlabsim.Fault{Times: 1, LoseAnswer: true, Match: func(r *http.Request) bool {
				return r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, path)
			}})
			call := methods(s.forge, ref, head)[method]
			if err := call(t.Context()); !plain(err) {
				t.Fatalf("the answer was lost: %v", err)
			}
			if err := call(t.Context()); err != nil {
				t.Fatal(err)
			}
			mr := s.mr(ref)
			is := map[string]bool{
				"Approve": len(mr.ApprovedBy) == 1, "Merge": mr.State == "merged", "Close": mr.State == "closed",
				"Note": len(mr.Notes) == 1, "Retract": len(mr.ApprovedBy) == 0,
			}
			if !is[method] {
				t.Errorf("there: %+v", mr)
			}
		})
	}
}

// An expired or revoked token is waited out: every method says so, names the
// setting, and works again with a new one.
func TestRefusedTokenIsWaitedOut(t *testing.T) {
	for name, end := range map[string]func(*sim){
		"revoked": func(s *sim) { s.RevokeToken() },
		"expired": func(s *sim) { s.ExpireToken() },
		"unknown": func(s *sim) { s.SetToken("glpat-another") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.project()
			ref, head := s.open(gitlabsim.MergeRequest{})
			end(s)
			for method, call := range methods(s.forge, ref, head) {
				if err := call(t.Context()); !plain(err) || !strings.Contains(err.Error(), "gitlab_token") {
					t.Errorf("%s: %v", method, err)
				}
			}
			s.SetToken(secretToken)
			if err := s.forge.Approve(t.Context(), ref, head); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTokenWithTooSmallAScope(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.SetToken(secretToken, "read_api")
	for method, call := range methods(s.forge, ref, head) {
		err := call(t.Context())
		switch method {
		case "Get", "Contents", "Retract": // reads are allowed, and there is nothing to retract
			if err != nil {
				t.Errorf("%s: %v", method, err)
			}
		default:
			if !errors.Is(err, gate.ErrNotPermitted) || !strings.Contains(err.Error(), "insufficient_scope") {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
	s.SetToken(secretToken, "read_user")
	if _, err := s.forge.Get(t.Context(), ref); !errors.Is(err, gate.ErrNotPermitted) {
		t.Errorf("Get: %v", err)
	}
}

// A 429 belongs to the token: until it is over no method calls at all.
func TestRateLimitHoldsEveryCall(t *testing.T) {
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		wait   time.Duration
	}{
		{"seconds", 429, map[string]string{"Retry-After": "42"}, 42 * time.Second},
		{"date", 429, map[string]string{"Retry-After": at(90 * time.Second)}, 90 * time.Second},
		{"date in the past", 429, map[string]string{"Retry-After": at(-time.Hour)}, time.Second},
		{"zero", 429, map[string]string{"Retry-After": "0"}, time.Second},
		{"a day", 429, map[string]string{"Retry-After": "86400"}, 10 * time.Minute},
		{"more than fits", 429, map[string]string{"Retry-After": "99999999999999999999"}, 30 * time.Second},
		{"nothing", 429, nil, 30 * time.Second},
		{"rubbish", 429, map[string]string{"Retry-After": "soon"}, 30 * time.Second},
		{"reset", 429, map[string]string{"RateLimit-Reset": fmt.Sprint(time.Now().Add(75 * time.Second).Unix())}, 75 * time.Second},
		{"maintenance", 503, map[string]string{"Retry-After": "60"}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls, limited := 0, true
			clock := time.Now()
			f := canned(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				if limited {
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte("Retry later\n"))
					return
				}
				writeJSON(w, 200, map[string]any{})
			}, func(cfg *gitlab.Config) { cfg.Now = func() time.Time { return clock } })
			near := func(d time.Duration) bool { return d > c.wait-3*time.Second && d <= c.wait+2*time.Second }
			var wait *gate.RetryAfter
			if _, err := f.Get(t.Context(), gate.Ref{}); !errors.As(err, &wait) || !near(wait.After) {
				t.Fatalf("got %v, %+v", err, wait)
			}
			limited = false
			clock = clock.Add(c.wait - 500*time.Millisecond)
			if c.wait > 3*time.Second {
				clock = clock.Add(-3 * time.Second)
			}
			for method, call := range methods(f, gate.Ref{}, "a") {
				if err := call(t.Context()); !errors.As(err, &wait) || wait.After <= 0 || wait.After > 5*time.Second {
					t.Errorf("%s: %v, %+v", method, err, wait)
				}
			}
			if calls != 1 {
				t.Errorf("%d calls", calls)
			}
			clock = clock.Add(10 * time.Second)
			if err := f.Approve(t.Context(), gate.Ref{}, "a"); errors.As(err, &wait) || calls < 2 {
				t.Errorf("still held: %v", err)
			}
		})
	}
}

func TestRateLimitInTheMiddle(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.Inject(gitlabsim.Fault{PathSuffix: "/merge", Status: 429, RetryAfter: 20 * time.Second, Times: 1})
	var wait *gate.RetryAfter
	if _, err := s.forge.Merge(t.Context(), ref, head, gate.MergeOptions{}); !errors.As(err, &wait) || wait.After > 20*time.Second || wait.After < 19*time.Second {
		t.Errorf("got %v", err)
	}
	if _, err := s.forge.Get(t.Context(), ref); !errors.As(err, &wait) {
		t.Errorf("got %v", err)
	}
	s.skip(21 * time.Second)
	if r, err := s.forge.Merge(t.Context(), ref, head, gate.MergeOptions{}); err != nil || r.Status != gate.Merged {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := s.calls(); len(got) != 2 {
		t.Errorf("called %q", got)
	}
}

// gate's workers share one adapter.
func TestManyAtOnce(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, head := s.open(gitlabsim.MergeRequest{})
	s.Inject(gitlabsim.Fault{Status: 429, RetryAfter: time.Second, Times: 1, Method: http.MethodPost})
	var group sync.WaitGroup
	for range 5 {
		for method, call := range methods(s.forge, ref, head) {
			if method == "Merge" || method == "Close" {
				continue
			}
			group.Go(func() { _ = call(t.Context()) })
		}
	}
	group.Wait()
	s.skip(2 * time.Second)
	if _, err := s.forge.Get(t.Context(), ref); err != nil {
		t.Error(err)
	}
}
