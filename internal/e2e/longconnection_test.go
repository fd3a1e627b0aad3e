package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
)

// bare is the environment of who has only what a long connection needs: app ID,
// app secret and GitLab token.
func (w *world) bare() []string {
	return append(w.environ(), "MRGATE_FEISHU_VERIFICATION_TOKEN=", "MRGATE_GITLAB_WEBHOOK_SECRET=")
}

// withHook is bare, but GitLab can call.
func (w *world) withHook() []string {
	return append(w.environ(), "MRGATE_FEISHU_VERIFICATION_TOKEN=")
}

// startConnected starts a listener that GitLab can call, and Feishu can't, and
// waits until its long connection is up.
func (w *world) startConnected() *listener {
	w.t.Helper()
	l := w.startIn(w.withHook(), "--long-connection")
	l.logs(`msg="connected to Feishu: clicks arrive`)
	return l
}

// press has the person press a button on their card, which Feishu tells over the
// long connection.
func (w *world) press(who feishusim.User, button, reason string) feishusim.Answer {
	w.t.Helper()
	answer, err := w.tryPress(who, button, reason)
	if err != nil {
		w.t.Fatalf("%s clicks %s: %v", who.Name, button, err)
	}
	return answer
}

func (w *world) tryPress(who feishusim.User, button, reason string) (feishusim.Answer, error) {
	c := feishusim.ClickOptions{Button: button}
	if reason != "" {
		c.Form = map[string]string{"reason": reason}
	}
	return w.feishu.ClickLong(context.Background(), w.newest(who).ID, who.OpenID, c)
}

// asked counts how often the listener asked for a long connection's address.
func (w *world) asked() int { return count(w.chatCalls(), "POST /callback/ws/endpoint") }

func TestClickOverTheLongConnectionMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startConnected()
	for _, says := range []string{"press Save", "Events & Callbacks (事件与回调)", "Callback configuration (回调配置)", "使用长连接接收回调", "card.action.trigger"} {
		if !strings.Contains(l.log.String(), says) {
			t.Errorf("the log does not tell what to do in Feishu's console: %q", says)
		}
	}
	if status, body := request(t, http.MethodGet, l.admin()+"/readyz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	// Whose verification token is not known can't be let in: there is no such door.
	if status, _ := post(t, l.url+"/feishu/callback", []byte("{}"), nil); status != http.StatusNotFound {
		t.Errorf("POST /feishu/callback: %d, want 404", status)
	}
	mr := w.begin(l, w.alice, w.carol)
	answer := w.press(w.alice, "approve", "good work")
	says(t, answer.Toast, "success", "Approved, merging")
	if answer.Card == "" || strings.Contains(answer.Card, `"callback"`) {
		t.Errorf("the answer holds no card without buttons: %s", answer.Card)
	}
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	// Delivered twice, as after trouble in the network, a click changes nothing.
	again, err := w.feishu.Push(context.Background(), []byte(answer.Sent), 1)
	if err != nil || again.Status != http.StatusOK || !strings.Contains(again.Body, "Merged") {
		t.Errorf("the click was answered %d %s, %v when it came again", again.Status, again.Body, err)
	}
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	l.stop()
	// Feishu sees a moment after the process's end that its connection has ended.
	w.eventually("the connection ends", func() bool { return w.feishu.Links() == 0 })
}

// ports are the addresses that the process listens on, as Linux tells them:
// https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt.
func (l *listener) ports() []string {
	l.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", l.cmd.Process.Pid)
	own := map[string]bool{}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(proc + "fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	var ports []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		lines, err := os.ReadFile(proc + "net/" + table)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(lines)) {
			const address, state, inode, listens = 1, 3, 9, "0A"
			if f := strings.Fields(line); len(f) > inode && own[f[inode]] && (f[state] == listens || strings.HasPrefix(table, "udp")) {
				ports = append(ports, table+" "+f[address])
			}
		}
	}
	return ports
}

// With app ID, app secret, GitLab token and a policy alone, and nobody who could
// reach it, it does all.
func TestOutboundOnlyInstallation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.sweeps()
	l := w.launch(w.bare(), "--long-connection", "--sweep", "1s")
	l.logs(`msg="connected to Feishu: clicks arrive`)
	w.eventually("it has swept", func() bool { return w.sweeps() > before })
	mr := w.open()
	w.card(w.alice)
	w.card(w.carol)
	if ports := l.ports(); len(ports) != 1 || !strings.HasPrefix(ports[0], "tcp 0100007F:") {
		t.Errorf("it listens on %v, and not for the operator on loopback alone", ports)
	}
	says(t, w.press(w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "Alice approved acme/webhook !1; merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	if strings.Contains(l.log.String(), "level=WARN") {
		t.Errorf("it warns of something:\n%s", l.log)
	}
	l.stop()
}

func TestRejectionAndRefusalOverTheLongConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startConnected()
	mr := w.begin(l, w.alice, w.carol)
	outsider, err := w.feishu.ClickLong(context.Background(), w.newest(w.alice).ID, w.dave.OpenID, feishusim.ClickOptions{Button: "approve", Anyone: true})
	if err != nil {
		t.Fatal(err)
	}
	says(t, outsider.Toast, "error", `You are not an approver under rule "production". Nothing changed`)
	stranger := func(body map[string]any) {
		header, _ := body["header"].(map[string]any)
		header["app_id"] = "cli_other"
	}
	_, err = w.feishu.ClickLong(context.Background(), w.newest(w.alice).ID, w.alice.OpenID, feishusim.ClickOptions{Button: "approve", Mutate: stranger})
	if _, refused := errors.AsType[*feishusim.ClientError](err); !refused {
		t.Errorf("another app's click was answered: %v", err)
	}
	w.undecided(mr.IID)
	says(t, w.press(w.carol, "reject", "not like this").Toast, "success", "Rejected, closing the merge request")
	w.ended("Rejected ·", "not like this", w.alice, w.carol)
	l.stop()
}

