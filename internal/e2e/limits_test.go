package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/feishusim"
)

const (
	// mostMemory is with the program's own file, of which up to 24 MiB are mapped.
	mostMemory = 120 << 20
	// largest is just below the longest body that is read; eight come at once.
	largest = 8<<20 - 4096
	// gone is how long a connection that does nothing may stay.
	gone = 25 * time.Second
)

// dial connects to the listener; the connection ends with the test.
func (l *listener) dial() net.Conn {
	l.t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw sends text, and gives everything that comes until the listener closes, or
// nothing more has come for a second.
func (l *listener) raw(text string) string {
	l.t.Helper()
	conn := l.dial()
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
	var got bytes.Buffer
	for buf := make([]byte, 4<<10); ; {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return got.String()
		}
	}
}

// statuses are the status codes of the answers in what a connection got.
func statuses(got string) string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^(?:.*})?HTTP/1\.[01] (\d{3})`).FindAllStringSubmatch(got, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, " ")
}

// endless is a body that counts what is taken of it.
type endless struct {
	left  int64
	taken atomic.Int64
}

func (e *endless) Read(b []byte) (int, error) {
	if e.taken.Load() >= e.left {
		return 0, io.EOF
	}
	for i := range b {
		b[i] = ' '
	}
	n := min(int64(len(b)), e.left-e.taken.Load())
	e.taken.Add(n)
	return int(n), nil
}

// upload posts a body of so many blanks.
func upload(t testing.TB, url string, header http.Header, size int64, said bool) (answer string, taken int64) {
	t.Helper()
	body := &endless{left: size}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	if said {
		req.ContentLength = size
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error(), body.taken.Load()
	}
	defer func() { _ = resp.Body.Close() }()
	return full(resp), body.taken.Load()
}

func TestOversizedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	const huge = 26 << 20
	known := http.Header{"X-Gitlab-Token": {webhookSecret}}
	for _, said := range []bool{true, false} {
		if answer, _ := upload(t, l.url+"/gitlab/webhook", known, huge, said); !strings.HasPrefix(answer, "200\n") || !strings.Contains(answer, `"ignored":"the body is longer`) {
			t.Errorf("GitLab's own was answered %s", answer)
		}
		// The rest is what stands in the sockets' buffers.
		if answer, taken := upload(t, l.url+"/gitlab/webhook", http.Header{}, 1<<40, said); taken > 16<<20 {
			t.Errorf("%d bytes of nobody's were read; answer %s", taken, answer)
		}
		if answer, taken := upload(t, l.url+"/feishu/callback", http.Header{}, 1<<40, said); taken > 16<<20 {
			t.Errorf("%d bytes of nobody's were read; answer %s", taken, answer)
		}
	}
	// A sender that writes everything before it reads hears the same.
	conn := l.dial()
	_, _ = fmt.Fprintf(conn, "POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: %s\r\nContent-Length: %d\r\n\r\n", webhookSecret, huge)
	_, _ = io.Copy(conn, &endless{left: huge})
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("a sender that does not listen meanwhile: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	// Whoever shows in the header that he is nobody is answered before he sends.
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		if got := l.raw("POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\n" + expect + "Content-Length: 27262976\r\n\r\n"); statuses(got) != "401" {
			t.Errorf("nobody's header was answered %q", got)
		}
	}
	// What is just short enough is read, and is of no use.
	if answer, _ := upload(t, l.url+"/gitlab/webhook", known, 8<<20, true); !strings.HasPrefix(answer, "200\n") || !strings.Contains(answer, `"ignored":"the body is not one JSON`) {
		t.Errorf("8 MB were answered %s", answer)
	}
	for size, want := range map[int64]string{256 << 10: refusedClick, 256<<10 + 1: refusedClick} {
		answer, _ := upload(t, l.url+"/feishu/callback", http.Header{}, size, true)
		if strings.Replace(answer, "Connection: [close]\n", "", 1) != want {
			t.Errorf("a callback of %d bytes was answered %s", size, answer)
		}
	}
	w.livesOn(l)
}

