package feishusim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// CardError is why a card is refused: the sub-code and text within code 230099
// of the message API, or behind code 200673 of a click.
type CardError struct {
	Code    int    // 200621 for all that has no documented code of its own
	Path    string // ROOT -> body -> elements -> [0](tag: div)
	Message string
	Value   string
}

// Error reads as the message API's "msg" does. Source of the forms: the tables
// "230099 子错误码", and for unknown properties what the live server was seen to
// say ("unknown property: elements, path: []").
func (e *CardError) Error() string {
	head := fmt.Sprintf("Failed to create card content, ext=ErrCode: %d; ", e.Code)
	switch e.Code {
	case 11310:
		return head + "ErrMsg: " + e.Message + "; code:230099"
	case 200621:
		return head + "ErrMsg: parse card json err, please check whether the card json is correct; ErrorValue: " +
			e.Message + ", path: [" + strings.TrimPrefix(strings.TrimPrefix(e.Path, "ROOT"), " -> ") + "]"
	case 100290, 200570:
		return head + "ErrMsg: " + e.Message + "; ErrorValue: " + e.Value
	default:
		if e.Path != "" {
			head += "ErrPath: " + e.Path + "; "
		}
		if e.Value != "" {
			return head + "ErrMsg: " + e.Message + "; ErrorValue: " + e.Value
		}
		return head + "ErrMsg: " + e.Message
	}
}

// CheckCard judges a card of JSON 2.0 as the message API does, but for what only
// a directory can tell: whether the people exist whom it shows or pings. The
// error is a *CardError.
func CheckCard(card string) error {
	if len(card) > maxBody {
		return &CardError{Code: 200621, Path: "ROOT", Message: "longer than 30 KB"}
	}
	if root, err := parseCard(card); err != nil {
		return err
	} else if root["schema"] != "2.0" {
		return &CardError{Code: 200621, Path: "ROOT", Message: `schema is not "2.0"`}
	}
	_, err := checkCard(card, func(string, string) bool { return true })
	return err
}

// checkOldCard is all that is asked of a card in JSON 1.0, which ignores what it
// does not know: that it is not one of 2.0 that fails to say so.
func checkOldCard(card string) error {
	root, err := parseCard(card)
	if err != nil {
		return err
	}
	if schema, given := root["schema"]; given && schema != "1.0" || root["body"] != nil {
		return &CardError{Code: 200621, Path: "ROOT", Message: `schema is neither "1.0" nor "2.0"`}
	}
	return nil
}

func parseCard(card string) (map[string]any, *CardError) {
	d := json.NewDecoder(strings.NewReader(card))
	d.UseNumber()
	var root map[string]any
	if err := d.Decode(&root); err != nil || root == nil {
		return nil, &CardError{Code: 200621, Path: "ROOT", Message: "not a JSON object"}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &CardError{Code: 200621, Path: "ROOT", Message: "data after the JSON object"}
	}
	return root, nil
}

// The limits of a card. Sources: "卡片 JSON 2.0 结构", "按钮组件", "输入框组件",
// "标题组件", "富文本组件" and the FAQ "飞书卡片常见问题".
const (
	maxElements  = 200
	maxDepth     = 5 // containers around an element
	maxTextTags  = 3
	maxButton    = 100 // characters on a button, in a placeholder
	maxInput     = 1000
	maxTables    = 5 // in markdown of a card
	maxTablesOne = 4 // in one markdown component
)

// checker walks a card and stops at the first fault.
type checker struct {
	known func(kind, id string) bool
	err   *CardError

	elements int
	tables   int
	submits  int // submit buttons so far
	ids      map[string]bool
	names    map[string]bool
	pings    []ping
}

// place is where in the card the checker is.
type place struct {
	path   []string
	depth  int // containers around
	inForm bool
}

func (p place) into(step string) place {
	p.path = append(slices.Clone(p.path), step)
	return p
}

func (p place) String() string { return strings.Join(append([]string{"ROOT"}, p.path...), " -> ") }

