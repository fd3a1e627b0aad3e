package feishu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"

	"mrgate/internal/gate"
	"mrgate/internal/words"
)

// A request with a card may have 30 KB, and Feishu warns that a card can count
// for more than was sent; a card is cut down until it is well below that
// ("发送消息", https://open.feishu.cn/document/server-docs/im-v1/message/create).
const (
	goodSize = 20 << 10
	maxSize  = 28 << 10 // leaves room for the rest of the request
)

// How much of anything goes on a card: 200 elements are allowed
// (https://open.feishu.cn/document/feishu-cards/card-json-v2-structure).
const (
	maxLines   = 15 // facts, and as many words on the status
	maxPanels  = 5
	maxActions = 8
	maxLabel   = 100 // characters on a button or in an empty field
)

// The names by which a click brings back what was typed.
const (
	formName  = "decision"
	inputName = "reason"
)

// maxText is how long a comment can be: Feishu allows no more in a field
// (https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-components/interactive-components/input.md).
const maxText = 1000

// budget is how much of the texts goes on a card.
type budget struct {
	text  int // characters in a line
	quote int
	lines int // in a panel
	line  int
}

// budgets are tried one after the other until the card is small enough: the
// details go first, then the quote, then the ends of long lines.
func budgets() []budget {
	return []budget{
		{text: 500, quote: 1000, lines: 20, line: 200},
		{text: 500, quote: 1000, lines: 8, line: 100},
		{text: 500, quote: 1000},
		{text: 500, quote: 200},
		{text: 300},
		{text: 120},
		{text: 40},
	}
}

// node is a part of a card's JSON.
type node map[string]any

// Render is the card as Feishu takes it: JSON 2.0, no longer than 28 KB whatever
// is in it, with nothing in it that Feishu would interpret.
func Render(card gate.Card) ([]byte, error) {
	for _, b := range budgets() {
		out, err := encode(render(card, b))
		if err != nil {
			return nil, err
		}
		size, err := sizeInRequest(out)
		if err != nil {
			return nil, err
		}
		if size <= goodSize || b.text == 40 && size <= maxSize {
			return out, nil
		}
	}
	return nil, errors.New("the card is too large for Feishu")
}

// encode is json.Marshal without \u003c for <: in a request, where the card is a
// string, that would be seven bytes in place of one.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the card: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// sizeInRequest is how much room the card takes in the body that the SDK makes.
func sizeInRequest(card []byte) (int, error) {
	asString, err := json.Marshal(string(card))
	return len(asString), err
}

// render builds the card, top to bottom as people read it on a phone.
func render(card gate.Card, b budget) node {
	root := node{
		"schema": "2.0",
		"config": node{
			"update_multi": true, // both cards of an update must say so
			// A forwarded copy could not be clicked, and would soon be wrong.
			"enable_forward": false,
			"summary":        node{"content": literal(card.Summary, min(b.text, 200))},
		},
		"body": node{"padding": "12px", "vertical_spacing": "8px", "elements": body(card, b)},
	}
	if card.Title != "" {
		header := node{
			"title":    plain(literal(card.Title, min(b.text, 200))),
			"template": template(card.Tone),
		}
		if subtitle := literal(card.Subtitle, min(b.text, 200)); subtitle != "" {
			header["subtitle"] = plain(subtitle)
		}
		root["header"] = header
	}
	// Where a button opens the merge request, a tap beside the buttons should not.
	if link := webURL(card.Link); link != "" && !opens(card.Actions) {
		root["card_link"] = node{"url": link}
	}
	return root
}

func template(t gate.Tone) string {
	switch t {
	case gate.ToneBlue, gate.ToneTurquoise, gate.ToneGreen, gate.ToneOrange, gate.ToneRed, gate.TonePurple, gate.ToneGrey:
		return string(t) // Feishu's names are the same
	}
	return "default"
}