// livesOn demands that the listener still does all its work.
func (w *world) livesOn(l *listener) {
	w.t.Helper()
	mr := w.open()
	before, told := len(w.cards(w.alice)), len(w.feishu.MessagesTo(w.bob.OpenID))
	w.webhook(l, mr.IID, "open")
	w.eventually("Alice is asked", func() bool { return len(w.cards(w.alice)) > before })
	w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) > told })
	w.approves(l, w.alice)
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
}

// approves clicks on the newest card, which the listener may not yet know to
// have been sent; then once more.
func (w *world) approves(l *listener, who feishusim.User) feishusim.Answer {
	w.t.Helper()
	var a feishusim.Answer
	w.eventually("the click is taken", func() bool {
		var err error
		if a, err = w.tryClick(l, who, w.newest(who).ID, "approve", ""); err != nil {
			w.t.Fatalf("the click was not answered: %v", err)
		}
		return a.Toast == nil || !strings.Contains(a.Toast.Content, "decide on the updated card")
	})
	says(w.t, a.Toast, "success", "Approved, merging")
	return a
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.open()
	real := string(w.gitlab.WebhookBody(project, mr.IID, "open"))
	deep := 100_000
	for name, body := range map[string]string{
		"empty":            "",
		"blank":            " \n\t ",
		"nested lists":     strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"nested objects":   strings.Repeat(`{"a":`, deep/3) + "1" + strings.Repeat("}", deep/3),
		"only begun":       strings.Repeat("[", deep),
		"nested somewhere": strings.Replace(real, `"object_attributes":{`, `"object_attributes":{"x":`+strings.Repeat("[", 40_000)+strings.Repeat("]", 40_000)+",", 1),
		"binary":           string([]byte{0, 1, 2, 0xff, 0xfe, 0x80, 0}) + strings.Repeat("\x00\xff", 5000),
		"gzip":             "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
		"a form":           "payload=%7B%7D",
		"half":             real[:len(real)/2],
		"twice":            real + real,
		"UTF-16":           "\xff\xfe{\x00}\x00",
		"a long number":    `{"object_kind":` + strings.Repeat("9", 100_000) + "}",
		"a huge exponent":  `{"object_kind":"merge_request","object_attributes":{"iid":1e999999999}}`,
		"many names":       "{" + strings.Repeat(`"x":1,`, 20_000) + `"object_kind":"merge_request"}`,
		"negative IDs":     `{"object_kind":"merge_request","project":{"id":-1},"object_attributes":{"iid":-1}}`,
	} {
		for _, kind := range []string{"application/json", "text/plain", "", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"} {
			header := http.Header{"Content-Type": {kind}}
			if answer := ask(t, l.url+"/feishu/callback", header, []byte(body)); answer != refusedClick {
				t.Errorf("%s, %q: a callback was answered %.300s", name, kind, answer)
			}
			if answer := ask(t, l.url+"/gitlab/webhook", header, []byte(body)); answer != refusedWebhook {
				t.Errorf("%s, %q: nobody's webhook was answered %.300s", name, kind, answer)
			}
			header.Set("X-Gitlab-Token", webhookSecret)
			if answer := ask(t, l.url+"/gitlab/webhook", header, []byte(body)); !strings.HasPrefix(answer, "200\n") || !strings.Contains(answer, `{"ignored":`) {
				t.Errorf("%s, %q: GitLab's webhook was answered %.300s", name, kind, answer)
			}
		}
	}
	// What a body is called does not matter.
	for _, kind := range []string{"", "text/plain", "application/json; charset=utf-16"} {
		if answer := ask(t, l.url+"/gitlab/webhook", http.Header{"Content-Type": {kind}, "X-Gitlab-Token": {webhookSecret}}, []byte(real)); !strings.HasPrefix(answer, "200\n") || strings.Contains(answer, "ignored") {
			t.Errorf("%q: the real one was answered %s", kind, answer)
		}
	}
	w.card(w.alice)
	w.livesOn(l)
}

func TestUnknownPathsAndMethodsAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	const notFound = "404\nCache-Control: [no-store]\nContent-Length: [19]\nContent-Type: [text/plain; charset=utf-8]\nX-Content-Type-Options: [nosniff]\n404 page not found\n"
	for _, line := range []string{
		"GET /", "POST /", "GET /nothing", "GET /gitlab/webhook", "PUT /gitlab/webhook", "OPTIONS /gitlab/webhook", "DELETE /feishu/callback", "GET /feishu/callback",
		"post /gitlab/webhook", "POST /gitlab/webhook/", "POST //gitlab/webhook", "POST /./gitlab/webhook", "POST /x/../gitlab/webhook", "POST /Gitlab/webhook", "POST /gitlab/webhook%2f",
		"POST /%2e%2e/gitlab/webhook", "POST /healthz", "TRACE /healthz", "TRACE /gitlab/webhook", "OPTIONS *", "BREW /gitlab/webhook", "GET /healthz/", "GET //healthz",
		"GET /debug/pprof/", "GET /metrics", "GET /.git/config", "POST /gitlab/webhook;x", "CONNECT gitlab.example.com:443", "GET http://gitlab.example.com/", "GET /" + strings.Repeat("x", 5000),
	} {
		got := l.raw(line + " HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: " + webhookSecret + "\r\nConnection: close\r\n\r\n")
		method, _, _ := strings.Cut(line, " ")
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), &http.Request{Method: strings.ToUpper(method)})
		if err != nil {
			t.Errorf("%.40s: %v, %q", line, err, got)
			continue
		}
		answer := full(resp)
		if method == http.MethodConnect {
			continue // answers to it have no body for Go's reader
		}
		if answer != notFound {
			t.Errorf("%.40s was answered %s", line, answer)
		}
	}
	// A query, and a name for the host, change nothing.
	for _, target := range []string{"/gitlab/webhook?x=/../", "http://elsewhere/gitlab/webhook"} {
		if got := l.raw("POST " + target + " HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"); statuses(got) != "401" {
			t.Errorf("%s was answered %q", target, got)
		}
	}
}

func TestBrokenHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	const (
		start  = "POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: " + webhookSecret + "\r\n"
		health = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	)
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			_, _ = fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ send, want string }{
		"HTTP/1.0":             {"POST /gitlab/webhook HTTP/1.0\r\nX-Gitlab-Token: " + webhookSecret + "\r\nContent-Length: 2\r\n\r\n{}", "200"},
		"HTTP/1.0, nobody":     {"POST /gitlab/webhook HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", "401"},
		"HTTP/1.0, no length":  {"POST /gitlab/webhook HTTP/1.0\r\nX-Gitlab-Token: " + webhookSecret + "\r\n\r\n{}", "200"},
		"HTTP/0.9":             {"GET /healthz\r\n", "400"},
		"HTTP/2 in the clear":  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"h2c":                  {health + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200"},
		"TLS":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 500) + "\r\n\r\n", "400"},
		"pipelined":            {health + "\r\n" + start + "Content-Length: 2\r\n\r\n{}" + start + "Content-Length: 0\r\n\r\n" + health + "\r\n", "200 200 200 200"},
		"pipelined, refused":   {"POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" + health + "\r\n", "401 200"},
		"chunked":              {start + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "200"},
		"chunked garbage":      {start + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "200"},
		"a chunk of 2^64":      {start + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n", "200"},
		"negative chunk":       {start + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n", "200"},
		"endless chunk name":   {start + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 9000) + "\r\n{}\r\n", "200"},
		"garbage, nobody":      {"POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "401"},
		"garbage, callback":    {"POST /feishu/callback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "401"},
		"unknown coding":       {start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
		"both lengths":         {start + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200"}, // and then it is closed
		"two lengths":          {start + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
		"negative length":      {start + "Content-Length: -2\r\n\r\n{}", "400"},
		"length +2":            {start + "Content-Length: +2\r\n\r\n{}", "400"},
		"length of 2^64":       {start + "Content-Length: 18446744073709551617\r\n\r\n{}", "400"},
		"length of 2^62":       {start + "Content-Length: 4611686018427387904\r\n\r\n{}", "200"}, // too large: not waited for
		"too short a length":   {start + "Content-Length: 1\r\n\r\n{}" + health + "\r\n", "200 400"},
		"header flood":         {health + many(5000, "x: %d\r\n") + "\r\n", "431"},
		"many header lines":    {health + many(101, "x-%d: y\r\n") + "\r\n", "431"},
		"some header lines":    {health + many(90, "x-%d: y\r\n") + "\r\n", "200"},
		"one name many times":  {health + many(101, "x:%d\r\n") + "\r\n", "431"},
		"long header":          {health + "X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "431"},
		"long target":          {"GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
		"a blank before colon": {health + "X-Gitlab-Token : x\r\n\r\n", "400"},
		"a folded line":        {health + "X: a\r\n b\r\n\r\n", "200"},
		"a zero byte":          {health + "X: a\x00b\r\n\r\n", "400"},
		"no host":              {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"two hosts":            {health + "Host: y\r\n\r\n", "400"},
		"nothing but lines":    {strings.Repeat("\r\n", 100), "400"},
		"noise":                {strings.Repeat("\xff\x00\x07noise", 100) + "\r\n\r\n", "400"},
		"unknown expectation":  {start + "Expect: 7\r\nContent-Length: 2\r\n\r\n{}", "417"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := l.raw(c.send)
			if statuses(got) != c.want {
				t.Errorf("answered %q, want %s: %.900q", statuses(got), c.want, got)
			}
			if strings.Contains(got, "goroutine") || strings.Contains(got, ".go:") || strings.Contains(got, "Server:") {
				t.Errorf("the answer tells too much: %q", got)
			}
		})
	}
	t.Cleanup(func() { w.livesOn(l) })
}

// closes waits until the listener closes the connection, and says when.
func closes(t testing.TB, conn net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(gone + 20*time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
		t.Error("the connection stays for ever")
	}
	return time.Since(began)
}

func TestSlowAndHalfSentRequestsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	half := w.gitlab.WebhookBody(project, w.open().IID, "open")
	half = half[:len(half)/2]
	begun := func(path, more string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + more + "Content-Length: 3000\r\n\r\n"
	}
	token := "X-Gitlab-Token: " + webhookSecret + "\r\n"
	var group sync.WaitGroup
	for name, c := range map[string]struct {
		at, slow string // at once, and a byte a second
		hangUp   bool
		within   time.Duration
	}{
		"nothing":                        {within: gone},
		"a header, a byte a second":      {slow: strings.Repeat("GET /healthz HTTP/1.1\r\n", 9), within: 15 * time.Second},
		"half a header":                  {at: "POST /feishu/callback HTTP/1.1\r\nHost:", within: 15 * time.Second},
		"half a header, then nobody":     {at: "POST /feishu/callback HTTP/1.1\r\nHost:", hangUp: true, within: 5 * time.Second},
		"half a callback":                {at: begun("/feishu/callback", "") + string(half), within: gone},
		"half a callback, then nobody":   {at: begun("/feishu/callback", "") + string(half), hangUp: true, within: 5 * time.Second},
		"a callback, a byte a second":    {at: begun("/feishu/callback", ""), slow: strings.Repeat(" ", 100), within: gone},
		"half a webhook":                 {at: begun("/gitlab/webhook", token) + string(half), within: gone},
		"half a webhook, then nobody":    {at: begun("/gitlab/webhook", token) + string(half), hangUp: true, within: 5 * time.Second},
		"a webhook, a byte a second":     {at: begun("/gitlab/webhook", token), slow: strings.Repeat(" ", 100), within: gone},
		"nobody's webhook, a byte a sec": {at: begun("/gitlab/webhook", ""), slow: strings.Repeat(" ", 100), within: gone},
	} {
		conn := l.dial()
		group.Go(func() {
			if _, err := io.WriteString(conn, c.at); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if tcp, ok := conn.(*net.TCPConn); ok && c.hangUp {
				_ = tcp.CloseWrite()
			}
			group.Go(func() {
				for i := range c.slow {
					time.Sleep(time.Second)
					if _, err := conn.Write([]byte{c.slow[i]}); err != nil {
						return
					}
				}
			})
			took := closes(t, conn)
			_ = conn.Close()
			if took > c.within {
				t.Errorf("%s was heard for %s, want at most %s", name, took, c.within)
			}
			t.Logf("%s: closed after %s", name, took.Round(100*time.Millisecond))
		})
	}
	w.livesOn(l) // meanwhile
	group.Wait()
	w.livesOn(l)
}

// memory is what the process takes now and has taken at most, without what it
// shares with files.
func (l *listener) memory() (now, most int64) {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		l.t.Skipf("the memory cannot be read here: %v", err)
	}
	field := func(name string) int64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
		if m == nil {
			l.t.Fatalf("no %s in %s", name, status)
		}
		kb, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			l.t.Fatal(err)
		}
		return kb << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// It is not parallel, as it sets the binary: the race detector's takes ten times
// the memory.
func TestMemoryStaysSmallWhileManyAttack(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "mrgate")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "mrgate/cmd/mrgate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("MRGATE_E2E_BINARY", bin)
	for _, mode := range []string{"secret", "signing token"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			environ := w.environ()
			if mode == "signing token" {
				environ = append(environ, "MRGATE_GITLAB_WEBHOOK_SECRET=", "MRGATE_GITLAB_SIGNING_TOKEN="+signingToken)
			}
			l := w.startIn(environ)
			cut := 0
			webhook := func(iid int) {
				t.Helper()
				body := w.gitlab.WebhookBody(project, iid, "open")
				header := sealedBy(signingToken, time.Now(), body)
				header.Set("X-Gitlab-Token", webhookSecret)
				answer := ask(t, l.url+"/gitlab/webhook", header, body)
				if answer == io.EOF.Error() && cut == 0 {
					// Seen once in thirty runs, in the thick of it. The sweep is there for that.
					t.Log("a webhook was cut off")
					cut++
					answer = ask(t, l.url+"/gitlab/webhook", header, body)
				}
				if !strings.HasPrefix(answer, "200\n") {
					t.Fatalf("the webhook was answered %s", answer)
				}
			}
			story := func(when string) {
				t.Helper()
				began := time.Now()
				mr := w.open()
				n, told := len(w.cards(w.alice)), len(w.feishu.MessagesTo(w.bob.OpenID))
				webhook(mr.IID)
				w.eventually("Alice is asked", func() bool { return len(w.cards(w.alice)) > n })
				w.eventually("the author is told", func() bool { return len(w.feishu.MessagesTo(w.bob.OpenID)) > told })
				a := w.approves(l, w.alice)
				w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
				now, most := l.memory()
				t.Logf("%-22s click %6s, all %7s; memory %3d MiB, at most %3d MiB", when+":", a.Took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), now>>20, most>>20)
				_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", l.cmd.Process.Pid), []byte("5"), 0) // each phase's own
				if most > mostMemory {
					t.Errorf("%s: the listener took %d MiB", when, most>>20)
				}
			}
			crowd := func(n int, text string) {
				for range n {
					_, _ = io.WriteString(l.dial(), text)
				}
			}
			story("quiet")
			crowd(1000, "")
			story("a thousand idle")
			crowd(1000, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			story("a thousand kept")
			var flood strings.Builder
			flood.WriteString("GET /healthz HTTP/1.1\r\n")
			for i := 0; flood.Len() < 11<<10; i++ {
				flood.WriteString(strconv.FormatInt(int64(i), 36) + ":\r\n")
			}
			crowd(1000, flood.String())
			story("half headers")
			crowd(1000, "POST /feishu/callback HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n"+strings.Repeat(" ", 250<<10))
			story("half callbacks")
			zeros := "v1," + strings.Repeat("A", 43) + "="
			signed := fmt.Sprintf("Webhook-Id: 1\r\nWebhook-Timestamp: %d\r\nWebhook-Signature: %s\r\n", time.Now().Unix(), zeros)
			crowd(1000, "POST /gitlab/webhook HTTP/1.1\r\nHost: x\r\n"+signed+"Content-Length: 65536\r\n\r\n"+strings.Repeat(" ", 63<<10))
			story("half webhooks")

			var group sync.WaitGroup
			for range 8 {
				for _, size := range []int64{26 << 20, largest, 1 << 20} {
					group.Go(func() {
						_, _ = upload(t, l.url+"/gitlab/webhook", http.Header{
							"X-Gitlab-Token": {webhookSecret}, "Webhook-Id": {"1"}, "Webhook-Timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}, "Webhook-Signature": {zeros},
						}, size, true)
						_, _ = upload(t, l.url+"/feishu/callback", http.Header{}, size, false)
					})
				}
			}
			story("large bodies")
			group.Wait()
			story("afterwards")
		})
	}
}
