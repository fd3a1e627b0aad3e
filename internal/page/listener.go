package page

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

//go:embed listener
var listenerFiles embed.FS

const (
	// updates is how often a page that can be seen asks for itself.
	updates = 3 * time.Second
	// rows is how many there are on one page of a list.
	rows = 50
	// answerWithin is how long a page may take to be made.
	answerWithin = 10 * time.Second
)

// ListenerConfig is what the listener's page shows and how.
type ListenerConfig struct {
	Archive gate.Archive
	Version string // of mrgate
	DryRun  bool
	Zone    *time.Location // of all times
	Log     *slog.Logger
}

// listenerPage is what the listener shows of its database. It only reads.
type listenerPage struct {
	ListenerConfig
	pages *Pages
}

// Listener gives the listener's page and the files it uses, by the patterns of
// http.ServeMux under which they are mounted. Who may read is for others to check.
func Listener(cfg ListenerConfig) (map[string]http.Handler, error) {
	l := &listenerPage{ListenerConfig: cfg}
	files, err := fs.Sub(listenerFiles, "listener")
	if err != nil {
		return nil, fmt.Errorf("read pages: %w", err)
	}
	l.pages, err = Load(files, l.functions())
	if err != nil {
		return nil, err
	}
	routes := Assets()
	maps.Copy(routes, map[string]http.Handler{
		"GET /{$}":           l.handle(l.overview),
		"GET /requests":      l.handle(l.requests),
		"GET /requests/{id}": l.handle(l.request),
		"GET /merges":        l.handle(l.merges),
	})
	return routes, nil
}

// functions are what the templates of these pages call.
func (l *listenerPage) functions() template.FuncMap {
	return template.FuncMap{
		"day":    func(t time.Time) string { return t.In(l.Zone).Format("2006-01-02 15:04") },
		"moment": func(t time.Time) string { return t.In(l.Zone).Format("2006-01-02 15:04:05") },
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago":    func(t, now time.Time) string { return ago(now.Sub(t)) },
		"forge":  forgeLink,
		"hash":   func(h string) string { return story.Clean(h[:min(len(h), 16)]) },
		"table":  func(caption string, rows any) map[string]any { return map[string]any{"Caption": caption, "Rows": rows} },
	}
}

// view is a page to be shown.
type view struct {
	name   string // of the template
	title  string
	here   string // the place in the header's list
	live   bool
	sought string // what was searched for
	data   any

	elsewhere string // to go to instead
}

// errAbsent : there is nothing under this address.
var errAbsent = errors.New("absent")

// handle shows what make gives.
func (l *listenerPage) handle(make func(r *http.Request) (view, error)) http.Handler {
	return Headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		r = r.WithContext(ctx)
		v, err := make(r)
		status := http.StatusOK
		switch {
		case errors.Is(err, errAbsent):
			v, status = view{name: "absent.html", title: "Not found"}, http.StatusNotFound
		case err != nil:
			l.Log.ErrorContext(ctx, "a page could not be made", "path", r.URL.Path, "err", err)
			v, status = view{name: "failed.html", title: "Failed"}, http.StatusInternalServerError
		case v.elsewhere != "":
			http.Redirect(w, r, v.elsewhere, http.StatusSeeOther)
			return
		}
		if err := l.pages.Write(w, r, status, v.name, l.frame(v), v.data); err != nil {
			l.Log.ErrorContext(ctx, "a page could not be made", "path", r.URL.Path, "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		}
	}))
}

func (l *listenerPage) frame(v view) Frame {
	f := Frame{
		Title: v.title, Name: "mrgate",
		Nav:    []Link{{Text: "Now", URL: "/"}, {Text: "Requests", URL: "/requests"}, {Text: "Merges", URL: "/merges"}},
		Search: &Search{URL: "/requests", Label: "Search requests", Hint: "Number, project!7, commit, person", Button: "Search", Text: v.sought},
		Foot:   []string{"mrgate " + l.Version, "Times in " + story.ZoneName(time.Now(), l.Zone)},
	}
	for i := range f.Nav {
		f.Nav[i].Here = f.Nav[i].URL == v.here
	}
	if l.DryRun {
		f.Note = "A dry run: decisions are recorded and shown, and nothing is changed in GitLab, now or later."
	}
	if v.live {
		f.Live = updates
	}
	return f
}

// forgeLink is the address of a merge request of GitLab's that a link may lead to:
// a web page of the merge request by this name (payments/api!7). It is what the
// configured GitLab says of itself, whose host may be another for browsers than for
// mrgate. "": it is no such address.
func forgeLink(address, name string) string {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		!strings.HasSuffix(u.Path, "/"+strings.Replace(name, "!", "/-/merge_requests/", 1)) {
		return ""
	}
	return u.String()
}
