package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"

	"mrgate/internal/story"
	"mrgate/internal/words"
)

//go:embed base
var base embed.FS

// Pages are templates, each with all the parts it is made of.
type Pages struct {
	byName map[string]*template.Template
}

// Load reads the pages: each *.html in the directory is one, and defines "main",
// but for parts.html, if there is one, whose definitions all the others may use. funcs,
// which may be nil, are what these templates call beside what is there for all:
//
//	line TEXT      text of others, on one line, without what can't be seen
//	commit SHA     its first eight digits
//	tone STATE     the tone of a request's state
//	asset NAME     the address of one of the files of [Assets]
func Load(files fs.FS, funcs template.FuncMap) (*Pages, error) {
	all := template.New("").Funcs(template.FuncMap{
		"line": line, "commit": commit, "tone": toneOf, "asset": AssetURL,
	}).Funcs(funcs)
	if _, err := all.ParseFS(base, "base/*.html"); err != nil {
		return nil, fmt.Errorf("read the parts of pages: %w", err)
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, fmt.Errorf("look for pages: %w", err)
	}
	if slices.Contains(names, "parts.html") {
		if _, err := all.ParseFS(files, "parts.html"); err != nil {
			return nil, fmt.Errorf("read the parts of pages: %w", err)
		}
	}
	p := &Pages{byName: make(map[string]*template.Template)}
	for _, name := range names {
		if name == "parts.html" {
			continue
		}
		t, err := all.Clone()
		if err == nil {
			_, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", name, err)
		}
		p.byName[name] = t
	}
	return p, nil
}

// Render gives a page as HTML. An error is a mistake in the template, or in what
// it is given.
func (p *Pages) Render(name string, frame Frame, data any) ([]byte, error) {
	t := p.byName[name]
	if t == nil {
		return nil, fmt.Errorf("there is no page %s", name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", frame.whole(data)); err != nil {
		return nil, fmt.Errorf("make page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Write answers with a page and the status, or, where the browser has this very
// page already, that nothing has changed.
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, status int, name string, frame Frame, data any) error {
	body, err := p.Render(name, frame, data)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusOK {
		tag := `"` + versionOf(body) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// line makes a text of others fit to be shown: see [story.Clean].
func line(text any) string { return story.Clean(fmt.Sprint(text)) }

// commit is a commit's first eight digits.
func commit(sha any) string { return words.Short(fmt.Sprint(sha)) }
