package gitlab_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gitlabsim"
)

// hostile is text that somebody might give as a reason.
func hostile() []string {
	return []string{
		"/merge", "/close\n/approve", "ok\n/target_branch evil", "\r/close", "ok\r\n/close\r\n", "a\u2028/close", "a\u2029/close", "a\u0085/close",
		"\v/close\f/close", " /close", "\t/close", "\u00a0/close", "\ufeff/close", "\u200b/close", "\x00/close", "\x1b/close",
		"```\n/close", "```\n\n/close\n```", "````````\n/close", "~~~\n/close", "`\n/close", "```text\n| x\n```\n/close",
		"<!--\n/close\n-->", "-->\n/close", "<!-- mrgate:k --> \n/close", "<details>\n/close\n</details>", "<pre>\n/close", "</pre>\n/close",
		">>>\n/close\n>>>", "> /close", "- /close", "1. /close", "    /close", "# /close",
		"@all", "hi @carol and @acme/everybody", "&#64;all", "[x](@all)", "@all\n@carol", "```\n@all\n```",
		"![x](https://evil.example/track.png)", "<img src=https://evil.example/x>", "[click](javascript:alert(1))",
		"\u202e/esolc", "\u2066@all", strings.Repeat("`", 4000), strings.Repeat("`\n", 2000), strings.Repeat("x", 100_000),
		"", "\n\n\n", "\xff\xfe/close", "|", "| /close", "\\\n/close",
	}
}

func TestNoteIsInert(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.BotAccess = gitlabsim.Owner })
	for i, body := range hostile() {
		ref, _ := s.open(gitlabsim.MergeRequest{Source: fmt.Sprintf("s%d", i)})
		before := s.mr(ref)
		id, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: body})
		if err != nil || id == "" {
			t.Errorf("%.40q: %v", body, err)
		}
		mr := s.mr(ref)
		if len(mr.Commands) > 0 || len(mr.Mentions) > 0 {
			t.Errorf("%.40q: commands %q, mentions %q", body, mr.Commands, mr.Mentions)
		}
		if mr.State != before.State || mr.Target != before.Target || mr.Title != before.Title || len(mr.ApprovedBy) > 0 || len(mr.Notes) != 1 {
			t.Errorf("%.40q: %+v", body, mr)
			continue
		}
		note := mr.Notes[0].Body
		lines := strings.Split(note, "\n")
		fence := lines[0][:len(lines[0])-len("text")]
		if strings.Trim(fence, "`") != "" || len(fence) < 3 || lines[0] != fence+"text" {
			t.Errorf("%.40q: begins with %.40q", body, lines[0])
		}
		end := len(lines) - 3
		if lines[end] != fence || lines[end+1] != "" || lines[end+2] != "<!-- mrgate:k -->" {
			t.Errorf("%.40q: ends with %.40q", body, lines[max(end, 0):])
		}
		for _, line := range lines[1:end] {
			if !strings.HasPrefix(line, "| ") && line != "|" || strings.Contains(line, fence) {
				t.Errorf("%.40q: line %.40q", body, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool {
				return r < ' ' || r == '\u2028' || r == '\u202e' || r == '\u2066' || r == 0x7f || r == 0x85
			}) {
				t.Errorf("%.40q: line %.40q", body, line)
			}
		}
	}
}

func TestNoteSaysWhatItSays(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "r12:done.1_a-b", Body: "Alice 批准了 👩‍💻\n\n`go test` ok\n"}); err != nil {
		t.Fatal(err)
	}
	want := "```text\n| Alice 批准了 👩‍💻\n|\n| `go test` ok\n```\n\n<!-- mrgate:r12:done.1_a-b -->"
	if got := s.mr(ref).Notes[0].Body; got != want {
		t.Errorf("got %q", got)
	}
}

func TestNoteKeysAreChecked(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	for _, key := range []string{"", "a b", "a\nb", "a--b", "-->", "é", "a/b", strings.Repeat("a", 201)} {
		if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: key, Body: "b"}); err == nil {
			t.Errorf("key %q was taken", key)
		}
	}
	if calls := s.calls(); len(calls) > 0 {
		t.Errorf("called %q", calls)
	}
}

