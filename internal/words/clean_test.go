package words_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"mrgate/internal/words"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"  a\r\n\tb\u2028c  ", 20, "a b c"},
		{"pay\u202Egnp.exe\u2066x\u200B\uFEFF\u00AD", 20, "paygnp.exex"},
		{"\x1b[31mred\x00", 20, "[31mred"},
		{"\u3164\u2800\u115F", 20, ""},
		{"a\U000E0041b", 20, "ab"},
		{"Z\u0351\u0352\u0353\u0354\u0355\u0356algo", 20, "Z\u0351\u0352\u0353algo"},
		{"\xff\xfeab", 20, "\uFFFD\uFFFDab"},
		{"重试支付回调", 4, "重试支…"},
		{"重试支付回调", 6, "重试支付回调"},
		{"a b c", 3, "a…"},
	} {
		if got := words.Line(c.in, c.limit); got != c.want {
			t.Errorf("Line(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestRefKeepsTheEnd(t *testing.T) {
	if got, want := words.Ref("payments/api", 7), "payments/api !7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := words.Ref(strings.Repeat("group/", 50)+"api", 7)
	if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "/api !7") || utf8.RuneCountInString(got) > 90 {
		t.Errorf("got %q", got)
	}
}

func TestDescription(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Retries the callback.\n\nTwice.", "Retries the callback.\nTwice."},
		{"template", "<!-- Describe\nyour change -->\r\n## What does this do?\r\n\r\nRetries **failed** callbacks, see [the log](https://x.example/a).\r\n\r\n## Checklist\r\n- [x] tests\r\n- [ ] docs\r\n1. [ ] more\r\n/assign @bob\r\n", "Retries failed callbacks, see the log."},
		{"images", "![shot](/uploads/a/b.png){width=20}\n![ref][1]\nbefore ![x](y) after", "before after"},
		{"html", "<details><summary>More</summary>\n\n<img src=x onerror=alert(1)>text</details>", "More\ntext"},
		{"code", "Run\n```sh\nrm -rf x\n```\nthen `y`", "Run\nrm -rf x\nthen y"},
		{"table", "|a|b|\n|---|:-:|\n|1|2|", "|a|b|\n|1|2|"},
		{"quote", "> said\n>> so", "said\nso"},
		{"four lines", "a\nb\nc\nd", "a\nb\nc…"},
		{"unclosed", "a <!-- b\nc", "a"},
		{"trailers", "Fix it\n\nSigned-off-by: Bob <bob@example.com>\nCo-authored-by: x", "Fix it"},
		{"address", "Ask bob@example.com, pkg@1.2.3", "Ask bob@…, pkg@1.2.3"},
		{"only noise", "## a\n---\n- [ ] b", ""},
		{"like a tag", "if a < b and c > d", "if a < b and c > d"},
		{"identifier", "call __init__ of a_b_c", "call __init__ of a_b_c"},
	} {
		if got := words.Description(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if n := utf8.RuneCountInString(words.Description(strings.Repeat("漫长的描述 ", 100000))); n != 200 {
		t.Errorf("a long description has %d runes", n)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add("a\nb\nc\nd", "x")
	f.Add(hostile, hostile)
	f.Add("<!-- -->![a](b)[c](d)`e` **f** - [ ] g", "\xff\u202e")
	f.Fuzz(func(t *testing.T, description, line string) {
		d := words.Description(description)
		if utf8.RuneCountInString(d) > 203 || strings.Count(d, "\n") > 2 || !utf8.ValidString(d) {
			t.Errorf("%q", d)
		}
		l := words.Line(line, 40)
		if utf8.RuneCountInString(l) > 40 || !utf8.ValidString(l) || strings.ContainsFunc(l, unicode.IsControl) || words.Line(l, 40) != l {
			t.Errorf("%q", l)
		}
	})
}