// checkCard judges a 2.0 card and returns whom it pings.
func checkCard(card string, known func(kind, id string) bool) ([]ping, error) {
	root, parseErr := parseCard(card)
	if parseErr != nil {
		return nil, parseErr
	}
	c := &checker{known: known, ids: map[string]bool{}, names: map[string]bool{}}
	// Everything may be left out. Source: "全局属性".
	c.object(place{}, root, nil, props{
		"schema":    oneOf("2.0"),
		"config":    configRule,
		"card_link": linksRule,
		"header":    headerRule,
		"body":      bodyRule,
	})
	if c.err == nil && c.elements > maxElements {
		c.err = &CardError{Code: 11310, Message: "element exceeds the limit"}
	}
	if c.err == nil && c.tables > maxTables {
		c.err = &CardError{Code: 11310, Message: "card table number over limit"}
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.pings, nil
}

func (c *checker) fail(at place, code int, message, value string) {
	if c.err == nil {
		c.err = &CardError{Code: code, Path: at.String(), Message: message, Value: value}
	}
}

func (c *checker) wrong(at place, format string, args ...any) {
	c.fail(at, 200621, fmt.Sprintf(format, args...), "")
}

// rule judges one value.
type rule func(c *checker, at place, v any)

// props are the properties that an object may have: "JSON 2.0 版本中，传入不支持的
// 属性将报错".
type props map[string]rule

func (p props) with(more props) props {
	all := props{}
	maps.Copy(all, p)
	maps.Copy(all, more)
	return all
}

// object checks that v is an object with the required properties and no others
// than the allowed ones. It returns nil if v is none.
func (c *checker) object(at place, v any, required []string, allowed props) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		c.wrong(at, "type mismatch: not an object")
		return nil
	}
	if _, tagged := m["tag"]; tagged {
		c.elements++
	}
	for _, name := range required {
		if m[name] == nil {
			c.wrong(at, "missing property: %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		check, ok := allowed[name]
		if !ok {
			c.wrong(at, "unknown property: %s", name)
			return m
		}
		check(c, at.into(name), m[name])
	}
	return m
}

func objectOf(required string, allowed props) rule {
	return func(c *checker, at place, v any) { c.object(at, v, strings.Fields(required), allowed) }
}

func listOf(item rule) rule {
	return func(c *checker, at place, v any) {
		list, ok := v.([]any)
		if !ok {
			c.wrong(at, "type mismatch: not an array")
			return
		}
		for i, v := range list {
			step := fmt.Sprintf("[%d]", i)
			if m, ok := v.(map[string]any); ok && m["tag"] != nil {
				step += fmt.Sprintf("(tag: %v)", m["tag"])
			}
			item(c, at.into(step), v)
		}
	}
}

// mapOf checks an object whose names are free: languages, custom sizes.
func mapOf(item rule) rule {
	return func(c *checker, at place, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			c.wrong(at, "type mismatch: not an object")
			return
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			item(c, at.into(name), m[name])
		}
	}
}

func text(c *checker, at place, v any) {
	if _, ok := v.(string); !ok {
		c.wrong(at, "type mismatch: not a string")
	}
}

func boolean(c *checker, at place, v any) {
	if _, ok := v.(bool); !ok {
		c.wrong(at, "type mismatch: not a boolean")
	}
}

func integer(least, most int64) rule {
	return func(c *checker, at place, v any) {
		number, ok := v.(json.Number)
		if !ok {
			c.wrong(at, "type mismatch: not a number")
			return
		}
		if n, err := number.Int64(); err != nil || n < least || n > most {
			c.wrong(at, "value %s is out of range [%d,%d]", number, least, most)
		}
	}
}

func oneOf(values ...string) rule {
	return func(c *checker, at place, v any) {
		if s, ok := v.(string); !ok || !slices.Contains(values, s) {
			c.wrong(at, "invalid value: %s", short(v))
		}
	}
}

func matching(pattern *regexp.Regexp) rule {
	return func(c *checker, at place, v any) {
		if s, ok := v.(string); !ok || !pattern.MatchString(s) {
			c.wrong(at, "invalid value: %s", short(v))
		}
	}
}

func anything(*checker, place, any) {}

func short(v any) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	if s := strings.TrimSpace(b.String()); len(s) <= 60 {
		return s
	}
	return fmt.Sprintf("%T", v)
}

// markdownText judges what stands in markdown and lark_md: its links, its
// tables, and whom it pings.
func (c *checker) markdownText(at place, content string) {
	r := readMarkdown(content)
	for _, link := range r.targets {
		// "超链接必须包含 schema 才能生效，目前仅支持 HTTP 和 HTTPS"; tel: is the
		// one exception. A link with a blank or with Chinese in it is a bad one, as
		// is one that Chinese follows without a blank between.
		if !strings.HasPrefix(link, "tel:") && !goodURL(link) && !goodURL(html.UnescapeString(link)) {
			c.wrong(at, "invalid url: %s", link)
		}
	}
	for _, key := range r.images {
		c.image(at, key)
	}
	for _, p := range r.pings {
		if p.id != "all" && !c.known(p.kind, p.id) {
			c.nobody(at, p.id)
		}
	}
	c.pings = append(c.pings, r.pings...)
	c.tables += r.tables
	if r.tables > maxTablesOne {
		c.fail(at, 11310, "card table number over limit", "")
	}
}

func (c *checker) image(at place, key string) {
	if !strings.HasPrefix(key, "img_") {
		c.fail(at, 200570, "card contains invalid image keys", "image key "+key)
	}
}

func (c *checker) nobody(at place, id string) {
	c.fail(at, 100290, "There is an invalid user resource(at/person) in your card", id)
}

// once checks that a name or an ID appears once in the card.
func (c *checker) once(at place, seen map[string]bool, what, value string) {
	if seen[value] {
		c.wrong(at, "duplicate %s: %s", what, value)
	}
	seen[value] = true
}
