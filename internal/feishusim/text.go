package feishusim

import (
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// PlainText is what a person reads on a card, line by line: markup is rendered
// away, entities are decoded, and everything that the client would interpret in
// text that was not escaped (tags, emoji keys, emphasis) is gone or changed, as
// it would be on the screen. Buttons and inputs are there with their labels; what
// a button asks before it acts is not ([Buttons] has it), nor is the preview in
// the list of chats ([Summary]). Mentions read "@" and their ID; times are shown
// in UTC. A card that is none reads as nothing.
func PlainText(card string) string {
	root, err := parseCard(card)
	if err != nil {
		return ""
	}
	var lines []string
	walk(root, func(m map[string]any, _ surroundings) {
		tag, _ := m["tag"].(string)
		content, _ := m["content"].(string)
		switch tag {
		case "markdown", "lark_md":
			lines = append(lines, readMarkdown(content).text)
		case "plain_text":
			lines = append(lines, content)
		case "input":
			if s, _ := m["default_value"].(string); s != "" {
				lines = append(lines, s)
			}
		}
	})
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "\n")
}

// Summary is what the list of chats and the lock screen show.
func Summary(card string) string {
	root, _ := parseCard(card)
	config, _ := root["config"].(map[string]any)
	summary, _ := config["summary"].(map[string]any)
	content, _ := summary["content"].(string)
	return content
}

// Links returns all addresses that a person can open from a card, each once, in
// the order in which they stand: behind the card, buttons and columns, and in
// markdown. Disabled buttons open nothing.
func Links(card string) []string {
	root, err := parseCard(card)
	links := []string{}
	if err != nil {
		return links
	}
	add := func(found ...string) {
		for _, link := range found {
			if link != "" && link != noJump && !slices.Contains(links, link) {
				links = append(links, link)
			}
		}
	}
	addAll := func(m map[string]any, names ...string) {
		for _, name := range names {
			link, _ := m[name].(string)
			add(link)
		}
	}
	cardLink, _ := root["card_link"].(map[string]any)
	addAll(cardLink, "url", "pc_url", "ios_url", "android_url")
	walk(root, func(m map[string]any, _ surroundings) {
		content, _ := m["content"].(string)
		switch m["tag"] {
		case "markdown", "lark_md":
			add(readMarkdown(content).links...)
		}
		if m["disabled"] == true {
			return
		}
		action, _ := m["action"].(map[string]any)
		multi, _ := action["multi_url"].(map[string]any)
		addAll(multi, "url", "pc_url", "ios_url", "android_url")
		behaviors, _ := m["behaviors"].([]any)
		for _, b := range behaviors {
			if b, _ := b.(map[string]any); b["type"] == "open_url" {
				addAll(b, "default_url", "pc_url", "ios_url", "android_url")
			}
		}
	})
	return links
}

// Button is a button as it stands on a card.
type Button struct {
	Name         string
	Text         string
	Type         string // primary, danger, …
	Value        map[string]any
	URL          string // that it opens
	Form         string // the name of the form around it
	Submit       bool
	Reset        bool
	Disabled     bool
	Callback     bool // a press calls back
	ConfirmTitle string
	ConfirmText  string
}

// Buttons returns a card's buttons in the order in which they stand.
func Buttons(card string) []Button {
	root, _ := parseCard(card)
	buttons := []Button{}
	walk(root, func(m map[string]any, around surroundings) {
		if m["tag"] == "button" {
			buttons = append(buttons, readButton(m, around))
		}
	})
	return buttons
}

func readButton(m map[string]any, around surroundings) Button {
	str := func(m map[string]any, names ...string) string {
		for _, name := range names[:len(names)-1] {
			m, _ = m[name].(map[string]any)
		}
		s, _ := m[names[len(names)-1]].(string)
		return s
	}
	b := Button{
		Name: str(m, "name"), Text: str(m, "text", "content"), Type: str(m, "type"), Form: around.form,
		Submit: str(m, "form_action_type") == "submit", Reset: str(m, "form_action_type") == "reset",
		ConfirmTitle: str(m, "confirm", "title", "content"), ConfirmText: str(m, "confirm", "text", "content"),
		Disabled: m["disabled"] == true || around.disabled,
	}
	behaviors, configured := m["behaviors"].([]any)
	for _, v := range behaviors {
		behavior, _ := v.(map[string]any)
		switch behavior["type"] {
		case "open_url":
			b.URL = str(behavior, "default_url")
		case "callback":
			b.Callback = true
			b.Value, _ = behavior["value"].(map[string]any)
		}
	}
	if value, ok := m["value"].(map[string]any); ok { // JSON 1.0
		b.Value, b.Callback = value, true
	}
	// "交互类组件默认拥有交互能力": a button of which nothing is said calls back.
	b.Callback = b.Callback || b.Submit || !configured && b.URL == "" && !b.Reset
	return b
}

// surroundings are the containers around a component.
type surroundings struct {
	form     string
	disabled bool
}

