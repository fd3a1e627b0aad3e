package feishu_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/feishusim"
	"mrgate/internal/gate"
	"mrgate/internal/words"
)

const (
	verificationToken = "v3rification-token"
	encryptKey        = "3ncrypt-key"
)

// listener is a world with a handler of callbacks, which notes the clicks that
// got through.
type listener struct {
	*world
	url     string // of the handler
	handler http.Handler
	log     *bytes.Buffer
	clicks  []gate.Click
	answer  func(gate.Click) gate.Answer
}

func newListener(t *testing.T) *listener {
	t.Helper()
	return newListenerWith(t, feishu.CallbackConfig{VerificationTokens: []string{"an older one", "", verificationToken}})
}

// newListenerWith takes the secrets and settings of cfg.
func newListenerWith(t *testing.T, cfg feishu.CallbackConfig) *listener {
	t.Helper()
	l := &listener{
		world: newWorld(t, feishusim.Options{VerificationToken: verificationToken, Unlimited: true}),
		log:   &bytes.Buffer{},
		answer: func(gate.Click) gate.Answer {
			return gate.Answer{Kind: gate.AnswerOK, Text: "Approved, merging"}
		},
	}
	cfg.AppID = appID
	cfg.Click = func(_ context.Context, c gate.Click) gate.Answer {
		l.clicks = append(l.clicks, c)
		return l.answer(c)
	}
	cfg.Trouble = "Not recorded. Please try again"
	cfg.Now = l.clock.Now
	cfg.Log = slog.New(slog.NewTextHandler(l.log, nil))
	l.handler = feishu.Callback(cfg)
	srv := httptest.NewServer(l.handler)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	t.Cleanup(func() {
		for _, secret := range []string{verificationToken, encryptKey} {
			if strings.Contains(l.log.String(), secret) {
				t.Errorf("the log leaks a secret: %s", l.log)
			}
		}
	})
	return l
}

// card sends one to a new person and gives both.
func (l *listener) card(t *testing.T) (messageID, person string) {
	t.Helper()
	alice := l.person()
	ref, err := l.chat.Send(t.Context(), alice, aCard("k1"))
	if err != nil {
		t.Fatal(err)
	}
	return ref.Data, alice.ID
}

func (l *listener) post(t *testing.T, body string) (int, string) {
	t.Helper()
	return l.postWith(t, nil, body)
}

