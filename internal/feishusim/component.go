package feishusim

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The forms of values. Source: the tables of the components' pages; lengths are
// one, two or four of "4px", "0", "-12px".
var (
	lengthForm    = regexp.MustCompile(`^(-?\d{1,2}px|0)( (-?\d{1,2}px|0)){0,3}$`)
	spacingForm   = regexp.MustCompile(`^(default|small|medium|large|extra_large|\d{1,2}px)$`)
	widthForm     = regexp.MustCompile(`^(default|fill|auto|[1-9]\d{1,3}px)$`)
	columnForm    = regexp.MustCompile(`^(auto|weighted|[1-9]\d{1,2}px)$`)
	radiusForm    = regexp.MustCompile(`^(\d+px|\d{1,2}%|100%)$`)
	elementIDForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,19}$`)
	languageForm  = regexp.MustCompile(`^[a-z]{2}_[a-z]{2}$`)
)

// Source: "卡片全局行为设置 config". update_multi may only be true in 2.0.
func configRule(c *checker, at place, v any) {
	m := c.object(at, v, nil, props{
		"streaming_mode":             boolean,
		"streaming_config":           anything,
		"summary":                    objectOf("", props{"content": text, "i18n_content": i18n(text)}),
		"locales":                    listOf(matching(languageForm)),
		"enable_forward":             boolean,
		"update_multi":               boolean,
		"width_mode":                 oneOf("default", "compact", "fill"),
		"use_custom_translation":     boolean,
		"enable_forward_interaction": boolean,
		"style":                      objectOf("", props{"text_size": mapOf(mapOf(text)), "color": mapOf(mapOf(text))}),
	})
	if multi, ok := m["update_multi"].(bool); ok && !multi {
		c.wrong(at, "update_multi may only be true")
	}
}

// linksRule is card_link. Source: "卡片全局跳转链接 card_link": without url, all
// three others.
func linksRule(c *checker, at place, v any) {
	m := c.object(at, v, nil, props{"url": webURL, "pc_url": deviceURL, "ios_url": deviceURL, "android_url": deviceURL})
	if m["url"] == nil && (m["pc_url"] == nil || m["ios_url"] == nil || m["android_url"] == nil) {
		c.wrong(at, "missing property: url")
	}
}

// Source: "标题组件". More tags than three would not be shown: refused here.
func headerRule(c *checker, at place, v any) {
	tags := func(c *checker, at place, v any) {
		listOf(textTagRule)(c, at, v)
		if list, _ := v.([]any); len(list) > maxTextTags {
			c.wrong(at, "more than 3 text tags")
		}
	}
	title := textObject(nil, "plain_text", "lark_md")
	c.object(at, v, []string{"title"}, props{
		"title": title, "subtitle": title,
		"text_tag_list": tags, "i18n_text_tag_list": i18n(tags),
		"template": oneOf("blue", "wathet", "turquoise", "green", "yellow", "orange", "red", "carmine",
			"violet", "purple", "indigo", "grey", "default"),
		"icon": iconRule, "padding": matching(lengthForm),
	})
}

func textTagRule(c *checker, at place, v any) {
	c.object(at, v, []string{"tag", "text"}, props{
		"tag": oneOf("text_tag"), "element_id": elementID, "text": textObject(nil, "plain_text"),
		"color": oneOf("neutral", "blue", "turquoise", "lime", "orange", "violet", "indigo", "wathet", "green",
			"yellow", "red", "purple", "carmine"),
	})
}

func bodyRule(c *checker, at place, v any) {
	c.object(at, v, []string{"elements"}, layout().with(props{"elements": listOf(element)}))
}

// layout are the properties of whatever holds other components.
func layout() props {
	align := oneOf("left", "center", "right")
	vertical := oneOf("top", "center", "bottom")
	return props{
		"direction": oneOf("vertical", "horizontal"), "padding": matching(lengthForm),
		"horizontal_spacing": matching(spacingForm), "horizontal_align": align,
		"vertical_spacing": matching(spacingForm), "vertical_align": vertical,
	}
}

// component says what a component may and must have besides its tag. ok is
// false for tags that JSON 2.0 dropped (action, note), and for those that exist
// but are not simulated.
func component(tag string) (required string, allowed props, ok bool) {
	textLooks := props{"text_size": text, "text_color": text, "text_align": oneOf("left", "center", "right"), "lines": integer(1, 1000)}
	switch tag {
	case "div": // "普通文本组件"
		return "", props{
			"width": matching(widthForm), "text": textObject(textLooks, "plain_text", "lark_md"), "icon": iconRule,
		}, true
	case "markdown": // "富文本组件"; href ([x]($urlVal)) is gone
		return "content", props{
			"content": markdownRule, "i18n_content": i18n(markdownRule),
			"text_size": text, "text_align": textLooks["text_align"], "icon": iconRule,
		}, true
	case "hr": // "分割线组件"
		return "", props{}, true
	case "img": // "图片组件"
		key := func(c *checker, at place, v any) {
			text(c, at, v)
			s, _ := v.(string)
			c.image(at, s)
		}
		return "img_key alt", props{
			"img_key": key, "i18n_img_key": i18n(key), "alt": textObject(nil, "plain_text"), "title": textObject(nil, "plain_text"),
			"corner_radius": matching(radiusForm), "scale_type": oneOf("crop_center", "crop_top", "fit_horizontal"),
			"size": text, "transparent": boolean, "preview": boolean,
			"mode": text, "custom_width": anything, "compact_width": boolean,
		}, true
	case "person": // "人员组件"
		return "user_id", props{
			"size": avatarSize, "user_id": personID, "show_avatar": boolean, "show_name": boolean,
			"style": oneOf("normal", "capsule"),
		}, true
	case "person_list": // "人员列表组件"
		return "persons", props{
			"drop_invalid_user_id": boolean, "lines": integer(1, 1000), "show_name": boolean, "show_avatar": boolean,
			"size": avatarSize, "persons": listOf(objectOf("id", props{"id": text})), "icon": iconRule,
			"ud_icon": objectOf("", props{"token": text, "style": objectOf("", props{"color": text})}),
		}, true
	case "button": // "按钮组件"; value, url, multi_url and action_type are of JSON 1.0
		return "", props{
			"type": oneOf("default", "primary", "danger", "text", "primary_text", "danger_text", "primary_filled",
				"danger_filled", "laser"),
			"size": oneOf("tiny", "small", "medium", "large"), "width": matching(widthForm),
			"text": textUpTo(maxButton), "icon": iconRule, "hover_tips": textObject(nil, "plain_text"),
			"disabled": boolean, "disabled_tips": textObject(nil, "plain_text"),
			"confirm": confirmRule, "behaviors": behaviorsRule,
			"name": text, "form_action_type": oneOf("submit", "reset"),
		}, true
	case "input": // "输入框组件"
		return "", props{
			"name": text, "required": boolean, "placeholder": textUpTo(maxButton), "default_value": text,
			"i18n_default_value": i18n(text), "disabled": boolean, "disabled_tips": textObject(nil, "plain_text"),
			"width": matching(widthForm), "behaviors": behaviorsRule, "max_length": integer(1, maxInput),
			"input_type": oneOf("text", "multiline_text", "password"), "rows": integer(1, 100), "auto_resize": boolean,
			"max_rows": integer(1, 100), "show_icon": boolean, "label": textObject(nil, "plain_text"),
			"label_position": oneOf("top", "left"), "value": anything, "confirm": confirmRule,
		}, true
	case "form": // "表单容器"
		return "name elements", layout().with(props{"name": text, "elements": listOf(element)}), true
	case "column_set": // "分栏组件"
		return "columns", props{
			"horizontal_spacing": matching(spacingForm), "horizontal_align": oneOf("left", "center", "right"),
			"flex_mode":        oneOf("none", "stretch", "flow", "bisect", "trisect"),
			"background_style": text, "action": pressRule, "columns": listOf(columnRule),
		}, true
	case "collapsible_panel": // "折叠面板"
		return "header", layout().with(props{
			"expanded": boolean, "background_color": text, "header": panelHeaderRule,
			"border":   objectOf("", props{"color": text, "corner_radius": matching(radiusForm)}),
			"elements": listOf(element),
		}), true
	case "interactive_container": // "交互容器"
		return "behaviors elements", layout().with(props{
			"width": matching(widthForm), "height": matching(widthForm), "background_style": text,
			"has_border": boolean, "border_color": text, "corner_radius": matching(radiusForm),
			"behaviors": behaviorsRule, "disabled": boolean, "disabled_tips": textObject(nil, "plain_text"),
			"confirm": confirmRule, "hover_tips": textObject(nil, "plain_text"), "elements": listOf(element),
		}), true
	}
	return "", nil, false
}

// element judges a component and where it stands.
func element(c *checker, at place, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.wrong(at, "type mismatch: not an object")
		return
	}
	tag, _ := m["tag"].(string)
	required, allowed, ok := component(tag)
	if !ok {
		c.fail(at, 200861, "cards of schema V2 no longer support this capability", "unsupported tag "+tag)
		return
	}
	if at.depth > maxDepth { // "容器类组件最多支持嵌套五层组件"
		c.wrong(at, "nested deeper than 5 containers")
	}
	inside := at
	switch tag {
	case "form":
		if at.depth > 0 { // "只可放在卡片根节点下"
			c.wrong(at, "a form may stand at the card's root only")
		}
		inside.inForm = true
		inside.depth++
	case "column_set", "collapsible_panel", "interactive_container":
		inside.depth++
	}
	before := c.submits
	allowed = allowed.with(props{"tag": anything, "element_id": elementID, "margin": matching(lengthForm)})
	c.object(inside, v, strings.Fields(required), allowed)
	switch tag {
	case "form":
		c.name(at, m)
		if c.submits == before { // "表单容器内必须包含一个用于提交表单的按钮组件"
			c.wrong(at, "the form has no submit button")
		}
	case "button":
		c.button(at, m)
	case "input":
		c.input(at, m)
	case "person_list":
		c.personList(at, m)
	}
}

// button judges what depends on where the button stands: "内嵌在表单容器中的按钮组件，
// 新增 name 和 form_action_type 属性", both required there.
func (c *checker) button(at place, m map[string]any) {
	action, _ := m["form_action_type"].(string)
	switch {
	case at.inForm:
		c.name(at, m)
		if action == "" {
			c.wrong(at, "missing property: form_action_type")
		}
		if action == "submit" {
			c.submits++
		}
	case m["name"] != nil:
		c.wrong(at, "unknown property: name")
	case action != "":
		c.wrong(at, "unknown property: form_action_type")
	}
}

func (c *checker) input(at place, m map[string]any) {
	switch {
	case at.inForm, m["name"] != nil:
		c.name(at, m)
	case m["required"] != nil: // "其它情况将报错或不生效"
		c.wrong(at, "unknown property: required")
	}
	if s, _ := m["default_value"].(string); utf8.RuneCountInString(s) > maxInput {
		c.wrong(at, "default_value is longer than 1000 characters")
	}
}

// name checks what identifies a form, its inputs and its buttons: 200530 if it
// is empty ("在表单容器中的交互组件的 name 属性为空"), and one of a kind.
func (c *checker) name(at place, m map[string]any) {
	name, _ := m["name"].(string)
	if name == "" {
		c.fail(at, 200530, "name of an interactive component in a form is empty", "")
		return
	}
	c.once(at, c.names, "name", name)
}

func (c *checker) personList(at place, m map[string]any) {
	drop, _ := m["drop_invalid_user_id"].(bool)
	list, _ := m["persons"].([]any)
	for _, v := range list {
		person, _ := v.(map[string]any)
		if id, _ := person["id"].(string); !drop && !c.known("at", id) {
			c.nobody(at, id)
		}
	}
}

func columnRule(c *checker, at place, v any) {
	c.object(at, v, []string{"tag"}, layout().with(props{
		"tag": oneOf("column"), "element_id": elementID, "margin": matching(lengthForm), "background_style": text,
		"width": matching(columnForm), "weight": integer(1, 5), "action": pressRule, "elements": listOf(element),
	}))
}

func panelHeaderRule(c *checker, at place, v any) {
	c.object(at, v, nil, props{
		"title": textObject(nil, "plain_text", "markdown"), "background_color": text,
		"vertical_align": oneOf("top", "center", "bottom"), "padding": matching(lengthForm), "position": text,
		"width": oneOf("fill", "auto", "auto_when_fold"), "icon": iconRule,
		"icon_position": oneOf("left", "right", "follow_text"), "icon_expanded_angle": integer(-180, 180),
	})
}

// behaviorsRule: what a press does. Source: "配置卡片交互". The official SDKs
// take only objects as values, hence nothing else does here.
func behaviorsRule(c *checker, at place, v any) {
	seen := map[string]bool{}
	listOf(func(c *checker, at place, v any) {
		m, _ := v.(map[string]any)
		kind, _ := m["type"].(string)
		c.once(at, seen, "behavior", kind)
		switch kind {
		case "open_url":
			c.object(at, v, []string{"default_url"}, props{
				"type": text, "default_url": webURL, "pc_url": deviceURL, "ios_url": deviceURL, "android_url": deviceURL,
			})
		case "callback":
			c.object(at, v, nil, props{"type": text, "value": mapOf(anything)})
		default:
			c.wrong(at, "invalid value: type %q", kind)
		}
	})(c, at, v)
}

// confirmRule: both texts are required; without a title old clients hang.
func confirmRule(c *checker, at place, v any) {
	c.object(at, v, []string{"title", "text"}, props{
		"title": textObject(nil, "plain_text"), "text": textObject(nil, "plain_text"),
	})
}

// pressRule is the link behind a column: only multi_url.
func pressRule(c *checker, at place, v any) {
	c.object(at, v, nil, props{"multi_url": linksRule})
}

func iconRule(c *checker, at place, v any) {
	c.object(at, v, []string{"tag"}, props{
		"tag": oneOf("standard_icon", "custom_icon"), "token": text, "color": text, "img_key": text,
		"i18n_img_key": i18n(text), "size": text,
	})
}

// textObject is a text of one of the given kinds.
func textObject(looks props, tags ...string) rule {
	return func(c *checker, at place, v any) {
		m, _ := v.(map[string]any)
		tag, _ := m["tag"].(string)
		content := text
		if tag == "lark_md" || tag == "markdown" {
			content = markdownRule
		}
		c.object(at, v, []string{"tag"}, looks.with(props{
			"tag": oneOf(tags...), "element_id": elementID, "content": content, "i18n_content": i18n(content),
		}))
		if m["content"] == nil && m["i18n_content"] == nil {
			c.wrong(at, "missing property: content")
		}
	}
}

func textUpTo(most int) rule {
	return func(c *checker, at place, v any) {
		textObject(nil, "plain_text")(c, at, v)
		m, _ := v.(map[string]any)
		if s, _ := m["content"].(string); utf8.RuneCountInString(s) > most {
			c.wrong(at, "content is longer than %d characters", most)
		}
	}
}

func markdownRule(c *checker, at place, v any) {
	text(c, at, v)
	if s, ok := v.(string); ok {
		c.markdownText(at, s)
	}
}

// i18n is a value a language. Source: "配置卡片多语言".
func i18n(item rule) rule {
	return func(c *checker, at place, v any) {
		mapOf(item)(c, at, v)
		m, _ := v.(map[string]any)
		for language := range m {
			if !languageForm.MatchString(language) {
				c.wrong(at, "unknown property: %s", language)
			}
		}
	}
}

// elementID: "仅允许使用字母、数字和下划线，必须以字母开头，不得超过 20 字符", once a card.
func elementID(c *checker, at place, v any) {
	matching(elementIDForm)(c, at, v)
	if s, ok := v.(string); ok {
		c.once(at, c.ids, "element_id", s)
	}
}

func avatarSize(c *checker, at place, v any) {
	oneOf("extra_small", "small", "medium", "large")(c, at, v)
}

func personID(c *checker, at place, v any) {
	text(c, at, v)
	if s, ok := v.(string); ok && !c.known("at", s) {
		c.nobody(at, s)
	}
}

func webURL(c *checker, at place, v any) {
	if s, ok := v.(string); !ok || !goodURL(s) {
		c.wrong(at, "invalid url: %s", short(v))
	}
}

// deviceURL may also forbid the jump on that device, or be empty.
func deviceURL(c *checker, at place, v any) {
	if s, ok := v.(string); ok && (s == "" || s == noJump) {
		return
	}
	webURL(c, at, v)
}

// noJump in place of an address: nothing opens on that device.
const noJump = "lark://msgcard/unsupported_action"

// goodURL: http or https, percent-encoded. Source: the FAQ "飞书卡片常见问题".
func goodURL(s string) bool {
	u, err := url.Parse(s)
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || unicode.IsSpace(r) || r == '"' || r == '<' || r == '>'
	})
	return err == nil && plain && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