func TestInternalNote(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Visibility = "public" })
	ref, _ := s.open(gitlabsim.MergeRequest{})
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Internal: true}); err != nil {
		t.Fatal(err)
	}
	if n := s.mr(ref).Notes[0]; !n.Internal {
		t.Errorf("it is public: %+v", n)
	}
	id, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "another", Internal: true, Again: true})
	if err != nil || len(s.mr(ref).Notes) != 1 || !s.mr(ref).Notes[0].Internal || !strings.Contains(s.mr(ref).Notes[0].Body, "another") {
		t.Errorf("changed: %v, %+v", err, s.mr(ref).Notes)
	}
	if calls := strings.Join(s.calls(), ", "); strings.Count(calls, "GET /version") != 1 {
		t.Errorf("called %s", calls)
	}
	// What was changed by an older server afterwards is still internal.
	s.Install("16.8.2-ee")
	if again, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "a third", Internal: true, Ref: id}); err != nil || again != id || !s.mr(ref).Notes[0].Internal {
		t.Errorf("changed: %v, %+v", err, s.mr(ref).Notes)
	}
}

// An old GitLab drops the flag and publishes the text, without a word.
func TestInternalNoteIsNotPublished(t *testing.T) {
	for _, version := range []string{"16.8.2-ee", "15.11.0", "8.0.0-rc1", "unknown", ""} {
		written := 0
		f := canned(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/version") {
				writeJSON(w, 200, map[string]any{"version": version})
				return
			}
			written++
			writeJSON(w, 201, map[string]any{"id": 5})
		})
		_, err := f.Note(t.Context(), gate.Ref{}, gate.Note{Key: "k", Body: "b", Internal: true})
		if written > 0 || err == nil || version != "" && !errors.Is(err, gate.ErrPublic) {
			t.Errorf("version %q: written %d times, %v", version, written, err)
		}
		if _, err := f.Note(t.Context(), gate.Ref{}, gate.Note{Key: "k", Body: "b"}); err != nil || written != 1 {
			t.Errorf("a public note on version %q: written %d times, %v", version, written, err)
		}
	}
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Visibility = "public" })
	ref, _ := s.open(gitlabsim.MergeRequest{})
	s.Install("16.8.2-ee")
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Internal: true}); !errors.Is(err, gate.ErrPublic) || !strings.Contains(err.Error(), `"16.8.2-ee"`) {
		t.Errorf("got %v", err)
	}
	s.Inject(gitlabsim.Fault{Method: "GET", PathSuffix: "/version", Status: 403, Times: 1})
	s.skip(2 * time.Hour)
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Internal: true}); !errors.Is(err, gate.ErrPublic) {
		t.Errorf("the version is a secret: %v", err)
	}
	s.Inject(gitlabsim.Fault{Method: "GET", PathSuffix: "/version", Status: 502, Times: 1})
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Internal: true}); !plain(err) {
		t.Errorf("no version for now: %v", err)
	}
	s.Install("17.0.0")
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Internal: true}); err != nil || !s.mr(ref).Notes[0].Internal {
		t.Errorf("after an upgrade: %v, %+v", err, s.mr(ref).Notes)
	}
	s.RemoveNotes(7, 1)
	if notes := s.mr(ref).Notes; len(notes) > 0 {
		t.Errorf("published %+v", notes)
	}
}

// What was published all the same, since a role is missing, is deleted; also if
// that has to be tried twice, and nothing is published twice for it.
func TestInternalNoteThatWasPublishedIsDeleted(t *testing.T) {
	s := newSim(t)
	s.project(func(p *gitlabsim.Project) { p.Visibility, p.BotAccess = "public", gitlabsim.Guest })
	ref, _ := s.open(gitlabsim.MergeRequest{})
	n := gate.Note{Key: "k", Body: "b", Internal: true}
	if _, err := s.forge.Note(t.Context(), ref, n); !errors.Is(err, gate.ErrPublic) {
		t.Errorf("got %v", err)
	}
	if notes := s.mr(ref).Notes; len(notes) > 0 {
		t.Errorf("published %+v", notes)
	}
	s.Inject(gitlabsim.Fault{Method: "DELETE", Status: 502, Times: 1})
	if _, err := s.forge.Note(t.Context(), ref, n); !plain(err) {
		t.Errorf("could not be deleted: %v", err)
	}
	n.Again = true
	if _, err := s.forge.Note(t.Context(), ref, n); !errors.Is(err, gate.ErrPublic) {
		t.Errorf("got %v", err)
	}
	if notes := s.mr(ref).Notes; len(notes) > 0 {
		t.Errorf("published %+v", notes)
	}
}

