package feishusim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Why a person cannot press what a test wants pressed. Nothing is posted then.
var (
	ErrNoMessage   = errors.New("no such message")
	ErrNoUser      = errors.New("no such user")
	ErrNotVisible  = errors.New("this user does not see the message")
	ErrRecalled    = errors.New("the message is recalled")
	ErrExpired     = errors.New("the card is older than 14 days")
	ErrNoButton    = errors.New("no such button on the card")
	ErrAmbiguous   = errors.New("several buttons of that text")
	ErrDisabled    = errors.New("the button is disabled")
	ErrNoInput     = errors.New("no such input beside the button")
	ErrRequired    = errors.New("a required input is empty")
	ErrInputTooBig = errors.New("the text is longer than the input takes")
)

// ClientError is what the client shows instead of an answer: "code: 200671".
// Source of the codes: "卡片回传交互回调", 错误码.
type ClientError struct {
	Code int
	Why  string
}

func (e *ClientError) Error() string { return fmt.Sprintf("client code %d: %s", e.Code, e.Why) }

// ClickOptions say what is pressed, and let a test play the forger. They apply
// in this order: Mutate, MutateRaw, encryption, signature, MutateSigned, Header.
type ClickOptions struct {
	Button string            // its name; or else its text; or else the "action" in its value
	Form   map[string]string // what is typed, by the inputs' names; the others keep their default
	Style  Style
	Parts  int    // over the long connection: in so many frames
	Seen   string // the version of the card on the person's screen, of those that were shown; default: the newest

	Anyone bool   // press although the card is not shown to this user, as a forger could
	Plain  bool   // not encrypted, though signed, although the app has an encrypt key
	Key    string // to encrypt and sign with in place of the encrypt key, or of the old style's token
	At     time.Time

	Mutate       func(body map[string]any)
	MutateRaw    func([]byte) []byte // the JSON
	MutateSigned func([]byte) []byte // what is posted, after it was signed
	Header       func(http.Header)
}

// Toast is the note that an answer makes the client show.
type Toast struct {
	Type    string            `json:"type"` // info, success, error or warning
	Content string            `json:"content"`
	I18n    map[string]string `json:"i18n"`
}

// Answer is what came of a click.
type Answer struct {
	Status int    // of HTTP; 0 if there was no answer
	Body   string // as it was answered
	Took   time.Duration

	Toast  *Toast // nil: none
	Card   string // the card's new JSON; empty: it stays
	Opened string // the address that the button opened

	Sent     string // the body that was posted, to be replayed
	SentWith http.Header
}

// Click presses a button on a message's current card as a user, and has the
// program at callbackURL answer. The error is one of the Err values above if
// there was nothing to press, a *ClientError if the person sees an error code
// instead of an answer, and the context's own if that ended. A good answer's
// card is shown from then on.
//
// From the press to the end of the answer the message is locked: updates of it
// fail with 230099 "card action is lock". Source: sub-code 11310 in
// "更新已发送的消息卡片", and "更新卡片" on updates in parallel to a callback.
func (s *Server) Click(ctx context.Context, callbackURL, messageID, openID string, c ClickOptions) (Answer, error) {
	return s.click(messageID, openID, c, func(header http.Header, body []byte) (posted, error) {
		return callBack(ctx, callbackURL, header, body, s.opts.CallbackLimit)
	})
}

// click has send deliver the callback of a pressed button.
func (s *Server) click(messageID, openID string, c ClickOptions, send func(http.Header, []byte) (posted, error)) (Answer, error) {
	m, b, form, err := s.press(messageID, openID, c)
	if err != nil {
		return Answer{}, fmt.Errorf("click %q on %s: %w", c.Button, messageID, err)
	}
	if !b.Callback {
		return Answer{Opened: b.URL}, nil
	}
	header, body := s.callback(m, openID, b, form, c)
	p, err := send(header, body)
	a := Answer{Status: p.status, Body: string(p.body), Took: p.took, Opened: b.URL, Sent: string(body), SentWith: header}

	s.mu.Lock()
	defer s.mu.Unlock()
	m.clicks--
	if err == nil {
		err = s.takeAnswer(m, c.Style, p, &a)
	}
	if err != nil {
		return a, fmt.Errorf("click %q on %s: %w", c.Button, messageID, err)
	}
	return a, nil
}

