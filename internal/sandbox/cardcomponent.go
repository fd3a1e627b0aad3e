package sandbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// parts draws components, one after the other.
func (a *artist) parts(list []any) []drawnPart {
	parts := make([]drawnPart, 0, len(list))
	for _, v := range list {
		parts = append(parts, a.component(v))
	}
	return parts
}

// component draws whatever mrgate may put on a card.
func (a *artist) component(v any) drawnPart {
	o := readObject(v)
	tag := o.str("tag")
	o.str("element_id")
	var p drawnPart
	switch tag {
	case "div":
		p = a.text(o)
	case "markdown":
		p = a.markdown(o)
	case "hr":
		p = drawnPart{Kind: "hr"}
	case "button":
		p = a.button(o)
	case "input":
		p = a.input(o)
	case "form":
		p = a.container(o)
	case "column_set":
		p = a.columns(o)
	case "collapsible_panel":
		p = a.panel(o)
	default:
		return drawnPart{Kind: "wrong", Wrong: []string{"not drawn: a component of tag " + strconv.Quote(tag)}}
	}
	if o.m["margin"] != nil {
		p.Class = join(p.Class, o.padding("margin", "m", 0))
	}
	p.Wrong = o.wrong(tag)
	return p
}

// text is "普通文本组件": nothing in it is interpreted.
func (a *artist) text(o *cardObject) drawnPart {
	p := drawnPart{Kind: "text"}
	t := o.sub("text")
	if t == nil {
		return p
	}
	content := t.str("content")
	switch t.str("tag") {
	case "plain_text":
		p.Text = content
	case "lark_md":
		p.Kind, p.Lines = "markdown", readLines(content)
	}
	p.Class = join("fs-text",
		t.oneOf("text_size", "fs-size-", "normal", textSizes()...),
		t.oneOf("text_color", "fs-ink-", "default", append(hues(), "default")...),
		t.oneOf("text_align", "fs-align-", "", "left", "center", "right"),
	)
	if n := t.number("lines", 0); n > 0 {
		if n > 6 {
			t.odd = append(t.odd, fmt.Sprintf("lines %d", n))
		}
		p.Class = join(p.Class, fmt.Sprintf("fs-lines-%d", n))
	}
	o.take("text", t)
	return p
}

// markdown is "富文本组件".
func (a *artist) markdown(o *cardObject) drawnPart {
	return drawnPart{
		Kind: "markdown", Lines: readLines(o.str("content")),
		Class: join("fs-text",
			o.oneOf("text_size", "fs-size-", "normal", textSizes()...),
			o.oneOf("text_align", "fs-align-", "", "left", "center", "right"),
		),
	}
}

// button is "按钮组件". Beside its look it says what it does: behaviors open an
// address, call back, or both; of which nothing is said, calls back.
func (a *artist) button(o *cardObject) drawnPart {
	width := o.oneOf("width", "fs-width-", "default", "default", "fill")
	b := &drawnButton{
		Class: join(
			o.oneOf("type", "fs-button-", "default", "default", "primary", "danger", "text", "primary_text", "danger_text", "primary_filled", "danger_filled"),
			o.oneOf("size", "fs-button-", "medium", "tiny", "small", "medium", "large"),
			width,
		),
		Text:     o.plain("text"),
		Disabled: o.yes("disabled"),
	}
	name := o.str("name")
	if name == "" {
		name = b.Text
	}
	action := o.oneOf("form_action_type", "", "", "submit", "reset")
	b.Reset = action == "reset"
	press := pressed{Button: name}
	calls := action == "submit" || o.m["behaviors"] == nil && !b.Reset
	for _, v := range o.list("behaviors") {
		does := readObject(v)
		switch kind := does.str("type"); kind {
		case "open_url":
			address := does.str("default_url")
			if b.URL = webLink(address); b.URL == "" {
				o.odd = append(o.odd, "address "+strconv.Quote(address))
			}
		case "callback":
			calls = true
			press.Value, _ = does.get("value").(map[string]any)
		}
		o.take("behaviors", does)
	}
	if calls {
		if out, err := json.Marshal(press); err == nil {
			b.Press = string(out)
		}
	}
	if ask := o.sub("confirm"); ask != nil {
		b.Ask = &drawnQuestion{Title: ask.plain("title"), Text: ask.plain("text"), Yes: "Confirm", No: "Cancel"}
		if strings.ContainsFunc(b.Ask.Title, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			b.Ask.Yes, b.Ask.No = "确定", "取消" // the client's own, in the language of who reads
		}
		o.take("confirm", ask)
	}
	kind := "button"
	if b.Press != "" && !a.form {
		kind = "button alone" // a form of its own
	}
	return drawnPart{Kind: kind, Class: width, Button: b, Click: a.click}
}