// walk visits header and body in the order in which a person meets them.
func walk(root map[string]any, visit func(map[string]any, surroundings)) {
	// What a component holds, in the order in which it is shown.
	shown := []string{"title", "subtitle", "text_tag_list", "header", "text", "label", "placeholder", "fields", "columns", "elements", "actions"}
	var into func(v any, around surroundings)
	into = func(v any, around surroundings) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				into(item, around)
			}
		case map[string]any:
			visit(v, around)
			if v["tag"] == "form" {
				around.form, _ = v["name"].(string)
			}
			if v["tag"] == "interactive_container" && v["disabled"] == true {
				around.disabled = true
			}
			for _, name := range shown {
				into(v[name], around)
			}
		}
	}
	into(root["header"], surroundings{})
	into(root["body"], surroundings{})
	into(root["elements"], surroundings{}) // JSON 1.0
}

// ping is a mention: kind "at" for an ID of any kind (or "all"), or "email".
type ping struct{ kind, id string }

// markdownReading is what the client makes of a markdown text.
type markdownReading struct {
	text    string
	links   []string // as they open
	targets []string // the same as they are written
	pings   []ping
	images  []string
	tables  int
}

// The syntax of markdown in cards. Source: "支持的 Markdown 语法" on the page of
// the component, and CommonMark for the rest.
var (
	atTag     = regexp.MustCompile(`(?is)<at\b([^>]*)>`)
	anyTag    = regexp.MustCompile(`(?s)^<(/?)([A-Za-z][A-Za-z0-9_-]*)([^<>]*)>`)
	attribute = regexp.MustCompile(`([A-Za-z_]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>/]+)`)
	autoLink  = regexp.MustCompile(`^<(https?://[^<>\s]*)>`)
	bareLink  = regexp.MustCompile("^https?://[^\\s<>\"'`|)\\]]+")
	inlineURL = regexp.MustCompile(`^\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+["'(][^)]*)?\s*\)`)
	entity    = regexp.MustCompile(`^&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);?`)
	emojiKey  = regexp.MustCompile(`^:([A-Za-z][A-Za-z_]{1,30}):`)
	tableRule = regexp.MustCompile(`^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$|^\s*\|\s*:?-+:?\s*\|\s*$`)
	lineStart = regexp.MustCompile(`^\s*(#{1,6}(?:\s+|$)|(?:> ?)+|[-*+]\s+)`)
	ruleLine  = regexp.MustCompile(`^ {0,3}([-*_=])(\s*[-*_=]){2,}\s*$`)
)

func readMarkdown(raw string) markdownReading {
	var r markdownReading
	// Mentions are looked for everywhere, in code too: a program that escapes
	// has no use for the benefit of the doubt.
	for _, tag := range atTag.FindAllStringSubmatch(raw, -1) {
		for name, value := range attributes(tag[1]) {
			switch name {
			case "email":
				r.pings = append(r.pings, ping{"email", value})
			case "id", "ids", "user_id", "open_id", "union_id":
				for id := range strings.SplitSeq(value, ",") {
					r.pings = append(r.pings, ping{"at", strings.TrimSpace(id)})
				}
			}
		}
	}

	var out []string
	fence, blankBefore := "", true
	for line := range strings.SplitSeq(raw, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			} else {
				out = append(out, line)
			}
			continue
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
			continue
		case blankBefore && strings.HasPrefix(line, "    ") && trimmed != "":
			out = append(out, line[4:]) // an indented code block: shown as it stands, entities and all
			continue
		case tableRule.MatchString(line):
			r.tables++
			continue
		case ruleLine.MatchString(line):
			blankBefore = true
			continue
		}
		blankBefore = trimmed == ""
		if m := lineStart.FindStringSubmatch(line); m != nil {
			line = line[len(m[0]):]
			if strings.ContainsAny(m[1][:1], "-*+") {
				line = "• " + line
			}
		}
		out = append(out, r.inline(strings.TrimLeft(line, " \t")))
	}
	r.text = strings.TrimSpace(strings.Join(out, "\n"))
	return r
}