// press does what the client does before it calls back, and locks the message
// if a callback follows.
func (s *Server) press(messageID, openID string, c ClickOptions) (*message, Button, map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messageBy(messageID)
	switch {
	case m == nil:
		return nil, Button{}, nil, ErrNoMessage
	case s.userBy("open_id", openID) == nil:
		return nil, Button{}, nil, ErrNoUser
	case !c.Anyone && m.To.User.OpenID != openID && !s.inGroup(m.ChatID, openID):
		return nil, Button{}, nil, ErrNotVisible
	case m.Recalled:
		return nil, Button{}, nil, ErrRecalled
	case s.opts.Now().Sub(m.CreatedAt) > cardLife:
		return nil, Button{}, nil, ErrExpired
	}
	card := m.Card
	if c.Seen != "" {
		if !slices.ContainsFunc(m.History, func(h Showing) bool { return h.Card == c.Seen }) {
			return nil, Button{}, nil, ErrNoButton
		}
		card = c.Seen
	}
	b, err := findButton(card, c.Button)
	if err != nil {
		return nil, b, nil, err
	}
	if b.Disabled {
		return nil, b, nil, ErrDisabled
	}
	form, err := fillForm(card, b, c.Form)
	if err != nil {
		return nil, b, nil, err
	}
	if b.Callback {
		m.clicks++
	}
	return m, b, form, nil
}

func (s *Server) inGroup(chatID, openID string) bool {
	g := s.groupBy(chatID)
	return g != nil && slices.Contains(g.Members, openID)
}

func findButton(card, wanted string) (Button, error) {
	buttons := Buttons(card)
	for _, fits := range []func(Button) bool{
		func(b Button) bool { return b.Name == wanted },
		func(b Button) bool { return b.Text == wanted },
		func(b Button) bool { return b.Value["action"] == wanted },
	} {
		var found []Button
		for _, b := range buttons {
			if wanted != "" && fits(b) {
				found = append(found, b)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Button{}, ErrAmbiguous
		}
	}
	return Button{}, ErrNoButton
}

// fillForm types into the inputs beside a submit button. A required one that is
// empty keeps the client from calling back ("有必填项未填写").
func fillForm(card string, b Button, typed map[string]string) (map[string]any, error) {
	root, _ := parseCard(card)
	left := maps.Clone(typed)
	var values map[string]any
	var err error
	if b.Form != "" && b.Submit {
		values = map[string]any{}
		walk(root, func(m map[string]any, around surroundings) {
			if m["tag"] != "input" || around.form != b.Form || err != nil {
				return
			}
			name, _ := m["name"].(string)
			value, _ := m["default_value"].(string)
			if text, ok := typed[name]; ok && m["disabled"] != true {
				value = text
				delete(left, name)
			}
			most := int64(maxInput)
			if n, ok := m["max_length"].(json.Number); ok {
				most, _ = n.Int64()
			}
			switch {
			case m["required"] == true && value == "":
				err = fmt.Errorf("%w: %s", ErrRequired, name)
			case int64(utf8.RuneCountInString(value)) > most:
				err = fmt.Errorf("%w: %s", ErrInputTooBig, name)
			}
			values[name] = value
		})
	}
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%w: %v", ErrNoInput, slices.Sorted(maps.Keys(left)))
	}
	return values, err
}

// callback builds the request. Sources: "卡片回传交互回调" and "消息卡片回传交互（旧）".
func (s *Server) callback(m *message, openID string, b Button, form map[string]any, c ClickOptions) (http.Header, []byte) {
	s.mu.Lock()
	user := *s.userBy("open_id", openID)
	s.mu.Unlock()
	at := c.At
	if at.IsZero() {
		at = s.opts.Now()
	}
	action := map[string]any{"tag": "button", "timezone": "Asia/Shanghai"}
	if b.Value != nil {
		action["value"] = b.Value
	}
	if b.Name != "" {
		action["name"] = b.Name
	}
	if form != nil {
		action["form_value"] = form
	}
	body := map[string]any{
		"schema": "2.0",
		"header": map[string]any{
			"event_id": randomHex(16), "token": s.opts.VerificationToken, "create_time": strconv.FormatInt(at.UnixMicro(), 10),
			"event_type": "card.action.trigger", "tenant_key": s.opts.TenantKey, "app_id": s.opts.AppID,
		},
		"event": map[string]any{
			"operator": map[string]any{"tenant_key": s.opts.TenantKey, "open_id": user.OpenID, "union_id": user.UnionID},
			"token":    "c-" + randomHex(20),
			"action":   action,
			"host":     "im_message",
			"context":  map[string]any{"open_message_id": m.ID, "open_chat_id": m.ChatID},
		},
	}
	if c.Style == OldStyle {
		body = map[string]any{
			"open_id": user.OpenID, "open_message_id": m.ID, "open_chat_id": m.ChatID,
			"tenant_key": s.opts.TenantKey, "token": "c-" + randomHex(20), "action": action,
		}
	}
	if c.Mutate != nil {
		c.Mutate(body)
	}
	raw := mustJSON(body)
	if c.MutateRaw != nil {
		raw = c.MutateRaw(raw)
	}

	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	secret := c.Key
	switch c.Style {
	case OldStyle:
		header.Set("X-Refresh-Token", randomHex(16))
		if secret == "" {
			secret = s.opts.VerificationToken
		}
	default:
		if secret == "" {
			secret = s.opts.EncryptKey
		}
		if secret != "" && !c.Plain {
			raw = encrypted(secret, raw)
		}
	}
	if secret != "" {
		sign(header, c.Style, secret, at, raw)
	}
	if c.MutateSigned != nil {
		raw = c.MutateSigned(raw)
	}
	if c.Header != nil {
		c.Header(header)
	}
	return header, raw
}

