package sandbox

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mrgate/internal/feishusim"
)

// cardCSS is the look of cards, and cardJS asks before a button that wants to be
// confirmed; a page with cards on it links both. Without the script such a button
// is pressed at once.
//
//go:embed card.css
var cardCSS string

//go:embed card.js
var cardJS string

//go:embed card.html
var cardHTML string

// cardClick is where the buttons of a card lead, and what they say of themselves:
// the message that the card is, and the person who looks at it.
type cardClick struct {
	Action  string // the form's action
	Message string
	Person  string
}

// cardPress is a pressed button, as [readPress] reads it.
type cardPress struct {
	Message string
	Person  string
	Button  string            // its name; without one, its text
	Value   map[string]any    // as it stood on the card that was pressed
	Form    map[string]string // what was typed beside it, by the inputs' names
}

// The names of a press's form values.
const (
	pressMessage = "message"
	pressPerson  = "person"
	pressButton  = "button" // JSON of pressed
	pressInput   = "input." // and an input's name
)

type pressed struct {
	Button string         `json:"button"`
	Value  map[string]any `json:"value,omitempty"`
}

// readPress reads what a button of a card posts.
func readPress(r *http.Request) (cardPress, error) {
	if err := r.ParseForm(); err != nil {
		return cardPress{}, fmt.Errorf("read the pressed button: %w", err)
	}
	var b pressed
	if err := json.Unmarshal([]byte(r.PostForm.Get(pressButton)), &b); err != nil {
		return cardPress{}, fmt.Errorf("read the pressed button: %w", err)
	}
	p := cardPress{
		Message: r.PostForm.Get(pressMessage), Person: r.PostForm.Get(pressPerson),
		Button: b.Button, Value: b.Value, Form: map[string]string{},
	}
	for name := range r.PostForm {
		if input, ok := strings.CutPrefix(name, pressInput); ok {
			// A browser sends the ends of lines as CR LF, Feishu as LF.
			p.Form[input] = strings.ReplaceAll(r.PostForm.Get(name), "\r\n", "\n")
		}
	}
	return p, nil
}

// drawCard draws a card of JSON 2.0 as Feishu's client does, as far as what it
// looks like is documented: sizes, spaces, colours, what is cut and what wraps.
// How wide it is follows from where it stands, up to Feishu's 600 px; where there
// is less room than on a desktop, it looks as on a phone. What Feishu would refuse,
// and what this does not know how to draw, shows as a box that says so. The error
// is that raw is no JSON object.
//
// Sources: the pages below https://open.feishu.cn/document/feishu-cards/card-json-v2-structure
// and https://open.feishu.cn/document/feishu-cards/enumerations-for-fields-related-to-color.
func drawCard(raw []byte, click cardClick) (template.HTML, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var root map[string]any
	if err := d.Decode(&root); err != nil {
		return "", fmt.Errorf("draw a card: %w", err)
	}
	a := artist{click: click}
	drawn := a.card(root)
	if err := feishusim.CheckCard(string(raw)); err != nil {
		drawn.Wrong = append([]string{"Feishu refuses this card: " + err.Error()}, drawn.Wrong...)
	}
	page, err := template.New("card").Parse(cardHTML)
	if err != nil {
		return "", fmt.Errorf("read the template of cards: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, drawn); err != nil {
		return "", fmt.Errorf("draw a card: %w", err)
	}
	return template.HTML(b.String()), nil //nolint:gosec // html/template has escaped it
}

// artist draws one card.
type artist struct {
	click cardClick
	form  bool // inside a form
}

// drawnCard is what the template draws.
type drawnCard struct {
	Width    string // a class
	Layout   string // classes of what is below the header
	Link     string // the whole card opens it
	Template string
	Title    string
	Subtitle string
	Tags     []drawnTag
	Parts    []drawnPart
	Wrong    []string
}

// drawnTag is a small coloured word.
type drawnTag struct{ Color, Text string }

// drawnPart is a component.
type drawnPart struct {
	Kind    string // a template's name
	Class   string
	Text    string
	Lines   []drawnLine // of markdown
	Parts   []drawnPart
	Open    bool
	Button  *drawnButton
	Input   *drawnInput
	Click   cardClick
	Wrong   []string // what was not drawn
	IconOn  string   // left, right or follow_text
	Summary []drawnLine
}

type drawnButton struct {
	Class    string
	Text     string
	URL      string
	Press    string // JSON of pressed; "": does not call back
	Disabled bool
	Reset    bool
	Ask      *drawnQuestion
}

type drawnQuestion struct{ Title, Text, Yes, No string }

type drawnInput struct {
	Name, Label, Placeholder, Value string
	Rows                            int64
	Most                            int64
	Multiline, Password             bool
	Required, Disabled              bool
}

// cardObject is a JSON object that knows what of it was looked at: the rest is what
// the artist does not know.
type cardObject struct {
	m    map[string]any
	seen map[string]bool
	odd  []string // values that are known by name but not by what they say
}

func readObject(v any) *cardObject {
	m, _ := v.(map[string]any)
	return &cardObject{m: m, seen: map[string]bool{}}
}

func (o *cardObject) get(name string) any {
	o.seen[name] = true
	return o.m[name]
}

func (o *cardObject) str(name string) string {
	s, _ := o.get(name).(string)
	return s
}

func (o *cardObject) yes(name string) bool {
	b, _ := o.get(name).(bool)
	return b
}

func (o *cardObject) number(name string, otherwise int64) int64 {
	if n, ok := o.get(name).(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i
		}
	}
	return otherwise
}

