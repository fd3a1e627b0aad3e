package feishusim

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// program answers callbacks with the given body, and remembers the last one.
type program struct {
	*httptest.Server
	header http.Header
	raw    string
	body   map[string]any
}

func newProgram(t *testing.T, answer string) *program {
	t.Helper()
	p := &program{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		p.header, p.raw, p.body = r.Header, string(raw), nil
		_ = json.Unmarshal(raw, &p.body)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(p.Close)
	return p
}

// at reads a member by its path.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func wantClientCode(t *testing.T, err error, code int) {
	t.Helper()
	var shown *ClientError
	if !errors.As(err, &shown) || shown.Code != code {
		t.Errorf("error %v, want client code %d", err, code)
	}
}

func TestClickIsCalledBack(t *testing.T) {
	b := newBench(t, Options{TenantKey: "t1", AppID: "cli_1", VerificationToken: "v1"})
	p := newProgram(t, `{"toast":{"type":"success","content":"ok","i18n":{"en_us":"ok"}},"card":{"type":"raw","data":`+markdownCard("done")+`}}`)
	id := b.card(fullCard)
	a, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: "approve", Form: map[string]string{"reason": "good\nwork"}})
	if err != nil {
		t.Fatal(err)
	}
	m := b.Messages()[0]
	for path, want := range map[string]any{
		"schema": "2.0", "header event_type": "card.action.trigger", "header token": "v1", "header app_id": "cli_1", "header tenant_key": "t1",
		"header create_time":     fmt.Sprint(b.clock.Now().UnixMicro()),
		"event operator open_id": b.alice.OpenID, "event operator union_id": b.alice.UnionID, "event operator tenant_key": "t1",
		"event operator user_id": nil, "event host": "im_message",
		"event action tag": "button", "event action name": "approve", "event action value action": "yes", "event action value request": 7.0,
		"event action form_value reason": "good\nwork", "event action timezone": "Asia/Shanghai",
		"event context open_message_id": id, "event context open_chat_id": m.ChatID,
	} {
		if got := at(p.body, strings.Fields(path)...); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	token, _ := at(p.body, "event", "token").(string)
	eventID, _ := at(p.body, "header", "event_id").(string)
	if !strings.HasPrefix(token, "c-") || len(eventID) != 32 || p.header.Get("X-Lark-Signature") != "" {
		t.Errorf("token %q, event %q, headers %v", token, eventID, p.header)
	}
	if a.Toast == nil || a.Toast.Content != "ok" || a.Card != markdownCard("done") || a.Status != 200 || a.Sent != p.raw {
		t.Errorf("answer %+v", a)
	}
	if m.Card != markdownCard("done") || m.History[1].By != "click" || m.Locked {
		t.Errorf("message %+v", m)
	}
	// The buttons have gone with the old card.
	if _, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: "approve"}); !errors.Is(err, ErrNoButton) {
		t.Errorf("second click: %v", err)
	}
}

func TestButtonIsFoundByNameTextOrAction(t *testing.T) {
	b := newBench(t, Options{})
	p := newProgram(t, `{}`)
	id := b.card(fullCard)
	for _, button := range []string{"reject", "驳回并关闭", "no"} {
		if _, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: button}); err != nil {
			t.Error(err)
		}
		if at(p.body, "event", "action", "name") != "reject" || at(p.body, "event", "action", "form_value", "reason") != "" {
			t.Errorf("%s: pressed %v", button, at(p.body, "event", "action"))
		}
	}
	if m := b.Messages()[0]; len(m.History) != 1 {
		t.Error("{} changed the card")
	}
	p.raw = ""
	a, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: "查看改动"})
	if err != nil || !strings.HasSuffix(a.Opened, "/diffs") || p.raw != "" {
		t.Errorf("link button: %+v, %v, posted %q", a, err, p.raw)
	}
}

