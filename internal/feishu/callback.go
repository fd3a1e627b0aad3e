package feishu

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"mrgate/internal/gate"
)

const (
	// maxCallback is how long a body may be: a click is about 1 KB, and a comment
	// of 1000 characters makes it six times that.
	maxCallback = 256 << 10
	// maxNesting is how deep a body may be nested: a real one is four deep, and
	// what stands in a button's value is ours.
	maxNesting = 16
	// answerTime is how long a click may take; the person sees an error after 3 s
	// (https://open.feishu.cn/document/feishu-cards/card-callback-communication).
	answerTime = 2500 * time.Millisecond
	// complainEvery is how often refused callers are mentioned in the log.
	complainEvery = time.Minute
	// valueVersion is of what stands in a button's value.
	valueVersion = 1
)

// CallbackConfig is what a handler of callbacks needs.
type CallbackConfig struct {
	AppID              string
	VerificationTokens []string // any of them is right: they can be rotated. None, or an empty one: nobody gets in
	Click              gate.ClickFunc
	Trouble            string           // said to the person if Click panics; "": nothing is
	Now                func() time.Time // nil: time.Now
	Log                *slog.Logger     // nil: none
}

// Callback takes new-style clicks (card.action.trigger) and url_verification,
// not encrypted.
//
// Without an encrypt key nothing is signed: who knows the verification token, a
// password in every body, can click as anybody of the company. The body has to
// name our app, and a clicker of the app's own company. Whoever is refused learns
// nothing: the answer is always the same, and Click was not called.
//
// A click that is authentic but not from a card of ours goes to Click with an
// empty Key, which has the words for it.
func Callback(cfg CallbackConfig) http.Handler {
	cb := &callback{cfg: cfg}
	for _, token := range cfg.VerificationTokens {
		if token != "" {
			cb.tokens = append(cb.tokens, sha256.Sum256([]byte(token)))
		}
	}
	if cb.cfg.Now == nil {
		cb.cfg.Now = time.Now
	}
	if cb.cfg.Log == nil {
		cb.cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cb
}

type callback struct {
	cfg    CallbackConfig
	tokens [][sha256.Size]byte

	mu         sync.Mutex
	complained time.Time
	unsaid     int // refusals since then
}

// message is what an authentic body says: one of a challenge, a click, or
// something that nobody here waits for.
type message struct {
	challenge *string
	click     *gate.Click
}

func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		cb.refuse(r, w, "the body is too long, or was cut off")
		return
	}
	m, why := cb.open(body)
	switch {
	case why != "":
		cb.refuse(r, w, why)
	case m.challenge != nil:
		cb.answer(w, map[string]string{"challenge": *m.challenge})
	case m.click != nil:
		cb.answer(w, cb.click(r.Context(), *m.click))
	default:
		cb.answer(w, struct{}{}) // no change; Feishu sends events again that are answered otherwise
	}
}

// open verifies a body and says what is in it, or why it is refused.
func (cb *callback) open(body []byte) (m message, why string) {
	if err := strictJSON(body, maxNesting); err != nil {
		return m, "not the JSON that Feishu sends: " + err.Error()
	}
	// A tree, not a struct: encoding/json would take "TOKEN" for "token".
	var tree map[string]any
	if err := json.Unmarshal(body, &tree); err != nil || tree == nil {
		return m, "not a JSON object"
	}
	if tree["type"] == "url_verification" {
		challenge, isString := tree["challenge"].(string)
		if !cb.knows(text(tree, "token")) || !isString {
			return m, "a challenge without the verification token"
		}
		return message{challenge: &challenge}, ""
	}
	return cb.newStyle(tree)
}