func opens(actions []gate.Action) bool {
	for _, a := range actions {
		if webURL(a.URL) != "" {
			return true
		}
	}
	return false
}

// body is what stands below the header. Who is asked looks first and decides then:
// what there is to see, and the way to the changes, come before the field and its
// buttons. On any other card the state of things comes first, on the state's colour,
// and what can be done about it right after the facts.
func body(card gate.Card, b budget) []node {
	elements := []node{}
	add := func(nodes ...node) { elements = append(elements, nodes...) }
	asks := card.Tone == gate.ToneBlue
	form, buttons := controls(card, b)
	status := paragraphs(card.Status, b)
	if !asks && len(status) > 0 {
		add(box(background(card.Tone), status...))
	}
	add(paragraphs(card.Facts, b)...)
	if !asks {
		add(buttons...)
	}
	add(wrote(card, b)...)
	for i, d := range card.Details {
		if i == maxPanels {
			break
		}
		if p := panel(d, b); p != nil {
			add(p)
		}
	}
	if asks {
		add(buttons...)
		add(status...)
	}
	add(form...)
	if foot := literal(card.Foot, b.text); foot != "" {
		add(div(foot, node{"text_size": "notation", "text_color": "grey"}))
	}
	return elements
}

// wrote is what people wrote, apart from what mrgate vouches for: the merge
// request's title, where the header has no room for it, and its description.
func wrote(card gate.Card, b budget) []node {
	var texts []node
	if title := literal(card.Subtitle, min(b.text, 200)); cells(title) > headerCells {
		texts = append(texts, div(title, nil))
	}
	if quote := literalLines(card.Quote, 6, b.quote); quote != "" {
		texts = append(texts, div(quote, node{"text_color": "grey"}))
	}
	if len(texts) == 0 {
		return nil
	}
	return []node{box(grey, texts...)}
}

// box sets something on a background.
func box(color string, inside ...node) node {
	return node{
		"tag": "column_set", "background_style": color,
		"columns": []node{{
			"tag": "column", "width": "weighted", "weight": 1, "padding": "8px 12px 8px 12px", "vertical_spacing": "4px",
			"elements": inside,
		}},
	}
}

// grey is the lightest grey that stands out: in the dark, grey-50 is the card's own.
const grey = "grey-100"

// background is a light shade of a tone's colour. Source: "颜色枚举值",
// https://open.feishu.cn/document/feishu-cards/enumerations-for-fields-related-to-color.
func background(t gate.Tone) string {
	if color := template(t); color != "default" && t != gate.ToneGrey {
		return color + "-50"
	}
	return grey
}

// headerCells is how much of a subtitle is read on a phone: it has one line, and
// what does not fit is cut ("标题组件": 副标题内容最多一行).
const headerCells = 44

// cells is how wide a text is, in halves of a Chinese character.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x1100 && unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) || r >= 0xFF00 && r <= 0xFF60 || r >= 0x3000 && r <= 0x303F {
			n++
		}
	}
	return n
}

// paragraphs are sentences, one below the other.
func paragraphs(texts []words.Text, b budget) []node {
	var out []node
	for i, t := range texts {
		if i == maxLines {
			break
		}
		marked := false
		for _, run := range t {
			marked = marked || run.Strong || run.Link != "" || run.Mood != ""
		}
		if !marked {
			if s := literal(t.String(), b.text); s != "" {
				out = append(out, div(s, nil))
			}
		} else if s := markdown(t, b.text); s != "" {
			out = append(out, node{"tag": "markdown", "content": s})
		}
	}
	return out
}