func TestLongConnectionComesBackAfterACut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startConnected()
	w.begin(l, w.alice, w.carol)
	// The server is started again: it says goodbye, and is away for a while.
	away := w.feishu.Inject(feishusim.Fault{PathSuffix: "/callback/ws/endpoint", Status: http.StatusServiceUnavailable})
	w.feishu.CutLinks(1001)
	l.logs(`the connection to Feishu was lost`)
	l.logs(`level=ERROR msg="no connection to Feishu.*HTTP 503.*again_in=`)
	if status, body := request(t, http.MethodGet, l.admin()+"/readyz"); status != http.StatusServiceUnavailable ||
		!strings.HasPrefix(body, "long connection: not connected: ") || strings.Count(body, "\n") != 1 {
		t.Errorf("/readyz: %d %q", status, body)
	}
	_, err := w.tryPress(w.alice, "approve", "")
	if _, shown := errors.AsType[*feishusim.ClientError](err); !shown {
		t.Errorf("without a connection the click gave %v", err)
	}
	away()
	l.logs(`msg="connected to Feishu again"`)
	says(t, w.press(w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	l.stop()
}

func TestHalfOpenLongConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) {
		// The SDK waits for two pings and five seconds; Feishu says 120 s.
		s.feishu.ClientConfig = feishusim.ClientConfig{ReconnectCount: -1, ReconnectInterval: 120, ReconnectNonce: 30, PingInterval: 1}
	})
	l := w.startConnected()
	w.begin(l, w.alice, w.carol)
	w.feishu.SilenceLinks()
	l.logs(`the connection to Feishu was lost.*timeout`)
	l.logs(`msg="connected to Feishu again"`)
	says(t, w.press(w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	l.stop()
}

func TestListenerGoesOnWhereTheLongConnectionIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := w.feishu.Inject(feishusim.Fault{
		PathSuffix: "/callback/ws/endpoint", Status: http.StatusOK, Code: 1000040345, Msg: "app_id or app_secret is invalid",
	})
	l := w.startIn(w.withHook(), "--long-connection")
	for range 3 {
		before := strings.Count(l.log.String(), "level=ERROR")
		w.eventually("it is refused again", func() bool { return strings.Count(l.log.String(), "level=ERROR") > before })
	}
	if logged, asked := strings.Count(l.log.String(), "level=ERROR"), w.asked(); asked > logged+1 {
		t.Errorf("it asked %d times, and waited only %d", asked, logged)
	}
	l.logs(`level=ERROR msg="no connection to Feishu.*1000040345.*check app ID and app secret`)
	if status, body := request(t, http.MethodGet, l.admin()+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "1000040345") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, _ := request(t, http.MethodGet, l.admin()+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	w.begin(l, w.alice, w.carol) // all else goes on
	refused()
	l.logs(`msg="connected to Feishu: clicks arrive`)
	says(t, w.press(w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	l.stop()
}

func TestSigtermEndsTheLongConnectionWhateverItDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  feishusim.Fault
		silent bool
		until  string
	}{
		"connected":     {until: "connected to Feishu:"},
		"half-open":     {until: "connected to Feishu:", silent: true},
		"refused":       {feishusim.Fault{PathSuffix: "/callback/ws/endpoint", Status: http.StatusOK, Code: 1000040350}, false, "no connection to Feishu"},
		"asking":        {feishusim.Fault{PathSuffix: "/callback/ws/endpoint", Delay: time.Hour}, false, ""},
		"shaking hands": {feishusim.Fault{PathSuffix: "/ws/v2", Delay: time.Hour}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.fault.PathSuffix != "" {
				w.feishu.Inject(c.fault)
			}
			l := w.launch(w.bare(), "--long-connection")
			if c.until != "" {
				l.logs(c.until)
			} else {
				w.eventually("it calls", func() bool {
					calls := w.feishu.Calls()
					return len(calls) > 0 && strings.HasSuffix(calls[len(calls)-1].Path, c.fault.PathSuffix)
				})
			}
			if c.silent {
				w.feishu.SilenceLinks()
			}
			l.stop() // within five seconds; a time-out would take ten
		})
	}
}

func TestLongConnectionAloneListensToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.launch(w.environ(), "--long-connection")
	l.logs("connected to Feishu:")
	if strings.Contains(l.log.String(), "for=public") {
		t.Errorf("it listens:\n%s", l.log)
	}
	for _, idle := range []string{"gitlab-webhook-secret", "feishu-verification-token"} {
		l.logs("a setting has no effect.*" + idle)
	}
	l.logs("sweep is 0; set sweep, or listen")
	if status, _ := request(t, http.MethodGet, l.admin()+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	l.stop()

	// With a verification token, and listening, both doors are open: who goes from
	// one to the other misses no click.
	l = w.start("--long-connection")
	l.logs("connected to Feishu:")
	mr := w.begin(l, w.alice, w.carol)
	says(t, w.click(l, w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	if status, _ := request(t, http.MethodGet, l.url+"/readyz"); status != http.StatusNotFound {
		t.Errorf("/readyz on the public address: %d, want 404", status)
	}
	l.stop()
}
