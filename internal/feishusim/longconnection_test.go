package feishusim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	"github.com/larksuite/oapi-sdk-go/v3/event/dispatcher"
	"github.com/larksuite/oapi-sdk-go/v3/event/dispatcher/callback"
	larkws "github.com/larksuite/oapi-sdk-go/v3/ws"
)

// The long connection is held against the SDK's own client: what that takes, and
// sends, is how it is.

type clickHandler func(context.Context, *callback.CardActionTriggerEvent) (*callback.CardActionTriggerResponse, error)

// connect starts the SDK's client and waits until it is connected. The function
// that it returns stops it and gives how it ended.
func (b *bench) connect(handle clickHandler, opts ...larkws.ClientOption) (stop func() error) {
	b.t.Helper()
	ready := make(chan struct{})
	opts = append([]larkws.ClientOption{
		larkws.WithDomain(b.http.URL), larkws.WithLogger(nobody{}),
		larkws.WithOnReady(func() { close(ready) }),
		larkws.WithEventHandler(dispatcher.NewEventDispatcher("", "").OnP2CardActionTrigger(handle)),
	}, opts...)
	client := larkws.NewClient(b.opts.AppID, b.opts.AppSecret, opts...)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- client.Start(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		b.t.Fatalf("the client ended: %v", err)
	}
	stop = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	b.t.Cleanup(func() { _ = stop() })
	return stop
}

type nobody struct{}

func (nobody) Debug(context.Context, ...any) {}
func (nobody) Info(context.Context, ...any)  {}
func (nobody) Warn(context.Context, ...any)  {}
func (nobody) Error(context.Context, ...any) {}

func TestSDKsClientTakesClicks(t *testing.T) {
	b := newBench(t, Options{Unlimited: true, EncryptKey: "does not matter here"})
	stop := b.connect(func(_ context.Context, e *callback.CardActionTriggerEvent) (*callback.CardActionTriggerResponse, error) {
		said := fmt.Sprint(e.Event.Operator.OpenID, e.Event.Action.FormValue["reason"], e.Event.Context.OpenMessageID)
		return &callback.CardActionTriggerResponse{
			Toast: &callback.Toast{Type: "success", Content: said},
			Card:  &callback.Card{Type: "raw", Data: map[string]any{"schema": "2.0", "config": map[string]any{"update_multi": true}, "body": map[string]any{"elements": []any{}}}},
		}, nil
	})
	for _, parts := range []int{0, 1, 2, 7} {
		id := b.card(fullCard)
		reason := strings.Repeat("因为", 90)
		a, err := b.ClickLong(t.Context(), id, b.alice.OpenID, ClickOptions{Button: "approve", Form: map[string]string{"reason": reason}, Parts: parts})
		if err != nil {
			t.Fatalf("in %d parts: %v", parts, err)
		}
		if a.Toast == nil || a.Toast.Content != b.alice.OpenID+reason+id || !strings.Contains(b.Messages()[0].Card, `"2.0"`) {
			t.Errorf("in %d parts: %+v", parts, a)
		}
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	b.eventually("it is gone", func() bool { return b.Links() == 0 })
	_, err := b.ClickLong(t.Context(), b.card(fullCard), b.alice.OpenID, ClickOptions{Button: "approve"})
	wantClientCode(t, err, 200340)
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) { // real sockets know no synctest
		if time.Now().After(deadline) {
			b.t.Fatalf("in vain waited until %s", what)
		}
	}
}