func (l *listener) postWith(t *testing.T, header http.Header, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/feishu/callback", strings.NewReader(body))
	maps.Copy(r.Header, header)
	l.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const refusal = `{"msg":"unauthorized"}`

func TestClickIsAnsweredWithTheChangedCard(t *testing.T) {
	l := newListener(t)
	message, alice := l.card(t)
	l.answer = func(c gate.Click) gate.Answer {
		card := gate.Card{Key: c.Key, Tone: gate.ToneTurquoise, Title: "Approved, merging", Facts: []words.Text{words.Plain("<at id=all></at>")}}
		return gate.Answer{Kind: gate.AnswerOK, Text: "Approved, merging", Card: &card}
	}
	answer, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{
		Button: "approve", Form: map[string]string{"reason": " good\x00 work\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := gate.Click{
		Key: aCard("k1").Key, Action: gate.ActionApprove, By: gate.Person{ID: alice}, Text: "good  work",
		Ref: &gate.CardRef{Data: message, Left: -1}, Chat: l.Messages()[0].ChatID,
	}
	if len(l.clicks) != 1 || fmt.Sprint(l.clicks[0].Ref) != fmt.Sprint(want.Ref) {
		t.Fatalf("clicks %+v", l.clicks)
	}
	got := l.clicks[0]
	got.Ref, want.Ref = nil, nil
	if got.Event == "" {
		t.Error("the click does not name its event")
	}
	got.Event, want.Way = "", "new-style callback"
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if answer.Toast == nil || answer.Toast.Type != "success" || answer.Toast.Content != "Approved, merging" {
		t.Errorf("toast %+v", answer.Toast)
	}
	if m := l.Messages()[0]; len(m.History) != 2 || !strings.Contains(m.Card, "Approved, merging") || len(m.Mentions) > 0 {
		t.Errorf("message %+v", m)
	}
}

func TestAnswers(t *testing.T) {
	for kind, want := range map[gate.AnswerKind]string{gate.AnswerOK: "success", gate.AnswerInfo: "info", gate.AnswerError: "error"} {
		l := newListener(t)
		message, alice := l.card(t)
		l.answer = func(gate.Click) gate.Answer { return gate.Answer{Kind: kind, Text: "text"} }
		answer, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{Button: "reject"})
		if err != nil || answer.Toast == nil || answer.Toast.Type != want || answer.Card != "" {
			t.Errorf("%s: %+v, %v", kind, answer, err)
		}
	}
	t.Run("nothing to say", func(t *testing.T) {
		l := newListener(t)
		message, alice := l.card(t)
		l.answer = func(gate.Click) gate.Answer { return gate.Answer{} }
		if answer, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{Button: "reject"}); err != nil || answer.Body != "{}" {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		l := newListener(t)
		message, alice := l.card(t)
		l.answer = func(gate.Click) gate.Answer { panic("a bug") }
		answer, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{Button: "reject"})
		if err != nil || answer.Toast == nil || answer.Toast.Type != "error" {
			t.Errorf("%+v, %v", answer, err)
		}
		if !strings.Contains(l.log.String(), "a bug") {
			t.Errorf("not logged: %s", l.log)
		}
	})
}

// TestClickedCardIsLocked: until its click is answered, the card can't be updated;
// the error says to try again soon.
func TestClickedCardIsLocked(t *testing.T) {
	l := newListener(t)
	message, alice := l.card(t)
	var early error
	l.answer = func(c gate.Click) gate.Answer {
		_, early = l.chat.Update(t.Context(), *c.Ref, aCard("k1"))
		return gate.Answer{}
	}
	if _, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{Button: "approve"}); err != nil {
		t.Fatal(err)
	}
	var wait *gate.RetryAfter
	if !errors.As(early, &wait) || wait.After != time.Second {
		t.Errorf("got %v", early)
	}
	if _, err := l.chat.Update(t.Context(), *l.clicks[0].Ref, aCard("k1")); err != nil {
		t.Error(err)
	}
}

// TestClickHasADeadline: the person sees an error after three seconds.
func TestClickHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := feishu.Callback(feishu.CallbackConfig{
			AppID: appID, VerificationTokens: []string{verificationToken},
			Click: func(ctx context.Context, _ gate.Click) gate.Answer {
				<-ctx.Done()
				return gate.Answer{Kind: gate.AnswerError, Text: "too late"}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // that the caller hung up changes nothing
		start := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(clickBody(nil))))
		if took := time.Since(start); took < 2*time.Second || took >= 3*time.Second || !strings.Contains(w.Body.String(), "too late") {
			t.Errorf("%v: %s", took, w.Body)
		}
	})
}

// clickBody is the body of a good click, as changed.
func clickBody(change func(body, header, event map[string]any)) string {
	header := map[string]any{
		"event_id": "e1", "token": verificationToken, "create_time": "1764000000000000",
		"event_type": "card.action.trigger", "tenant_key": "tenant1", "app_id": appID,
	}
	event := map[string]any{
		"operator": map[string]any{"tenant_key": "tenant1", "open_id": "ou_alice", "union_id": "on_alice"},
		"token":    "c-1",
		"action":   map[string]any{"tag": "button", "value": map[string]any{"k": "k1", "a": "approve", "v": 1}},
		"host":     "im_message",
		"context":  map[string]any{"open_message_id": "om_1", "open_chat_id": "oc_1"},
	}
	body := map[string]any{"schema": "2.0", "header": header, "event": event}
	if change != nil {
		change(body, header, event)
	}
	out, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings
	}
	return string(out)
}

