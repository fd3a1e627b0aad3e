package feishu

import (
	"crypto/sha1" //nolint:gosec // old-style clicks are signed with it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/strictjson"
)

const (
	// maxCallback is how long a body may be: a click is about 1 KB, and a comment
	// of 1000 characters makes it six times that.
	maxCallback = 256 << 10
	// maxNesting is how deep a body may be nested: a real one is four deep, and
	// what stands in a button's value is ours.
	maxNesting = 16
	// valueVersion is of what stands in a button's value.
	valueVersion = 1
)

// CallbackConfig is what a handler of callbacks needs. A secret can have several
// values, any of them right, so that it can be rotated; an empty one opens nothing.
type CallbackConfig struct {
	AppID              string
	VerificationTokens []string
	EncryptKeys        []string // none: callbacks are not encrypted
	OldCallbacks       bool     // take old-style clicks although there are encrypt keys
	Click              gate.ClickFunc
	Trouble            string           // said to the person if Click panics; "": nothing is
	Now                func() time.Time // nil: time.Now
	Log                *slog.Logger     // nil: none
}

// Callback takes clicks and url_verification. What it takes follows from what is
// configured:
//
//	body                    without encrypt keys       with encrypt keys
//	challenge, plain        right token in it          right token in it
//	challenge, encrypted    no                         right token in it
//	new-style, plain        right token in it          no
//	new-style, encrypted    no                         signed and fresh, right token in it (1)
//	old-style               signed and fresh           signed and fresh, with OldCallbacks only
//
// (1) if there are verification tokens; without any, no challenge is answered.
// Encrypted bodies are signed with the key that encrypted them, old-style ones with a
// token.
//
// What a body is decides how it has to prove itself, and nothing else counts: a
// new-style click without the right token is refused though it bears a good old-style
// signature, and one with the token may bear any signature. (Feishu signs with the
// token only what is old, and encrypts nothing of that; of an app that has subscribed
// both, it sends every click twice. See signature.go for what signatures are worth.)
//
// Without an encrypt key, new-style clicks are not signed: who knows the verification
// token, a password in every body, can click as anybody of the company. New-style
// bodies have to name our app, and a clicker of the app's own company; old-style ones
// can show neither, and are signed with what only our app has. Whoever is refused
// learns nothing: the answer is always the same, and Click was not called.
//
// A click that is authentic but not from a card of ours goes to Click with an
// empty Key, which has the words for it.
func Callback(cfg CallbackConfig) http.Handler {
	notEmpty := func(secrets []string) []string {
		return slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == "" })
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &callback{
		clicks: clicks{appID: cfg.AppID, judge: cfg.Click, trouble: cfg.Trouble, log: cfg.Log},
		cfg:    cfg, tokens: notEmpty(cfg.VerificationTokens), keys: notEmpty(cfg.EncryptKeys),
		encrypts: len(cfg.EncryptKeys) > 0, // empty ones lock the door, they don't open it
	}
}

type callback struct {
	clicks
	cfg      CallbackConfig
	tokens   []string
	keys     []string
	encrypts bool // only what is encrypted is taken
	refusals complaints
}

// message is what an authentic body says: one of a challenge, a click, or
// something that nobody here waits for.
type message struct {
	challenge *string
	click     *gate.Click
	old       bool // the click is to be answered in the old style
}

// by notes how a click came in.
func (m message) by(way string) message {
	if m.click != nil {
		m.click.Way = way
	}
	return m
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
	m, why := cb.open(r.Header, body)
	switch {
	case why != "":
		cb.refuse(r, w, why)
	case m.challenge != nil:
		cb.answer(w, map[string]string{"challenge": *m.challenge})
	case m.click != nil:
		out := cb.click(r.Context(), *m.click)
		if m.old {
			cb.answer(w, out.oldStyle())
			return
		}
		cb.answer(w, out)
	default:
		cb.answer(w, struct{}{}) // no change; Feishu sends events again that are answered otherwise
	}
}

// kind is what a body is, by its names alone.
type kind string

const (
	challengeBody kind = "a challenge"
	encryptedBody kind = "encrypted"
	newBody       kind = "new-style"
	oldBody       kind = "old-style"
)

func kindOf(tree map[string]any) kind {
	has := func(name string) bool { _, ok := tree[name]; return ok }
	switch {
	case has("encrypt"):
		return encryptedBody
	case tree["type"] == "url_verification":
		return challengeBody
	case has("schema") || has("header") || has("event"):
		return newBody
	}
	return oldBody
}

