package feishu_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/feishusim"
	"mrgate/internal/gate"
	"mrgate/internal/words"
)

// caller is a world with a Connection, which notes the clicks that got through.
type caller struct {
	*world
	t          *testing.T
	connection *feishu.Connection
	log        *journal
	stop       context.CancelFunc
	ended      chan error

	mu     sync.Mutex
	clicks []gate.Click
	answer func(gate.Click) gate.Answer
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// newCaller has a Connection that runs already.
func newCaller(t *testing.T, opts feishusim.Options, change ...func(*feishu.Config)) *caller {
	t.Helper()
	opts.Unlimited = true
	c := &caller{world: newWorld(t, opts), t: t, log: &journal{}, ended: make(chan error, 1)}
	c.answer = func(gate.Click) gate.Answer { return gate.Answer{Kind: gate.AnswerOK, Text: "Approved, merging"} }
	cfg := feishu.Config{BaseURL: c.url, AppID: appID, AppSecret: appSecret, Log: slog.New(slog.NewTextHandler(c.log, nil))}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	c.connection, err = feishu.NewConnection(cfg, c.click, "Not recorded. Please try again")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	go func() { c.ended <- c.connection.Run(ctx) }()
	t.Cleanup(func() {
		c.end()
		if strings.Contains(c.log.String(), appSecret) || strings.Contains(c.log.String(), "ticket=") {
			t.Errorf("the log leaks a secret: %s", c.log)
		}
	})
	return c
}

func (c *caller) click(_ context.Context, click gate.Click) gate.Answer {
	c.mu.Lock()
	c.clicks = append(c.clicks, click)
	answer := c.answer
	c.mu.Unlock()
	return answer(click)
}

func (c *caller) taken() []gate.Click {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clicks
}

// end ends the Connection's context, and waits for the Connection.
func (c *caller) end() {
	c.t.Helper()
	c.stop()
	select {
	case err := <-c.ended:
		c.ended <- err
		if err != nil {
			c.t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		c.t.Fatal("it does not end")
	}
}

// until waits for what real sockets bring about.
func (c *caller) until(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("in vain waited until %s; the log:\n%s", what, c.log)
		}
	}
}

func (c *caller) connected() {
	c.t.Helper()
	c.until("it is connected", func() bool { return c.connection.Ready(c.t.Context()) == nil })
}

// card sends one to a new person and gives both.
func (c *caller) card() (messageID, person string) {
	c.t.Helper()
	alice := c.person()
	ref, err := c.chat.Send(c.t.Context(), alice, aCard("k"+alice.ID))
	if err != nil {
		c.t.Fatal(err)
	}
	return ref.Data, alice.ID
}

func TestConnectionAnswersClicksAsTheCallbackDoes(t *testing.T) {
	c := newCaller(t, feishusim.Options{EncryptKey: "set in the console as well"})
	c.connected()
	c.answer = func(k gate.Click) gate.Answer {
		card := gate.Card{Key: k.Key, Tone: gate.ToneTurquoise, Title: "Approved, merging", Facts: []words.Text{words.Plain("<at id=all></at> & more")}}
		return gate.Answer{Kind: gate.AnswerOK, Text: "Approved & merging", Card: &card}
	}
	message, alice := c.card()
	answer, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{
		Button: "approve", Form: map[string]string{"reason": " good\x00 work\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Toast == nil || answer.Toast.Type != "success" || answer.Toast.Content != "Approved & merging" {
		t.Errorf("toast %+v", answer.Toast)
	}
	if len(c.taken()) != 1 {
		t.Fatalf("clicks %+v", c.taken())
	}
	got := c.taken()[0]
	if got.Key != aCard("k"+alice).Key || got.Action != gate.ActionApprove || got.By.ID != alice || got.Text != "good  work" ||
		got.Ref == nil || got.Ref.Data != message || got.Chat != c.Messages()[0].ChatID || got.Way != "long connection" || got.Event == "" {
		t.Errorf("click %+v", got)
	}
	if m := c.Messages()[0]; len(m.History) != 2 || !strings.Contains(m.Card, "Approved, merging") || len(m.Mentions) > 0 {
		t.Errorf("message %+v", m)
	}
}

func TestConnectionTakesClicksInSeveralParts(t *testing.T) {
	c := newCaller(t, feishusim.Options{})
	c.connected()
	message, alice := c.card()
	if _, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{Button: "approve", Parts: 3}); err != nil || len(c.taken()) != 1 {
		t.Errorf("%v, clicks %+v", err, c.taken())
	}
}