func (o *cardObject) list(name string) []any {
	l, _ := o.get(name).([]any)
	return l
}

// sub is an object in this one; it is nil where there is none.
func (o *cardObject) sub(name string) *cardObject {
	if _, ok := o.get(name).(map[string]any); !ok {
		return nil
	}
	return readObject(o.m[name])
}

// oneOf gives a class for one of the known values, and otherwise one for none.
func (o *cardObject) oneOf(name, prefix, otherwise string, known ...string) string {
	s := o.str(name)
	switch {
	case s == "":
		s = otherwise
	case !slices.Contains(known, s):
		o.odd = append(o.odd, name+" "+strconv.Quote(s))
		s = otherwise
	}
	if s == "" {
		return ""
	}
	return prefix + s
}

// plain is the text of a text object that is no markup.
func (o *cardObject) plain(name string) string {
	t := o.sub(name)
	if t == nil {
		return ""
	}
	if t.str("tag") != "plain_text" {
		o.odd = append(o.odd, name+" of tag "+t.str("tag"))
	}
	s := t.str("content")
	o.take(name, t)
	return s
}

// take moves what was not drawn of a part to what it is part of.
func (o *cardObject) take(name string, part *cardObject) {
	for _, s := range part.unknown() {
		o.odd = append(o.odd, name+"."+s)
	}
}

// unknown names what was not drawn.
func (o *cardObject) unknown() []string {
	list := o.odd
	for _, name := range slices.Sorted(maps.Keys(o.m)) {
		if !o.seen[name] {
			list = append(list, name)
		}
	}
	return list
}

// wrong says what was not drawn of a component.
func (o *cardObject) wrong(what string) []string {
	var list []string
	for _, s := range o.unknown() {
		list = append(list, "not drawn: "+what+" "+s)
	}
	return list
}

func (a *artist) card(v map[string]any) drawnCard {
	root := readObject(v)
	root.str("schema")
	c := drawnCard{Template: "default"}
	if config := root.sub("config"); config != nil {
		// What a card may do and how it looks in a list of chats is not on it.
		config.yes("update_multi")
		config.yes("enable_forward")
		config.yes("enable_forward_interaction")
		config.get("summary")
		c.Width = config.oneOf("width_mode", "fs-", "default", "default", "compact", "fill")
		root.take("config", config)
	}
	if link := root.sub("card_link"); link != nil {
		c.Link = webLink(link.str("url"))
		root.take("card_link", link)
	}
	if header := root.sub("header"); header != nil {
		c.Title, c.Subtitle = header.plain("title"), header.plain("subtitle")
		c.Template = header.oneOf("template", "", "default", append(hues(), "default")...)
		for _, v := range header.list("text_tag_list") {
			tag := readObject(v)
			tag.str("tag")
			c.Tags = append(c.Tags, drawnTag{tag.oneOf("color", "", "blue", append(hues(), "neutral")...), tag.plain("text")})
			header.take("text_tag_list", tag)
		}
		root.take("header", header)
	}
	if body := root.sub("body"); body != nil {
		c.Layout = a.layout(body, 12, 8)
		c.Parts = a.parts(body.list("elements"))
		root.take("body", body)
	}
	c.Wrong = root.wrong("")
	return c
}

