package feishusim

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// fullCard is a card with everything that an approval needs.
const fullCard = `{
  "schema": "2.0",
  "config": {"update_multi": true, "enable_forward": false, "width_mode": "fill",
    "summary": {"content": "待你审批 payments/api !7"}},
  "header": {
    "title": {"tag": "plain_text", "content": "待审批 · payments/api !7"},
    "subtitle": {"tag": "plain_text", "content": "Retry <at id=all></at> *payments*"},
    "text_tag_list": [{"tag": "text_tag", "text": {"tag": "plain_text", "content": "main"}, "color": "blue"}],
    "template": "blue"},
  "body": {"direction": "vertical", "vertical_spacing": "8px", "elements": [
    {"tag": "markdown", "element_id": "facts", "content": "Bob 请求合并 feature&#47;retry → **main**\n6 files &#43;142 &#45;38"},
    {"tag": "collapsible_panel", "expanded": false,
      "header": {"title": {"tag": "markdown", "content": "**Files**"}, "icon_position": "right",
        "icon": {"tag": "standard_icon", "token": "down-small-ccm_outlined", "size": "16px 16px"}, "icon_expanded_angle": -180},
      "border": {"color": "grey", "corner_radius": "5px"},
      "elements": [{"tag": "markdown", "content": "- pay&#95;api.go\n- main.go", "text_size": "notation"}]},
    {"tag": "hr", "margin": "4px 0px"},
    {"tag": "form", "name": "verdict", "elements": [
      {"tag": "input", "name": "reason", "input_type": "multiline_text", "rows": 2, "max_length": 500, "required": false, "width": "fill",
        "placeholder": {"tag": "plain_text", "content": "给作者的话（批准可不填）"}},
      {"tag": "column_set", "flex_mode": "none", "horizontal_spacing": "8px", "columns": [
        {"tag": "column", "width": "weighted", "weight": 1, "elements": [
          {"tag": "button", "name": "approve", "form_action_type": "submit", "type": "primary_filled", "width": "fill",
            "text": {"tag": "plain_text", "content": "批准并合并"},
            "confirm": {"title": {"tag": "plain_text", "content": "批准并合并？"}, "text": {"tag": "plain_text", "content": "提交 856c10e9 将合并到 main。"}},
            "behaviors": [{"type": "callback", "value": {"action": "yes", "request": 7}}]}]},
        {"tag": "column", "width": "weighted", "weight": 1, "elements": [
          {"tag": "button", "name": "reject", "form_action_type": "submit", "type": "danger", "width": "fill",
            "text": {"tag": "plain_text", "content": "驳回并关闭"},
            "confirm": {"title": {"tag": "plain_text", "content": "驳回并关闭？"}, "text": {"tag": "plain_text", "content": "合并请求将被关闭。"}},
            "behaviors": [{"type": "callback", "value": {"action": "no", "request": 7}}]}]}]}]},
    {"tag": "button", "text": {"tag": "plain_text", "content": "查看改动"}, "type": "default",
      "behaviors": [{"type": "open_url", "default_url": "https://gitlab.example.com/payments/api/-/merge_requests/7/diffs"}]},
    {"tag": "div", "text": {"tag": "plain_text", "content": "规则 production", "text_size": "notation", "text_color": "grey"}}
  ]}
}`

