package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

func TestReady(t *testing.T) {
	well := Check{"clock", func(context.Context) error { return nil }}
	ill := Check{"database", func(context.Context) error { return errors.New("disk\nfull") }}
	slow := Check{"chat", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	for _, c := range []struct {
		checks []Check
		status int
		says   string
	}{
		{nil, http.StatusOK, "ok\n"},
		{[]Check{well, well}, http.StatusOK, "ok\n"},
		{[]Check{ill, well}, http.StatusServiceUnavailable, "database: disk full\n"},
		{[]Check{well, ill, slow}, http.StatusServiceUnavailable, "database: disk full; chat: context deadline exceeded\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := httptest.NewRecorder()
			Ready(c.checks...).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody))
			if w.Code != c.status || w.Body.String() != c.says {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.says)
			}
		})
	}
}