// input is "输入框组件".
func (a *artist) input(o *cardObject) drawnPart {
	kind := o.oneOf("input_type", "", "text", "text", "multiline_text", "password")
	in := &drawnInput{
		Name: pressInput + o.str("name"), Label: o.plain("label"), Placeholder: o.plain("placeholder"), Value: o.str("default_value"),
		Multiline: kind == "multiline_text", Password: kind == "password",
		Rows: o.number("rows", 5), Most: o.number("max_length", 1000),
		Required: o.yes("required"), Disabled: o.yes("disabled"),
	}
	return drawnPart{Kind: "input", Input: in, Class: o.oneOf("width", "fs-width-", "default", "default", "fill")}
}

// container is "表单容器": what is typed in it comes with whichever of its buttons
// is pressed.
func (a *artist) container(o *cardObject) drawnPart {
	o.str("name")
	inside := artist{click: a.click, form: true}
	return drawnPart{Kind: "form", Class: a.layout(o, 0, 12), Parts: inside.parts(o.list("elements")), Click: a.click}
}

// columns are "分栏组件". The width of columns counts only where flex_mode is none;
// the other modes say how a narrow screen sets them.
func (a *artist) columns(o *cardObject) drawnPart {
	mode := o.oneOf("flex_mode", "fs-flex-", "none", "none", "stretch", "flow", "bisect", "trisect")
	p := drawnPart{Kind: "columns", Class: join("fs-columns", mode,
		o.oneOf("background_style", "fs-back-", "default", backgrounds()...),
		o.spacing("horizontal_spacing", "fs-hgap-", 8),
		o.oneOf("horizontal_align", "fs-x-", "", "left", "center", "right"),
	)}
	for _, v := range o.list("columns") {
		c := readObject(v)
		c.str("tag")
		c.str("element_id")
		width := c.oneOf("width", "fs-column-", "auto", "auto", "weighted")
		if weight := c.number("weight", 1); strings.HasSuffix(width, "weighted") {
			width += "-" + strconv.FormatInt(min(max(weight, 1), 5), 10)
		}
		p.Parts = append(p.Parts, drawnPart{
			Kind: "column",
			Class: join("fs-column", width, a.layout(c, 0, 8),
				c.oneOf("background_style", "fs-back-", "default", backgrounds()...)),
			Parts: a.parts(c.list("elements")),
		})
		o.take("column", c)
	}
	return p
}

// panel is "折叠面板". Without border and background its header has no padding, and
// what is folded away stands 8 px below it.
func (a *artist) panel(o *cardObject) drawnPart {
	p := drawnPart{Kind: "panel", Open: o.yes("expanded"), Parts: a.parts(o.list("elements"))}
	padding := "fs-pt-8 fs-pr-0 fs-pb-0 fs-pl-0"
	if o.m["padding"] != nil {
		padding = o.padding("padding", "p", 0)
	}
	p.Class = join("fs-vertical", padding, o.spacing("vertical_spacing", "fs-vgap-", 8))
	header := o.sub("header")
	if header == nil {
		return p
	}
	if title := header.sub("title"); title != nil {
		content := title.str("content")
		if title.str("tag") == "markdown" {
			p.Summary = readLines(content)
		} else {
			p.Text = content
		}
		header.take("title", title)
	}
	if icon := header.sub("icon"); icon != nil {
		icon.oneOf("tag", "", "", "standard_icon")
		icon.oneOf("token", "", "", "down-small-ccm_outlined")
		icon.oneOf("size", "", "", "16px 16px")
		icon.oneOf("color", "", "", "grey")
		p.IconOn = header.oneOf("icon_position", "", "right", "left", "right", "follow_text")
		header.take("icon", icon)
	}
	header.number("icon_expanded_angle", 180)
	header.oneOf("width", "", "", "fill", "auto", "auto_when_fold")
	header.oneOf("vertical_align", "", "", "center")
	o.take("header", header)
	return p
}
