package feishu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	larkevent "github.com/larksuite/oapi-sdk-go/v3/event"
	"github.com/larksuite/oapi-sdk-go/v3/event/dispatcher"
	larkcallback "github.com/larksuite/oapi-sdk-go/v3/event/dispatcher/callback"
	larkws "github.com/larksuite/oapi-sdk-go/v3/ws"

	"mrgate/internal/gate"
)

const (
	// firstWait is how long to wait after a connection was lost or refused, twice
	// as long each time up to longWait. The SDK would wait for up to half a minute,
	// and then for two minutes each time, as Feishu tells it to; meanwhile no click
	// arrives, and whoever clicks sees an error.
	firstWait = time.Second
	longWait  = time.Minute
	// steady is how long a connection has to last so that the next is not waited for.
	steady = time.Minute
	// handshakeTime is how long a handshake may take.
	handshakeTime = 10 * time.Second
	// answersWithin is how long clicks may be answered after the end was asked for,
	// and answerSent how long the SDK may take to send what it was given.
	answersWithin = 1500 * time.Millisecond
	answerSent    = 50 * time.Millisecond
)

// saveHint says what to do once, with the names of Feishu's console. Source:
// "使用长连接接收回调"
// (https://open.feishu.cn/document/event-subscription-guide/callback-subscription/step-1-choose-a-subscription-mode/configure-callback-request-address),
// in English the Node SDK's own hint.
const saveHint = "while this runs, open the app in Feishu's developer console (开发者后台): Events & Callbacks (事件与回调) > " +
	"Callback configuration (回调配置) > Subscription mode (订阅方式) > Receive callbacks through persistent connection (使用长连接接收回调), " +
	"press Save (保存), add the callback card.action.trigger (卡片回传交互), and publish a version"

// Connection takes clicks over a WebSocket that it opens to Feishu itself, so that
// nobody has to reach this machine: Feishu's long connection, through the SDK's
// client.
//
// Feishu authenticates the app by its secret when the connection is opened, and
// itself by TLS. What comes is therefore neither signed nor encrypted, and its
// verification token is not looked at. Beyond that a click is checked as over HTTP,
// from its raw bytes: the SDK parses it too, loosely, and hands over both. What the
// SDK cannot parse it refuses itself (a button's value that is a string, as no card
// of ours has one), and so it does with events, to which it would be wrong to
// subscribe an app that is mrgate's.
//
// The SDK's client is given one connection at a time: it would stop for good where
// Feishu refuses one, and is slow to try again where it does not. Two of its faults
// remain: a message in several parts that come at the same moment can be lost (the
// person clicks again), and each client starts a goroutine that nothing ends, so
// only one is made.
//
// Feishu sends a click to one of the app's connections (of which there can be 50),
// whichever: two listeners of one app have to share their database.
type Connection struct {
	clicks
	now    func() time.Time
	client *larkws.Client // never started: see open
	dialer websocket.Dialer
	hide   *strings.Replacer

	mu         sync.Mutex
	up         bool
	since      time.Time // when the connection was opened; zero: it was not
	trouble    error     // why it is down; nil: not tried yet
	introduced bool      // the log has said what to do in the console
	underWay   int       // clicks
	answered   time.Time // the last one
}

// NewConnection is a Connection that has not yet called anybody. Of cfg, an
// *http.Transport also gives its proxy, its TLS settings and its way to dial to the
// WebSocket. Trouble is said to a person if click panics; "": nothing is.
func NewConnection(cfg Config, click gate.ClickFunc, trouble string) (*Connection, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Connection{
		clicks: clicks{appID: cfg.AppID, judge: click, trouble: trouble, log: cfg.Log},
		now:    cfg.Now,
		dialer: newDialer(cfg.Transport),
		hide:   strings.NewReplacer(cfg.AppSecret, "[redacted]"),
	}
	c.client = larkws.NewClient(cfg.AppID, cfg.AppSecret,
		larkws.WithDomain(cfg.BaseURL),
		larkws.WithHttpClient(patient{newWire(cfg.Transport, cfg.UserAgent)}),
		larkws.WithLogger(&complainer{log: cfg.Log, hide: c.hide, now: cfg.Now}),
		larkws.WithAutoReconnect(false),
		larkws.WithWriteTimeout(answerTime),
		larkws.WithOnReady(c.opened),
		larkws.WithOnDisconnected(c.closed),
		larkws.WithEventHandler(dispatcher.NewEventDispatcher("", "").OnP2CardActionTrigger(c.trigger)),
	)
	return c, nil
}