func TestWhatCannotBePressed(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	p := newProgram(t, `{}`)
	bob := b.AddUser(User{})
	group := b.AddGroup(Group{BotInGroup: true, Members: []string{bob.OpenID}})
	button := `{"tag":"button","text":{"tag":"plain_text","content":"%s"},"disabled":%v,"behaviors":[{"type":"callback","value":{}}]}`
	two := b.card(card20(fmt.Sprintf(button, "go", false) + "," + fmt.Sprintf(button, "go", false) + "," + fmt.Sprintf(button, "off", true)))
	strict := b.card(strings.Replace(fullCard, `"required": false`, `"required": true`, 1))
	recalled := b.card(fullCard)
	b.Recall(recalled)
	r := b.send("chat_id", group.ChatID, fullCard, "")
	inGroup, _ := r.data["message_id"].(string)
	press := func(id, openID string, c ClickOptions) error {
		t.Helper()
		p.raw = ""
		_, err := b.Click(t.Context(), p.URL, id, openID, c)
		if err != nil && p.raw != "" {
			t.Errorf("posted although %v", err)
		}
		return err
	}
	for name, c := range map[string]struct {
		id, openID string
		options    ClickOptions
		want       error
	}{
		"no message":        {"om_0", b.alice.OpenID, ClickOptions{Button: "go"}, ErrNoMessage},
		"nobody":            {two, "ou_0", ClickOptions{Button: "go"}, ErrNoUser},
		"somebody else":     {strict, bob.OpenID, ClickOptions{Button: "approve"}, ErrNotVisible},
		"not in the group":  {inGroup, b.alice.OpenID, ClickOptions{Button: "approve"}, ErrNotVisible},
		"no button":         {two, b.alice.OpenID, ClickOptions{Button: "come"}, ErrNoButton},
		"two of a kind":     {two, b.alice.OpenID, ClickOptions{Button: "go"}, ErrAmbiguous},
		"disabled":          {two, b.alice.OpenID, ClickOptions{Button: "off"}, ErrDisabled},
		"recalled":          {recalled, b.alice.OpenID, ClickOptions{Button: "approve"}, ErrRecalled},
		"required":          {strict, b.alice.OpenID, ClickOptions{Button: "approve"}, ErrRequired},
		"no such input":     {strict, b.alice.OpenID, ClickOptions{Button: "approve", Form: map[string]string{"reason": "x", "y": "z"}}, ErrNoInput},
		"too long":          {strict, b.alice.OpenID, ClickOptions{Button: "approve", Form: map[string]string{"reason": strings.Repeat("字", 501)}}, ErrInputTooBig},
		"required is given": {strict, b.alice.OpenID, ClickOptions{Button: "approve", Form: map[string]string{"reason": "x"}}, nil},
		"member of a group": {inGroup, bob.OpenID, ClickOptions{Button: "approve"}, nil},
		"a forger":          {inGroup, b.alice.OpenID, ClickOptions{Button: "approve", Anyone: true}, nil},
	} {
		if err := press(c.id, c.openID, c.options); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b.clock.Add(14 * 24 * time.Hour)
	if err := press(inGroup, bob.OpenID, ClickOptions{Button: "approve"}); err != nil {
		t.Errorf("after 14 days: %v", err)
	}
	b.clock.Add(time.Second)
	if err := press(inGroup, bob.OpenID, ClickOptions{Button: "approve"}); !errors.Is(err, ErrExpired) {
		t.Errorf("after more than 14 days: %v", err)
	}
}

func TestAnswersThatTheClientRefuses(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	id := b.card(fullCard)
	raw := func(card string) string { return `{"card":{"type":"raw","data":` + card + `}}` }
	for answer, c := range map[string]struct {
		style Style
		code  int
	}{
		``:                  {NewStyle, 200672},
		`null`:              {NewStyle, 200672},
		`[]`:                {NewStyle, 200672},
		`{} {}`:             {NewStyle, 200672},
		`{"msg":"success"}`: {NewStyle, 200672},
		`{"toast":"ok"}`:    {NewStyle, 200672},
		`{"toast":null}`:    {NewStyle, 200672},
		`{"toast":{"type":"warn","content":"x"}}`:      {NewStyle, 200672},
		`{"toast":{"type":"info"}}`:                    {NewStyle, 200672},
		`{"toast":{"content":"x","text":"y"}}`:         {NewStyle, 200672},
		`{"toast":{"i18n":{"en":"x"}}}`:                {NewStyle, 200672},
		card20(""):                                     {NewStyle, 200672},
		raw(card20("")):                                {OldStyle, 200672},
		`{"card":` + card20("") + `}`:                  {NewStyle, 200673},
		`{"card":{"type":"raw","data":"{}"}}`:          {NewStyle, 200673},
		`{"card":{"type":"template","data":{}}}`:       {NewStyle, 200673},
		raw(card20(`{"tag":"note"}`)):                  {NewStyle, 200673},
		raw(markdownCard("<at id=ou_x></at>")):         {NewStyle, 200673},
		raw(markdownCard(strings.Repeat("x", 31<<10))): {NewStyle, 200673},
		raw(`{"elements":[]}`):                         {NewStyle, 200830},
		`{"elements":[]}`:                              {OldStyle, 200830},
		card20(`{"tag":"action","actions":[]}`):        {OldStyle, 200673},
	} {
		p := newProgram(t, answer)
		_, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: "approve", Style: c.style})
		var shown *ClientError
		if !errors.As(err, &shown) || shown.Code != c.code {
			t.Errorf("%.80s: %v, want code %d", answer, err, c.code)
		}
	}
	if m := b.Messages()[0]; len(m.History) != 1 || m.Locked {
		t.Errorf("message %+v", m)
	}
}

