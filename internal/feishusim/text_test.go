package feishusim

import (
	"slices"
	"strings"
	"testing"
)

func TestPlainTextIsWhatAPersonReads(t *testing.T) {
	want := strings.Join([]string{
		"待审批 · payments/api !7", "Retry <at id=all></at> *payments*", "main",
		"Bob 请求合并 feature/retry → main", "6 files +142 -38", "Files", "• pay_api.go", "• main.go",
		"给作者的话（批准可不填）", "批准并合并", "驳回并关闭", "查看改动", "规则 production",
	}, "\n")
	if got := PlainText(fullCard); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Summary(fullCard); got != "待你审批 payments/api !7" {
		t.Errorf("summary %q", got)
	}
	if PlainText("nonsense") != "" || len(Links("nonsense")) != 0 || len(Buttons("nonsense")) != 0 {
		t.Error("something was read from no card")
	}
}

func TestMarkdownIsRenderedAway(t *testing.T) {
	for in, want := range map[string]string{
		"**bold** and *it* and __b__ and ~~gone~~":      "bold and it and b and gone",
		"snake_case_name 2 * 3 * 4":                     "snake_case_name 2 * 3 * 4",
		"one * star":                                    "one * star",
		"a&#42;b&#42;c &#60;at id=all&#62;":             "a*b*c <at id=all>",
		"&#38;amp&#59; &amp;lt;":                        "&amp; &lt;",
		"<font color='red'>red</font> <x y>text":        "red text", // unknown tags are swallowed
		"List<String> a<b":                              "List a<b",
		"a&zwj;b a&nbsp;b":                              "ab a b",
		"[title](https://example.com/a_b) x":            "title x",
		"![alt](img_1)":                                 "alt",
		"# Heading\n> quote\n- item\n1. one":            "Heading\nquote\n• item\n1. one",
		"line<br>next":                                  "line\nnext",
		"`a * b &#60;` *c*":                             "a * b &#60; c",
		"    indented &#60;":                            "indented &#60;", // a code block: entities show
		"- list\n    - deeper":                          "• list\n• deeper",
		"```go\na := *b\n```\nafter":                    "a := *b\nafter",
		"fine :DONE: 10:30:20":                          "fine [DONE] 10:30:20", // an emoji
		"fine &#58;DONE&#58;":                           "fine :DONE:",
		`\*not bold\*`:                                  "*not bold*",
		"<at id=ou_1></at> <person id='ou_2'></person>": "@ou_1 @ou_2",
		"&copy=1": "©=1",
		"<local_datetime millisecond='1764000000000' format_type='time'></local_datetime>": "16:00",
		"<text_tag color='blue'>tag</text_tag>":                                            "tag",
		"a\n---\nb":                                                                        "a\nb",
		"<a href='https://example.com'></a>":                                               "https://example.com",
		"half **bold":                                                                      "half **bold",
	} {
		if got := readMarkdown(in).text; got != want {
			t.Errorf("%q reads %q, want %q", in, got, want)
		}
	}
}

func TestLinksThatCanBePressed(t *testing.T) {
	card := `{"schema":"2.0","card_link":{"url":"https://c.example.com"},"body":{"elements":[
	 {"tag":"markdown","content":"[a](https://a.example.com/x_y_z \"t\") <a href='https://b.example.com'>b</a> https://bare.example.com/?a=1 <https://auto.example.com> &#91;no&#93;&#40;https&#58;//no.example.com&#41; [m](https://m.example.com/?a=1&copy=2) <link url='https://l.example.com'>l</link>"},
	 {"tag":"column_set","action":{"multi_url":{"url":"https://col.example.com"}},"columns":[{"tag":"column","elements":[
	  {"tag":"button","behaviors":[{"type":"open_url","default_url":"https://btn.example.com","ios_url":"lark://msgcard/unsupported_action"}]},
	  {"tag":"button","disabled":true,"behaviors":[{"type":"open_url","default_url":"https://off.example.com"}]}]}]},
	 {"tag":"div","text":{"tag":"plain_text","content":"https://plain.example.com"}},
	 {"tag":"div","text":{"tag":"lark_md","content":"[a](https://a.example.com/x_y_z)"}}]}}`
	if err := CheckCard(card); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"https://c.example.com", "https://a.example.com/x_y_z", "https://b.example.com", "https://bare.example.com/?a=1",
		"https://auto.example.com", "https://m.example.com/?a=1©=2", "https://l.example.com", "https://col.example.com", "https://btn.example.com",
	}
	if got := Links(card); !slices.Equal(got, want) {
		t.Errorf("links\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestButtonsOnACard(t *testing.T) {
	buttons := Buttons(fullCard)
	if len(buttons) != 3 {
		t.Fatalf("buttons %+v", buttons)
	}
	if b := buttons[0]; b.Name != "approve" || b.Form != "verdict" || !b.Submit || !b.Callback || b.ConfirmTitle != "批准并合并？" ||
		b.ConfirmText == "" || b.Value["action"] != "yes" || b.Type != "primary_filled" {
		t.Errorf("button %+v", b)
	}
	if b := buttons[2]; b.URL == "" || b.Callback || b.Form != "" {
		t.Errorf("button %+v", b)
	}
}