func TestGoodCards(t *testing.T) {
	for name, card := range map[string]string{
		"everything":     fullCard,
		"nothing":        `{"schema":"2.0"}`,
		"languages":      card20(`{"tag":"markdown","content":"x","i18n_content":{"en_us":"y","zh_cn":"z"}}`),
		"persons":        card20(`{"tag":"person","user_id":"ou_1","size":"small","show_name":true},{"tag":"person_list","persons":[{"id":"ou_1"}],"lines":1}`),
		"container":      card20(`{"tag":"interactive_container","behaviors":[{"type":"callback","value":{}}],"elements":[{"tag":"hr"}]}`),
		"image":          card20(`{"tag":"img","img_key":"img_v3_1","alt":{"tag":"plain_text","content":""},"size":"100px 100px"}`),
		"input alone":    card20(`{"tag":"input","placeholder":{"tag":"plain_text","content":"x"}}`),
		"card link":      `{"schema":"2.0","card_link":{"url":"https://example.com/?a=%20","ios_url":"lark://msgcard/unsupported_action"}}`,
		"button of both": card20(`{"tag":"button","behaviors":[{"type":"open_url","default_url":"https://example.com"},{"type":"callback","value":{"a":1}}]}`),
		"five deep":      card20(nested(5)),
		"200 elements":   card20(strings.TrimSuffix(strings.Repeat(`{"tag":"hr"},`, 200), ",")),
		"four tables":    markdownCard(strings.Repeat("| a | b |\n| --- | --- |\n| 1 | 2 |\n\n", 4)),
		"phone":          markdownCard("[call](tel://123)"),
		"mangled link":   markdownCard("[x](https://example.com/?a=1&copy=2)"),
		"100 characters": card20(`{"tag":"button","text":{"tag":"plain_text","content":"` + strings.Repeat("字", 100) + `"}}`),
	} {
		if err := CheckCard(card); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nested is a column in a column …, the innermost holding a line.
func nested(depth int) string {
	s := `{"tag":"hr"}`
	for range depth {
		s = `{"tag":"column_set","columns":[{"tag":"column","elements":[` + s + `]}]}`
	}
	return s
}

func TestBadCards(t *testing.T) {
	inForm := func(elements string) string {
		return card20(`{"tag":"form","name":"f","elements":[` + elements + `]}`)
	}
	submit := `{"tag":"button","name":"s","form_action_type":"submit"}`
	header := func(rest string) string {
		return `{"schema":"2.0","header":{"title":{"tag":"plain_text","content":"t"},` + rest + `}}`
	}
	label := `{"tag":"text_tag","text":{"tag":"plain_text","content":"x"}}`
	words := func(n int) string { return `{"tag":"plain_text","content":"` + strings.Repeat("字", n) + `"}` }
	for name, c := range map[string]struct {
		card string
		code int
		says string
	}{
		"no JSON":                  {`{"schema":"2.0",}`, 200621, "not a JSON object"},
		"no object":                {`[]`, 200621, ""},
		"old schema":               {`{"elements":[]}`, 200621, "schema"},
		"two values":               {`{"schema":"2.0"} {}`, 200621, "data after"},
		"schema is a number":       {`{"schema":2.0}`, 200621, "schema"},
		"elements at the top":      {`{"schema":"2.0","elements":[]}`, 200621, "unknown property: elements, path: []"},
		"global languages":         {`{"schema":"2.0","i18n_elements":{}}`, 200621, "unknown property: i18n_elements"},
		"fallback":                 {`{"schema":"2.0","fallback":{}}`, 200621, "fallback"},
		"body without elements":    {`{"schema":"2.0","body":{}}`, 200621, "missing property: elements, path: [body]"},
		"not shared":               {`{"schema":"2.0","config":{"update_multi":false}}`, 200621, "update_multi"},
		"wide_screen_mode":         {`{"schema":"2.0","config":{"wide_screen_mode":true}}`, 200621, "wide_screen_mode"},
		"a string for a boolean":   {`{"schema":"2.0","config":{"enable_forward":"true"}}`, 200621, "not a boolean, path: [config -> enable_forward]"},
		"width mode":               {`{"schema":"2.0","config":{"width_mode":"wide"}}`, 200621, "width_mode"},
		"card link without url":    {`{"schema":"2.0","card_link":{"pc_url":"https://example.com"}}`, 200621, "missing property: url"},
		"header without title":     {`{"schema":"2.0","header":{"template":"blue"}}`, 200621, "missing property: title"},
		"colour of the header":     {header(`"template":"pink"`), 200621, "template"},
		"four labels":              {header(`"text_tag_list":[` + strings.Join([]string{label, label, label, label}, ",") + `]`), 200621, "3 text tags"},
		"colour of a label":        {header(`"text_tag_list":[{"tag":"text_tag","text":` + words(1) + `,"color":"pink"}]`), 200621, "color"},
		"markdown in the title":    {`{"schema":"2.0","header":{"title":{"tag":"markdown","content":"x"}}}`, 200621, "markdown"},
		"note":                     {card20(`{"tag":"hr"},{"tag":"note","elements":[]}`), 200861, "ErrPath: ROOT -> body -> elements -> [1](tag: note); ErrMsg: cards of schema V2 no longer support this capability; ErrorValue: unsupported tag note"},
		"action":                   {card20(`{"tag":"action","actions":[]}`), 200861, "unsupported tag action"},
		"no tag":                   {card20(`{}`), 200861, "unsupported tag"},
		"unknown property":         {card20(`{"tag":"markdown","content":"x","href":{}}`), 200621, "unknown property: href, path: [body -> elements -> [0](tag: markdown)]"},
		"no content":               {card20(`{"tag":"markdown"}`), 200621, "missing property: content"},
		"a number for a text":      {card20(`{"tag":"markdown","content":7}`), 200621, "not a string"},
		"fields of a div":          {card20(`{"tag":"div","fields":[]}`), 200621, "fields"},
		"text_size of a button":    {card20(`{"tag":"button","text":{"tag":"plain_text","content":"x","text_size":"heading"}}`), 200621, "text_size"},
		"lark_md on a button":      {card20(`{"tag":"button","text":{"tag":"lark_md","content":"x"}}`), 200621, "lark_md"},
		"101 characters":           {card20(`{"tag":"button","text":` + words(101) + `}`), 200621, "100 characters"},
		"type of a button":         {card20(`{"tag":"button","type":"success"}`), 200621, "success"},
		"value of old":             {card20(`{"tag":"button","value":{"a":1}}`), 200621, "unknown property: value"},
		"url of old":               {card20(`{"tag":"button","url":"https://example.com"}`), 200621, "unknown property: url"},
		"value is a string":        {card20(`{"tag":"button","behaviors":[{"type":"callback","value":"x"}]}`), 200621, "not an object"},
		"behaviour":                {card20(`{"tag":"button","behaviors":[{"type":"submit"}]}`), 200621, "submit"},
		"two callbacks":            {card20(`{"tag":"button","behaviors":[{"type":"callback","value":{}},{"type":"callback","value":{}}]}`), 200621, "duplicate behavior"},
		"scheme of a button":       {card20(`{"tag":"button","behaviors":[{"type":"open_url","default_url":"javascript:alert(1)"}]}`), 200621, "invalid url"},
		"blank in an address":      {card20(`{"tag":"button","behaviors":[{"type":"open_url","default_url":"https://example.com/a b"}]}`), 200621, "invalid url"},
		"no address":               {card20(`{"tag":"button","behaviors":[{"type":"open_url"}]}`), 200621, "default_url"},
		"confirm without title":    {card20(`{"tag":"button","confirm":{"text":` + words(1) + `}}`), 200621, "missing property: title"},
		"confirm without text":     {card20(`{"tag":"button","confirm":{"title":` + words(1) + `}}`), 200621, "missing property: text"},
		"name outside a form":      {card20(`{"tag":"button","name":"x"}`), 200621, "unknown property: name"},
		"submit outside a form":    {card20(`{"tag":"button","form_action_type":"submit"}`), 200621, "form_action_type"},
		"form without name":        {card20(`{"tag":"form","elements":[` + submit + `]}`), 200621, "missing property: name"},
		"form without submit":      {inForm(`{"tag":"button","name":"r","form_action_type":"reset"}`), 200621, "no submit button"},
		"form in a form":           {inForm(submit + `,{"tag":"form","name":"g","elements":[` + submit + `]}`), 200621, "root only"},
		"form in a column":         {card20(`{"tag":"column_set","columns":[{"tag":"column","elements":[{"tag":"form","name":"f","elements":[` + submit + `]}]}]}`), 200621, "root only"},
		"form in a panel":          {card20(`{"tag":"collapsible_panel","header":{},"elements":[{"tag":"form","name":"f","elements":[` + submit + `]}]}`), 200621, "root only"},
		"nameless input in a form": {inForm(submit + `,{"tag":"input"}`), 200530, "name"},
		"nameless button in form":  {inForm(submit + `,{"tag":"button","form_action_type":"reset"}`), 200530, "name"},
		"one name twice":           {inForm(submit + `,{"tag":"input","name":"s"}`), 200621, "duplicate name: s"},
		"one name in two forms":    {card20(`{"tag":"form","name":"f","elements":[` + submit + `]},{"tag":"form","name":"f","elements":[]}`), 200621, "duplicate name"},
		"plain button in a form":   {inForm(submit + `,{"tag":"button","name":"b"}`), 200621, "missing property: form_action_type"},
		"action_type of old":       {inForm(submit + `,{"tag":"button","name":"b","action_type":"form_submit"}`), 200621, "action_type"},
		"required outside a form":  {card20(`{"tag":"input","required":true}`), 200621, "required"},
		"long placeholder":         {card20(`{"tag":"input","placeholder":` + words(101) + `}`), 200621, "100 characters"},
		"max_length":               {card20(`{"tag":"input","max_length":1001}`), 200621, "out of range"},
		"element ID":               {card20(`{"tag":"hr","element_id":"1st"}`), 200621, "element_id"},
		"long element ID":          {card20(`{"tag":"hr","element_id":"abcdefghijklmnopqrstu"}`), 200621, "element_id"},
		"one element ID twice":     {card20(`{"tag":"hr","element_id":"a"},{"tag":"hr","element_id":"a"}`), 200621, "duplicate element_id: a"},
		"margin":                   {card20(`{"tag":"hr","margin":"100px"}`), 200621, "margin"},
		"weight":                   {card20(`{"tag":"column_set","columns":[{"tag":"column","weight":6}]}`), 200621, "weight"},
		"a column of another kind": {card20(`{"tag":"column_set","columns":[{"tag":"div"}]}`), 200621, "tag"},
		"panel without header":     {card20(`{"tag":"collapsible_panel","elements":[]}`), 200621, "missing property: header"},
		"six deep":                 {card20(nested(6)), 200621, "nested deeper"},
		"201 elements":             {card20(strings.TrimSuffix(strings.Repeat(`{"tag":"hr"},`, 201), ",")), 11310, "element exceeds the limit; code:230099"},
		"texts count too":          {card20(strings.TrimSuffix(strings.Repeat(`{"tag":"div","text":{"tag":"plain_text","content":"x"}},`, 101), ",")), 11310, "element exceeds"},
		"five tables in one":       {markdownCard(strings.Repeat("| a | b |\n| --- | --- |\n\n", 5)), 11310, "table"},
		"image key":                {card20(`{"tag":"img","img_key":"https://example.com/x.png","alt":{"tag":"plain_text","content":""}}`), 200570, "image key"},
		"image in markdown":        {markdownCard("![x](https://example.com/x.png)"), 200570, "image key"},
		"scheme in markdown":       {markdownCard("[x](javascript:alert)"), 200621, "invalid url"},
		"link of old":              {markdownCard("[x]($urlVal)"), 200621, "invalid url"},
		"Chinese after a link":     {markdownCard("见https://example.com/x，谢谢"), 200621, "invalid url"},
		"link in a lark_md title":  {`{"schema":"2.0","header":{"title":{"tag":"lark_md","content":"[x](ftp://x)"}}}`, 200621, "invalid url"},
		"link in another language": {card20(`{"tag":"markdown","content":"x","i18n_content":{"en_us":"[x](ftp://x)"}}`), 200621, "invalid url"},
		"language":                 {card20(`{"tag":"markdown","content":"x","i18n_content":{"en":"x"}}`), 200621, "unknown property: en"},
		"longer than 30 KB":        {markdownCard(strings.Repeat("x", 30<<10)), 200621, "30 KB"},
	} {
		err := CheckCard(c.card)
		var refused *CardError
		if !errors.As(err, &refused) {
			t.Errorf("%s: accepted", name)
			continue
		}
		if refused.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v\n want code %d and %q", name, err, c.code, c.says)
		}
	}
}

func TestUnknownPeopleOnACard(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	for name, card := range map[string]string{
		"mention":     markdownCard("<at id=ou_x></at>"),
		"mailbox":     markdownCard("<at email=x@example.com></at>"),
		"one of many": markdownCard("<at ids=" + b.alice.OpenID + ",ou_x></at>"),
		"person":      card20(`{"tag":"person","user_id":"ou_x"}`),
		"person list": card20(`{"tag":"person_list","persons":[{"id":"ou_x"}]}`),
	} {
		r := b.send("open_id", b.alice.OpenID, card, "")
		if r.code != 230099 || !strings.Contains(r.msg, "ErrCode: 100290") {
			t.Errorf("%s: %d %s", name, r.code, r.msg)
		}
	}
	wantCode(t, b.send("open_id", b.alice.OpenID, card20(`{"tag":"person_list","drop_invalid_user_id":true,"persons":[{"id":"ou_x"}]}`), ""), 0)
	wantCode(t, b.send("open_id", b.alice.OpenID, card20(`{"tag":"person","user_id":"`+b.alice.OpenID+`"}`), ""), 0)
}

// Whatever stands in a card, judging and reading it ends.
func FuzzCards(f *testing.F) {
	f.Add(fullCard)
	f.Add(markdownCard("**a** <at id=all> [x](y) `c` ~~z~~ &#60; :OK: ![i](j) <https://x> http://y\n# h\n- l"))
	f.Add(`{"schema":"2.0","header":7,"body":[],"config":null}`)
	f.Fuzz(func(t *testing.T, card string) {
		_ = CheckCard(card)
		_, _, _ = PlainText(card), Links(card), Buttons(card)
		_ = Summary(card)
		_ = readMarkdown(card)
		if json.Valid([]byte(card)) {
			_ = checkOldCard(card)
		}
	})
}
