package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// maxNote is the most of a body that is written, in bytes; GitLab takes a
// million characters.
const maxNote = 64 << 10

// note is what is used of GitLab's.
type note struct {
	ID       int64  `json:"id"`
	Body     string `json:"body"`
	Internal bool   `json:"internal"`
	Author   user   `json:"author"`
}

type noteOptions struct {
	Body     string `json:"body"`
	Internal bool   `json:"internal,omitempty"`
}

// Note implements gate.Forge. The reference is the note's ID.
//
// GitLab makes a note internal only when it is created, and says nothing where it
// does not: up to 16.8 for all merge requests (gitlab-org/gitlab!142003), since
// then for whom a role is missing, the flag is dropped and the text published,
// and mailed to who watches (app/services/notes/build_service.rb). So an internal
// one is written only where the version has them, and if the answer says that it
// is public all the same, it is deleted.
func (f *Forge) Note(ctx context.Context, mr gate.Ref, n gate.Note) (string, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	body, err := render(n)
	if err != nil {
		return "", fmt.Errorf("write a note on %s: %w", mr, err)
	}
	again := n.Again
	if id, known := parseID(n.Ref); known {
		kept, err := f.rewrite(ctx, mr, id, body, n.Internal)
		switch {
		case err != nil:
			return "", f.fail("change a note on", mr, err)
		case kept:
			return n.Ref, nil
		}
		again = true // perhaps another was written in its place since
	}
	if again {
		found, err := f.written(ctx, mr, n.Key)
		if err != nil {
			return "", f.fail("look for a note on", mr, err)
		}
		kept := found != nil && strings.TrimSpace(found.Body) == body && (found.Internal || !n.Internal)
		if found != nil && !kept {
			kept, err = f.rewrite(ctx, mr, found.ID, body, n.Internal)
		}
		switch {
		case err != nil:
			return "", f.fail("change a note on", mr, err)
		case kept:
			return strconv.FormatInt(found.ID, 10), nil
		}
	}
	if n.Internal {
		if err := f.knowsInternalNotes(ctx); err != nil {
			return "", f.fail("write a note on", mr, err)
		}
	}
	var got note
	resp, err := f.call(ctx, http.MethodPost, path(mr, "/notes"), noteOptions{Body: body, Internal: n.Internal}, &got)
	switch {
	case err != nil:
		return "", f.fail("write a note on", mr, err)
	case resp.StatusCode != http.StatusCreated || got.ID == 0:
		// 202: GitLab found nothing in it but commands, and did them.
		return "", fmt.Errorf("write a note on %s: GitLab answered %d and wrote none", mr, resp.StatusCode)
	case n.Internal && !got.Internal:
		if err := f.remove(ctx, mr, got.ID); err != nil {
			return "", f.fail("delete what GitLab published instead of an internal note on", mr, err)
		}
		return "", fmt.Errorf("write a note on %s: %w: it lacks the role for internal notes (Reporter), "+
			"so that what was written was public, and is deleted again", mr, gate.ErrPublic)
	}
	return strconv.FormatInt(got.ID, 10), nil
}

// rewrite gives the note another text; false: it is gone, or was removed because
// it was to be internal, which it cannot become.
func (f *Forge) rewrite(ctx context.Context, mr gate.Ref, id int64, body string, internal bool) (kept bool, err error) {
	var got note
	_, err = f.call(ctx, http.MethodPut, path(mr, fmt.Sprintf("/notes/%d", id)), noteOptions{Body: body}, &got)
	switch {
	case status(err) == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, err
	case internal && !got.Internal:
		return false, f.remove(ctx, mr, id)
	}
	return true, nil
}

