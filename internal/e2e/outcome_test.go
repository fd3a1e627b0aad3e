package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

const (
	// a while is how long it is watched that nothing happens.
	aWhile = 1500 * time.Millisecond
	// promptly is "at once" on a machine that is very busy with other tests:
	// less than the ten seconds after which mrgate gives up a call that hangs. How
	// fast it really is, benchmarks say.
	promptly = 8 * time.Second
)

// outcome is what a command that ended left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// atOnce has a program that was built with the race detector end when it ends: a
// second later is the detector's default.
const atOnce = "GORACE=atexit_sleep_ms=0"

// mrgate runs the binary to its end, seeing nothing of the tests' environment.
func mrgate(t testing.TB, dir string, environ []string, stdin string, args ...string) outcome {
	t.Helper()
	return command(t, dir, append([]string{"PATH=/usr/bin:/bin", "HOME=" + dir, "TZ=UTC", atOnce}, environ...), stdin, binary(t), args...)
}

func command(t testing.TB, dir string, environ []string, stdin, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, environ, strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run %s %q: %v %v\n%s", name, args, err, ctx.Err(), stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// refuses demands the exit code, nothing on stdout, and one line on stderr which
// holds all of the words.
func (o outcome) refuses(t testing.TB, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit %d, want %d", o.code, code)
	}
	if o.stdout != "" {
		t.Errorf("stdout is not empty: %q", o.stdout)
	}
	if strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "mrgate: ") {
		t.Errorf("not one line that begins with the program's name: %q", o.stderr)
	}
	for _, word := range words {
		if !strings.Contains(o.stderr, word) {
			t.Errorf("stderr %q lacks %q", o.stderr, word)
		}
	}
	for _, trace := range []string{"goroutine", "panic", ".go:"} {
		if strings.Contains(o.stderr, trace) {
			t.Errorf("stderr holds a stack trace: %s", o.stderr)
		}
	}
}

// never watches for a while that something does not happen.
func (w *world) never(what string, happens func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(aWhile); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if happens() {
			w.t.Fatalf("%s\nGitLab saw:\n%s\nFeishu saw:\n%s", what, w.forgeCalls(), w.chatCalls())
		}
	}
}

// soon is eventually, but promptly: for what must not wait for a call that hangs.
func (w *world) soon(what string, ok func() bool) {
	w.t.Helper()
	began := time.Now()
	w.eventually(what, ok)
	if took := time.Since(began); took > promptly {
		w.t.Errorf("%s only after %s", what, took)
	}
}

// undecided demands that nothing was done in GitLab, and nothing is on its way.
func (w *world) undecided(iid int) {
	w.t.Helper()
	w.never("something was done in GitLab", func() bool {
		mr := w.mr(iid)
		return mr.State != "opened" || len(mr.ApprovedBy) > 0 || len(mr.Notes) > 0 || mr.AutoMerge || len(w.writes()) > 0
	})
}

// writes are the calls to GitLab that would change something.
func (w *world) writes() []string {
	return slices.DeleteFunc(w.forgeCalls(), func(c string) bool {
		return strings.HasPrefix(c, "GET ") || strings.HasPrefix(c, "POST /api/graphql ")
	})
}

// effects are the calls that GitLab itself answered, whether or not the answer
// arrived.
func (w *world) effects() []string {
	all, calls := w.forgeCalls(), w.gitlab.Calls()
	var own []string
	for i, call := range all[:min(len(all), len(calls))] {
		if !strings.Contains(calls[i].Fault, "status") {
			own = append(own, call)
		}
	}
	return own
}

// newest is the newest of the person's cards, as it is now.
func (w *world) newest(who feishusim.User) feishusim.Message {
	w.t.Helper()
	w.card(who)
	cards := w.cards(who)
	return cards[len(cards)-1]
}

