package sandbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mrgate/internal/page"
)

//go:embed pages
var pageFiles embed.FS

//go:embed sandbox.css
var sandboxCSS string

//go:embed sandbox.js
var sandboxJS string

// web is the desk's page.
type web struct {
	desk  *desk
	pages *page.Pages
	words func(string) string
	lang  string

	mu   sync.Mutex
	said *toast // to be shown on the next page, after a form without a script
}

func newWeb(d *desk) (*web, error) {
	w := &web{desk: d, lang: d.opts.Locale, words: phrases(d.opts.Locale)}
	files, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		return nil, err
	}
	zone := time.Local
	if named, err := time.LoadLocation(strings.TrimPrefix(d.opts.Zone, ":")); err == nil && d.opts.Zone != "" {
		zone = named
	}
	w.pages, err = page.Load(files, template.FuncMap{
		"t":     w.words,
		"clock": func(t time.Time) string { return t.In(zone).Format("15:04:05") },
		"class": func(s string) string { return strings.ToLower(s) },
	})
	return w, err
}

// handler is the whole site, which answers only to who calls it by its own name,
// and takes nothing that another site's page sends.
func (d *desk) handler(address string) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range page.Assets() {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("GET /{$}", d.web.home)
	mux.HandleFunc("GET /steps/{id}", d.web.step)
	mux.HandleFunc("GET /events", d.web.events)
	mux.HandleFunc("POST /do", d.web.do)
	mux.HandleFunc("POST /press", d.web.press)
	mux.HandleFunc("GET /"+projectPath+"/-/merge_requests/{iid}", d.web.mergeRequest) // where cards lead
	mux.HandleFunc("GET /"+projectPath+"/-/merge_requests/{iid}/{rest...}", d.web.mergeRequest)
	for name, file := range map[string]struct{ kind, text string }{
		"sandbox.css": {"text/css; charset=utf-8", sandboxCSS},
		"card.css":    {"text/css; charset=utf-8", cardCSS},
		"sandbox.js":  {"text/javascript; charset=utf-8", sandboxJS},
		"card.js":     {"text/javascript; charset=utf-8", cardJS},
	} {
		mux.HandleFunc("GET /"+name, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", file.kind)
			rw.Header().Set("Cache-Control", "no-cache")
			http.ServeContent(rw, r, name, time.Time{}, strings.NewReader(file.text))
		})
	}
	_, port, _ := net.SplitHostPort(address) // a listener's own
	names := []string{address, "127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port}
	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return page.Headers(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// A name of somebody else's that leads to this machine is not ours.
		if !slices.Contains(names, strings.ToLower(r.Host)) {
			http.Error(rw, "this sandbox is at http://"+address, http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, 64<<10)
		sameOrigin.ServeHTTP(rw, r)
	}))
}

func (w *web) frame(title string) page.Frame {
	return page.Frame{
		Lang: map[string]string{"zh": "zh-CN"}[w.lang], Title: title, Name: "mrgate sandbox", Wide: true,
		Styles: []string{"/card.css", "/sandbox.css"}, Scripts: []string{"/card.js", "/sandbox.js"},
		Words: page.Words{Skip: w.words("Skip to the content")},
	}
}

func (w *web) home(rw http.ResponseWriter, r *http.Request) {
	v := w.desk.view()
	w.mu.Lock()
	if r.Header.Get("Accept") != "text/html" { // a script's has its own way to say it
		v.Said, w.said = w.said, nil
	}
	w.mu.Unlock()
	if err := w.pages.Write(rw, r, http.StatusOK, "main.html", w.frame(w.words("The whole loop, on this machine")), v); err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
	}
}

// step shows the bodies of a request and its answer.
func (w *web) step(rw http.ResponseWriter, r *http.Request) {
	all := w.desk.journal.all()
	i := slices.IndexFunc(all, func(s step) bool { return s.ID == r.PathValue("id") })
	if i < 0 {
		http.NotFound(rw, r)
		return
	}
	s := all[i]
	s.Request, s.Answer = legible(s.Request), legible(s.Answer)
	if path, err := url.PathUnescape(s.HTTP); err == nil {
		s.HTTP = path
	}
	if err := w.pages.Write(rw, r, http.StatusOK, "step.html", w.frame(s.What), s); err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
	}
}

// legible sets JSON out in lines; other bodies stay as they are.
func legible(body string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
		return body
	}
	return b.String()
}

// mergeRequest leads from a card's link to where GitLab is shown.
func (w *web) mergeRequest(rw http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("iid"))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	http.Redirect(rw, r, fmt.Sprintf("/#mr-%d", n), http.StatusSeeOther)
}

func (w *web) do(rw http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(rw, "the form cannot be read", http.StatusBadRequest)
		return
	}
	said, err := w.desk.do(r.Context(), r)
	w.answer(rw, r, said, err)
}

func (w *web) press(rw http.ResponseWriter, r *http.Request) {
	press, err := readPress(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	seen, err := strconv.Atoi(r.URL.Query().Get("seen"))
	if err != nil {
		http.Error(rw, "the form says nothing of what was seen", http.StatusBadRequest)
		return
	}
	said, err := w.desk.click(r.Context(), press, seen)
	w.answer(rw, r, said, err)
}

// answer says what came of a form: to a script as JSON, else on the next page.
func (w *web) answer(rw http.ResponseWriter, r *http.Request, said toast, err error) {
	if err != nil {
		said = toast{Text: w.desk.redact(err.Error()), Tone: "stop"}
	}
	if r.Header.Get("Accept") == "application/json" {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(said) // the visitor has left
		return
	}
	w.mu.Lock()
	if said.Text != "" {
		w.said = &said
	}
	w.mu.Unlock()
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}

// events tells the page whenever something has changed. Source of the form:
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (w *web) events(rw http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(rw)
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	for {
		next := w.desk.journal.news.next()
		if _, err := fmt.Fprint(rw, "data: changed\n\n"); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}

// phrases gives the page's own sentences in a language.
func phrases(locale string) func(string) string {
	if locale != "zh" {
		return func(s string) string { return s }
	}
	chinese := inChinese()
	return func(s string) string {
		if c, ok := chinese[s]; ok {
			return c
		}
		return s
	}
}