// remove deletes a note; it is gone already: that is done, too.
func (f *Forge) remove(ctx context.Context, mr gate.Ref, id int64) error {
	_, err := f.call(ctx, http.MethodDelete, path(mr, fmt.Sprintf("/notes/%d", id)), nil, nil)
	if status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// knowsInternalNotes is nil if this GitLab has internal notes on merge requests,
// gate.ErrPublic if it has not, or does not tell its version.
func (f *Forge) knowsInternalNotes(ctx context.Context) error {
	version, err := f.version(ctx)
	switch code := status(err); {
	case code == http.StatusForbidden, code == http.StatusNotFound:
		return fmt.Errorf("%w: GitLab does not tell its version (it answered %d), and before 16.9 it would publish an internal note; set note: to public or off",
			gate.ErrPublic, code)
	case err != nil:
		return err
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 16 || major == 16 && minor < 9 {
		return fmt.Errorf("%w: internal notes on merge requests came with GitLab 16.9, and this is %q, which would publish them; set note: to public or off",
			gate.ErrPublic, oneLine(version, 40))
	}
	return nil
}

// OwnNote is a note that mrgate wrote.
type OwnNote struct {
	ID   int64
	Key  string
	Body string // as Note was given it, but for what Note makes plain
}

// OwnNotes reads what mrgate wrote under the merge request, the newest first; of
// a merge request with thousands of notes, among the newest of these.
// gate.ErrNotFound: there is no such merge request, or it may not be seen.
func (f *Forge) OwnNotes(ctx context.Context, mr gate.Ref) ([]OwnNote, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	var own []OwnNote
	err := f.ownNotes(ctx, mr, func(n note, key, body string) (more bool) {
		own = append(own, OwnNote{ID: n.ID, Key: key, Body: body})
		return true
	})
	if err != nil {
		return nil, f.fail("read the notes on", mr, err)
	}
	return own, nil
}

// written looks for the note with the key. nil: there is none. The newest come
// first, and a note is looked for soon after it was tried: so, with a bound.
func (f *Forge) written(ctx context.Context, mr gate.Ref, key string) (found *note, err error) {
	err = f.ownNotes(ctx, mr, func(n note, of, _ string) (more bool) {
		if of == key {
			found = &n
		}
		return found == nil
	})
	return found, err
}

// ownNotes gives the notes with a marker among those of the token's user, since
// anybody can write a marker into theirs.
func (f *Forge) ownNotes(ctx context.Context, mr gate.Ref, take func(n note, key, body string) (more bool)) error {
	me, err := f.me(ctx)
	if err != nil {
		return err
	}
	opt := gogitlab.ListMergeRequestNotesOptions{
		ListOptions: gogitlab.ListOptions{PerPage: perPage, Page: 1},
		OrderBy:     new("created_at"), Sort: new("desc"),
	}
	for range maxPages {
		var page []note
		resp, err := f.call(ctx, http.MethodGet, path(mr, "/notes"), &opt, &page)
		if err != nil {
			return err
		}
		for _, n := range page {
			if key, body, ok := unrender(n.Body); ok && n.Author.ID == me && !take(n, key, body) {
				return nil
			}
		}
		if resp.NextPage == 0 {
			break
		}
		opt.Page = resp.NextPage
	}
	return nil
}

const (
	markerBegin = "<!-- mrgate:"
	markerEnd   = " -->"
)

func marker(key string) string { return markerBegin + key + markerEnd }

// render makes a note in which nothing is obeyed, mentioned or drawn: one code
// block, whose fence no text can end, of lines none of which begins with the
// slash of a command; and after it the marker, which GitLab does not show.
//
// That it is a code block is not enough for commands: GitLab looks for them
// with a pattern that knows ``` only, not longer fences nor ~~~
// (lib/gitlab/quick_actions/extractor.rb), and deletes carriage returns first.
// That no line begins with a slash is not enough for mentions, links and
// images: those are not looked for in code blocks (lib/banzai).
func render(n gate.Note) (string, error) {
	if n.Key == "" || len(n.Key) > 200 {
		return "", errors.New("a note's key has 1 to 200 characters")
	}
	for _, r := range n.Key {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._:-", r) {
			return "", fmt.Errorf("the note's key %q may hold letters, digits, '.', '_', ':' and '-' only", n.Key)
		}
	}
	if strings.Contains(n.Key, "--") {
		return "", fmt.Errorf("the note's key %q would end the comment that it is in", n.Key)
	}
	text := plain(n.Body)
	fence := strings.Repeat("`", max(3, longestRun(text, '`')+1))
	var b strings.Builder
	b.WriteString(fence + "text\n")
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight("| "+line, " ") + "\n")
	}
	b.WriteString(fence + "\n\n" + marker(n.Key))
	return b.String(), nil
}

// unrender takes apart what render made; false: it did not make that.
func unrender(rendered string) (key, body string, ok bool) {
	text, rest, ok := strings.Cut(strings.TrimSpace(strings.ReplaceAll(rendered, "\r\n", "\n")), "\n\n"+markerBegin)
	key, end, closed := strings.Cut(rest, markerEnd)
	if !ok || !closed || end != "" {
		return "", "", false
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return "", "", false
	}
	var b strings.Builder
	for _, line := range lines[1 : len(lines)-1] {
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "|"), " ") + "\n")
	}
	return key, strings.TrimRight(b.String(), "\n"), true
}

// plain is text of which every reader makes the same lines: line breaks of any
// kind are "\n", other control characters and the invisible ones that turn the
// direction of writing are gone.
func plain(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote], "") + "…"
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
			return '\n'
		case r == '\t':
			return ' '
		case r == '\u200d': // joins emoji
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)
	return strings.Trim(text, "\n")
}

func longestRun(text string, of rune) int {
	longest, n := 0, 0
	for _, r := range text {
		if r == of {
			n++
			longest = max(longest, n)
		} else {
			n = 0
		}
	}
	return longest
}
