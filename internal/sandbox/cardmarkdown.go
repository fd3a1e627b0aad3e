package sandbox

import (
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// drawnLine is a line of markdown.
type drawnLine struct {
	Kind string // "", h1 … h6, item, quote, code or hr
	Runs []drawnRun
}

// drawnRun is a piece of a line that looks the same.
type drawnRun struct {
	Class string
	Text  string
	Link  string
	Break bool
	Wrong bool // Text says what was not drawn
}

// The markdown of cards: CommonMark, of whose HTML only some tags mean anything.
// Source: "富文本（Markdown）", 支持的 Markdown 语法.
var (
	mdTag   = regexp.MustCompile(`^<(/?)([A-Za-z][A-Za-z0-9_-]*)([^<>]*)>`)
	mdField = regexp.MustCompile(`([A-Za-z_]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>/]+)`)
	mdLink  = regexp.MustCompile(`^\[((?:[^\[\]\\]|\\.)*)\]\(\s*<?([^()\s<>]*)>?\s*\)`)
	mdBare  = regexp.MustCompile("^https?://[^\\s<>\"'`|)\\]]+")
	mdKey   = regexp.MustCompile(`^:([A-Za-z][A-Za-z_]{1,30}):`)
	mdSign  = regexp.MustCompile(`^&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);`)
	mdHead  = regexp.MustCompile(`^ {0,3}(#{1,6})\s+`)
	mdItem  = regexp.MustCompile(`^\s*([-*+]|\d{1,9}[.)])\s+`)
	mdQuote = regexp.MustCompile(`^ {0,3}> ?`)
	mdRule  = regexp.MustCompile(`^ {0,3}([-*_])(\s*[-*_]){2,}\s*$`)
)

// deepest is how far markup in markup is read; beyond, it shows as it is written.
const deepest = 12

// readLines reads markdown as the client does.
func readLines(content string) []drawnLine {
	var lines []drawnLine
	fence, blank := "", true
	for raw := range strings.SplitSeq(content, "\n") {
		trimmed := strings.TrimSpace(raw)
		line := drawnLine{}
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
				continue
			}
			line = drawnLine{Kind: "code", Runs: []drawnRun{{Text: raw}}}
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
			continue
		case blank && strings.HasPrefix(raw, "    ") && trimmed != "": // an indented code block
			line = drawnLine{Kind: "code", Runs: []drawnRun{{Text: raw[4:]}}}
		case mdRule.MatchString(raw), trimmed == "<hr>", trimmed == "<hr/>":
			line.Kind = "hr"
		default:
			text := raw
			if m := mdHead.FindStringSubmatch(text); m != nil {
				line.Kind, text = "h"+strconv.Itoa(len(m[1])), text[len(m[0]):]
			} else if m := mdItem.FindStringSubmatch(text); m != nil {
				line.Kind, text = "item", text[len(m[0]):]
				if mark := m[1]; !strings.ContainsAny(mark, "-*+") {
					line.Runs = []drawnRun{{Text: mark + " "}}
				} else {
					line.Runs = []drawnRun{{Text: "• "}}
				}
			} else if m := mdQuote.FindString(text); m != "" {
				line.Kind, text = "quote", text[len(m):]
			}
			line.Runs = append(line.Runs, (&inline{}).read(strings.TrimLeft(text, " \t"), "", 0)...)
		}
		blank = trimmed == ""
		lines = append(lines, line)
	}
	return lines
}

// inline reads the pieces of a line.
type inline struct{ runs []drawnRun }

func (in *inline) put(class, text string) {
	if text == "" {
		return
	}
	if n := len(in.runs); n > 0 {
		if last := &in.runs[n-1]; last.Class == class && last.Link == "" && !last.Break && !last.Wrong {
			last.Text += text
			return
		}
	}
	in.runs = append(in.runs, drawnRun{Class: class, Text: text})
}

func (in *inline) wrong(what string) {
	in.runs = append(in.runs, drawnRun{Text: "not drawn: " + what, Wrong: true})
}

// read reads s, all of which looks like class.
func (in *inline) read(s, class string, depth int) []drawnRun {
	none := map[string]bool{} // marks that nothing closes from here on
	for i := 0; i < len(s); {
		if n := in.one(s, i, class, depth, none); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		in.put(class, string(r))
		i += size
	}
	return in.runs
}

