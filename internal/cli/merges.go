package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/words"
)

// mergeColumns are those of mrgate list --format csv. Some may be added behind
// them; those that are there keep their names, places and meanings.
func mergeColumns() []string {
	return []string{
		"merged_at", "project", "project_id", "iid", "url", "title", "author", "target", "head", "merge_commit", "merged_by",
		"gate", // through, or around
		"why",  // it went around
		"request", "rule",
		// Of each who approved, in this order, with "; " between. Of a merge around the
		// gate nobody; then the last two name the entry that says so.
		"approved_by", "approver_ids", "approved_at", "approved_through", "log_entries", "log_hashes",
	}
}

// merges prints the merges as CSV (RFC 4180), for auditors: one a row, the newest
// first. A result on stdout that is cut off ends with an error.
func (env *Environment) merges(ctx context.Context, cfg *config.Config, f gate.Filter) error {
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	out := newSheet(env.Stdout)
	if err := out.row(mergeColumns()); err != nil {
		return err
	}
	all, around := 0, 0
	for l, err := range store.Landings(ctx, gate.LandingFilter{Project: f.Project, Since: f.Since, Older: f.Older, Limit: f.Limit}) {
		if err != nil {
			return err
		}
		if err := out.row(mergeCells(l)); err != nil {
			return err
		}
		if all++; l.Around != "" {
			around++
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(env.Stderr, "mrgate: merges: %d, of these around the gate: %d\n", all, around)
	return nil
}

// mergeCells are a merge's cells, in the order of mergeColumns.
func mergeCells(l gate.Landed) []string {
	through, request := "through", ""
	if l.Around != "" {
		through = "around"
	}
	if l.Request != 0 {
		request = fmt.Sprint(l.Request)
	}
	var names, ids, times, ways, entries, hashes []string
	enter := func(e *gate.Entry) {
		if e == nil {
			e = &gate.Entry{}
		}
		entries, hashes = append(entries, fmt.Sprint(e.Number)), append(hashes, e.Hash)
	}
	for _, d := range l.Approved {
		names, ids, ways = append(names, d.Name), append(ids, d.Person), append(ways, d.Via)
		times = append(times, d.At.UTC().Format(time.RFC3339))
		enter(d.Entry)
	}
	if l.Entry != nil {
		enter(l.Entry)
	}
	return []string{
		l.At.UTC().Format(time.RFC3339), l.Path, fmt.Sprint(l.Ref.Project), fmt.Sprint(l.Ref.Number), l.URL, l.Title,
		cmp.Or(l.Author.Username, l.Author.Name), l.Target, string(l.Head), string(l.Commit), cmp.Or(l.By.Username, l.By.Name),
		through, string(l.Around), request, l.Rule,
		several(names), several(ids), several(times), several(ways), several(entries), several(hashes),
	}
}

// several puts texts into one cell.
func several(texts []string) string {
	apart := make([]string, len(texts))
	for i, text := range texts {
		apart[i] = strings.ReplaceAll(text, ";", ",")
	}
	return strings.Join(apart, "; ")
}

// sheet writes CSV that a spreadsheet opens without running any of it.
type sheet struct{ w *csv.Writer }

func newSheet(out io.Writer) *sheet {
	s := &sheet{csv.NewWriter(out)}
	s.w.UseCRLF = true
	return s
}

// row writes a row. What came from outside is text in every cell.
func (s *sheet) row(cells []string) error {
	harmless := make([]string, len(cells))
	for i, cell := range cells {
		harmless[i] = inert(cell)
	}
	return s.w.Write(harmless)
}

func (s *sheet) flush() error {
	s.w.Flush()
	return s.w.Error()
}

// longestCell is less than any spreadsheet takes (Excel: 32,767 characters).
const longestCell = 4000

// inert is the text as one line that no spreadsheet takes for a formula: what
// begins like one, also in the wide characters that some take for the same, gets
// an apostrophe in front; also behind a semicolon, at which some begin a cell
// (owasp.org/www-community/attacks/CSV_Injection).
func inert(text string) string {
	parts := strings.Split(words.Line(text, longestCell), ";")
	for i, part := range parts {
		rest := strings.TrimLeft(part, " ")
		if first, _ := utf8.DecodeRuneInString(rest); rest != "" && strings.ContainsRune("=+-@＝＋－＠", first) {
			parts[i] = part[:len(part)-len(rest)] + "'" + rest
		}
	}
	return strings.Join(parts, ";")
}