func TestConnectionBelievesNothingButAuthenticClicks(t *testing.T) {
	c := newCaller(t, feishusim.Options{})
	c.connected()
	message, alice := c.card()
	header := func(f func(map[string]any)) func(map[string]any) {
		return func(body map[string]any) { f(body["header"].(map[string]any)) }
	}
	event := func(f func(map[string]any)) func(map[string]any) {
		return func(body map[string]any) { f(body["event"].(map[string]any)) }
	}
	for name, o := range map[string]feishusim.ClickOptions{
		"another app's":     {Mutate: header(func(h map[string]any) { h["app_id"] = "cli_other" })},
		"another company's": {Mutate: header(func(h map[string]any) { h["tenant_key"] = "other" })},
		"no operator":       {Mutate: event(func(e map[string]any) { delete(e, "operator") })},
		"nobody's":          {Mutate: event(func(e map[string]any) { delete(e["operator"].(map[string]any), "open_id") })},
		"a number's":        {Mutate: event(func(e map[string]any) { e["operator"].(map[string]any)["open_id"] = 7 })},
		"a capital Header":  {Mutate: func(b map[string]any) { b["Header"] = b["header"]; delete(b, "header") }},
		"a string as value": {Mutate: event(func(e map[string]any) { e["action"].(map[string]any)["value"] = "approve" })},
		"a doubled name":    {MutateRaw: func(b []byte) []byte { return append([]byte(`{"schema":"2.0",`), b[1:]...) }},
		"something after":   {MutateRaw: func(b []byte) []byte { return append(b, "{}"...) }},
		"invalid UTF-8":     {MutateRaw: func(b []byte) []byte { return append([]byte("{\"x\":\"\xff\","), b[1:]...) }},
		"not JSON":          {MutateRaw: func([]byte) []byte { return []byte("approve") }},
		"too long":          {Mutate: func(b map[string]any) { b["x"] = strings.Repeat("x", 300<<10) }},
		"another event":     {Mutate: header(func(h map[string]any) { h["event_type"] = "im.message.receive_v1" })},
	} {
		o.Button = "approve"
		_, err := c.ClickLong(t.Context(), message, alice, o)
		var shown *feishusim.ClientError
		if !errors.As(err, &shown) || shown.Code != 200671 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(c.taken()) > 0 {
		t.Errorf("clicks got through: %+v", c.taken())
	}
	// A card of the app's that is none of ours goes to Click, which has the words.
	foreign := event(func(e map[string]any) { e["action"].(map[string]any)["value"] = map[string]any{"x": 1} })
	if _, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{Button: "approve", Mutate: foreign}); err != nil || len(c.taken()) != 1 || c.taken()[0].Key != "" {
		t.Errorf("%v, clicks %+v", err, c.taken())
	}
	if n := strings.Count(c.log.String(), "trouble on the connection"); n != 1 {
		t.Errorf("the log mentions it %d times:\n%s", n, c.log)
	}
}

func TestConnectionOutlivesAClickThatPanics(t *testing.T) {
	c := newCaller(t, feishusim.Options{})
	c.answer = func(gate.Click) gate.Answer { panic("no") }
	c.connected()
	message, alice := c.card()
	answer, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{Button: "approve"})
	if err != nil || answer.Toast == nil || answer.Toast.Type != "error" || answer.Toast.Content != "Not recorded. Please try again" {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestConnectionComesBackAndLeavesNothingBehind(t *testing.T) {
	c := newCaller(t, feishusim.Options{})
	goroutines := 0
	for i := range 3 {
		c.connected()
		if i == 1 {
			goroutines = runtime.NumGoroutine()
		}
		if i < 2 {
			c.CutLinks([]uint16{0, 1001}[i])
			c.until("it notices", func() bool { return c.connection.Ready(t.Context()) != nil })
		}
	}
	c.until("nothing is left of the connections before", func() bool { return runtime.NumGoroutine() <= goroutines })
	for _, says := range []string{"press Save", "使用长连接接收回调", "card.action.trigger"} {
		if strings.Count(c.log.String(), says) != 1 {
			t.Errorf("the log does not say %q once:\n%s", says, c.log)
		}
	}
	for says, times := range map[string]int{"connected to Feishu again": 2, "the connection to Feishu was lost": 2, "level=ERROR": 0} {
		if got := strings.Count(c.log.String(), says); got != times {
			t.Errorf("the log says %q %d times, want %d:\n%s", says, got, times, c.log)
		}
	}
	message, alice := c.card()
	if _, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{Button: "approve"}); err != nil {
		t.Error(err)
	}
}

