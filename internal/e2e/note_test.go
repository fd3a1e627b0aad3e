package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"mrgate/internal/gitlabsim"
)

func TestNoteSaysWhoWhenWhichRuleAndWhereInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	w.click(l, w.alice, "approve", "well done")
	w.once(mr.IID, "POST 1/notes 201")
	body := w.mr(mr.IID).Notes[0].Body
	said := regexp.MustCompile(`(?m)^\| Approved by Alice in Feishu: well done · commit (\w{8}) · rule production · (20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC) · log #(\d+) (\w{32})$`).FindStringSubmatch(body)
	if said == nil || said[1] != mr.Head[:8] || !strings.Contains(body, "| → Merged into main · commit "+w.mr(mr.IID).MergeCommit[:8]) {
		t.Fatalf("the note reads\n%s", body)
	}
	for _, e := range w.log("decided") {
		if fmt.Sprint(e.Number) != said[3] || e.Hash[:32] != said[4] {
			t.Errorf("the note names entry %s %s, the decision is entry %d %s", said[3], said[4], e.Number, e.Hash)
		}
	}
}

// One note, which follows what becomes of the decision.
func TestNoteIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.PipelinesMustSucceed, p.CI = true, true })
	l := w.hooked(w.start())
	mr := w.open()
	w.card(w.alice)
	w.card(w.carol)
	// The answer to the first writing is lost, and others write a lot meanwhile.
	w.gitlab.Inject(gitlabsim.Fault{Method: http.MethodPost, PathSuffix: "/notes", LoseAnswer: true, Times: 1})
	found := w.gitlab.Inject(gitlabsim.Fault{Method: http.MethodGet, PathSuffix: "/notes", Status: 502})
	w.click(l, w.alice, "approve", "")
	w.eventually("it is approved, and waits for its pipeline", func() bool { return w.mr(mr.IID).AutoMerge })
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	for i := range 250 {
		w.gitlab.Comment(project, mr.IID, "erin", fmt.Sprint("comment ", i))
	}
	found()
	w.eventually("the note is looked for, on page after page", func() bool { return count(w.forgeCalls(), "GET 1/notes 200") >= 3 })
	says := func(texts ...string) func() bool {
		return func() bool {
			own := 0
			for _, n := range w.mr(mr.IID).Notes {
				if n.Author != "mrgate-bot" {
					continue
				}
				own++
				for _, text := range texts {
					if !strings.Contains(n.Body, text) {
						return false
					}
				}
			}
			return own == 1
		}
	}
	w.eventually("it says who approved", says("Approved by Alice in Feishu"))
	w.click(l, w.carol, "reject", "the pipeline takes too long")
	w.eventually("it says who rejected, too", says("Approved by Alice in Feishu", "Rejected by Carol in Feishu: the pipeline takes too long"))
	w.eventually("it is closed, with nothing of mrgate's left", func() bool {
		now := w.mr(mr.IID)
		return now.State == "closed" && !now.AutoMerge && len(now.ApprovedBy) == 0
	})
	w.never("there is more than one note", func() bool { return !says("Approved by Alice")() })
}

func TestWhoMayReadTheNote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		visibility, note, version string
		want                      string // "": none
	}{
		{"private", "", "", "public"},
		{"public", "", "", "internal"},
		{"public", "public", "", "public"},
		{"private", "internal", "", "internal"},
		{"public", "off", "", ""},
		{"public", "", "16.9.0-ee", "internal"},
		{"public", "", "16.8.7-ee", ""}, // it would publish what is to be internal
		{"private", "internal", "15.11.13", ""},
	} {
		t.Run(fmt.Sprintf("%s project, note %q, GitLab %q", c.visibility, c.note, c.version), func(t *testing.T) {
			t.Parallel()
			text := policyText
			if c.note != "" {
				text += "note: " + c.note + "\n"
			}
			w := newWorld(t, ready(), withPolicy(text), func(s *setup) { s.gitlab.Version = c.version })
			w.gitlab.ChangeProject(project, func(p *gitlabsim.Project) { p.Visibility = c.visibility })
			l := w.hooked(w.start())
			for i := range 2 {
				mr := w.open(func(m *gitlabsim.MergeRequest) { m.Source = fmt.Sprint("change-", i) })
				w.eventually("Alice is asked", func() bool { return len(w.cards(w.alice)) == i+1 && w.asks(w.alice, "approve") })
				if _, err := w.tryClick(l, w.alice, w.newest(w.alice).ID, "approve", ""); err != nil {
					t.Fatal(err)
				}
				w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
				w.eventually("Carol's card says so", func() bool { return w.shows(w.carol, "Merged ·") })
				if c.want != "" {
					w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
				}
				var got []string
				for _, n := range w.mr(mr.IID).Notes {
					got = append(got, map[bool]string{true: "internal", false: "public"}[n.Internal])
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("the notes are %q, want %q", got, c.want)
				}
			}
			if c.want == "" && c.note != "off" {
				w.eventually("it is said", func() bool { return strings.Contains(l.log.String(), "came with GitLab 16.9") })
				w.never("it was said twice, or published", func() bool {
					return strings.Count(l.log.String(), "notes are not written") != 1 || count(w.forgeCalls(), "POST 1/notes") > 0
				})
				given := false
				for _, e := range w.log("effect") {
					given = given || strings.Contains(string(e.Data), `"effect":"note"`) && strings.Contains(string(e.Data), "16.9")
				}
				if !given {
					t.Error("the log does not say why there is no note")
				}
			}
		})
	}
}