func TestForgeriesAreRefusedAlike(t *testing.T) {
	with := func(change func(body, header, event map[string]any)) string { return clickBody(change) }
	header := func(name string, value any) string {
		return with(func(_, header, _ map[string]any) {
			header[name] = value
			if value == nil {
				delete(header, name)
			}
		})
	}
	operator := func(name string, value any) string {
		return with(func(_, _, event map[string]any) { event["operator"].(map[string]any)[name] = value })
	}
	good := clickBody(nil)
	for name, body := range map[string]string{
		"empty":               "",
		"null":                "null",
		"a list":              "[]",
		"not JSON":            "hello",
		"two values":          good + good,
		"something after":     good + "x",
		"not UTF-8":           strings.Replace(good, "ou_alice", "ou_\xff", 1),
		"endless":             good + strings.Repeat(" ", 300<<10),
		"nested":              `{"a":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + "}",
		"name twice":          strings.Replace(good, `"open_id"`, `"open_id":"ou_bob","open_id"`, 1),
		"name twice, by case": strings.Replace(good, `"open_id"`, `"Open_ID":"ou_bob","open_id"`, 1),
		"no token":            header("token", nil),
		"empty token":         header("token", ""),
		"wrong token":         header("token", verificationToken+"x"),
		"token is a list":     header("token", []string{verificationToken}),
		"token by case":       strings.Replace(good, `"token":"`+verificationToken, `"Token":"`+verificationToken, 1),
		"other app":           header("app_id", "cli_b"),
		"no app":              header("app_id", nil),
		"no header":           with(func(body, _, _ map[string]any) { delete(body, "header") }),
		"no schema":           with(func(body, _, _ map[string]any) { delete(body, "schema") }),
		"no event":            with(func(body, _, _ map[string]any) { delete(body, "event") }),
		"no operator":         with(func(_, _, event map[string]any) { delete(event, "operator") }),
		"no open_id":          operator("open_id", nil),
		"empty open_id":       operator("open_id", ""),
		"open_id is a number": operator("open_id", 7),
		"only union_id":       operator("open_id", false),
		"other tenant":        operator("tenant_key", "tenant2"),
		"no tenants": with(func(_, header, event map[string]any) {
			delete(header, "tenant_key")
			delete(event["operator"].(map[string]any), "tenant_key")
		}),
		"old style": `{"open_id":"ou_alice","tenant_key":"tenant1","token":"c-1","open_message_id":"om_1","action":{"value":{"k":"k1","a":"approve","v":1},"tag":"button"}}`,
		"encrypted": `{"encrypt":"P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="}`,

		"challenge with a wrong token": `{"challenge":"c","token":"x","type":"url_verification"}`,
		"challenge without a token":    `{"challenge":"c","type":"url_verification"}`,
		"challenge of nothing":         `{"token":"` + verificationToken + `","type":"url_verification"}`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newListener(t)
			status, answer := l.post(t, body)
			if status != http.StatusUnauthorized || answer != refusal || len(l.clicks) > 0 {
				t.Errorf("HTTP %d %q, %d clicks", status, answer, len(l.clicks))
			}
		})
	}
	l := newListener(t)
	if status, answer := l.post(t, good); status != http.StatusOK || len(l.clicks) != 1 {
		t.Fatalf("the good one: HTTP %d %q", status, answer)
	}
	if _, err := l.Click(t.Context(), l.url, "om_none", "ou_none", feishusim.ClickOptions{}); err == nil {
		t.Error("the simulator clicks on nothing")
	}
}

func TestWithoutATokenNobodyGetsIn(t *testing.T) {
	for _, tokens := range [][]string{nil, {""}} {
		h := feishu.Callback(feishu.CallbackConfig{AppID: appID, VerificationTokens: tokens, Click: func(context.Context, gate.Click) gate.Answer {
			t.Error("a click got in")
			return gate.Answer{}
		}})
		for _, body := range []string{
			clickBody(func(_, header, _ map[string]any) { header["token"] = "" }),
			clickBody(func(_, header, _ map[string]any) { delete(header, "token") }),
			`{"challenge":"c","token":"","type":"url_verification"}`,
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
			if w.Code != http.StatusUnauthorized {
				t.Errorf("HTTP %d", w.Code)
			}
		}
	}
}

// TestForeignButtons: whoever has the app's secret can put anything behind a
// button. Such a click goes to gate, which has the words for it.
func TestForeignButtons(t *testing.T) {
	for name, value := range map[string]any{
		"a string": "approve", "nothing": nil, "a list": []string{"approve"}, "of another program": map[string]any{"action": "approve"},
		"another version": map[string]any{"k": "k1", "a": "approve", "v": 2}, "a version in words": map[string]any{"k": "k1", "a": "approve", "v": "1"},
		"a key in numbers": map[string]any{"k": 1, "a": "approve", "v": 1}, "no action": map[string]any{"k": "k1", "v": 1},
	} {
		l := newListener(t)
		status, answer := l.post(t, clickBody(func(_, _, event map[string]any) {
			event["action"].(map[string]any)["value"] = value
		}))
		if status != http.StatusOK || len(l.clicks) != 1 || l.clicks[0].Key != "" || l.clicks[0].Action != "" || l.clicks[0].By.ID != "ou_alice" {
			t.Errorf("%s: HTTP %d %s, %+v", name, status, answer, l.clicks)
		}
	}
	l := newListener(t)
	if status, _ := l.post(t, clickBody(func(_, _, event map[string]any) { delete(event, "action") })); status != http.StatusOK || l.clicks[0].Key != "" {
		t.Errorf("without an action: HTTP %d, %+v", status, l.clicks)
	}
}

func TestOtherEventsAreNotAClick(t *testing.T) {
	l := newListener(t)
	status, answer := l.post(t, clickBody(func(_, header, _ map[string]any) { header["event_type"] = "im.message.receive_v1" }))
	if status != http.StatusOK || answer != "{}" || len(l.clicks) > 0 {
		t.Errorf("HTTP %d %q, %+v", status, answer, l.clicks)
	}
}

func TestCommentIsCut(t *testing.T) {
	l := newListener(t)
	l.post(t, clickBody(func(_, _, event map[string]any) {
		event["action"].(map[string]any)["form_value"] = map[string]any{"reason": strings.Repeat("字", 5000)}
	}))
	if got, want := l.clicks[0].Text, strings.Repeat("字", 1000); got != want {
		t.Errorf("%d bytes", len(got))
	}
}

func TestChallenge(t *testing.T) {
	l := newListener(t)
	for _, token := range []string{verificationToken, "an older one"} {
		status, answer := l.post(t, `{"challenge":"ajls384\u003ckdjx98XX","token":"`+token+`","type":"url_verification"}`)
		if status != http.StatusOK || answer != `{"challenge":"ajls384<kdjx98XX"}` {
			t.Errorf("HTTP %d %q", status, answer)
		}
	}
}

func TestOnlyPost(t *testing.T) {
	l := newListener(t)
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("HTTP %d", w.Code)
	}
}

func TestRefusalsAreMentionedOnceAMinute(t *testing.T) {
	l := newListener(t)
	for range 50 {
		l.post(t, clickBody(func(_, header, _ map[string]any) { header["token"] = "guess-me-if-you-can" }))
	}
	l.clock.Add(time.Minute)
	l.post(t, "x")
	log := l.log.String()
	if n := strings.Count(log, "refused a callback"); n != 2 {
		t.Errorf("%d lines:\n%s", n, log)
	}
	if !strings.Contains(log, "not_mentioned_before=49") || strings.Contains(log, "guess-me") {
		t.Errorf("log:\n%s", log)
	}
}

// FuzzCallback: whatever comes, in every mode, nobody gets in without the secret
// that the mode asks for, and the answer is one that Feishu takes.
func FuzzCallback(f *testing.F) {
	for mode := range byte(8) {
		for proof := range byte(4) {
			f.Add(mode, proof, "", "", "", clickBody(nil))
			f.Add(mode, proof, "", "", "", oldBody())
			f.Add(mode, proof, "", "", "", `{"challenge":"c","token":"`+verificationToken+`","type":"url_verification"}`)
		}
		f.Add(mode, byte(0), "", "", "", clickBody(func(_, header, _ map[string]any) { header["token"] = "x" }))
		f.Add(mode, byte(0), "", "", "", clickBody(func(_, _, event map[string]any) { event["action"] = "approve" }))
		f.Add(mode, byte(0), "", "", "", clickBody(func(_, _, event map[string]any) { delete(event, "operator") }))
		f.Add(mode, byte(0), "1764000000", "533226633", strings.Repeat("0", 40), oldBody())
		f.Add(mode, byte(0), "", "", "", `{"encrypt":"P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="}`)
	}
	now := time.Unix(1764000000, 0)
	f.Fuzz(func(t *testing.T, mode, proof byte, timestamp, nonce, signature, body string) {
		cfg := feishu.CallbackConfig{
			AppID: appID, OldCallbacks: mode&1 != 0, Now: func() time.Time { return now },
		}
		if mode&2 != 0 {
			cfg.EncryptKeys = []string{"another", encryptKey}
		}
		if mode&4 == 0 {
			cfg.VerificationTokens = []string{"another", verificationToken}
		}
		// The fuzzer finds no signatures, so it may order some.
		header := http.Header{"X-Lark-Request-Timestamp": {timestamp}, "X-Lark-Request-Nonce": {nonce}, "X-Lark-Signature": {signature}}
		inside := body
		switch proof % 4 {
		case 1:
			header = signed(sha1.New, verificationToken, now, body)
		case 2:
			header = signed(sha256.New, encryptKey, now, body)
		case 3:
			body = sealed(encryptKey, body)
			header = signed(sha256.New, encryptKey, now, body)
		}
		clicked := false
		cfg.Click = func(_ context.Context, c gate.Click) gate.Answer {
			clicked = true
			if c.By.ID == "" || (c.Key == "") != (c.Action == "") {
				t.Errorf("%+v", c)
			}
			return gate.Answer{Kind: gate.AnswerInfo, Text: "x", Card: &gate.Card{Key: c.Key, Title: c.Text}}
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = header
		feishu.Callback(cfg).ServeHTTP(w, r)
		out, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		encrypts, tokens := len(cfg.EncryptKeys) > 0, len(cfg.VerificationTokens) > 0
		challenge := tokens && containsToken(inside) && (strings.Contains(inside, "url_verification") || strings.Contains(inside, `\u`))
		mayIn := challenge ||
			!encrypts && tokens && containsToken(inside) ||
			encrypts && proof%4 == 3 && (!tokens || containsToken(inside)) ||
			(!encrypts || cfg.OldCallbacks) && tokens && proof%4 == 1
		switch {
		case !json.Valid(out):
			t.Errorf("answered %q", out)
		case w.Code == http.StatusUnauthorized:
			if clicked || string(out) != refusal {
				t.Errorf("refused with %q, clicked: %v", out, clicked)
			}
		case w.Code != http.StatusOK:
			t.Errorf("HTTP %d", w.Code)
		case !mayIn:
			t.Errorf("let in without the secret: mode %d, proof %d, %q", mode, proof, body)
		}
	})
}

// containsToken allows for escapes, in which the token can be spelt too.
func containsToken(body string) bool {
	return strings.Contains(body, verificationToken) || strings.Contains(body, `\u`)
}