func TestRefusedConnectionSaysWhatToDo(t *testing.T) {
	handshake := func(status, authCode string) http.Header {
		h := http.Header{}
		h.Set("Handshake-Status", status)
		h.Set("Handshake-Msg", "no\nway "+appSecret)
		h.Set("Handshake-Autherrcode", authCode)
		return h
	}
	const endpoint, socket = "/callback/ws/endpoint", "/ws/v2"
	for name, k := range map[string]struct {
		fault feishusim.Fault
		says  []string
	}{
		"wrong secret":           {feishusim.Fault{PathSuffix: endpoint, Status: 200, Code: 1000040345, Msg: "app_id or app_secret is invalid"}, []string{"1000040345", "check app ID and app secret"}},
		"wrong secret, as 400":   {feishusim.Fault{PathSuffix: endpoint, Status: 400, Code: 1000040345, Msg: appSecret + " is invalid"}, []string{"1000040345", "check app ID and app secret"}},
		"Lark's":                 {feishusim.Fault{PathSuffix: endpoint, Status: 200, Code: 1000040351, Msg: "Incorrect domain name"}, []string{"https://open.larksuite.com"}},
		"too many":               {feishusim.Fault{PathSuffix: socket, Status: 403, Header: handshake("514", "1000040350")}, []string{"1000040350", "50 connections"}},
		"too many, at once":      {feishusim.Fault{PathSuffix: endpoint, Status: 200, Code: 1000040350}, []string{"50 connections"}},
		"not allowed":            {feishusim.Fault{PathSuffix: socket, Status: 403, Header: handshake("403", "")}, []string{"403", "of the company's own"}},
		"not authenticated":      {feishusim.Fault{PathSuffix: socket, Status: 403, Header: handshake("514", "1")}, []string{"514", "check app ID and app secret"}},
		"busy":                   {feishusim.Fault{PathSuffix: endpoint, Status: 200, Code: 1, Msg: "system busy"}, []string{"system busy"}},
		"down":                   {feishusim.Fault{PathSuffix: endpoint, Status: 503}, []string{"HTTP 503"}},
		"cut":                    {feishusim.Fault{PathSuffix: endpoint, Drop: true}, []string{"EOF"}},
		"a proxy's page":         {feishusim.Fault{PathSuffix: endpoint, Status: 200, Body: "<html>"}, []string{"without a code"}},
		"a redirect":             {feishusim.Fault{PathSuffix: endpoint, Status: 302, Header: http.Header{"Location": {"/"}}}, []string{"redirect"}},
		"an address without use": {feishusim.Fault{PathSuffix: endpoint, Status: 200, Body: `{"code":0,"data":{"URL":"wss://x y/?ticket=1"}}`}, []string{"the address that Feishu gave"}},
		"no address":             {feishusim.Fault{PathSuffix: endpoint, Status: 200, Body: `{"code":0}`}, []string{"endpoint is null"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := feishusim.Options{}
			k.fault.Times = 1
			c := newCaller(t, sim, func(cfg *feishu.Config) { cfg.BaseURL = refusing(t, k.fault) })
			c.until("it is refused", func() bool { return strings.Contains(c.log.String(), "level=ERROR") })
			for _, want := range append(k.says, "no clicks arrive", "again_in=") {
				if !strings.Contains(c.log.String(), want) {
					t.Errorf("the log does not say %q:\n%s", want, c.log)
				}
			}
			if err := c.connection.Ready(t.Context()); err != nil && (!strings.Contains(err.Error(), k.says[0]) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("it is not ready because of %v", err)
			}
			c.connected() // the next time
		})
	}
}

