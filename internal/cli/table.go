package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"

	"mrgate/internal/story"
)

// clean makes a text that came from outside fit to be shown, on one line.
func clean(s string) string { return story.Clean(s) }

// columns is how many columns of a terminal s takes: Chinese, Japanese and Korean
// characters and emoji take two, marks on the character before none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if r < 0x7F {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() { //nolint:exhaustive // the others are narrow
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts s to at most n columns, the last of which is then "…".
func fit(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	taken := 1
	for i, r := range s {
		if taken += columnsOf(r); taken > n {
			return strings.TrimRight(s[:i], " ") + "…"
		}
	}
	return s
}

// fitEnd is fit, but keeps the end.
func fitEnd(s string, n int) string {
	rest, total := s, columns(s)
	for total > n-1 && columns(s) > n {
		r, size := utf8.DecodeRuneInString(rest)
		rest, total = rest[size:], total-columnsOf(r)
	}
	if len(rest) == len(s) {
		return s
	}
	return "…" + rest
}

// mergeRequestHead is the heading of the column with merge requests' names.
const mergeRequestHead = "MERGE REQUEST"

// table prints rows in columns, under a heading.
type table struct {
	out   io.Writer
	width int // of the terminal; 0: no line is cut
	heads []string
	least []int  // to how few columns each may be cut where the line is too long; 0: not at all
	right []bool // which are numbers, and stand to the right
	spare []int  // which are left out where even so it is too long, in this order
	paint func(column int, cell string) string

	rows    [][]string
	widths  []int
	gone    []bool // which are left out
	printed bool
}

// add takes a row; its texts are clean.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// flush prints the rows that were added. The columns of those that are printed
// later are at least as wide.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	if !t.printed {
		t.rows = append([][]string{t.heads}, t.rows...)
		t.widths, t.gone = make([]int, len(t.heads)), make([]bool, len(t.heads))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if !t.gone[i] {
				t.widths[i] = max(t.widths[i], columns(cell))
			}
		}
	}
	for full := slices.Clone(t.widths); t.shrink() && !t.printed && len(t.spare) > 0; copy(t.widths, full) {
		full[t.spare[0]], t.gone[t.spare[0]] = 0, true
		t.spare = t.spare[1:]
	}
	t.printed = true
	var b strings.Builder
	for _, row := range t.rows {
		b.WriteString(t.line(row))
		b.WriteByte('\n')
	}
	t.rows = nil
	_, err := io.WriteString(t.out, b.String())
	return err
}

// shrink takes from the widest column that bears it, until a line fits; true: none
// does.
func (t *table) shrink() (tooLong bool) {
	for t.width > 0 {
		total, widest := -gap, -1
		for i, w := range t.widths {
			if t.gone[i] {
				continue
			}
			total += w + gap
			if t.least[i] > 0 && w > t.least[i] && (widest < 0 || w > t.widths[widest]) {
				widest = i
			}
		}
		if total <= t.width || widest < 0 {
			return total > t.width
		}
		t.widths[widest]--
	}
	return false
}

// gap is what is between two columns.
const gap = 2

func (t *table) line(row []string) string {
	var plain, painted strings.Builder
	before := 0 // spaces
	for i, cell := range row {
		if t.gone[i] {
			continue
		}
		if t.heads[i] == mergeRequestHead && strings.Contains(cell, "!") {
			cell = fitEnd(cell, t.widths[i]) // the end of a path and the number say more than the start
		}
		cell = fit(cell, t.widths[i])
		after := t.widths[i] - columns(cell)
		if t.right[i] {
			before, after = before+after, 0
		}
		space := strings.Repeat(" ", before)
		plain.WriteString(space + cell)
		if t.paint != nil {
			cell = t.paint(i, cell)
		}
		painted.WriteString(space + cell)
		before = after + gap
	}
	if t.width > 0 && columns(plain.String()) > t.width {
		return fit(plain.String(), t.width)
	}
	return strings.TrimRight(painted.String(), " ")
}

// zone is that of the reader: TZ where it names one, else the machine's.
func (env *Environment) zone() *time.Location {
	for _, e := range env.Environ {
		if name, ok := strings.CutPrefix(e, "TZ="); ok {
			if zone, err := time.LoadLocation(strings.TrimPrefix(name, ":")); err == nil {
				return zone
			}
		}
	}
	return time.Local
}

// local is a moment for people, in their zone.
func local(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// age is how long something is ago, in its largest unit: "12s", "45m", "30h", "5d".
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// writeJSON prints v on a line, or, indented, on several. Beside what encoding/json
// escapes, it escapes what a terminal could take for a command, and what hides or
// turns around other text: all of that can only stand inside of strings.
func writeJSON(out io.Writer, v any, indented bool) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if indented {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(v); err != nil {
		return err
	}
	var safe strings.Builder
	safe.Grow(b.Len())
	for _, r := range b.String() {
		switch {
		case r < 0x7F || !unicode.In(r, unicode.Cc, unicode.Cf):
			safe.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&safe, `\u%04x\u%04x`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		default:
			fmt.Fprintf(&safe, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(out, safe.String())
	return err
}
