package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// running is a server with few places, whose log can be read.
type running struct {
	t    *testing.T
	addr string
	all  *crowd
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func run(t *testing.T, most load, routes map[string]http.Handler) *running {
	t.Helper()
	r := &running{t: t}
	s, err := Listen(t.Context(), Config{
		Listen: "127.0.0.1:0", Routes: routes, Log: slog.New(slog.NewTextHandler(r, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.all, _ = s.sites[0].listener.(*crowd)
	r.all.most = most
	r.addr = r.all.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if now := r.all.load(); now != (load{}) {
			t.Errorf("at the end there is left %+v", now)
		}
	})
	return r
}

func (c *crowd) load() load {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// dial connects, sends, and waits until the server has heard it all.
func (r *running) dial(text string) net.Conn {
	r.t.Helper()
	began, before := time.Now(), r.all.load()
	conn, err := (&net.Dialer{}).DialContext(r.t.Context(), "tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	for last := before; ; time.Sleep(10 * time.Millisecond) { // real sockets know no synctest
		now := r.all.load()
		if now == last && now != before || time.Since(began) > time.Second {
			return conn
		}
		last = now
	}
}

func (r *running) get(path string) (int, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.addr+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func stays(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestWhoWaitsLongestLeavesForNewcomers(t *testing.T) {
	r := run(t, load{guests: 3, small: 1 << 20, large: 1 << 20}, nil)
	var conns []net.Conn
	for range 6 {
		conns = append(conns, r.dial(""))
		time.Sleep(10 * time.Millisecond) // so that all have been let in, in this order
	}
	for i, conn := range conns {
		if stays(conn) != (i >= 3) {
			t.Errorf("connection %d of 6 stays: %v", i+1, i < 3)
		}
	}
	if status, err := r.get("/healthz"); status != http.StatusOK {
		t.Errorf("a newcomer was answered %d, %v", status, err)
	}
	if n := strings.Count(r.log(), "too many connections"); n != 1 {
		t.Errorf("the log says so %d times:\n%s", n, r.log())
	}
}

func TestWhoHoldsMuchLeavesAndWhoIsServedStays(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := run(t, load{guests: 10, small: 1 << 20, large: 1 << 20}, map[string]http.Handler{
		"POST /read": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }),
		"POST /work": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			close(entered)
			<-leave
			_, _ = io.WriteString(w, "done")
		}),
	})
	// It is the oldest, and holds much; but all of it has come.
	const length = 250 << 10
	served := r.dial(fmt.Sprintf("POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length)))
	<-entered
	idle := r.dial("")
	little := r.dial("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\nx")
	var much []net.Conn
	for range 4 {
		much = append(much, r.dial("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"+strings.Repeat("x", length)))
	}
	if stays(much[0]) || !stays(much[3]) || !stays(little) || !stays(idle) {
		t.Errorf("not who has held the most for the longest had to leave: %v %v %v %v", stays(much[0]), stays(much[3]), stays(little), stays(idle))
	}
	close(leave)
	_ = served.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(served), nil)
	if err != nil {
		t.Fatalf("who was being served was not answered: %v", err)
	}
	_ = resp.Body.Close()
}

// A request that is over weighs nothing any more, on whichever connection.
func TestKeptConnectionsAreCountedAnew(t *testing.T) {
	r := run(t, load{guests: 2, small: 600 << 10, large: 1}, map[string]http.Handler{
		"POST /read": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }),
	})
	conn := r.dial("")
	answers := bufio.NewReader(conn)
	for range 50 {
		if _, err := fmt.Fprintf(conn, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 100_000)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

func TestPanicsAreAnsweredWithoutDetails(t *testing.T) {
	r := run(t, load{10, 1 << 20, 1 << 20}, map[string]http.Handler{
		"GET /text":  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("private words") }),
		"GET /error": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("private words")) }),
		"GET /nil": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var header *http.Header
			*header = r.Header
		}),
		"GET /half": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("private words")
		}),
		"GET /aborted": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	})
	if status, err := r.get("/healthz"); status != http.StatusOK {
		t.Fatal(status, err)
	}
	for path, logged := range map[string]string{
		"/text": "of type string", "/error": "of type *errors.errorString", "/nil": "nil pointer", "/half": "of type string", "/aborted": "",
	} {
		before := len(r.log())
		status, err := r.get(path + "?private=words")
		if cut := path == "/half" || path == "/aborted"; cut == (err == nil) || !cut && status != http.StatusInternalServerError {
			t.Errorf("%s was answered %d, %v", path, status, err)
		}
		log := r.log()[before:]
		if lines := strings.Count(log, "\n"); logged == "" && lines != 0 || logged != "" && (lines != 1 || !strings.Contains(log, logged) || !strings.Contains(log, `route="GET `+path+`"`)) {
			t.Errorf("%s: the log says %q", path, log)
		}
	}
	if strings.Contains(r.log(), "private") {
		t.Errorf("the log says what was sent: %s", r.log())
	}
}

func TestWhatIsNotThereIsAnsweredAlike(t *testing.T) {
	h := mount(map[string]http.Handler{
		"POST /a/b":   http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		"GET /c/{id}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("id")) }),
	}, slog.New(slog.DiscardHandler))
	ask := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody))
		return w
	}
	want := ask(http.MethodGet, "/")
	for _, target := range []string{"GET /a/b", "POST /a/b/", "POST //a/b", "POST /a/./b", "POST /c/../a/b", "POST /a%2fb", "PUT /c/1", "GET /c/", "GET /c/1/", "OPTIONS /a/b", "TRACE /a/b"} {
		method, path, _ := strings.Cut(target, " ")
		got := ask(method, path)
		if got.Code != http.StatusNotFound || got.Body.String() != want.Body.String() || fmt.Sprint(got.Header()) != fmt.Sprint(want.Header()) {
			t.Errorf("%s was answered %d %s %v", target, got.Code, got.Body, got.Header())
		}
	}
	// Escaped, an ID may hold anything.
	if got := ask(http.MethodGet, "/c/https:%2F%2Fx%2Fgroup%2F..%2Fproject%217"); got.Body.String() != "https://x/group/../project!7" {
		t.Errorf("answered %d %s", got.Code, got.Body)
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	r := run(t, load{10, 1 << 20, 1 << 20}, nil)
	if _, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0", Admin: r.addr, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "listen on "+r.addr) {
		t.Errorf("it says %v", err)
	}
}