// takeAnswer reads an answer as the client does, and shows its card.
func (s *Server) takeAnswer(m *message, style Style, p posted, a *Answer) error {
	if p.status != http.StatusOK { // 3xx included: redirects are forbidden
		return &ClientError{Code: 200671, Why: fmt.Sprintf("HTTP %d: %.200s", p.status, p.body)}
	}
	parts := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.body, &parts); err != nil || parts == nil {
		return &ClientError{Code: 200672, Why: fmt.Sprintf("the answer is not a JSON object: %.200s", p.body)}
	}
	var toast *Toast
	if raw, ok := parts["toast"]; ok {
		if toast = readToast(raw); toast == nil {
			return &ClientError{Code: 200672, Why: fmt.Sprintf("bad toast: %.200s", raw)}
		}
		delete(parts, "toast")
	}
	card, err := answeredCard(style, parts)
	if err != nil {
		return err
	}
	if card != "" {
		if schemaOf(m.Card) == "2.0" && schemaOf(card) != "2.0" {
			return &ClientError{Code: 200830, Why: "a card of JSON 2.0 cannot become one of JSON 1.0"}
		}
		if len(card) > maxBody {
			return &ClientError{Code: 200673, Why: "the card is longer than 30 KB"}
		}
		mentions, err := s.checkCardFor(card, m.To)
		if err != nil {
			return &ClientError{Code: 200673, Why: err.Error()}
		}
		m.show(card, "click", mentions, s.opts.Now())
	}
	a.Toast, a.Card = toast, card
	return nil
}

// readToast returns nil for a toast of another shape than the documented one.
func readToast(raw json.RawMessage) *Toast {
	var names map[string]json.RawMessage
	var t Toast
	if json.Unmarshal(raw, &names) != nil || json.Unmarshal(raw, &t) != nil || names == nil {
		return nil
	}
	for name := range names {
		if !slices.Contains([]string{"type", "content", "i18n"}, name) {
			return nil
		}
	}
	if !slices.Contains([]string{"", "info", "success", "error", "warning"}, t.Type) || t.Content == "" && len(t.I18n) == 0 {
		return nil
	}
	for language := range t.I18n {
		if !languageForm.MatchString(language) {
			return nil
		}
	}
	return &t
}

// answeredCard finds the card in an answer without its toast; "" is none. New
// style: {"card": {"type": "raw", "data": {…}}}. Old style: the card itself. The
// one in place of the other is 200672.
func answeredCard(style Style, parts map[string]json.RawMessage) (string, error) {
	if len(parts) == 0 {
		return "", nil
	}
	if style == OldStyle {
		for name := range parts {
			if !slices.Contains([]string{
				"schema", "config", "card_link", "header", "body", "elements", "i18n_elements", "i18n_header",
			}, name) {
				return "", &ClientError{Code: 200672, Why: "unknown name in the answer: " + name}
			}
		}
		return string(mustJSON(parts)), nil
	}
	raw, ok := parts["card"]
	if !ok || len(parts) > 1 {
		return "", &ClientError{Code: 200672, Why: fmt.Sprintf("unknown names in the answer: %v", slices.Sorted(maps.Keys(parts)))}
	}
	var card struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &card); err != nil || card.Type != "raw" || !bytes.HasPrefix(card.Data, []byte("{")) {
		return "", &ClientError{Code: 200673, Why: fmt.Sprintf(`card is not {"type":"raw","data":{…}}: %.200s`, raw)}
	}
	return string(card.Data), nil
}