// A note that was public before the policy wanted it to be internal.
func TestPublicNoteBecomesInternal(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	id, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "c", Internal: true, Ref: id})
	if notes := s.mr(ref).Notes; err != nil || again == id || len(notes) != 1 || !notes[0].Internal || !strings.Contains(notes[0].Body, "c") {
		t.Errorf("%q, %v, %+v", again, err, notes)
	}
}

func TestNoteThatWasDeletedIsWrittenAnew(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	first, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b"})
	if err != nil {
		t.Fatal(err)
	}
	s.RemoveNotes(7, 1)
	for range 2 { // the second time, where it is was not written down
		second, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "c", Ref: first})
		if notes := s.mr(ref).Notes; err != nil || second == first || len(notes) != 1 || !strings.Contains(notes[0].Body, "c") {
			t.Errorf("%q, %v, %+v", second, err, notes)
		}
	}
}

// Only a note of our own, whose marker stands where we put it, is the note.
func TestNoteAgain(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	s.Comment(7, 1, "mallory", "nothing was approved\n\n<!-- mrgate:k -->")
	if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "other", Body: "a reason\n\n<!-- mrgate:k -->"}); err != nil {
		t.Fatal(err)
	}
	s.ResetCalls()
	first, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Again: true})
	if err != nil {
		t.Fatal(err)
	}
	if calls := s.calls(); len(calls) != 3 {
		t.Errorf("called %q", calls)
	}
	for range 250 { // it is no longer on the first page
		s.Comment(7, 1, "mallory", "spam")
	}
	again, err := s.forge.Note(t.Context(), ref, gate.Note{Key: "k", Body: "b", Again: true})
	if err != nil || again != first {
		t.Errorf("%q instead of %q, %v", again, first, err)
	}
	if calls := s.calls(); len(calls) != 3 {
		t.Errorf("called %q", calls)
	}
	if n := len(s.mr(ref).Notes); n != 253 {
		t.Errorf("%d notes", n)
	}
}

func TestNoteThatWasNotWritten(t *testing.T) {
	f := canned(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 202, map[string]any{"commands_changes": map[string]any{}, "summary": []string{"Closed"}})
	})
	if _, err := f.Note(t.Context(), gate.Ref{}, gate.Note{Key: "k", Body: "b"}); !plain(err) {
		t.Errorf("got %v", err)
	}
}

func TestOwnNotesComeBackAsTheyWereWritten(t *testing.T) {
	s := newSim(t)
	s.project()
	ref, _ := s.open(gitlabsim.MergeRequest{})
	if own, err := s.forge.OwnNotes(t.Context(), ref); err != nil || len(own) != 0 {
		t.Errorf("no notes: %+v, %v", own, err)
	}
	bodies := []string{"Approved by Alice\nRejected by Carol: ``` | x", "  indented | twice", "审批\n\nlast"}
	for i, body := range bodies {
		s.Comment(7, 1, "mallory", "| lies\n\n<!-- mrgate:k -->")
		if _, err := s.forge.Note(t.Context(), ref, gate.Note{Key: fmt.Sprint("key-", i), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	own, err := s.forge.OwnNotes(t.Context(), ref)
	if err != nil || len(own) != len(bodies) {
		t.Fatalf("%+v, %v", own, err)
	}
	for i, n := range own { // the newest first
		if was := len(bodies) - 1 - i; n.Key != fmt.Sprint("key-", was) || n.Body != bodies[was] || n.ID == 0 {
			t.Errorf("note %d: %+v", i, n)
		}
	}
	if _, err := s.forge.OwnNotes(t.Context(), gate.Ref{Project: ref.Project, Number: 99}); !errors.Is(err, gate.ErrNotFound) {
		t.Errorf("of no merge request: %v", err)
	}
}

func FuzzNote(f *testing.F) {
	for _, body := range hostile() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var sent string
		forge := canned(t, func(w http.ResponseWriter, r *http.Request) {
			sent = bodyOf(t, r)["body"].(string)
			writeJSON(w, 201, map[string]any{"id": 1})
		})
		if _, err := forge.Note(t.Context(), gate.Ref{}, gate.Note{Key: "k", Body: body}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(sent, "\n")
		fence := strings.TrimSuffix(lines[0], "text")
		end := len(lines) - 3
		for _, line := range lines[1:end] {
			if !strings.HasPrefix(line, "|") || strings.Contains(line, fence) {
				t.Errorf("line %q", line)
			}
		}
		if lines[end] != fence {
			t.Errorf("ends with %q", lines[end])
		}
	})
}
