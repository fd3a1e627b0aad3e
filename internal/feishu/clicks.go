package feishu

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mrgate/internal/gate"
)

// answerTime is how long a click may take; the person sees an error after 3 s
// (https://open.feishu.cn/document/feishu-cards/card-callback-communication, and the
// same over the long connection:
// https://open.feishu.cn/document/event-subscription-guide/callback-subscription/step-1-choose-a-subscription-mode/configure-callback-request-address).
const answerTime = 2500 * time.Millisecond

// clicks is what becomes of a body that is known to come from Feishu, whichever way
// it came: over HTTP ([Callback]), or over the long connection ([Connection]).
type clicks struct {
	appID   string
	judge   gate.ClickFunc
	trouble string // said to the person if judge panics; "": nothing is
	log     *slog.Logger
}

// newStyle opens an authentic callback of schema 2.0.
func (cs *clicks) newStyle(tree map[string]any) (m message, why string) {
	ours := subtle.ConstantTimeCompare([]byte(text(tree, "header", "app_id")), []byte(cs.appID)) == 1 && cs.appID != ""
	company := text(tree, "header", "tenant_key")
	switch {
	case !ours:
		return m, "of another app"
	case text(tree, "schema") != "2.0":
		return m, "neither schema 2.0 nor a challenge"
	case text(tree, "header", "event_type") != "card.action.trigger":
		return m, "" // an event that somebody has subscribed the app to
	case company == "" || text(tree, "event", "operator", "tenant_key") != company:
		return m, "a click from another company"
	}
	m, why = clickOf(text(tree, "event", "operator", "open_id"), at(tree, "event", "action"), at(tree, "event", "context"))
	if m.click != nil {
		m.click.Event = text(tree, "header", "event_id")
	}
	return m, why
}

// clickOf makes a click of what both styles have; where names the message and the
// conversation that were clicked.
func clickOf(person string, action, where any) (m message, why string) {
	// A missing ID must never mean that nobody has to be checked
	// (https://github.com/larksuite/openclaw-lark/pull/505).
	if person == "" {
		return m, "a click by nobody"
	}
	click := gate.Click{By: gate.Person{ID: person}}
	pressed, _ := action.(map[string]any)
	value, _ := pressed["value"].(map[string]any)
	if value["v"] == float64(valueVersion) {
		key, id := text(value, "k"), text(value, "a")
		if key != "" && id != "" {
			click.Key, click.Action, click.Origin = key, gate.ActionID(id), originOf(value)
		}
	}
	click.Text = comment(text(pressed, "form_value", inputName))
	place, _ := where.(map[string]any)
	click.Chat = text(place, "open_chat_id")
	if id := text(place, "open_message_id"); id != "" {
		click.Ref = &gate.CardRef{Data: id, Left: -1} // when it was sent is not said
	}
	return message{click: &click}, ""
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
func (cs *clicks) click(ctx context.Context, c gate.Click) (out response) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	defer func() {
		// An answer other than 200 is "200671" to the person.
		if p := recover(); p != nil {
			cs.log.ErrorContext(ctx, "a click was not handled", "panic", fmt.Sprint(p))
			out = response{}
			if cs.trouble != "" {
				out.Toast = &toast{Type: "error", Content: cs.trouble}
			}
		}
	}()
	answer := cs.judge(ctx, c)
	if answer.Text != "" {
		out.Toast = &toast{Type: toastType(answer.Kind), Content: literal(answer.Text, 200)}
	}
	if answer.Card != nil {
		data, err := Render(*answer.Card)
		if err != nil {
			cs.log.ErrorContext(ctx, "the answer to a click has no card", "err", err)
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