// refusing is a Feishu with a fault, from the beginning.
func refusing(t *testing.T, f feishusim.Fault) string {
	t.Helper()
	sim := feishusim.New(feishusim.Options{AppID: appID, AppSecret: appSecret})
	sim.Inject(f)
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestConnectionEndsWithItsContextWhateverItDoes(t *testing.T) {
	for name, fault := range map[string]feishusim.Fault{
		"connected":           {PathSuffix: "/nothing"},
		"waiting":             {PathSuffix: "/callback/ws/endpoint", Status: 503},
		"asking":              {PathSuffix: "/callback/ws/endpoint", Delay: time.Hour},
		"shaking hands":       {PathSuffix: "/ws/v2", Delay: time.Hour},
		"half-open":           {PathSuffix: "/nothing"},
		"before it has begun": {PathSuffix: "/nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reached atomic.Bool
			sim := feishusim.New(feishusim.Options{AppID: appID, AppSecret: appSecret})
			sim.Inject(fault)
			sim.Hook(func(r *http.Request, p feishusim.Phase) {
				if strings.HasSuffix(r.URL.Path, fault.PathSuffix) && p == feishusim.Arrived {
					reached.Store(true)
				}
			})
			srv := httptest.NewServer(sim)
			t.Cleanup(srv.CloseClientConnections)
			c := newCaller(t, feishusim.Options{}, func(cfg *feishu.Config) { cfg.BaseURL = srv.URL })
			switch name {
			case "connected", "half-open":
				c.connected()
				if name == "half-open" {
					sim.SilenceLinks()
				}
			case "before it has begun":
			default:
				c.until("it is there", reached.Load)
			}
			began := time.Now()
			c.end()
			// Not a measurement: whatever ends by a time-out takes longer.
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %s to end", took)
			}
		})
	}
}

func TestClickUnderWayIsAnsweredAtTheEnd(t *testing.T) {
	c := newCaller(t, feishusim.Options{})
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c.answer = func(gate.Click) gate.Answer {
		close(arrived)
		<-goOn
		return gate.Answer{Kind: gate.AnswerOK, Text: "done"}
	}
	c.connected()
	message, alice := c.card()
	type outcome struct {
		answer feishusim.Answer
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		a, err := c.ClickLong(context.Background(), message, alice, feishusim.ClickOptions{Button: "approve"})
		answered <- outcome{a, err}
	}()
	<-arrived
	c.stop()
	select {
	case err := <-c.ended:
		c.ended <- err
		t.Error("it ended while a click was under way")
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	if o := <-answered; o.err != nil || o.answer.Toast.Content != "done" {
		t.Errorf("answered %+v", o)
	}
	c.end()
}

func TestClickWhoseAnswerIsLostInACutCanBeRepeated(t *testing.T) {
	t.Parallel()
	c := newCaller(t, feishusim.Options{})
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	c.answer = func(gate.Click) gate.Answer {
		arrived <- struct{}{}
		<-goOn
		return gate.Answer{Kind: gate.AnswerOK, Text: "done"}
	}
	c.connected()
	message, alice := c.card()
	lost := make(chan error, 1)
	go func() {
		_, err := c.ClickLong(context.Background(), message, alice, feishusim.ClickOptions{Button: "approve"})
		lost <- err
	}()
	<-arrived
	c.CutLinks(0)
	if err := <-lost; err == nil {
		t.Error("it was answered over a connection that was cut")
	}
	close(goOn)
	c.until("it is connected again", func() bool { return strings.Contains(c.log.String(), "connected to Feishu again") })
	a, err := c.ClickLong(t.Context(), message, alice, feishusim.ClickOptions{Button: "approve"})
	if err != nil || a.Toast.Content != "done" || len(c.taken()) != 2 {
		t.Errorf("%+v, %v, clicks %+v", a, err, c.taken())
	}
}

func TestConnectionGoesThroughTheTransportsProxy(t *testing.T) {
	var connects, posts atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			posts.Add(1)
			r.RequestURI = ""
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		connects.Add(1)
		up, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = fmt.Fprint(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	}))
	t.Cleanup(proxy.Close)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newCaller(t, feishusim.Options{}, func(cfg *feishu.Config) {
		cfg.Transport = &http.Transport{Proxy: http.ProxyURL(address), DisableKeepAlives: true}
	})
	c.connected()
	if connects.Load() != 1 || posts.Load() != 1 {
		t.Errorf("the proxy saw %d CONNECT and %d POST", connects.Load(), posts.Load())
	}
	c.end()
}