// panel is a list that is folded away; nil: there is no room for it.
func panel(d gate.Detail, b budget) node {
	title := literal(d.Title, b.text)
	var lines []string
	for _, line := range d.Lines {
		if line = literal(line, b.line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > b.lines {
		lines = append(lines[:b.lines], "…")
	}
	if b.lines == 0 || len(lines) == 0 || title == "" {
		return nil
	}
	return node{
		"tag": "collapsible_panel", "expanded": false,
		"header": node{
			"title":         plain(title),
			"icon":          node{"tag": "standard_icon", "token": "down-small-ccm_outlined", "size": "16px 16px"}, //nolint:gosec // an icon's name
			"icon_position": "follow_text", "icon_expanded_angle": -180,
		},
		"elements": []node{div(strings.Join(lines, "\n"), nil)},
	}
}

// controls are the field with its buttons, and the other buttons. Feishu gives what was typed only to
// buttons that submit the form around both, and a form takes no others: what
// opens a page or needs no comment stands apart
// (https://open.larkoffice.com/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-components/containers/form-container.md).
func controls(card gate.Card, b budget) (form, buttons []node) {
	var inside, apart []node
	named := map[string]bool{}
	for i, a := range card.Actions {
		if i == maxActions {
			break
		}
		button := pressable(card.Key, card.Origin, a, b)
		if button == nil {
			continue
		}
		decides := a.ID == gate.ActionApprove || a.ID == gate.ActionReject
		if card.Input == nil || !decides || webURL(a.URL) != "" {
			apart = append(apart, button)
			continue
		}
		name := string(a.ID)
		if named[name] { // Feishu refuses two of a name
			name = fmt.Sprintf("%s_%d", a.ID, i)
		}
		named[name] = true
		button["name"], button["form_action_type"] = name, "submit"
		inside = append(inside, button)
	}
	if len(inside) > 0 {
		field := node{
			"tag": "input", "name": inputName, "input_type": "multiline_text", "rows": 2,
			"width": "fill", "max_length": maxText,
		}
		if label := literal(card.Input.Label, min(b.text, maxLabel)); label != "" {
			field["placeholder"] = plain(label)
		}
		form = []node{{"tag": "form", "name": formName, "elements": []node{field, row(inside)}}}
	}
	if len(apart) > 0 {
		buttons = []node{row(apart)}
	}
	return form, buttons
}

// row sets buttons side by side; what does not fit on a phone goes into the next
// line.
func row(buttons []node) node {
	columns := make([]node, 0, len(buttons))
	for _, button := range buttons {
		columns = append(columns, node{"tag": "column", "width": "auto", "elements": []node{button}})
	}
	return node{"tag": "column_set", "flex_mode": "flow", "horizontal_spacing": "8px", "columns": columns}
}

// pressable is a button; nil: it would have nothing to do.
func pressable(key string, origin *gate.Origin, a gate.Action, b budget) node {
	button := node{"tag": "button", "type": buttonType(a.Style), "text": plain(literal(a.Label, min(b.text, maxLabel)))}
	switch link := webURL(a.URL); {
	case link != "":
		button["behaviors"] = []node{{"type": "open_url", "default_url": link}}
		return button
	case a.URL != "" || a.ID == gate.ActionView:
		return nil
	}
	// An object: the SDKs of other receivers can't take a string.
	value := node{"k": key, "a": string(a.ID), "v": valueVersion}
	addOrigin(value, origin)
	button["behaviors"] = []node{{"type": "callback", "value": value}}
	if a.Confirm != nil {
		// Old clients hang without a title.
		title := literal(a.Confirm.Title, b.text)
		if title == "" {
			title = literal(a.Label, b.text)
		}
		button["confirm"] = node{"title": plain(title), "text": plain(literal(a.Confirm.Text, b.text))}
	}
	return button
}

func buttonType(s gate.Style) string {
	switch s {
	case gate.StylePrimary:
		return "primary_filled"
	case gate.StyleDanger:
		return "danger"
	case gate.StyleDefault:
	}
	return "default"
}

// div is a text in which nothing is interpreted; looks may be nil.
func div(s string, looks node) node {
	text := plain(s)
	maps.Copy(text, looks)
	return node{"tag": "div", "text": text}
}

func plain(s string) node { return node{"tag": "plain_text", "content": s} }