// newStyle opens a callback of schema 2.0.
func (cb *callback) newStyle(tree map[string]any) (m message, why string) {
	right := cb.knows(text(tree, "header", "token"))
	ours := subtle.ConstantTimeCompare([]byte(text(tree, "header", "app_id")), []byte(cb.cfg.AppID)) == 1 && cb.cfg.AppID != ""
	switch {
	case !right:
		return m, "without the verification token"
	case !ours:
		return m, "of another app"
	case text(tree, "schema") != "2.0":
		return m, "neither schema 2.0 nor a challenge"
	case text(tree, "header", "event_type") != "card.action.trigger":
		return m, "" // an event that somebody has subscribed the app to
	}
	person := text(tree, "event", "operator", "open_id")
	company := text(tree, "header", "tenant_key")
	switch {
	// A missing ID must never mean that nobody has to be checked
	// (https://github.com/larksuite/openclaw-lark/pull/505).
	case person == "":
		return m, "a click by nobody"
	case company == "" || text(tree, "event", "operator", "tenant_key") != company:
		return m, "a click from another company"
	}
	click := gate.Click{By: gate.Person{ID: person}}
	value, _ := at(tree, "event", "action", "value").(map[string]any)
	if value["v"] == float64(valueVersion) {
		key, action := text(value, "k"), text(value, "a")
		if key != "" && action != "" {
			click.Key, click.Action = key, gate.ActionID(action)
		}
	}
	click.Text = comment(text(tree, "event", "action", "form_value", inputName))
	if id := text(tree, "event", "context", "open_message_id"); id != "" {
		click.Ref = &gate.CardRef{Data: id, Left: -1} // when it was sent is not said
	}
	return message{click: &click}, ""
}

// knows compares in constant time, with every token, whatever their lengths.
func (cb *callback) knows(token string) bool {
	given := sha256.Sum256([]byte(token))
	right := 0
	for i := range cb.tokens {
		right |= subtle.ConstantTimeCompare(given[:], cb.tokens[i][:])
	}
	return right == 1
}

// refuse answers everybody who is not let in alike, and mentions one a minute.
func (cb *callback) refuse(r *http.Request, w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"msg":"unauthorized"}`)

	cb.mu.Lock()
	now := cb.cfg.Now()
	quiet := !cb.complained.IsZero() && now.Sub(cb.complained) < complainEvery
	unsaid := cb.unsaid
	if quiet {
		cb.unsaid++
	} else {
		cb.complained, cb.unsaid = now, 0
	}
	cb.mu.Unlock()
	if !quiet {
		cb.cfg.Log.WarnContext(r.Context(), "refused a callback", "why", why, "from", r.RemoteAddr, "not_mentioned_before", unsaid)
	}
}

// response is the answer to a click.
type response struct {
	Toast *toast   `json:"toast,omitempty"`
	Card  *rawCard `json:"card,omitempty"`
}

type toast struct {
	Type    string `json:"type"`
	Content string `json:"content"`
}

type rawCard struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// click has the click judged, and words its answer for Feishu. The work is not
// given up if the caller hangs up: a click that counted should not look as if it
// had depended on the connection.
func (cb *callback) click(ctx context.Context, c gate.Click) (out response) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	defer func() {
		// An answer other than 200 is "200671" to the person.
		if p := recover(); p != nil {
			cb.cfg.Log.ErrorContext(ctx, "a click was not handled", "panic", fmt.Sprint(p))
			out = response{}
			if cb.cfg.Trouble != "" {
				out.Toast = &toast{Type: "error", Content: cb.cfg.Trouble}
			}
		}
	}()
	answer := cb.cfg.Click(ctx, c)
	if answer.Text != "" {
		out.Toast = &toast{Type: toastType(answer.Kind), Content: literal(answer.Text, 200)}
	}
	if answer.Card != nil {
		data, err := Render(*answer.Card)
		if err != nil {
			cb.cfg.Log.ErrorContext(ctx, "the answer to a click has no card", "err", err)
			return out
		}
		out.Card = &rawCard{Type: "raw", Data: data}
	}
	return out
}

func toastType(k gate.AnswerKind) string {
	switch k {
	case gate.AnswerOK:
		return "success"
	case gate.AnswerError:
		return "error"
	case gate.AnswerInfo:
	}
	return "info"
}

func (cb *callback) answer(w http.ResponseWriter, v any) {
	out, err := encode(v)
	if err != nil { // nothing that is answered can fail to encode
		cb.cfg.Log.Error("a callback was not answered", "err", err)
		out = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(out)
}

// comment is what somebody typed: valid, without characters that control
// anything, and no longer than the field takes.
func comment(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
	if utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText])
	}
	return s
}

// at is what stands at a path of names; nil: nothing.
func at(tree map[string]any, path ...string) any {
	var v any = tree
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// text is the string at a path; "": there is none.
func text(tree map[string]any, path ...string) string {
	s, _ := at(tree, path...).(string)
	return s
}