// inline renders one line and notes its links and images.
func (r *markdownReading) inline(s string) string {
	var b strings.Builder
	open := map[byte]int{} // emphasis that was begun
	for i := 0; i < len(s); {
		rest := s[i:]
		switch c := s[i]; {
		case c == '\\' && len(rest) > 1 && rest[1] < utf8.RuneSelf && unicode.In(rune(rest[1]), unicode.Punct, unicode.Symbol):
			b.WriteByte(rest[1])
			i += 2
			continue
		case c == '`':
			run := len(rest) - len(strings.TrimLeft(rest, "`"))
			if end := strings.Index(rest[run:], rest[:run]); end >= 0 {
				b.WriteString(rest[run : run+end]) // code: nothing is interpreted in it
				i += run + end + run
				continue
			}
		case c == '&':
			if m := entity.FindString(rest); m != "" {
				if decoded := html.UnescapeString(m); decoded != "\u200d" { // &zwj; only keeps < from its tag
					b.WriteString(strings.ReplaceAll(decoded, "\u00a0", " "))
				}
				i += len(m)
				continue
			}
		case c == '<':
			if m := autoLink.FindStringSubmatch(rest); m != nil {
				r.link(m[1])
				b.WriteString(m[1])
				i += len(m[0])
				continue
			}
			if m := anyTag.FindStringSubmatch(rest); m != nil {
				i += len(m[0])
				b.WriteString(r.tag(m[1] == "/", strings.ToLower(m[2]), attributes(m[3]), s[i:]))
				continue
			}
		case c == '!' && strings.HasPrefix(rest, "!["), c == '[':
			if label, target, size := linkAt(strings.TrimPrefix(rest, "!")); size > 0 {
				if c == '!' {
					r.images = append(r.images, target)
					size++
				} else {
					r.link(target)
				}
				b.WriteString(r.inline(label))
				i += size
				continue
			}
		case c == 'h' && !inWord(s, i):
			if m := bareLink.FindString(rest); m != "" {
				r.link(m)
				b.WriteString(html.UnescapeString(m))
				i += len(m)
				continue
			}
		case c == ':':
			if m := emojiKey.FindStringSubmatch(rest); m != nil {
				b.WriteString("[" + m[1] + "]") // a picture on the screen
				i += len(m[0])
				continue
			}
		case c == '*' || c == '_' || c == '~':
			run := len(rest) - len(strings.TrimLeft(rest, string(c)))
			if emphasis(s, i, run, open) {
				i += run
				continue
			}
			b.WriteString(rest[:run])
			i += run
			continue
		}
		_, size := utf8.DecodeRuneInString(rest)
		b.WriteString(rest[:size])
		i += size
	}
	return b.String()
}

func (r *markdownReading) link(target string) {
	// Entities are decoded in addresses too, also those that lack the semicolon:
	// ?a=1&copy=2 becomes ?a=1©=2.
	r.targets = append(r.targets, target)
	r.links = append(r.links, html.UnescapeString(target))
}

// tag is what a tag shows. Unknown ones are swallowed.
func (r *markdownReading) tag(closing bool, name string, attrs map[string]string, after string) string {
	if closing {
		return ""
	}
	switch name {
	case "br", "hr":
		return "\n"
	case "at", "person":
		for _, key := range []string{"id", "ids", "email", "user_id", "open_id"} {
			if attrs[key] != "" {
				return "@" + attrs[key]
			}
		}
	case "a":
		r.link(attrs["href"])
		if strings.HasPrefix(strings.TrimSpace(after), "</a>") {
			return attrs["href"]
		}
	case "link", "number_tag":
		for _, key := range []string{"url", "pc_url", "ios_url", "android_url"} {
			if attrs[key] != "" {
				r.link(attrs[key])
			}
		}
	case "local_datetime":
		if attrs["link"] != "" {
			r.link(attrs["link"])
		}
		ms, err := strconv.ParseInt(attrs["millisecond"], 10, 64)
		if err != nil {
			return ""
		}
		at := time.UnixMilli(ms).UTC()
		switch attrs["format_type"] {
		case "time":
			return at.Format("15:04")
		case "time_sec":
			return at.Format("15:04:05")
		case "timezone":
			return "GMT+0:00"
		case "week", "week_short":
			return at.Weekday().String()
		default:
			return at.Format(time.DateOnly)
		}
	}
	return ""
}

func attributes(s string) map[string]string {
	attrs := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(s, -1) {
		attrs[strings.ToLower(m[1])] = html.UnescapeString(strings.Trim(m[2], `"'`))
	}
	return attrs
}

// linkAt reads [label](target) at the start of s, and says how long it is.
func linkAt(s string) (label, target string, size int) {
	depth := 0
	for i := range min(len(s), 4096) { // no label is longer; hostile text must not take for ever
		switch s[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				m := inlineURL.FindStringSubmatch(s[i+1:])
				if m == nil {
					return "", "", 0
				}
				return s[1:i], m[1], i + 1 + len(m[0])
			}
		}
	}
	return "", "", 0
}

// emphasis reports whether the run of *, _ or ~ at i is markup: it opens what is
// closed later, or closes what is open.
func emphasis(s string, i, run int, open map[byte]int) bool {
	c := s[i]
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+run:])
	spaceBefore := i == 0 || unicode.IsSpace(before)
	spaceAfter := i+run == len(s) || unicode.IsSpace(after)
	if c == '~' && run != 2 || c == '_' && !spaceBefore && !spaceAfter && isWord(before) && isWord(after) {
		return false
	}
	if open[c] == run && !spaceBefore {
		open[c] = 0
		return true
	}
	if open[c] == 0 && !spaceAfter && strings.Contains(s[i+run:], s[i:i+run]) {
		open[c] = run
		return true
	}
	return false
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func inWord(s string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	return i > 0 && before < utf8.RuneSelf && isWord(before)
}