func TestNoAnswer(t *testing.T) {
	b := newBench(t, Options{CallbackLimit: 50 * time.Millisecond})
	id := b.card(fullCard)
	click := func(ctx context.Context, url string) error {
		_, err := b.Click(ctx, url, id, b.alice.OpenID, ClickOptions{Button: "approve"})
		return err
	}
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, status := range []int{201, 204, 302, 401, 500} {
		wantClientCode(t, click(t.Context(), serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})), 200671)
	}
	slow := serve(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	})
	wantClientCode(t, click(t.Context(), slow), 200341)
	half := serve(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	wantClientCode(t, click(t.Context(), half), 200341)
	wantClientCode(t, click(t.Context(), serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), 200080)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	wantClientCode(t, click(t.Context(), gone.URL), 200342)
	wantClientCode(t, click(t.Context(), "://"), 200340)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := click(ctx, slow); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if b.Messages()[0].Locked {
		t.Error("still locked")
	}
}

func TestUpdateDuringAClickFails(t *testing.T) {
	b := newBench(t, Options{})
	id, other := b.card(fullCard), b.card(fullCard)
	var during, beside reply
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		during, beside = b.patch(id, card20("")), b.patch(other, card20(""))
		_, _ = io.WriteString(w, `{}`)
	}))
	defer s.Close()
	if _, err := b.Click(t.Context(), s.URL, id, b.alice.OpenID, ClickOptions{Button: "approve"}); err != nil {
		t.Fatal(err)
	}
	const want = "Failed to create card content, ext=ErrCode: 11310; ErrMsg: card action is lock; code:230099"
	if during.code != 230099 || during.msg != want || during.status != 400 {
		t.Errorf("during the click: HTTP %d, %d %q", during.status, during.code, during.msg)
	}
	wantCode(t, beside, 0)
	wantCode(t, b.patch(id, card20("")), 0)
}

func TestNewStyleIsEncryptedAndSigned(t *testing.T) {
	b := newBench(t, Options{EncryptKey: "key"})
	p := newProgram(t, `{}`)
	id := b.card(fullCard)
	click := func(c ClickOptions) {
		t.Helper()
		c.Button = "approve"
		if _, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, c); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(key string) bool {
		sum := sha256.Sum256([]byte(p.header.Get("X-Lark-Request-Timestamp") + p.header.Get("X-Lark-Request-Nonce") + key + p.raw))
		return p.header.Get("X-Lark-Signature") == hex.EncodeToString(sum[:])
	}
	click(ClickOptions{Mutate: func(body map[string]any) { body["extra"] = true }, MutateRaw: func(raw []byte) []byte { return append(raw, " tail"...) }})
	sealed, _ := p.body["encrypt"].(string)
	plain := decrypt(t, "key", sealed)
	if !signed("key") || !strings.HasSuffix(plain, " tail") || !strings.Contains(plain, `"extra":true`) || len(p.body) != 1 {
		t.Errorf("signature %v, body %s", p.header, plain)
	}
	if got := p.header.Get("X-Lark-Request-Timestamp"); got != fmt.Sprint(b.clock.Now().Unix()) {
		t.Errorf("timestamp %s", got)
	}
	click(ClickOptions{Plain: true})
	if !signed("key") || p.body["encrypt"] != nil {
		t.Error("plain: encrypted, or not signed")
	}
	click(ClickOptions{Key: "other", At: time.Unix(7, 0)})
	if !signed("other") || p.header.Get("X-Lark-Request-Timestamp") != "7" {
		t.Error("another key: not signed with it")
	}
	click(ClickOptions{MutateSigned: func(raw []byte) []byte { return append(raw, ' ') }, Header: func(h http.Header) { h.Del("X-Lark-Request-Nonce") }})
	if signed("key") || p.header.Get("X-Lark-Request-Nonce") != "" {
		t.Error("tampered with, yet signed")
	}
}

