package e2e

import (
	"context"
	"encoding/base64"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mrgate/internal/gitlabsim"
)

// visit is what a browser without scripts gets, following no redirect. header may
// be nil.
func visit(t testing.TB, address string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Host = header.Get("Host")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// page is one of the listener's, which must be there.
func (l *listener) page(path string) string {
	l.t.Helper()
	resp, body := visit(l.t, l.admin()+path, nil)
	if resp.StatusCode != http.StatusOK {
		l.t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return body
}

// plainly is what is to be read on a page.
func plainly(page string) string {
	_, page, _ = strings.Cut(page, "<main")
	page = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

// tells demands that a page says this, in this order, to who reads it.
func tells(t testing.TB, page string, sentences ...string) {
	t.Helper()
	rest := plainly(page)
	for _, s := range sentences {
		i := strings.Index(rest, s)
		if i < 0 {
			t.Errorf("the page does not say %q here:\n%s\nall of it:\n%s", s, rest, plainly(page))
			return
		}
		rest = rest[i+len(s):]
	}
}

func TestPageShowsWhatWaitsAndWhatHappened(t *testing.T) {
	t.Parallel()
	const hostile = "Retry <img src=x onerror=alert(1)> \u202Egpj.exe\" onload=\"x 支付回调"
	w := newWorld(t, policyWith("carol@example.com]", "carol@example.com]\n    required: 2"))
	l := w.hooked(w.start())
	tells(t, l.page("/"), "Nothing waits.", "No request is over yet")

	mr := w.open(func(m *gitlabsim.MergeRequest) { m.Title = hostile })
	w.card(w.alice)
	w.card(w.carol)
	page := l.page("/")
	tells(t, page, "Waiting: 1 for approval.", "支付回调", "acme/webhook!1 · feature/retry → main · @bob", "pending", "Alice, Carol 0 of 2 given", "production", "< 1 min")
	for _, bad := range []string{"<img src=x", "\u202E", `onload="x`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(page, "Retry &lt;img src=x onerror=alert(1)&gt; gpj.exe") {
		t.Errorf("the title is not shown as it reads:\n%s", page)
	}

	w.click(l, w.alice, "approve", "")
	w.eventually("one approval is shown", func() bool { return strings.Contains(plainly(l.page("/")), "Carol 1 of 2 given") })
	w.click(l, w.carol, "approve", "")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	tells(t, l.page("/"), "Nothing waits.", "Recently over", "merged", "Alice, Carol approved")

	story := l.page("/requests/1")
	tells(t, story, "gpj.exe", "merged", "request 1", "acme/webhook!1", "in GitLab", "Bob Chen (@bob)", "feature/retry → main",
		"2 of 2 approvals · rule production", "Alice approved", "log entry", "Carol approved",
		"What happened", "opened for", "Alice approved", "Carol approved", "pending → approved", "approved commit", "GitLab merged commit", "Messages", "card to Alice")
	if want := `href="https://gitlab.example.com/acme/webhook/-/merge_requests/1"`; !strings.Contains(story, want) {
		t.Errorf("the page does not lead to GitLab, %s:\n%s", want, story)
	}

	around := w.open(func(m *gitlabsim.MergeRequest) { m.Source, m.Title = "feature/hotfix", "Hotfix of the ledger" })
	w.eventually("both are asked", func() bool { return len(w.cards(w.alice)) == 2 && len(w.cards(w.carol)) == 2 })
	w.gitlab.MergeByHand(project, around.IID, "erin")
	w.eventually("it is known to be merged", func() bool { return w.shows(w.alice, "Merged in GitLab") && w.shows(w.carol, "Merged in GitLab") })
	tells(t, l.page("/"), "Merged around the gate", "Hotfix of the ledger", "around", "not approved; merged by @erin", "log entry",
		"Recently over", "withdrawn", "it was merged in GitLab, not from here")
	tells(t, l.page("/merges"), "Hotfix", "around")
	tells(t, l.page("/merges?show=all"), "Hotfix", "around", "支付回调", "through", "Alice, Carol approved")
	tells(t, l.page("/merges?show=all&project=other/*"), "There is no such merge")

	head := w.mr(mr.IID).Head
	for text, want := range map[string]string{
		"1": "/requests/1", "acme/webhook!1": "/requests/1", "ACME/webhook!2": "/requests/2", head[:10]: "/requests/1",
		"https://gitlab.example.com/acme/webhook/-/merge_requests/2/diffs": "/requests/2",
	} {
		resp, _ := visit(t, l.admin()+"/requests?q="+url.QueryEscape(text), nil)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("a search for %s: %d to %q, want %s", text, resp.StatusCode, got, want)
		}
	}
	for query, want := range map[string]string{
		"q=HOTFIX+ledger": "Hotfix of the ledger", "q=carol": "支付回调", "q=" + url.QueryEscape("支付"): "支付回调",
		"state=merged": "支付回调", "project=acme/*&state=over&q=ledger": "Hotfix of the ledger",
		"state=open": "There is no such request", "q=nobody": "There is no such request", "q=99": "There is no such request",
		"project=a*b": "is no project",
	} {
		tells(t, l.page("/requests?"+query), want)
	}
	for _, path := range []string{"/requests/99", "/requests/x", "/requests?state=x", "/requests?before=x", "/merges?before=1-x"} {
		if resp, body := visit(t, l.admin()+path, nil); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "Not found") {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestPageTrustsNobody(t *testing.T) {
	t.Parallel()
	const operator = "op-e2e-4Kd8sWqM"
	w := newWorld(t)
	l := w.start()
	for _, path := range []string{"/", "/requests", "/merges", "/requests/7"} {
		resp, body := visit(t, l.admin()+path, nil)
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		if h := resp.Header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
		for _, m := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") || strings.HasPrefix(m[1], "//") {
				t.Errorf("%s leads elsewhere, to %s", path, m[1])
			}
			if strings.HasPrefix(m[1], "/page/") {
				if file, _ := visit(t, l.admin()+m[1], nil); file.StatusCode != http.StatusOK {
					t.Errorf("%s needs %s: %d", path, m[1], file.StatusCode)
				}
			}
		}
		if bad := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|<script(?: [^>]*)?>[^<]`).FindString(body); bad != "" {
			t.Errorf("%s holds %q", path, bad)
		}
		if resp, _ := visit(t, l.admin()+path, http.Header{"Host": {"evil.example.com"}}); resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s under another name: %d, want 421", path, resp.StatusCode)
		}
		if status, _ := request(t, http.MethodPost, l.admin()+path); status != http.StatusNotFound {
			t.Errorf("POST %s: %d, want 404", path, status)
		}
		if status, _ := request(t, http.MethodGet, l.url+path); status != http.StatusNotFound {
			t.Errorf("%s on the public address: %d, want 404", path, status)
		}
	}
	first, _ := visit(t, l.admin()+"/", nil)
	if again, body := visit(t, l.admin()+"/", http.Header{"If-None-Match": {first.Header.Get("ETag")}}); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("an unchanged page is sent again: %d, %d bytes", again.StatusCode, len(body))
	}

	open := w.startIn(append(w.environ(), "MRGATE_OPERATOR_TOKEN="+operator), "--admin-listen", "0.0.0.0:0")
	address := regexp.MustCompile(`:(\d+)$`).FindStringSubmatch(open.admin())[1]
	// A browser sends the password along with what another site has it send; so it
	// must not decide anything.
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+operator))
	decision := []byte(`{"verdict":"approve"}`)
	if status, answer := post(t, "http://127.0.0.1:"+address+"/api/v1/requests/1/decisions", decision, http.Header{"Authorization": {basic}}); status != http.StatusUnauthorized {
		t.Errorf("a decision with a password: %d %s, want 401", status, answer)
	}
	for user, want := range map[*url.Userinfo]int{
		nil: 401, url.UserPassword("me", "wrong"): 401, url.UserPassword("", ""): 401, url.UserPassword(operator, ""): 401, url.UserPassword("me", operator): 200,
	} {
		for _, path := range []string{"/", "/requests/7", "/page/style.css"} {
			resp, body := visit(t, (&url.URL{Scheme: "http", User: user, Host: "127.0.0.1:" + address, Path: path}).String(), nil)
			expected := want
			if want == 200 && path == "/requests/7" {
				expected = 404
			}
			if resp.StatusCode != expected {
				t.Errorf("%s beyond this machine with %v: %d, want %d", path, user, resp.StatusCode, expected)
			}
			if want == 401 && (!strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") || strings.Contains(body, "<main")) {
				t.Errorf("%s is refused with %v:\n%s", path, resp.Header, body)
			}
		}
	}
}