func TestLongConnectionIsAsHardOnAnswersAsTheClient(t *testing.T) {
	b := newBench(t, Options{Unlimited: true, CallbackLimit: 200 * time.Millisecond})
	var handle atomic.Pointer[clickHandler]
	b.connect(func(ctx context.Context, e *callback.CardActionTriggerEvent) (*callback.CardActionTriggerResponse, error) {
		return (*handle.Load())(ctx, e)
	})
	for name, c := range map[string]struct {
		answer *callback.CardActionTriggerResponse
		err    error
		delay  time.Duration
		code   int
	}{
		"nothing new": {answer: &callback.CardActionTriggerResponse{}},
		"an error":    {err: errors.New("no"), code: 200671},
		"a bad toast": {answer: &callback.CardActionTriggerResponse{Toast: &callback.Toast{Type: "pink", Content: "x"}}, code: 200672},
		"a bad card":  {answer: &callback.CardActionTriggerResponse{Card: &callback.Card{Type: "raw", Data: "x"}}, code: 200673},
		"too late":    {answer: &callback.CardActionTriggerResponse{}, delay: time.Second, code: 200341},
	} {
		t.Run(name, func(t *testing.T) {
			h := clickHandler(func(ctx context.Context, _ *callback.CardActionTriggerEvent) (*callback.CardActionTriggerResponse, error) {
				select {
				case <-time.After(c.delay):
				case <-ctx.Done():
				}
				return c.answer, c.err
			})
			handle.Store(&h)
			_, err := b.ClickLong(t.Context(), b.card(fullCard), b.alice.OpenID, ClickOptions{Button: "approve"})
			if c.code == 0 && err != nil {
				t.Error(err)
			} else if c.code != 0 {
				wantClientCode(t, err, c.code)
			}
		})
	}
	_, err := b.ClickLong(t.Context(), b.card(fullCard), b.alice.OpenID, ClickOptions{Button: "approve", Style: OldStyle})
	wantClientCode(t, err, 200340)
	a, err := b.Push(t.Context(), []byte(`{"schema":"2.0","header":{"event_type":"im.message.receive_v1"}}`), 1)
	if err != nil || a.Status != http.StatusInternalServerError {
		t.Errorf("an event that nobody takes was answered %+v, %v", a, err)
	}
}

func TestSDKsClientIsRefused(t *testing.T) {
	b := newBench(t, Options{MaxLinks: 1})
	b.connect(nil)
	for _, c := range []struct {
		name, app, secret string
		code              int
	}{
		{"a wrong secret", b.opts.AppID, "wrong", 1000040345},
		{"an app that nobody has", "cli_other", b.opts.AppSecret, 1000040346},
		{"no app", "", b.opts.AppSecret, 1000040344},
		{"one connection too many", b.opts.AppID, b.opts.AppSecret, larkws.AuthFailed},
	} {
		client := larkws.NewClient(c.app, c.secret, larkws.WithDomain(b.http.URL), larkws.WithLogger(nobody{}))
		var refused *larkws.ClientError // that is, the SDK does not try again
		if err := client.Start(t.Context()); !errors.As(err, &refused) || refused.Code != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, call := range b.Calls() {
		if strings.Contains(call.Body, b.opts.AppSecret) {
			t.Errorf("a call shows the secret: %+v", call)
		}
	}
	resp, err := http.Get(b.http.URL + socketPath + "?ticket=made-up")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Handshake-Status") != "514" {
		t.Errorf("a made-up ticket was answered %d %v", resp.StatusCode, resp.Header)
	}
}

func TestSDKsClientComesBack(t *testing.T) {
	b := newBench(t, Options{Unlimited: true, ClientConfig: ClientConfig{ReconnectCount: -1, ReconnectInterval: 1, PingInterval: 1}})
	b.connect(func(context.Context, *callback.CardActionTriggerEvent) (*callback.CardActionTriggerResponse, error) {
		return &callback.CardActionTriggerResponse{}, nil
	})
	for _, code := range []uint16{0, 1001} {
		before := len(b.Calls())
		b.CutLinks(code)
		b.eventually("it is connected again", func() bool {
			calls := b.Calls()
			return len(calls) == before+2 && calls[before+1].Status == http.StatusSwitchingProtocols && b.Links() == 1
		})
		if _, err := b.ClickLong(t.Context(), b.card(fullCard), b.alice.OpenID, ClickOptions{Button: "approve"}); err != nil {
			t.Error(err)
		}
	}
	b.SilenceLinks()
	b.opts.CallbackLimit = 50 * time.Millisecond
	_, err := b.ClickLong(t.Context(), b.card(fullCard), b.alice.OpenID, ClickOptions{Button: "approve"})
	wantClientCode(t, err, 200341)
}

