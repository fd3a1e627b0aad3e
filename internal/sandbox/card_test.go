package sandbox

import (
	"encoding/json"
	"flag"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/feishu"
	"mrgate/internal/gate"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "renew the drawn cards")
	os.Exit(m.Run())
}

func aClick() cardClick {
	return cardClick{Action: "/press", Message: "om_1", Person: "ou_alice"}
}

func draw(t *testing.T, raw []byte) string {
	t.Helper()
	out, err := drawCard(raw, aClick())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// goldenCards are the cards that internal/feishu holds its rendering against.
func goldenCards(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../feishu/testdata/cards/*.json")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d cards, %v", len(paths), err)
	}
	cards := map[string][]byte{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cards[strings.TrimSuffix(filepath.Base(path), ".json")] = raw
	}
	return cards
}

// faces are all cards of the gate's own goldens, as they are sent.
func faces(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../gate/testdata/faces/*.json")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d faces, %v", len(paths), err)
	}
	cards := map[string][]byte{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var byLocale map[string]json.RawMessage
		if err := json.Unmarshal(raw, &byLocale); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, locale := range []string{"zh", "en"} {
			var kinds map[string]gate.Card
			if json.Unmarshal(byLocale[locale], &kinds) != nil {
				continue // these are of words alone
			}
			for kind, card := range kinds {
				out, err := feishu.Render(card)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				cards[strings.Join([]string{strings.TrimSuffix(filepath.Base(path), ".json"), locale, kind}, " · ")] = out
			}
		}
	}
	return cards
}

func TestCardsAreDrawn(t *testing.T) {
	for name, raw := range goldenCards(t) {
		t.Run(name, func(t *testing.T) {
			got := draw(t, raw) + "\n"
			path := filepath.Join("testdata", "cards", name+".html")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is drawn differently (renew with -update):\n%s", name, got)
			}
		})
	}
}

// TestWhateverIsSentIsDrawn: no card that gate can make ends in a box that says
// that something is missing, and each class that is used means something.
func TestWhateverIsSentIsDrawn(t *testing.T) {
	cards := faces(t)
	maps.Copy(cards, goldenCards(t))
	components := map[string]bool{}
	classes := map[string]bool{}
	for _, m := range regexp.MustCompile(`\.(fs-[a-z0-9_-]+)`).FindAllStringSubmatch(cardCSS, -1) {
		classes[m[1]] = true
	}
	// They are what is so without a rule.
	for _, name := range []string{
		"fs-default", "fs-flex-none", "fs-back-default", "fs-ink-default", "fs-width-default", "fs-form", "fs-panel", "fs-body",
		"fs-button-text", "fs-icon-follow_text",
	} {
		classes[name] = true
	}
	if len(cards) < 200 {
		t.Errorf("only %d cards", len(cards))
	}
	for name, raw := range cards {
		for _, m := range regexp.MustCompile(`"tag":\s*"([a-z_]+)"`).FindAllSubmatch(raw, -1) {
			components[string(m[1])] = true
		}
		out := draw(t, raw)
		if strings.Contains(out, "fs-wrong") {
			t.Errorf("%s: %s", name, out)
		}
		for _, m := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(out, -1) {
			for class := range strings.FieldsSeq(m[1]) {
				if !classes[class] {
					t.Errorf("%s: no rule for .%s", name, class)
				}
			}
		}
	}
	// What is sent at all: a new kind in internal/feishu gets its drawing here.
	for _, tag := range []string{"button", "collapsible_panel", "column", "column_set", "div", "form", "input", "markdown", "plain_text", "standard_icon"} {
		if !components[tag] {
			t.Errorf("no card with a %s was drawn", tag)
		}
	}
}

func TestWhatIsUnknownIsLoud(t *testing.T) {
	button := `{"tag":"button","text":{"tag":"plain_text","content":"Go"},"behaviors":[{"type":"callback","value":{"a":"x"}}]%s}`
	body := func(elements string) string { return `{"schema":"2.0","body":{"elements":[` + elements + `]}}` }
	for _, c := range []struct{ name, card, says string }{
		{"component", body(`{"tag":"person","user_id":"ou_1"}`), `not drawn: a component of tag "person"`},
		{"property", body(strings.Replace(button, "%s", `,"hover_tips":{"tag":"plain_text","content":"x"}`, 1)), "not drawn: button hover_tips"},
		{"value", body(`{"tag":"column_set","columns":[{"tag":"column","padding":"13px","elements":[]}]}`), `padding "13px"`},
		{"type", body(`{"tag":"button","type":"laser","text":{"tag":"plain_text","content":"Go"}}`), `type "laser"`},
		{"icon", body(`{"tag":"div","text":{"tag":"plain_text","content":"x"},"icon":{"tag":"standard_icon","token":"chat_outlined"}}`), "not drawn: div icon"},
		{"config", `{"schema":"2.0","config":{"streaming_mode":true},"body":{"elements":[]}}`, "config.streaming_mode"},
		{"markdown", body(`{"tag":"markdown","content":"<number_tag>1</number_tag>"}`), "not drawn: <number_tag>"},
		{"refused", body(`{"tag":"action","actions":[]}`), "Feishu refuses this card: "},
		{"unknown name", body(strings.Replace(button, "%s", `,"colour":"blue"`, 1)), "not drawn: button colour"},
		{"bad address", body(`{"tag":"button","text":{"tag":"plain_text","content":"Go"},"behaviors":[{"type":"open_url","default_url":"javascript:alert(1)"}]}`), "address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := html.UnescapeString(draw(t, []byte(c.card)))
			if !strings.Contains(out, "fs-wrong") || !strings.Contains(out, c.says) {
				t.Errorf("does not say %q:\n%s", c.says, out)
			}
		})
	}
	if _, err := drawCard([]byte(`"no card"`), aClick()); err == nil {
		t.Error("what is no card was drawn")
	}
}

// TestTextStaysText: nothing that people wrote becomes markup, and nothing needs
// more than the page's own style and script.
func TestTextStaysText(t *testing.T) {
	hostile := `"><script>alert(1)</script><img src=x onerror=alert(1)> ' style='x:y' {{.}}`
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"tag":"plain_text","content":` + string(quoted) + `}`
	card := `{"schema":"2.0","header":{"title":` + text + `,"subtitle":` + text + `},"body":{"elements":[` +
		`{"tag":"div","text":` + text + `},{"tag":"markdown","content":` + string(quoted) + `},` +
		`{"tag":"collapsible_panel","header":{"title":` + text + `},"elements":[]},` +
		`{"tag":"form","name":"f","elements":[{"tag":"input","name":"i","placeholder":` + text + `,"default_value":` + string(quoted) + `},` +
		`{"tag":"button","name":"b","form_action_type":"submit","text":` + text + `,"confirm":{"title":` + text + `,"text":` + text + `},` +
		`"behaviors":[{"type":"callback","value":{"x":` + string(quoted) + `}}]}]}]}}`
	cards := goldenCards(t)
	cards["made up"] = []byte(card)
	tags := regexp.MustCompile(`<[a-zA-Z][^>]*>`)
	for name, raw := range cards {
		out, err := drawCard(raw, cardClick{Action: "/press?" + hostile, Message: hostile, Person: hostile})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags.FindAllString(string(out), -1) {
			bare := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`)
			if regexp.MustCompile(`(?i)^<(script|img|at|style|iframe)|\s(on[a-z]+|style)=`).MatchString(bare) {
				t.Errorf("%s: %s", name, tag)
			}
		}
		for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(string(out), -1) {
			if !strings.HasPrefix(m[1], "http") {
				t.Errorf("%s leads to %s", name, m[1])
			}
		}
	}
}

// TestPressIsRead posts what a browser would, for a button in a form and for one
// that stands alone.
func TestPressIsRead(t *testing.T) {
	blocked := draw(t, goldenCards(t)["blocked.en"])
	submits := regexp.MustCompile(`<button[^>]* type="submit" name="button" value="([^"]*)"`).FindAllStringSubmatch(blocked, -1)
	var presses []string
	for _, m := range submits {
		if value := html.UnescapeString(m[1]); !slices.Contains(presses, value) {
			presses = append(presses, value)
		}
	}
	if len(presses) != 2 {
		t.Fatalf("%d buttons that call back: %q", len(presses), presses)
	}
	for _, c := range []struct {
		action string
		button string
		form   url.Values
	}{
		{"reject", "reject", url.Values{"input.reason": {"no\r\ntests"}}},
		{"retry", "Retry", nil},
	} {
		i := slices.IndexFunc(presses, func(s string) bool { return strings.Contains(s, `"a":"`+c.action+`"`) })
		if i < 0 {
			t.Fatalf("no button %s in %q", c.action, presses)
		}
		form := url.Values{"message": {"om_1"}, "person": {"ou_alice"}, "button": {presses[i]}}
		for name, values := range c.form {
			if !strings.Contains(blocked, `name="`+name+`"`) {
				t.Errorf("no input %s", name)
			}
			form[name] = values
		}
		r := httptest.NewRequest(http.MethodPost, "/press", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		p, err := readPress(r)
		if err != nil {
			t.Fatal(err)
		}
		if p.Message != "om_1" || p.Person != "ou_alice" || p.Button != c.button || p.Value["a"] != c.action {
			t.Errorf("%+v", p)
		}
		if c.form != nil && p.Form["reason"] != "no\ntests" {
			t.Errorf("typed %q", p.Form)
		}
	}
}

// TestScriptKnowsItsButtons: what the script looks for is in the drawing.
func TestScriptKnowsItsButtons(t *testing.T) {
	pending := draw(t, goldenCards(t)["pending.en"])
	for _, mark := range []string{"data-asks", "data-cancel", "<dialog"} {
		if !strings.Contains(pending, mark) || !strings.Contains(cardJS, strings.Trim(mark, "<")) {
			t.Errorf("no %s in both", mark)
		}
	}
}

func TestMarkdownOfCards(t *testing.T) {
	for _, c := range []struct{ markdown, drawn string }{
		{"into **main**", `into <span class="fs-strong">main</span>`},
		{"**a*b**", `<span class="fs-strong">a*b</span>`},
		{"2 ** 3 ** 4", `2 ** 3 ** 4`},
		{"&#42;&#42;no&#42;&#42; &lt;b&gt;", `**no** &lt;b&gt;`},
		{"*a* ~~b~~ `c **d**`", `<span class="fs-slanted">a</span> <span class="fs-struck">b</span> <span class="fs-code">c **d**</span>`},
		{"[GitLab](https://gitlab.example.com/a)", `<a class="fs-link " href="https://gitlab.example.com/a" target="_blank" rel="noopener noreferrer">GitLab</a>`},
		{"<font color='red'>no **tests**</font>", `<span class="fs-ink-red">no </span><span class="fs-ink-red fs-strong">tests</span>`},
		{"<at id=ou_1></at> :OK:", `<span class="fs-mention">@ou_1</span> <span class="fs-emoji">OK</span>`},
		{"one\ntwo", `one</span><span class="fs-line">two`},
		{"---", `<hr class="fs-hr">`},
		{"- item", `<span class="fs-line fs-line-item">• item`},
	} {
		raw, err := json.Marshal(map[string]any{
			"schema": "2.0", "body": map[string]any{"elements": []any{map[string]any{"tag": "markdown", "content": c.markdown}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if out := draw(t, raw); !strings.Contains(out, c.drawn) {
			t.Errorf("%q is not drawn as %s:\n%s", c.markdown, c.drawn, out)
		}
	}
}

func TestCardSheetShowsEachCardTwice(t *testing.T) {
	var cards []SheetCard
	for name, raw := range goldenCards(t) {
		cards = append(cards, SheetCard{Name: name, JSON: raw})
	}
	var b strings.Builder
	if err := CardSheet(&b, cards); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<article "); n != 2*len(cards) || strings.Contains(b.String(), "ZgotmplZ") {
		t.Errorf("%d drawings of %d cards", n, len(cards))
	}
	if err := CardSheet(&b, []SheetCard{{Name: "none", JSON: []byte("[")}}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("of what is no card: %v", err)
	}
}
