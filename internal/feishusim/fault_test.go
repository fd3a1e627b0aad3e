package feishusim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFaultAnswersInPlace(t *testing.T) {
	b := newBench(t, Options{})
	f := RateLimited(7)
	f.Method, f.PathSuffix, f.Times = "POST", "im/v1/messages", 2
	b.Inject(f)
	for range 2 {
		r := b.send("open_id", b.alice.OpenID, card20(""), "")
		if r.code != 99991400 || r.status != 429 || r.header.Get("x-ogw-ratelimit-reset") != "7" {
			t.Errorf("HTTP %d %v", r.status, r.body)
		}
	}
	wantCode(t, b.send("open_id", b.alice.OpenID, card20(""), ""), 0)
	if got := len(b.Messages()); got != 1 {
		t.Errorf("%d messages", got)
	}
	remove := b.Inject(Fault{Status: 502, Body: "bad gateway"})
	for range 3 {
		if r, err := b.try("GET", "bot/v3/info", ""); err == nil || r.status != 502 {
			t.Errorf("HTTP %d, %v", r.status, err)
		}
	}
	remove()
	wantCode(t, b.call("GET", "bot/v3/info", ""), 0)
	calls := b.Calls()
	if got := calls[1].Fault; got != "answer 429 code 99991400" {
		t.Errorf("fault %q", got)
	}
}

func TestFaultMatchesByTheBody(t *testing.T) {
	b := newBench(t, Options{})
	b.Inject(Fault{Code: 230053, Match: func(r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		return strings.Contains(string(body), "poison")
	}})
	wantCode(t, b.send("open_id", b.alice.OpenID, markdownCard("poison"), ""), 230053)
	wantCode(t, b.send("open_id", b.alice.OpenID, markdownCard("fine"), ""), 0)
}

func TestCutConnections(t *testing.T) {
	b := newBench(t, Options{})
	post := func(uuid string) error {
		_, err := b.try("POST", "im/v1/messages?receive_id_type=open_id",
			map[string]any{"receive_id": b.alice.OpenID, "msg_type": "interactive", "content": card20(""), "uuid": uuid})
		return err
	}
	b.Inject(Fault{Drop: true, Times: 1})
	if err := post("a"); err == nil || len(b.Messages()) != 0 {
		t.Errorf("dropped: %v, %d messages", err, len(b.Messages()))
	}
	b.Inject(Fault{LoseAnswer: true, Times: 1})
	if err := post("b"); err == nil || len(b.Messages()) != 1 {
		t.Errorf("answer lost: %v, %d messages", err, len(b.Messages()))
	}
	calls := b.Calls()
	if last := calls[len(calls)-1]; last.Status != 200 || last.Fault != "lose answer" {
		t.Errorf("call %+v", last)
	}
	if err := post("b"); err != nil || len(b.Messages()) != 1 {
		t.Errorf("asked again: %v, %d messages", err, len(b.Messages()))
	}
}

func TestDelayEndsWhenTheClientHangsUp(t *testing.T) {
	b := newBench(t, Options{})
	b.Inject(Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	b.Hook(func(*http.Request, Phase) { cancel() })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.http.URL+"/open-apis/bot/v3/info", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.http.Client().Do(req)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if resp != nil {
		_ = resp.Body.Close()
	}
	b.http.Close() // blocks until the handler has ended
	calls := b.Calls()
	if last := calls[len(calls)-1]; last.Status != 0 {
		t.Errorf("it was served: %+v", last)
	}
}

func TestHooksSeeBothPhases(t *testing.T) {
	b := newBench(t, Options{})
	var seen []string
	b.Hook(func(r *http.Request, p Phase) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), b.alice.OpenID) {
			t.Errorf("%s: body %q", p, body)
		}
		seen = append(seen, p.String()+strings.Repeat("+", len(b.Messages())))
	})
	b.card(card20(""))
	if got := strings.Join(seen, " "); got != "arrived done+" {
		t.Errorf("phases %q", got)
	}
	b.ResetCalls()
	if len(b.Calls()) != 0 {
		t.Error("calls are still there")
	}
}