// The documented known answer: open.feishu.cn, "接收并处理回调".
func TestDecryptKnownAnswer(t *testing.T) {
	if got := decrypt(t, "test key", "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="); got != "hello world" {
		t.Errorf("got %q", got)
	}
}

func decrypt(t *testing.T, key, sealed string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < 2*aes.BlockSize {
		t.Fatalf("sealed %q: %v", sealed, err)
	}
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	plain := raw[aes.BlockSize:]
	cipher.NewCBCDecrypter(block, raw[:aes.BlockSize]).CryptBlocks(plain, plain)
	return string(plain[:len(plain)-int(plain[len(plain)-1])])
}

func TestOldStyleIsFlatAndSigned(t *testing.T) {
	b := newBench(t, Options{EncryptKey: "key", VerificationToken: "v1"})
	p := newProgram(t, `{"toast":{"type":"info","content":"x"},`+strings.TrimPrefix(markdownCard("done"), "{"))
	id := b.card(fullCard)
	a, err := b.Click(t.Context(), p.URL, id, b.alice.OpenID, ClickOptions{Button: "approve", Style: OldStyle})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum([]byte(p.header.Get("X-Lark-Request-Timestamp") + p.header.Get("X-Lark-Request-Nonce") + "v1" + p.raw))
	if p.header.Get("X-Lark-Signature") != hex.EncodeToString(sum[:]) || p.header.Get("X-Refresh-Token") == "" {
		t.Errorf("headers %v", p.header)
	}
	if p.body["open_id"] != b.alice.OpenID || p.body["open_message_id"] != id || at(p.body, "action", "value", "action") != "yes" || p.body["header"] != nil {
		t.Errorf("body %s", p.raw)
	}
	if a.Toast == nil || PlainText(b.Messages()[0].Card) != "done" {
		t.Errorf("answer %+v", a)
	}
}

func TestChallenge(t *testing.T) {
	for _, key := range []string{"", "key"} {
		b := newBench(t, Options{EncryptKey: key, VerificationToken: "v1"})
		var signed bool
		answer := func(challenge string) string { return `{"challenge":"` + challenge + `"}` }
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			signed = r.Header.Get("X-Lark-Signature") != ""
			raw, _ := io.ReadAll(r.Body)
			var body struct{ Challenge, Token, Type, Encrypt string }
			_ = json.Unmarshal(raw, &body)
			if key != "" {
				_ = json.Unmarshal([]byte(decrypt(t, key, body.Encrypt)), &body)
			}
			if body.Token != "v1" || body.Type != "url_verification" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, answer(body.Challenge))
		}))
		defer s.Close()
		if err := b.Challenge(t.Context(), s.URL, ChallengeOptions{}); err != nil || signed {
			t.Errorf("key %q: %v, signed %v", key, err, signed)
		}
		if err := b.Challenge(t.Context(), s.URL, ChallengeOptions{Token: "v2"}); err == nil {
			t.Errorf("key %q: a refusal was taken for an answer", key)
		}
		answer = func(string) string { return `{"challenge":"other"}` }
		if err := b.Challenge(t.Context(), s.URL, ChallengeOptions{}); err == nil {
			t.Errorf("key %q: another challenge was taken", key)
		}
	}
}