// hues are Feishu's colours. Source: "颜色枚举值".
func hues() []string {
	return []string{
		"blue", "wathet", "turquoise", "green", "lime", "yellow", "orange", "red", "carmine", "violet", "purple", "indigo", "grey",
	}
}

// backgrounds are the shades that are drawn behind something.
func backgrounds() []string {
	list := []string{"default"}
	for _, hue := range hues() {
		list = append(list, hue+"-50", hue+"-100")
	}
	return list
}

func textSizes() []string {
	return []string{
		"heading-0", "heading-1", "heading-2", "heading-3", "heading-4", "heading", "normal", "notation",
		"xxxx-large", "xxx-large", "xx-large", "x-large", "large", "medium", "small", "x-small",
	}
}

// layout gives the classes of whatever holds other components; padding and gap
// are the defaults in px.
func (a *artist) layout(o *cardObject, padding, gap int) string {
	classes := []string{
		o.oneOf("direction", "fs-", "vertical", "vertical", "horizontal"),
		o.oneOf("horizontal_align", "fs-x-", "", "left", "center", "right"),
		o.oneOf("vertical_align", "fs-y-", "", "top", "center", "bottom"),
		o.padding("padding", "p", padding),
		o.spacing("vertical_spacing", "fs-vgap-", gap),
		o.spacing("horizontal_spacing", "fs-hgap-", gap),
	}
	return join(classes...)
}

func join(classes ...string) string {
	return strings.Join(slices.DeleteFunc(classes, func(s string) bool { return s == "" }), " ")
}

// lengths are the pixels for which there are classes.
func lengths() []int { return []int{0, 2, 4, 6, 8, 10, 12, 16, 20, 24} }

// spacing is a distance between components. Source: "spacing 枚举值 & 映射数值变更".
func (o *cardObject) spacing(name, prefix string, otherwise int) string {
	px := otherwise
	switch s := o.str(name); s {
	case "", "default":
	case "small":
		px = 4
	case "medium":
		px = 8
	case "large":
		px = 12
	case "extra_large":
		px = 16
	default:
		n, ok := pixels(s)
		if !ok {
			o.odd = append(o.odd, name+" "+strconv.Quote(s))
			break
		}
		px = n
	}
	return prefix + strconv.Itoa(px)
}

// padding is one, two or four lengths, as in CSS; kind is p or m.
func (o *cardObject) padding(name, kind string, otherwise int) string {
	s := o.str(name)
	if s == "" {
		s = strconv.Itoa(otherwise)
	}
	var px []int
	for part := range strings.FieldsSeq(s) {
		if n, ok := pixels(part); ok {
			px = append(px, n)
		}
	}
	switch fields := len(strings.Fields(s)); {
	case len(px) != fields || fields == 0 || fields == 3 || fields > 4:
		o.odd = append(o.odd, name+" "+strconv.Quote(s))
		return ""
	case fields == 1:
		px = []int{px[0], px[0], px[0], px[0]}
	case fields == 2:
		px = []int{px[0], px[1], px[0], px[1]}
	}
	return fmt.Sprintf("fs-%st-%d fs-%sr-%d fs-%sb-%d fs-%sl-%d", kind, px[0], kind, px[1], kind, px[2], kind, px[3])
}

func pixels(s string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSuffix(s, "px"))
	return n, err == nil && slices.Contains(lengths(), n)
}

// webLink is an address that a browser may open; others are left out.
func webLink(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return s
}