// Run keeps a connection open until ctx ends, and then for as long as clicks are
// being answered, for a second or two at most. It returns nil.
func (c *Connection) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parted := make(chan struct{})
	go func() {
		defer close(parted)
		<-ctx.Done()
		c.part()
		cancel()
	}()
	defer func() { <-parted }()
	for tries := 0; ; {
		lasted, err := c.open(work)
		if ctx.Err() != nil {
			return nil
		}
		if lasted >= steady {
			tries = 0
		}
		wait := waitBefore(tries)
		tries++
		if lasted > 0 {
			c.log.Warn("the connection to Feishu was lost", "err", err, "lasted", lasted.Round(time.Second), "again_in", wait.Round(100*time.Millisecond))
		} else {
			c.log.Error("no connection to Feishu, so no clicks arrive", "err", err, "again_in", wait.Round(100*time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// waitBefore is how long to wait before so many tries in a row have another: up to
// a second, then up to two, to four, and so on, never less than half of it.
func waitBefore(tries int) time.Duration {
	most := min(firstWait<<min(tries, 10), longWait)
	return most/2 + rand.N(most/2) //nolint:gosec // to spread listeners, no secret
}

// Ready says why no click can arrive; nil: they can.
func (c *Connection) Ready(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.up:
		return nil
	case c.trouble == nil:
		return errors.New("not connected yet")
	}
	return fmt.Errorf("not connected: %w", c.trouble)
}

// open opens one connection, and returns when it has ended, with why; lasted is 0
// if it was not opened.
func (c *Connection) open(ctx context.Context) (lasted time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var x exchange
	ctx = context.WithValue(ctx, exchangeKey{}, &x)
	client := clone(c.client)
	dialer := interruptible(ctx, c.dialer)
	larkws.WithWebSocketDialer(&dialer)(client)

	c.mu.Lock()
	c.since = time.Time{}
	c.mu.Unlock()
	err = c.why(&x, client.Start(ctx))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		lasted = max(c.now().Sub(c.since), 1)
	}
	c.trouble = err
	return lasted, err
}

// clone copies a value that nobody uses. A client that was started and lost its
// connection cannot be started again, and to make another one would leak (see
// Connection).
func clone[T any](v *T) *T {
	c := *v
	return &c
}

// why makes one line without secrets of what ended a connection, with the remedy
// where there is one.
func (c *Connection) why(x *exchange, err error) error {
	if x.err != nil {
		return x.err // of net/http: it names the address
	}
	if x.status != 0 {
		if refused := x.refusal(c.hide.Replace); refused != nil {
			return refused
		}
	}
	if client, ok := errors.AsType[*larkws.ClientError](err); ok {
		code := client.Code
		if code == larkws.AuthFailed {
			code = larkws.ExceedConnLimit // the one reason for which the SDK makes this error of it
		}
		return &APIError{Code: code, Msg: c.hide.Replace(literal(client.Msg, 300))}
	}
	if server, ok := errors.AsType[*larkws.ServerError](err); ok {
		return &APIError{Code: server.Code, Msg: c.hide.Replace(literal(server.Msg, 300))}
	}
	if bad, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the address that Feishu gave is of no use: %w", bad.Err) // bad itself quotes its ticket
	}
	if err == nil {
		return errors.New("ended without a reason")
	}
	return errors.New(literal(c.hide.Replace(err.Error()), 300))
}

// opened is called when a connection is open.
func (c *Connection) opened() {
	c.mu.Lock()
	c.up, c.since, c.trouble = true, c.now(), nil
	known := c.introduced
	c.introduced = true
	c.mu.Unlock()
	if known {
		c.log.Info("connected to Feishu again")
		return
	}
	c.log.Info("connected to Feishu: clicks arrive over the long connection", "if_not", saveHint)
}

// closed is called when it no longer is.
func (c *Connection) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = false
}

