package words

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much of what others wrote is shown, in runes: a card is read on a phone,
// and has to stay far below what a chat takes (Feishu: 30 KB).
const (
	maxName        = 40
	maxTitle       = 80
	maxBranch      = 100
	maxPath        = 80
	maxRule        = 60
	maxReason      = 500
	maxDetail      = 200
	maxDescription = 200
	maxLines       = 3
	maxSentence    = 1000
)

// Line makes s fit for one line of plain text of at most limit runes: line breaks
// and other controls become spaces, and what can't be seen but changes what is
// seen around it (bidi overrides, zero-width characters, blank letters, heaps of
// combining marks) is dropped. What is cut ends in "…".
func Line(s string, limit int) string {
	// Cut first: a text of megabytes should not be walked for one line. Four
	// times the limit leaves enough for what is dropped in any honest text.
	s = head(s, 4*limit+64)
	if clean(s) {
		return cut(s, limit)
	}
	var b strings.Builder
	b.Grow(len(s))
	marks, space := 0, false
	for _, r := range s { // an invalid byte comes as U+FFFD
		switch {
		case r > ' ' && r < 0x7F: // nearly all there is, and needs no table
			marks = 0
		case unicode.IsSpace(r), unicode.IsControl(r):
			space = b.Len() > 0
			continue
		case unicode.Is(unicode.Han, r):
			marks = 0
		case unseen(r):
			continue
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks > 3 {
				continue
			}
		default:
			marks = 0
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return cut(b.String(), limit)
}

// clean says that s is a line already, as nearly all sentences are.
func clean(s string) bool {
	last := ' '
	for _, r := range s {
		switch {
		case r == ' ':
			if last == ' ' {
				return false
			}
		case r > ' ' && r < 0x7F, r >= '\u4E00' && r <= '\u9FFF':
		case strings.ContainsRune("，。：（）“”、？·→−…", r):
		default:
			return false
		}
		last = r
	}
	return last != ' ' || s == ""
}

// unseen says that r shows nothing: format characters (zero-width, bidi,
// tags, the soft hyphen), letters that are blank, and unassigned specials.
func unseen(r rune) bool {
	switch r {
	case '\u034F', '\u115F', '\u1160', '\u17B4', '\u17B5', '\u2800', '\u3164', '\uFFA0', '\uFFFC':
		return true
	}
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// head gives at most the first n runes.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// cut shortens s to limit runes, the last of which is then "…".
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimRight(head(s, limit-1), " ") + "…"
}

// tail shortens s from the front: the end of a path says more than its start.
func tail(s string, limit int) string {
	n := utf8.RuneCountInString(s)
	if n <= limit {
		return s
	}
	for i := range s {
		if n < limit {
			return "…" + s[i:]
		}
		n--
	}
	return s
}

// prose is a line of what people wrote freely. The domains of e-mail addresses
// are left out: data-loss rules of a company's chat refuse whole cards for them.
func prose(s string, limit int) string {
	return cut(mask(Line(s, 2*limit)), limit)
}

var address = regexp.MustCompile(`(?i)([\pL\pN._%+-]+)@(?:[\pL\pN-]+\.)+\pL{2,}`)

func mask(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return address.ReplaceAllString(s, "$1@…")
}

// Ref names a merge request: "payments/api !7".
func Ref(path string, number int64) string {
	return fmt.Sprintf("%s !%d", tail(Line(path, 4*maxPath), maxPath), number)
}

// Title is a merge request's title, as a card shows it.
func Title(s string) string { return prose(s, maxTitle) }

// Branch is a branch's name. Nothing is left out of it but what can't be seen.
func Branch(s string) string { return orUnknown(Line(s, maxBranch)) }

// Reason is what somebody wrote into the comment field.
func Reason(s string) string { return prose(s, maxReason) }

// Short is a commit as GitLab shows it: its first eight digits.
func Short(sha string) string { return orUnknown(head(Line(sha, 64), 8)) }

// orUnknown keeps a sentence readable where something is not known.
func orUnknown(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

// What only templates, robots and renderers want of a description.
var (
	image = regexp.MustCompile(`!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])(?:\{[^}]*\})?`)
	link  = regexp.MustCompile(`\[([^\]\n]+)\]\([^)\n]*\)`)
	tag   = regexp.MustCompile(`</?[A-Za-z][^<>]*>`)
	noise = regexp.MustCompile(`(?i)^(?:` +
		`#{1,6}(?:\s.*)?` + // heading
		`|(?:[-*+]|\d+[.)])\s+\[[ x~]\].*` + // check list
		`|[-=*_|:+ ]*` + // rule, table's rule, nothing
		`|/[a-z_]+(?:\s.*)?` + // quick action
		"|(?:```|~~~).*" + // code's fence
		`|(?:co-authored-by|signed-off-by|reviewed-by|change-id):.*` +
		`)$`)
)

// Description is the beginning of a merge request's description: three lines of
// plain text at most.
func Description(s string) string {
	// A template may begin with a long comment; of what is behind it, a few lines
	// are shown, so that not all has to be walked.
	s = strings.ReplaceAll(head(withoutComments(head(s, 64<<10)), 1000), "\r\n", "\n")
	if strings.Contains(s, "](") || strings.Contains(s, "![") {
		s = link.ReplaceAllString(image.ReplaceAllString(s, ""), "$1")
	}
	if strings.Contains(s, "<") {
		s = tag.ReplaceAllString(s, " ")
	}
	plain := strings.NewReplacer("`", "", "**", "")
	var lines []string
	left := maxDescription
	for line := range strings.Lines(s) {
		line = strings.TrimLeft(prose(line, maxDescription+1), "> ")
		if noise.MatchString(line) {
			continue
		}
		if line = plain.Replace(line); line == "" {
			continue
		}
		if len(lines) == maxLines || left < 2 {
			last := &lines[len(lines)-1]
			*last = strings.TrimSuffix(*last, "…") + "…"
			break
		}
		line = cut(line, left)
		left -= utf8.RuneCountInString(line)
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// withoutComments leaves out HTML comments; one that never ends goes to the end.
func withoutComments(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "<!--")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if _, s, found = strings.Cut(after, "-->"); !found {
			return b.String()
		}
	}
}

// bare is a text without the full stop at its end, for the middle of a sentence.
func bare(s string) string { return strings.TrimRight(s, "。.；; ") }