// shows says that the person's newest card begins with this title and holds the words.
func (w *world) shows(who feishusim.User, title string, words ...string) bool {
	cards := w.cards(who)
	if len(cards) == 0 {
		return false
	}
	text := feishusim.PlainText(cards[len(cards)-1].Card)
	if !strings.HasPrefix(text, title) {
		return false
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// asks says that the person's newest card offers the button.
func (w *world) asks(who feishusim.User, button string) bool {
	cards := w.cards(who)
	return len(cards) > 0 && slices.ContainsFunc(feishusim.Buttons(cards[len(cards)-1].Card), func(b feishusim.Button) bool {
		return b.Callback && b.Value["a"] == button
	})
}

// ended waits until all cards have this title and can no longer be clicked, and
// the author has been told in these words.
func (w *world) ended(title string, told string, approvers ...feishusim.User) {
	w.t.Helper()
	for _, who := range approvers {
		w.eventually(who.Name+"'s card says "+title, func() bool {
			return w.shows(who, title) && !strings.Contains(w.newest(who).Card, `"callback"`)
		})
	}
	w.eventually("the author is told: "+told, func() bool { return strings.Contains(w.reads(w.bob), told) })
}

// once demands that each effect happened once, and goes on having happened once;
// a note, too.
func (w *world) once(iid int, effects ...string) {
	w.t.Helper()
	w.onceOf(iid, 1, effects...)
}

// onceOf is once where so many requests were decided, each with a note.
func (w *world) onceOf(iid, notes int, effects ...string) {
	w.t.Helper()
	w.eventually("each decided request has a note", func() bool { return len(w.mr(iid).Notes) >= notes })
	bad := func() bool {
		for _, effect := range effects {
			if count(w.effects(), effect) != 1 {
				return true
			}
		}
		return len(w.mr(iid).Notes) != notes
	}
	w.never("an effect did not happen exactly once: "+strings.Join(effects, ", "), bad)
}

// pressed is the body that Feishu would post for a press of the button, without
// posting it: to be sent again, later, or many times.
func (w *world) pressed(who feishusim.User, message string, c feishusim.ClickOptions) []byte {
	w.t.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte("{}"))
	}))
	defer sink.Close()
	answer, err := w.feishu.Click(context.Background(), sink.URL, message, who.OpenID, c)
	if err != nil {
		w.t.Fatalf("%s presses %s: %v", who.Name, c.Button, err)
	}
	return []byte(answer.Sent)
}

// answered is how the listener answers the body of a click.
type answered struct {
	Toast *feishusim.Toast `json:"toast"`
	Card  *struct {
		Data map[string]any `json:"data"`
	} `json:"card"`
}

// postClick posts the body of a click. It may be called by several goroutines.
func (w *world) postClick(l *listener, body []byte) answered {
	w.t.Helper()
	status, text := post(w.t, l.url+"/feishu/callback", body, nil)
	if status != http.StatusOK {
		w.t.Errorf("the click was answered %d %s", status, text)
		return answered{}
	}
	var a answered
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		w.t.Errorf("the click was answered %q: %v", text, err)
	}
	return a
}

// says checks a toast.
func says(t testing.TB, toast *feishusim.Toast, kind, content string) {
	t.Helper()
	if toast == nil || toast.Type != kind || toast.Content != content {
		t.Errorf("toast %+v, want %s %q", toast, kind, content)
	}
}

// alone has one approver only.
func alone() setting {
	return policyWith("[alice@example.com, carol@example.com]", "[alice@example.com]")
}

// ready has GitLab know at once whether a merge request can be merged.
func ready() setting {
	return func(s *setup) { s.gitlab.MergeabilityDelay = gitlabsim.AtOnce }
}

// begin opens the usual merge request, and waits until everybody was asked and
// its author knows.
func (w *world) begin(l *listener, asked ...feishusim.User) gitlabsim.MergeRequest {
	w.t.Helper()
	mr := w.open()
	w.webhook(l, mr.IID, "open")
	for _, who := range asked {
		w.card(who)
	}
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) == 1 })
	return mr
}

// quiet waits until nothing has been called for a while.
func (w *world) quiet() {
	w.t.Helper()
	calls, since := -1, time.Now()
	w.eventually("it is quiet", func() bool {
		if n := len(w.gitlab.Calls()) + len(w.feishu.Calls()); n != calls {
			calls, since = n, time.Now()
		}
		return time.Since(since) > aWhile
	})
}

// settle forgets the calls so far.
func (w *world) settle() {
	w.gitlab.ResetCalls()
	w.feishu.ResetCalls()
}