// trigger takes a click. Its error makes the person see one, and comes to the log
// through complainer.
func (c *Connection) trigger(ctx context.Context, event *larkcallback.CardActionTriggerEvent) (*larkcallback.CardActionTriggerResponse, error) {
	c.begin()
	defer c.end()
	m, why := c.read(event.EventReq)
	switch {
	case why != "":
		return nil, errors.New(why)
	case m.click == nil:
		return &larkcallback.CardActionTriggerResponse{}, nil
	}
	out := c.click(ctx, *m.click)
	answer := &larkcallback.CardActionTriggerResponse{}
	if out.Toast != nil {
		answer.Toast = &larkcallback.Toast{Type: out.Toast.Type, Content: out.Toast.Content}
	}
	if out.Card != nil {
		answer.Card = &larkcallback.Card{Type: out.Card.Type, Data: out.Card.Data}
	}
	return answer, nil
}

// read parses what came, from its raw bytes and once.
func (c *Connection) read(raw *larkevent.EventReq) (m message, why string) {
	if raw == nil || len(raw.Body) > maxCallback {
		return m, "too long"
	}
	tree, why := parse(raw.Body)
	if why != "" {
		return m, why
	}
	m, why = c.newStyle(tree)
	return m.by("long connection"), why
}

func (c *Connection) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay++
}

func (c *Connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	c.answered = time.Now()
}

// part waits until no click is under way, and the answer of the last one is sent.
func (c *Connection) part() {
	for began := time.Now(); time.Since(began) < answersWithin; time.Sleep(answerSent / 10) {
		c.mu.Lock()
		done := !c.up || c.underWay == 0 && time.Since(c.answered) > answerSent
		c.mu.Unlock()
		if done {
			return
		}
	}
}

// patient is a wire whose requests are given up after a time: the client has none
// of its own, and no answer is read after Do.
type patient struct{ *wire }

// Do implements the SDK's HttpClient.
func (p patient) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), callTime)
	defer cancel()
	return p.wire.Do(req.WithContext(ctx))
}

// newDialer dials as the transport does: through the same proxies, and trusting the
// same authorities.
func newDialer(transport http.RoundTripper) websocket.Dialer {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: handshakeTime}
	if t, ok := transport.(*http.Transport); ok {
		dialer.Proxy, dialer.NetDialContext = t.Proxy, t.DialContext
		if t.TLSClientConfig != nil {
			dialer.TLSClientConfig = t.TLSClientConfig.Clone()
			dialer.TLSClientConfig.NextProtos = nil // a WebSocket speaks no HTTP/2
		}
	}
	if dialer.NetDialContext == nil {
		dialer.NetDialContext = newTransport().DialContext
	}
	return dialer
}

// interruptible is the dialer with connections that end with ctx, also within a
// handshake, which gorilla's are not.
func interruptible(ctx context.Context, dialer websocket.Dialer) websocket.Dialer {
	dial := dialer.NetDialContext
	dialer.NetDialContext = func(handshake context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(handshake, network, addr)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	return dialer
}

// complainer is the client's logger. It keeps to its errors, which name events that
// nobody takes, refused clicks and answers that could not be sent; all else repeats
// what Connection says itself, or is whole bodies.
type complainer struct {
	silence
	log  *slog.Logger
	hide *strings.Replacer
	now  func() time.Time
	seen complaints
}

// Error implements the SDK's Logger.
func (c *complainer) Error(ctx context.Context, args ...any) {
	if unsaid, due := c.seen.due(c.now()); due {
		c.log.WarnContext(ctx, "trouble on the connection to Feishu", "sdk", literal(c.hide.Replace(fmt.Sprint(args...)), 300), "not_mentioned_before", unsaid)
	}
}