// open verifies a body and says what is in it, or why it is refused.
func (cb *callback) open(header http.Header, body []byte) (m message, why string) {
	tree, why := parse(body)
	if why != "" {
		return m, why
	}
	switch k := kindOf(tree); {
	case k == challengeBody:
		return cb.challenge(tree)
	case k == encryptedBody && cb.encrypts:
		return cb.encrypted(header, body, text(tree, "encrypt"))
	case k == newBody && !cb.encrypts:
		if !cb.knows(text(tree, "header", "token")) {
			return m, "without the verification token"
		}
		m, why := cb.newStyle(tree)
		return m.by("new-style callback"), why
	case k == oldBody && (!cb.encrypts || cb.cfg.OldCallbacks):
		if _, why := signer(header, body, sha1.New, cb.tokens, cb.cfg.Now()); why != "" {
			return m, "old-style, " + why
		}
		m, why := oldStyle(tree)
		return m.by("old-style callback"), why
	default:
		return m, string(k) + ", which is not taken with these settings"
	}
}

// encrypted opens what one of the keys has encrypted: clicks that the same key has
// signed, and challenges.
func (cb *callback) encrypted(header http.Header, body []byte, sealed string) (m message, why string) {
	by, unsigned := signer(header, body, sha256.New, cb.keys, cb.cfg.Now())
	for i, key := range cb.keys {
		plain, ok := decrypt(key, sealed)
		if !ok {
			continue
		}
		tree, why := parse(plain)
		switch {
		case why != "":
		case kindOf(tree) == challengeBody:
			return cb.challenge(tree)
		case i != by:
		case len(cb.tokens) > 0 && !cb.knows(text(tree, "header", "token")):
			return m, "encrypted and signed, but without the verification token"
		default:
			m, why := cb.newStyle(tree)
			return m.by("encrypted callback"), why
		}
	}
	if by < 0 {
		return m, "encrypted, " + unsigned
	}
	return m, "encrypted, but not readable with the key that signed it"
}

// parse reads a body as everybody else would read it, or says why nobody should.
func parse(body []byte) (tree map[string]any, why string) {
	if err := strictjson.Check(body, maxNesting); err != nil {
		return nil, "not the JSON that Feishu sends: " + err.Error()
	}
	// A tree, not a struct: encoding/json would take "TOKEN" for "token".
	if err := json.Unmarshal(body, &tree); err != nil || tree == nil {
		return nil, "not a JSON object"
	}
	return tree, ""
}

// challenge opens what Feishu sends when somebody saves the address, never signed.
func (cb *callback) challenge(tree map[string]any) (m message, why string) {
	challenge, isString := tree["challenge"].(string)
	if !cb.knows(text(tree, "token")) || !isString {
		return m, "a challenge without the verification token"
	}
	return message{challenge: &challenge}, ""
}

// oldStyle opens an authentic callback of card.action.trigger_v1: flat, and without
// a type
// (https://open.feishu.cn/document/deprecated-guide/message-card/configuring-card-callbacks/card-callback-structure).
// Its "token" is for updating the card, and no secret of ours.
func oldStyle(tree map[string]any) (m message, why string) {
	if t, given := tree["type"]; given && t != "card.action.trigger_v1" {
		return m, "old-style, but no click"
	}
	m, why = clickOf(text(tree, "open_id"), tree["action"], tree)
	m.old = true
	return m, why
}

// knows compares in constant time, with every token, whatever their lengths.
func (cb *callback) knows(token string) bool {
	given := sha256.Sum256([]byte(token))
	right := 0
	for _, token := range cb.tokens {
		sum := sha256.Sum256([]byte(token))
		right |= subtle.ConstantTimeCompare(given[:], sum[:])
	}
	return right == 1
}

// refuse answers everybody who is not let in alike, and mentions one a minute.
func (cb *callback) refuse(r *http.Request, w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"msg":"unauthorized"}`)

	if unsaid, due := cb.refusals.due(cb.cfg.Now()); due {
		cb.log.WarnContext(r.Context(), "refused a callback", "why", why, "from", r.RemoteAddr, "not_mentioned_before", unsaid)
	}
}

// oldStyle is the answer in the old style: the card itself, and the toast among its
// names. The page shows cards of JSON 1.0 there; but what was sent is a card of JSON
// 2.0, and such a one can't become one of 1.0 (client code 200830).
func (r response) oldStyle() map[string]any {
	out := map[string]any{}
	if r.Card != nil {
		var card map[string]json.RawMessage
		if err := json.Unmarshal(r.Card.Data, &card); err == nil { // Render makes objects
			for name, part := range card {
				out[name] = part
			}
		}
	}
	if r.Toast != nil {
		out["toast"] = r.Toast
	}
	return out
}

func (cb *callback) answer(w http.ResponseWriter, v any) {
	out, err := encode(v)
	if err != nil { // nothing that is answered can fail to encode
		cb.log.Error("a callback was not answered", "err", err)
		out = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(out)
}
