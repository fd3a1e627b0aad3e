package gitlabsim

import (
	"html"
	"regexp"
	"slices"
	"strings"
)

// blockKind is what a line of Markdown belongs to, as far as it matters here.
type blockKind int

const (
	paragraph blockKind = iota // at the top level: where newer servers look for commands
	inside                     // text in a list, a quote, a heading
	code                       // fenced or indented
	markup                     // an HTML block
	comment                    // <!-- … -->
)

// block is a run of lines of one kind, from from to to in the text.
type block struct {
	kind     blockKind
	from, to int
}

// blocks takes Markdown apart into blocks, by CommonMark's rules for what
// begins and ends one (spec.commonmark.org, 4 and 5), without nesting: all that
// is in a list or a quote is inside.
func blocks(text string) []block {
	var (
		found    []block
		fence    string    // that is open
		inHTML   bool      // an HTML block is open
		endsHTML string    // what ends it; "": a blank line
		htmlKind blockKind // markup or comment
		quote    bool      // GitLab's own >>> block is open
		list     bool      // the text above is a list item
		open     bool      // the line above is text that this one may continue
		openKind blockKind
	)
	end := 0
	for line := range strings.Lines(text) {
		from := end
		end += len(line)
		put := func(kind blockKind, join bool) {
			if last := len(found) - 1; join && last >= 0 && found[last].kind == kind && found[last].to == from {
				found[last].to = end
				return
			}
			found = append(found, block{kind, from, end})
		}
		bare := strings.TrimRight(line, " \t\n")
		trimmed := strings.TrimLeft(bare, " ")
		indent := len(bare) - len(trimmed)
		if strings.HasPrefix(trimmed, "\t") {
			indent += 4
		}
		switch wasOpen := open; {
		case fence != "":
			put(code, true)
			if indent < 4 && len(trimmed) >= len(fence) && strings.Trim(trimmed, fence[:1]) == "" {
				fence = ""
			}
		case inHTML:
			put(htmlKind, true)
			inHTML = bare != "" || endsHTML != ""
			if endsHTML != "" && strings.Contains(line, endsHTML) {
				inHTML = false
			}
		case bare == "":
			open = false
		case bare == ">>>":
			put(inside, false)
			quote, open, list = !quote, false, false
		case quote:
			put(inside, true)
		case indent >= 4 && !open:
			if list {
				put(inside, true)
			} else {
				put(code, true)
			}
		case indent < 4 && opensFence(trimmed) != "":
			put(code, false)
			fence, open, list = opensFence(trimmed), false, false
		case indent < 4 && strings.HasPrefix(trimmed, "<!--"):
			put(comment, false)
			inHTML, endsHTML, htmlKind = !strings.Contains(trimmed[4:], "-->"), "-->", comment
			open, list = false, false
		case indent < 4 && opensHTML(trimmed, open):
			put(markup, false)
			inHTML, endsHTML, htmlKind = true, "", markup
			open, list = false, false
		case indent < 4 && strings.HasPrefix(trimmed, "#"):
			put(inside, false)
			open, list = false, false
		case indent < 4 && strings.HasPrefix(trimmed, ">"):
			put(inside, wasOpen && openKind == inside)
			open, openKind, list = true, inside, false
		case indent < 4 && listItem(trimmed):
			put(inside, false)
			open, openKind, list = true, inside, true
		default: // text
			if !open && list && indent >= 2 {
				openKind = inside
			} else if !open {
				openKind, list = paragraph, false
			}
			put(openKind, wasOpen)
			open = true
		}
	}
	return found
}

// opensFence gives the run of three or more backticks or tildes that opens a
// fenced block; the info string of a backtick fence holds no backtick.
func opensFence(line string) string {
	for _, c := range []string{"`", "~"} {
		info := strings.TrimLeft(line, c)
		if n := len(line) - len(info); n >= 3 && (c == "~" || !strings.Contains(info, c)) {
			return line[:n]
		}
	}
	return ""
}

// opensHTML: a block tag, or any tag alone on its line where no paragraph is open.
func opensHTML(line string, open bool) bool {
	name := strings.ToLower(strings.TrimLeft(line, "</"))
	if i := strings.IndexFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }); i >= 0 {
		name = name[:i]
	}
	if !strings.HasPrefix(line, "<") || name == "" {
		return false
	}
	known := []string{
		"address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt",
		"fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr",
		"html", "li", "main", "menu", "nav", "ol", "p", "pre", "script", "section", "style", "summary", "table", "tbody",
		"td", "textarea", "tfoot", "th", "thead", "tr", "ul",
	}
	return slices.Contains(known, name) || !open && strings.Index(line, ">") == len(line)-1
}

func listItem(line string) bool {
	marker, _, spaced := strings.Cut(line, " ")
	if !spaced && marker != line {
		return false
	}
	if marker == "-" || marker == "*" || marker == "+" {
		return true
	}
	number := strings.TrimRight(marker, ".)")
	return len(number) == len(marker)-1 && number != "" && strings.Trim(number, "0123456789") == ""
}

// mentions finds who is mailed because of a note: @user, @group/sub and @all,
// anywhere but in code and comments. Character references count (&#64;all is a
// mention), a backslash before the @ does not, nor does an e-mail address.
// Whether there is such a user is not asked.
func mentions(text string) []string {
	var names []string
	pattern := regexp.MustCompile(`(^|[^\w\\])@([A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*)`)
	for _, b := range blocks(text) {
		if b.kind == code || b.kind == comment {
			continue
		}
		plain := html.UnescapeString(withoutSpans(text[b.from:b.to]))
		for _, m := range pattern.FindAllStringSubmatch(plain, -1) {
			if name := strings.TrimRight(m[2], ".-"); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// withoutSpans takes code spans out: between two runs of as many backticks.
func withoutSpans(text string) string {
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '`')
		if i < 0 {
			break
		}
		out.WriteString(text[:i])
		text = text[i:]
		after := strings.TrimLeft(text, "`")
		run := len(text) - len(after)
		if end := closingRun(after, run); end >= 0 {
			text = after[end+run:]
			out.WriteByte(' ')
		} else {
			out.WriteString(text[:run])
			text = after
		}
	}
	out.WriteString(text)
	return out.String()
}

func closingRun(text string, run int) int {
	for at := 0; at < len(text); {
		i := strings.IndexByte(text[at:], '`')
		if i < 0 {
			return -1
		}
		at += i
		n := len(text[at:]) - len(strings.TrimLeft(text[at:], "`"))
		if n == run {
			return at
		}
		at += n
	}
	return -1
}