// one reads what is special at i and says how long it is; 0: nothing is.
func (in *inline) one(s string, i int, class string, depth int, none map[string]bool) int {
	rest := s[i:]
	switch c := s[i]; {
	case c == '\\' && len(rest) > 1 && rest[1] < utf8.RuneSelf && punctuation(rune(rest[1])):
		in.put(class, rest[1:2])
		return 2
	case c == '`':
		mark := rest[:len(rest)-len(strings.TrimLeft(rest, "`"))]
		if end := strings.Index(rest[len(mark):], mark); end >= 0 {
			in.put(join(class, "fs-code"), rest[len(mark):len(mark)+end])
			return 2*len(mark) + end
		}
	case c == '&':
		if m := mdSign.FindString(rest); m != "" {
			in.put(class, html.UnescapeString(m))
			return len(m)
		}
	case c == '<':
		return in.tag(rest, class, depth)
	case c == '!' && strings.HasPrefix(rest, "!["):
		in.wrong("an image")
		return len("![")
	case c == '[':
		if m := mdLink.FindStringSubmatch(rest); m != nil {
			in.link(m[2], m[1], class)
			return len(m[0])
		}
	case c == 'h':
		if m := mdBare.FindString(rest); m != "" && (i == 0 || !word(s[:i])) {
			in.link(m, m, class)
			return len(m)
		}
	case c == ':':
		if m := mdKey.FindStringSubmatch(rest); m != nil {
			in.put(join(class, "fs-emoji"), m[1])
			return len(m[0])
		}
	case strings.IndexByte("*_~", c) >= 0 && depth < deepest:
		return in.emphasis(s, i, class, depth, none)
	}
	return 0
}

func (in *inline) link(address, text, class string) {
	if address = webLink(html.UnescapeString(address)); address == "" {
		in.wrong("a link that is none")
		return
	}
	in.runs = append(in.runs, drawnRun{Class: class, Text: html.UnescapeString(text), Link: address})
}

// emphasis reads *slanted*, **bold** and ~~struck out~~, if something closes it.
func (in *inline) emphasis(s string, i int, class string, depth int, none map[string]bool) int {
	run := s[i : len(s)-len(strings.TrimLeft(s[i:], s[i:i+1]))]
	mark := run[:min(len(run), 2)]
	if mark == "~" || none[mark] || !opens(s, i, len(run)) {
		return 0
	}
	for j := i + len(mark) + 1; j+len(mark) <= len(s); j++ {
		if s[j:j+len(mark)] != mark || !closes(s, j, len(mark)) {
			continue
		}
		look := map[string]string{"**": "fs-strong", "__": "fs-strong", "~~": "fs-struck", "*": "fs-slanted", "_": "fs-slanted"}[mark]
		in.runs = append(in.runs, (&inline{}).read(s[i+len(mark):j], join(class, look), depth+1)...)
		return j + len(mark) - i
	}
	none[mark] = true
	return 0
}

// opens and closes are CommonMark's left- and right-flanking delimiter runs (0.31,
// 6.2): ** beside punctuation opens only after a blank or other punctuation.
func opens(s string, i, size int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+size:])
	outside := i == 0 || unicode.IsSpace(before) || punctuation(before)
	return i+size < len(s) && !unicode.IsSpace(after) && (!punctuation(after) || outside) && (s[i] != '_' || outside)
}

func closes(s string, i, size int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+size:])
	outside := i+size == len(s) || unicode.IsSpace(after) || punctuation(after)
	return i > 0 && !unicode.IsSpace(before) && (!punctuation(before) || outside) && (s[i] != '_' || outside)
}

func punctuation(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) }

func word(before string) bool {
	r, _ := utf8.DecodeLastRuneInString(before)
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// tag reads an HTML tag that cards know, with what stands in it.
func (in *inline) tag(rest, class string, depth int) int {
	m := mdTag.FindStringSubmatch(rest)
	if m == nil {
		return 0
	}
	name, fields := strings.ToLower(m[2]), map[string]string{}
	for _, f := range mdField.FindAllStringSubmatch(m[3], -1) {
		fields[strings.ToLower(f[1])] = html.UnescapeString(strings.Trim(f[2], `"'`))
	}
	inner, size := "", len(m[0])
	if name != "br" && m[1] == "" && depth < deepest {
		if end := strings.Index(strings.ToLower(rest), "</"+name+">"); end >= 0 {
			inner, size = rest[len(m[0]):end], end+len("</"+name+">")
		}
	}
	switch {
	case name == "br":
		in.runs = append(in.runs, drawnRun{Break: true})
	case name == "at" && size > len(m[0]):
		who := fields["id"] + fields["ids"] + fields["email"]
		in.put(join(class, "fs-mention"), "@"+who)
	case name == "font" && size > len(m[0]) && slices.Contains(append(hues(), "default"), fields["color"]):
		in.runs = append(in.runs, (&inline{}).read(inner, join(class, "fs-ink-"+fields["color"]), depth+1)...)
	case name == "text_tag" && size > len(m[0]) && slices.Contains(append(hues(), "neutral"), fields["color"]):
		in.put("fs-tag fs-tag-"+fields["color"], html.UnescapeString(inner))
	case name == "a" && size > len(m[0]):
		if inner == "" {
			inner = fields["href"]
		}
		in.link(fields["href"], inner, class)
	default:
		in.wrong(m[0])
	}
	return size
}