func TestPongsCarryTheConfig(t *testing.T) {
	b := newBench(t, Options{ClientConfig: ClientConfig{ReconnectCount: -1, PingInterval: 77}})
	pongs := &listening{heard: make(chan string, 10)}
	b.connect(nil, larkws.WithLogger(pongs), larkws.WithLogLevel(larkcore.LogLevelDebug))
	for said := range pongs.heard {
		if strings.Contains(said, "receive pong") {
			return // its config could be read, or there would be a warning first
		}
		if strings.Contains(said, "failed") {
			t.Fatal(said)
		}
	}
}

type listening struct {
	nobody
	heard chan string
}

func (l *listening) Debug(_ context.Context, args ...any) { l.say(args) }
func (l *listening) Warn(_ context.Context, args ...any)  { l.say(args) }

func (l *listening) say(args []any) {
	select {
	case l.heard <- fmt.Sprint(args...):
	default:
	}
}

func TestFramesAreTheSDKs(t *testing.T) {
	ours := frame{
		seqID: 1 << 60, logID: 3, service: serviceID, method: methodData,
		headers: []frameHeader{{"type", "event"}, {"empty", ""}}, payload: []byte(strings.Repeat("x", 300)),
	}
	var theirs larkws.Frame
	if err := theirs.Unmarshal(ours.encode()); err != nil {
		t.Fatal(err)
	}
	if theirs.SeqID != ours.seqID || theirs.LogID != ours.logID || theirs.Service != serviceID || theirs.Method != methodData ||
		larkws.Headers(theirs.Headers).GetString("type") != "event" || string(theirs.Payload) != string(ours.payload) {
		t.Errorf("the SDK reads %+v", theirs)
	}
	theirs.LogIDNew, theirs.PayloadType = "new", "json"
	wire, err := theirs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeFrame(wire)
	if err != nil || !reflect.DeepEqual(back, ours) {
		t.Errorf("read %+v, %v", back, err)
	}
	for i := range wire { // never more than an error
		_, _ = decodeFrame(wire[:i])
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no method": {8, 1, 16, 1, 24, 1}, "an unknown field": append(wire, 10<<3, 1), "a fixed64": append(wire, 1<<3|1, 1),
		"a long field": append(wire, 8<<3|2, 200), "an endless number": append(wire, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
		"a header without value": append(wire, 5<<3|2, 2, 10, 0),
	} {
		if _, err := decodeFrame(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSocketEndsWithWhatBreaksItsRules(t *testing.T) {
	b := newBench(t, Options{})
	open := func() net.Conn {
		ticket := randomHex(8)
		b.mu.Lock()
		b.tickets[ticket] = true
		b.mu.Unlock()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = fmt.Fprintf(conn, "GET %s?ticket=%s HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", socketPath, ticket)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		// The example of RFC 6455, section 1.3.
		if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("the handshake was answered %d %s", resp.StatusCode, got)
		}
		return conn
	}
	for name, sent := range map[string]string{
		"not masked":           "\x82\x01x",
		"text":                 "\x81\x81\x00\x00\x00\x00x",
		"reserved bits":        "\xF2\x81\x00\x00\x00\x00x",
		"a long ping":          "\x89\xFE\x00\x80\x00\x00\x00\x00",
		"a part of nothing":    "\x80\x81\x00\x00\x00\x00x",
		"too long":             "\x82\xFF\x00\x00\x00\x01\x00\x00\x00\x00",
		"no frame of Feishu's": "\x82\x81\x00\x00\x00\x00x",
		"goodbye":              "\x88\x80\x00\x00\x00\x00",
	} {
		conn := open()
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn := open()
	_, _ = io.WriteString(conn, "\x89\x82\x00\x00\x00\x00hi")
	pong := make([]byte, 4)
	if _, err := io.ReadFull(conn, pong); err != nil || string(pong) != "\x8A\x02hi" {
		t.Errorf("a ping was answered %q, %v", pong, err)
	}
}
