package feishu

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"mrgate/internal/words"
)

// Text from gate is shown as it is. Nearly all of it goes into plain_text, where
// Feishu interprets nothing; what has a piece that stands out goes into markdown,
// escaped. Characters that nobody can see, or that turn their neighbours round
// (a branch may be named "main\u202e…"), are shown as U+FFFD.

// literal makes s one line of at most limit characters.
func literal(s string, limit int) string {
	return shorten(strings.TrimSpace(strings.ReplaceAll(clean(s), "\n", " ")), limit)
}

// literalLines is literal for text that may have several lines.
func literalLines(s string, lines, limit int) string {
	all := strings.Split(strings.TrimSpace(clean(s)), "\n")
	kept := all[:0:0]
	for _, line := range all {
		if line = strings.TrimRightFunc(line, unicode.IsSpace); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) > lines {
		kept = append(kept[:lines], "…")
	}
	return shorten(strings.Join(kept, "\n"), limit)
}

// shorten cuts s to limit characters, the last of which says so.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	if limit < 1 {
		return ""
	}
	return strings.TrimRightFunc(string([]rune(s)[:limit-1]), unicode.IsSpace) + "…"
}

// enough is how many bytes of a text are looked at: four for each of the 1000
// characters that may be left of it, and as much again for what is trimmed.
const enough = 8000

func clean(s string) string {
	if len(s) > enough {
		s = s[:enough] // a character that was cut through is among those that are not shown
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\u0085', r == '\u2028', r == '\u2029':
			return '\n'
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// markdown is t with its strong pieces in bold, its links and its colours, as markdown of
// JSON 2.0, of at most limit characters as people read them.
func markdown(t words.Text, limit int) string {
	var b strings.Builder
	var written rune // the last character, 0 at the beginning
	put := func(s string) {
		if s != "" {
			b.WriteString(s)
			written, _ = utf8.DecodeLastRuneInString(s)
		}
	}
	apart := func() {
		if written != 0 && !unicode.IsSpace(written) {
			put(" ")
		}
	}
	marked := false // the last piece was: a space has to follow
	for _, run := range t {
		text := strings.ReplaceAll(clean(run.Text), "\n", " ")
		text = shorten(text, limit)
		limit -= utf8.RuneCountInString(text)
		if written == 0 {
			// Four spaces at the beginning would be a code block.
			text = strings.TrimLeftFunc(text, unicode.IsSpace)
		}
		if text == "" {
			continue
		}
		if color := moodColor(run.Mood); color != "" && run.Link == "" {
			// A tag, unlike **, needs no blank around it.
			put("<font color='" + color + "'>" + escape(text) + "</font>")
			marked = false
			continue
		}
		if marked && !strings.HasPrefix(text, " ") {
			apart()
		}
		link := linkTarget(run.Link)
		marked = (run.Strong || link != "") && strings.TrimSpace(text) != ""
		if !marked {
			put(escape(text))
			continue
		}
		if link != "" {
			// Chinese right behind a link would be taken for a part of it.
			put("[" + escape(strings.TrimSpace(text)) + "](" + link + ")")
			continue
		}
		// ** opens and closes only beside a space, or letters on its inner side:
		// inside it may be an entity, which is none (CommonMark 0.31, 6.2).
		apart()
		put("**" + escape(strings.TrimSpace(text)) + "**")
	}
	return strings.TrimRightFunc(b.String(), unicode.IsSpace)
}

// moodColor is one of Feishu's names of colours; "": the text's own.
func moodColor(m words.Mood) string {
	switch m {
	case words.Good:
		return "green"
	case words.Bad:
		return "red"
	}
	return ""
}

// escape writes everything that markdown could take for markup as an entity, in
// numbers: Feishu's own list has ~ as &sim;, which is another character. The list
// is longer than Feishu's: & would begin an entity, . a list ("1."), | a table,
// @ and = cost nothing. Source: "富文本（Markdown）", 特殊字符转义
// (https://open.larksuite.com/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-components/content-components/rich-text).
func escape(s string) string {
	const special = "&<>~-!*/\\[]()#:+\"'`$_.|@={}^"
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(special, r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// maxLink is how long an address in a text may get: there may be one in each line.
const maxLink = 300

// linkTarget makes an address fit for a link in markdown; "": it is none. What
// could end the link or begin an entity is written in another way (CommonMark
// 0.31, 6.3; the page of the component says that only http and https are links).
func linkTarget(s string) string {
	target := webURL(s)
	if target != "" { // which most pieces of a text have none of
		target = strings.NewReplacer("(", "%28", ")", "%29", "[", "%5B", "]", "%5D", "&", "&#38;").Replace(target)
	}
	if len(target) > maxLink {
		return ""
	}
	return target
}

// maxURL is how long an address may get: ten of them fit on a card.
const maxURL = 1000

// webURL makes an address fit for a card: http or https, and percent-encoded, for
// Feishu refuses the whole card otherwise. "" is an address that it is not, and is
// left out (FAQ "飞书卡片常见问题",
// https://open.feishu.cn/document/common-capabilities/message-card/message-card).
func webURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return ""
	}
	for _, r := range u.Host {
		if r <= ' ' || r >= utf8.RuneSelf {
			return ""
		}
	}
	var b strings.Builder
	for _, c := range []byte(u.String()) {
		if c <= ' ' || c >= utf8.RuneSelf || c == 0x7f || strings.IndexByte("\"<>\\^`{|}'", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > maxURL {
		return ""
	}
	return b.String()
}
