package page

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// hostile is what somebody may write into a title.
const hostile = "<script>alert(1)</script>\" onload='x' \u202Egpj.exe\u202C\n\n{{.}} javascript:alert(1)"

func specimen(t *testing.T) (*Pages, Frame, any) {
	t.Helper()
	pages, err := Load(os.DirFS("testdata/specimen"), nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := Frame{
		Title: hostile, Name: "mrgate", Nav: []Link{{"Waiting", "/", true}, {"Merges", "/merges", false}}, Live: 3 * time.Second,
		Search: &Search{URL: "/search", Label: "Search", Hint: "Number, project, person", Button: "Search", Text: hostile}, Foot: []string{"mrgate 1.0"},
	}
	return pages, frame, map[string]any{"Title": hostile, "States": gate.States()}
}

func TestWhatPeopleWroteStaysText(t *testing.T) {
	pages, frame, data := specimen(t)
	body, err := pages.Render("main.html", frame, data)
	if err != nil {
		t.Fatal(err)
	}
	html := string(body)
	for _, bad := range []string{"<script>alert", "\u202E", "onload='x'"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if want := "<h1><bdi>&lt;script&gt;alert(1)&lt;/script&gt;&#34; onload=&#39;x&#39; gpj.exe {{.}} javascript:alert(1)</bdi></h1>"; !strings.Contains(html, want) {
		t.Errorf("the page does not hold %s", want)
	}
	if found := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+="|<script>|javascript:[^a]`).FindString(html); found != "" {
		t.Errorf("the page has %q, which its own policy forbids", found)
	}
}

func TestEveryStateHasATone(t *testing.T) {
	for _, s := range gate.States() {
		if over := ToneOf(s) == ToneGone; over != slices.Contains([]gate.State{gate.Expired, gate.Superseded, gate.Withdrawn}, s) {
			t.Errorf("%s has the tone %s", s, ToneOf(s))
		}
	}
}

func TestUnchangedPageIsNotSentAgain(t *testing.T) {
	pages, frame, data := specimen(t)
	get := func(tag string) *http.Response {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", tag)
		if err := pages.Write(w, r, http.StatusOK, "main.html", frame, data); err != nil {
			t.Fatal(err)
		}
		return w.Result()
	}
	first := get("")
	if again := get(first.Header.Get("ETag")); first.StatusCode != http.StatusOK || again.StatusCode != http.StatusNotModified {
		t.Errorf("answered %d, then %d", first.StatusCode, again.StatusCode)
	}
	frame.Title = "Another"
	if changed := get(first.Header.Get("ETag")); changed.StatusCode != http.StatusOK {
		t.Errorf("another page was answered %d", changed.StatusCode)
	}
}

func TestPagesThatDoNotHold(t *testing.T) {
	pages, frame, _ := specimen(t)
	if _, err := pages.Render("other.html", frame, nil); err == nil {
		t.Error("a page was made that does not exist")
	}
	if _, err := pages.Render("main.html", frame, struct{}{}); err == nil {
		t.Error("a page was made of something else")
	}
	if _, err := Load(os.DirFS("testdata"), nil); err != nil {
		t.Error(err)
	}
}

func TestAssets(t *testing.T) {
	routes := Assets()
	for _, name := range []string{"style.css", "live.js", "mark.svg"} {
		handler := routes["GET /page/"+name]
		for url, kept := range map[string]bool{AssetURL(name): true, "/page/" + name + "?v=other": false} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
			if w.Code != http.StatusOK || w.Body.Len() == 0 || w.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("%s: %d, %d bytes, %v", url, w.Code, w.Body.Len(), w.Header())
			}
			if strings.Contains(w.Header().Get("Cache-Control"), "immutable") != kept {
				t.Errorf("%s: Cache-Control is %s", url, w.Header().Get("Cache-Control"))
			}
		}
	}
	if len(routes) != 3 {
		t.Errorf("there are others: %v", slices.Sorted(maps.Keys(routes)))
	}
	style, err := assets.ReadFile("asset/style.css")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`url\(|@import|https?:`).Find(style); found != nil {
		t.Errorf("the stylesheet loads something: %s", found)
	}
}
