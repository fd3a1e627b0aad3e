package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitsHavePlaces(t *testing.T) {
	w := &waits{}
	job := func(project int64) caller { return caller{job: &Job{Project: project}} }
	take := func(by caller, n int) (ends []func()) {
		t.Helper()
		for range n {
			end, ok := w.begin(by)
			if !ok {
				t.Fatalf("no place after %d", len(ends))
			}
			ends = append(ends, end)
		}
		return ends
	}
	first := take(job(1), maxJobWaits)
	if _, ok := w.begin(job(1)); ok {
		t.Error("a project's jobs take more than their places")
	}
	take(job(2), 1)
	first[0]()
	take(job(1), 1)
	take(caller{name: "ci"}, maxWaits-maxJobWaits-1)
	for _, by := range []caller{job(3), {name: "ci"}} {
		if _, ok := w.begin(by); ok {
			t.Error("more wait than there are places")
		}
	}
	for _, end := range first[1:] {
		end()
	}
	take(job(3), maxJobWaits-1)
}

func TestAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := allowance{most: 2, every: time.Minute}
		ask := func(vain int, want bool) {
			t.Helper()
			if n, ok := a.take(); ok != want || n != vain {
				t.Errorf("%v, %d in vain; want %v, %d", ok, n, want, vain)
			}
		}
		ask(0, true)
		ask(0, true)
		ask(0, false)
		ask(0, false)
		time.Sleep(time.Minute)
		ask(2, true)
		ask(0, true)
		ask(0, false)
	})
}

// While the code host does not tell its keys, made-up tokens do not pile up.
func TestFewTokensAreVerifiedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &API{Log: slog.New(slog.DiscardHandler), Job: func(context.Context, string) (Job, error) {
			time.Sleep(10 * time.Second)
			return Job{}, errors.New("signed by nobody")
		}}
		handler := api.Public()["GET /api/v1/requests/{id}"]
		began, statuses, slowest := time.Now(), map[int]int{}, map[int]time.Duration{}
		type result struct {
			status int
			after  time.Duration
		}
		results := make(chan result)
		const n = maxVerifying + 10
		for range n {
			go func() {
				w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/requests/1", http.NoBody)
				r.Header.Set("Authorization", "Bearer a.b.c")
				handler.ServeHTTP(w, r)
				results <- result{w.Code, time.Since(began)}
			}()
		}
		for range n {
			r := <-results
			statuses[r.status]++
			slowest[r.status] = max(slowest[r.status], r.after)
		}
		if statuses[http.StatusUnauthorized] != maxVerifying || statuses[http.StatusServiceUnavailable] != 10 || slowest[http.StatusServiceUnavailable] > 0 {
			t.Errorf("answered %v, the slowest of each after %v", statuses, slowest)
		}
	})
}
