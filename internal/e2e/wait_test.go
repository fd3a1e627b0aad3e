package e2e

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gitlabsim"
)

// job is a process that knows nothing but what a job's environment says.
type job struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *buffer
	errs *buffer
	done chan struct{}
}

// startJob starts mrgate in a job's environment.
func (w *world) startJob(env []string, args ...string) *job {
	w.t.Helper()
	j := &job{t: w.t, out: &buffer{}, errs: &buffer{}, done: make(chan struct{})}
	j.cmd = exec.Command(binary(w.t), args...)
	j.cmd.Dir, j.cmd.Env = w.t.TempDir(), append([]string{"PATH=" + os.Getenv("PATH"), atOnce}, env...)
	j.cmd.Stdout, j.cmd.Stderr = j.out, j.errs
	if err := j.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(j.done)
		_ = j.cmd.Wait() // its code says how it ended
	}()
	w.t.Cleanup(func() {
		_ = j.cmd.Process.Kill()
		<-j.done
	})
	return j
}

// ends waits for the job's end, and holds its exit code against the wanted one.
func (j *job) ends(want int) {
	j.t.Helper()
	select {
	case <-j.done:
	case <-time.After(patience):
		j.t.Fatalf("the job still waits:\n%s%s", j.out, j.errs)
	}
	if code := j.cmd.ProcessState.ExitCode(); code != want {
		j.t.Errorf("the job ended with %d, want %d:\n%s%s", code, want, j.out, j.errs)
	}
}

func (j *job) waits(why string) {
	j.t.Helper()
	select {
	case <-j.done:
		j.t.Errorf("the job ended %s:\n%s%s", why, j.out, j.errs)
	default:
	}
}

// front is an address that stays while listeners behind it come and go.
type front struct {
	url string
	to  atomic.Pointer[url.URL]
}

func (w *world) front() *front {
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(f.to.Load()) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // nobody is there: the connection ends
		},
	}
	f.url = serve(w.t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f.to.Load() == nil {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(rw, r)
	}))
	return f
}

func (f *front) show(l *listener) {
	u, err := url.Parse(l.url)
	if err != nil {
		l.t.Fatal(err)
	}
	f.to.Store(u)
}

// gateJob is the environment of the job that waits, without any secret but its ID
// token.
func (w *world) gateJob(mr gitlabsim.MergeRequest, kind, listener string) []string {
	return append(w.pipeline(mr, kind), "CI_SERVER_URL="+w.gitlabURL,
		"MRGATE_SERVER="+listener, "MRGATE_ID_TOKEN="+w.gitlab.IDToken(w.gitlabURL, publicURL, project, nil))
}

func TestJobWaitsForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		code int
		says string
		do   func(w *world, l *listener, mr gitlabsim.MergeRequest)
	}{
		{"approved", 0, "approved by Alice", func(w *world, l *listener, _ gitlabsim.MergeRequest) { w.click(l, w.alice, "approve", "") }},
		{"rejected", 3, "rejected by Carol: not on a Friday", func(w *world, l *listener, _ gitlabsim.MergeRequest) {
			w.click(l, w.carol, "reject", "not on a Friday")
		}},
		{"overtaken by a push", 5, "another commit", func(w *world, l *listener, mr gitlabsim.MergeRequest) {
			w.gitlab.Push(project, mr.IID)
			w.webhook(l, mr.IID, "update")
		}},
		{"closed", 5, "overtaken", func(w *world, l *listener, mr gitlabsim.MergeRequest) {
			w.gitlab.Close(project, mr.IID, "erin")
			w.webhook(l, mr.IID, "close")
		}},
		{"a draft meanwhile", 0, "approved by Alice", func(w *world, l *listener, mr gitlabsim.MergeRequest) {
			w.gitlab.SetDraft(project, mr.IID, true)
			w.webhook(l, mr.IID, "update")
			w.eventually("nobody is asked any more", func() bool { return strings.Contains(w.reads(w.alice), "Now a draft") })
			w.gitlab.SetDraft(project, mr.IID, false)
			w.webhook(l, mr.IID, "update")
			w.eventually("she is asked again", func() bool { return len(w.cards(w.alice)) > 0 && strings.Contains(w.reads(w.alice), "Approval needed") })
			w.click(l, w.alice, "approve", "")
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.startIn(w.withAPI())
			mr := w.open()
			jobs := []*job{
				w.startJob(w.gateJob(mr, "detached", l.url), "notify", "--wait", "2m"),
				w.startJob(w.gateJob(mr, "merged results", l.url), "notify", "--wait", "2m", "--json"),
			}
			w.eventually("Alice and Carol have a card each", func() bool { return len(w.cards(w.alice)) == 1 && len(w.cards(w.carol)) == 1 })
			for _, j := range jobs {
				w.eventually("the job says that it waits", func() bool { return strings.Contains(j.errs.String(), "waiting") })
				j.waits("before anybody decided")
			}
			c.do(w, l, mr)
			for _, j := range jobs {
				j.ends(c.code)
			}
			if all := jobs[0].out.String() + jobs[0].errs.String(); !strings.Contains(all, c.says) {
				t.Errorf("the job does not say %q:\n%s", c.says, all)
			}
			if got := decode[apiAnswer](t, []byte(jobs[1].out.String())); got.MergeRequest.IID != mr.IID || got.Outcome == "" {
				t.Errorf("--json printed %s", jobs[1].out)
			}
		})
	}
}

func TestJobWaitsOutTheListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.front()
	l := w.startIn(w.withAPI())
	f.show(l)
	mr := w.open()
	j := w.startJob(w.gateJob(mr, "detached", f.url), "notify", "--wait", "3m")
	w.eventually("Alice has a card", func() bool { return len(w.cards(w.alice)) == 1 })

	f.to.Store(nil)
	l.kill()
	j.waits("when the listener was killed")
	l = w.startIn(w.withAPI())
	w.click(l, w.alice, "approve", "")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	j.waits("while nobody answered it")
	f.show(l)
	j.ends(0)
	// The same job, retried, does not ask again.
	again := w.startJob(w.gateJob(mr, "detached", f.url), "notify", "--wait", "1m")
	again.ends(0)
	if n := len(w.cards(w.alice)); n != 1 {
		t.Errorf("Alice got %d cards", n)
	}
}

func TestJobsWaitEndsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.open()
	j := w.startJob(w.gateJob(mr, "detached", l.url), "notify", "--wait", "2s")
	j.ends(4)
	if !strings.Contains(j.errs.String(), "not decided within 2s") {
		t.Errorf("it says: %s", j.errs)
	}
}

func TestJobWithoutARule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.open(func(mr *gitlabsim.MergeRequest) { mr.Target = "sandbox" })
	w.startJob(w.gateJob(mr, "detached", l.url), "notify", "--wait", "1m").ends(2)
	w.startJob(w.gateJob(mr, "detached", l.url), "notify", "--wait", "1m", "--if-no-rule", "pass").ends(0)
	w.startJob(w.gateJob(mr, "detached", l.url), "notify").ends(0) // nobody is asked, and that is no failure
}

func TestJobIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	mr := w.open()
	env := w.gateJob(mr, "detached", l.url)
	for _, c := range []struct {
		more []string
		args []string
		code int
		says string
	}{
		{[]string{"MRGATE_ID_TOKEN=" + w.gitlab.IDToken(w.gitlabURL, "https://elsewhere.example.com", project, nil)}, nil, 1, "ID token"},
		{[]string{"MRGATE_ID_TOKEN="}, nil, 2, "MRGATE_ID_TOKEN"},
		{[]string{"MRGATE_SERVER=" + l.admin()}, nil, 1, "--server"},
		{nil, []string{"--approver", "alice@example.com"}, 2, "--approver"},
		{nil, []string{"--dry-run"}, 2, "--dry-run"},
	} {
		j := w.startJob(append(append([]string{}, env...), c.more...), append([]string{"notify", "--wait", "1m"}, c.args...)...)
		j.ends(c.code)
		if !strings.Contains(j.errs.String(), c.says) {
			t.Errorf("%v %v: %s", c.more, c.args, j.errs)
		}
	}
	ran := w.run(nil, "notify", "--wait", "1m", "--config", w.config)
	if ran.code != 2 || !strings.Contains(ran.stderr, "--server") {
		t.Errorf("--wait without --server: %+v", ran)
	}
}

func TestOperatorDecidesThroughTheListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	a, b := w.open(), w.open()
	env := []string{"MRGATE_SERVER=" + l.admin(), "MRGATE_OPERATOR_TOKEN=" + operatorToken}
	j := w.startJob(env, "decide", "--approve", "--project", projectPath, "--mr", "1", "--reason", "hotfix")
	j.ends(0)
	if w.mr(a.IID).State != "merged" || !strings.Contains(j.out.String(), "merged as") {
		t.Errorf("approved: %s, %s", w.mr(a.IID).State, j.out)
	}
	w.startJob(env, "decide", "--reject", projectPath+"!2").ends(0)
	if w.mr(b.IID).State != "closed" {
		t.Errorf("rejected: %s", w.mr(b.IID).State)
	}
	w.startJob(env, "decide", "--approve", projectPath+"!2").ends(3)
	none := w.startJob([]string{"MRGATE_SERVER=" + l.admin(), "MRGATE_OPERATOR_TOKEN=nonsense"}, "decide", "--approve", "1")
	none.ends(1)
	story := w.run(nil, "log", "--db", w.db)
	if !strings.Contains(story.stdout, "dana") {
		t.Errorf("the log does not say whose token it was:\n%s", story.stdout)
	}
}
