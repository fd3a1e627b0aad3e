package page

import (
	"context"
	"errors"
	"fmt"
	"html"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// shelf is an archive with so many requests, each merged around the gate.
type shelf struct {
	gate.Archive
	requests int64
	read     int // how many were read
	err      error
}

func (s *shelf) request(n int64) gate.Listed {
	l := gate.Listed{
		Number: n, Ref: gate.Ref{Forge: "gitlab", Project: 1, Number: n}, Path: "payments/api", Title: fmt.Sprintf("Change %d", n),
		Source: "feature", Target: "main", State: gate.MergedHere, Rule: "production", Required: 1, OpenedAt: time.Now(),
	}
	if n%1000 == 1 {
		l.Title = "Needle"
	}
	return l
}

func (s *shelf) List(_ context.Context, f gate.Filter) (list []gate.Listed, err error) {
	for n := s.requests; n > 0; n-- {
		if f.Before > 0 && n >= f.Before || len(f.States) > 0 && !slices.Contains(f.States, gate.MergedHere) {
			continue
		}
		list = append(list, s.request(n))
		if s.read++; len(list) == f.Limit {
			break
		}
	}
	return list, s.err
}

func (s *shelf) Story(context.Context, int64) (*gate.MergeRequest, error) {
	return nil, errors.Join(gate.ErrNoRow, s.err)
}

func (s *shelf) Landings(_ context.Context, f gate.LandingFilter) iter.Seq2[gate.Landed, error] {
	return func(yield func(gate.Landed, error) bool) {
		for n := s.requests; n > 0; n-- {
			if f.Before.Row > 0 && n >= f.Before.Row {
				continue
			}
			l := s.request(n)
			if s.read++; !yield(gate.Landed{
				Landing: gate.Landing{At: time.UnixMilli(n), Around: gate.BypassUnasked, Rule: l.Rule}, Row: n, Ref: l.Ref, Path: l.Path, Title: l.Title,
			}, nil) {
				return
			}
		}
	}
}

// get asks the listener's page.
func (s *shelf) get(t *testing.T, path string) (int, string) {
	t.Helper()
	routes, err := Listener(ListenerConfig{Archive: s, Version: "1.0", Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.Handle(pattern, h)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestListsGoOnToTheirEnd(t *testing.T) {
	s := &shelf{requests: 2*rows + 7}
	for _, path := range []string{"/requests", "/requests?state=over&project=payments%2F*", "/merges", "/merges?show=all"} {
		var seen []string
		for next, pages := path, 1; next != ""; pages++ {
			status, page := s.get(t, next)
			if status != http.StatusOK || pages > 3 {
				t.Fatalf("%s: %d, page %d", next, status, pages)
			}
			seen = append(seen, regexp.MustCompile(`>(?:Change \d+|Needle)<`).FindAllString(page, -1)...)
			if first := strings.Contains(page, ">Newest<"); first != (pages > 1) {
				t.Errorf("%s leads to the newest: %t", next, first)
			}
			next = ""
			if m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page); m != nil {
				next = html.UnescapeString(m[1])
			}
		}
		if len(seen) != int(s.requests) || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != len(seen)-strings.Count(strings.Join(seen, ""), "Needle")+1 {
			t.Errorf("%s: %d are shown of %d", path, len(seen), s.requests)
		}
	}
}

// What takes the database its time is not asked for every few seconds.
func TestOnlyQuickPagesKeepThemselvesUpToDate(t *testing.T) {
	s := &shelf{requests: 3}
	for path, want := range map[string]bool{
		"/": true, "/requests": true, "/requests?state=over": true, "/requests?project=payments%2F*": false, "/requests?q=change": false,
		"/merges": true, "/merges?show=all": true, "/merges?project=payments%2F*": false,
	} {
		if _, page := s.get(t, path); strings.Contains(page, "data-live") != want {
			t.Errorf("%s asks for itself again: %t", path, !want)
		}
	}
}

func TestSearchGoesThroughSomeAndSaysSo(t *testing.T) {
	s := &shelf{requests: 10*searchMost + 500}
	status, page := s.get(t, "/requests?q=needle")
	if status != http.StatusOK || strings.Count(page, ">Needle<") != 2 || !strings.Contains(page, fmt.Sprintf("Looked through %d requests", searchMost)) || s.read > searchMost {
		t.Errorf("%d, %d read:\n%s", status, s.read, page)
	}
	m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("it does not go on:\n%s", page)
	}
	if status, page = s.get(t, html.UnescapeString(m[1])); status != http.StatusOK || strings.Count(page, ">Needle<") != 2 {
		t.Errorf("it goes on with %d:\n%s", status, page)
	}
	if _, page = s.get(t, "/requests?q=change"); strings.Count(page, ">Change ") != rows || !strings.Contains(page, `rel="next"`) {
		t.Errorf("of many that are found, one page shows:\n%s", page)
	}
	s.requests = 100
	if _, page = s.get(t, "/requests?q=nothing"); !strings.Contains(page, "There is no such request.") || strings.Contains(page, `rel="next"`) {
		t.Errorf("of few, none:\n%s", page)
	}
}

func TestTroubleIsNotTold(t *testing.T) {
	s := &shelf{err: errors.New("disk I/O error at /var/lib/secret")}
	for _, path := range []string{"/", "/requests", "/requests?q=7", "/requests?q=x"} {
		if status, page := s.get(t, path); status != http.StatusInternalServerError || strings.Contains(page, "secret") || !strings.Contains(page, "could not be made") {
			t.Errorf("%s: %d\n%s", path, status, page)
		}
	}
}

func TestLinksLeadToMergeRequestsAlone(t *testing.T) {
	const name = "payments/api!7"
	for address, leads := range map[string]bool{
		"https://gitlab.example.com/payments/api/-/merge_requests/7":      true,
		"http://127.0.0.1:8929/git/payments/api/-/merge_requests/7":       true,
		"javascript:alert(1)//payments/api/-/merge_requests/7":            false,
		"//evil.example.com/payments/api/-/merge_requests/7":              false,
		"https://me@evil.example.com/payments/api/-/merge_requests/7":     false,
		"https://gitlab.example.com/payments/api/-/merge_requests/8":      false,
		"https://gitlab.example.com/?x=/payments/api/-/merge_requests/7":  false,
		"data:text/html,/payments/api/-/merge_requests/7":                 false,
		"https://gitlab.example.com/#/payments/api/-/merge_requests/7":    false,
		"https://gitlab.example.com/payments/api/-/merge_requests/7\x00x": false,
		"": false,
	} {
		if got := forgeLink(address, name); (got != "") != leads {
			t.Errorf("%q leads to %q", address, got)
		}
	}
}

func TestWordsOfARow(t *testing.T) {
	decided := func(verdict gate.Verdict, reason string, void bool) gate.Decision {
		return gate.Decision{Person: "ou_1", Name: "Alice", Verdict: verdict, Reason: reason, Void: void}
	}
	for want, l := range map[string]gate.Listed{
		"waits for Alice, Carol":                                    {State: gate.Pending, Awaited: []string{"Alice", "Carol"}},
		"waits for an approver, but nobody is left who may approve": {State: gate.Pending},
		"waits for somebody to act: conflict":                       {State: gate.BlockedNow, Blocked: "conflict"},
		"waits for GitLab; trouble 502":                             {State: gate.Approved, Error: "502"},
		"waits for Bo; trouble not found in the chat: x; another person now: y": {
			State: gate.Pending, Awaited: []string{"Bo"}, Missing: []string{"x"}, Others: []gate.Other{{Identity: "y"}},
		},
		"Alice rejected: “too big”":      {State: gate.ClosedHere, Decided: []gate.Decision{decided(gate.Approve, "", false), decided(gate.Reject, "too big", false)}},
		"Alice rejected":                 {State: gate.Rejected, Decided: []gate.Decision{decided(gate.Reject, "", false)}},
		"Alice approved":                 {State: gate.MergedHere, Decided: []gate.Decision{decided(gate.Approve, "fine", false)}},
		"another commit was pushed":      {State: gate.Superseded, Cause: gate.CausePush, Decided: []gate.Decision{decided(gate.Approve, "", false)}},
		"":                               {State: gate.MergedHere, Decided: []gate.Decision{decided(gate.Approve, "", true)}},
		"waits for GitLab; needs 1 of 2": {State: gate.Approved, Required: 2, Approvals: 1},
	} {
		r := rowOf(l, time.Now())
		got := r.Outcome
		if r.Waits != "" {
			got = "waits for " + r.Waits
		}
		if r.Trouble != "" {
			got += "; trouble " + r.Trouble
		}
		if r.Needs != "" {
			got += "; needs " + r.Needs
		}
		if got != want {
			t.Errorf("%s: %q, want %q", l.State, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "< 1 min", 59 * time.Second: "< 1 min", 61 * time.Minute: "1 h", 3 * time.Minute: "3 min", 47 * time.Hour: "47 h", 49 * time.Hour: "2 d"} {
		if got := ago(d); got != want {
			t.Errorf("%s is %q ago, want %q", d, got, want)
		}
	}
}
