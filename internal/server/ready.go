package server

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// readyWithin is how long all checks together may take. Whoever asks, a load
// balancer or a supervisor, often waits for no more than a few seconds.
const readyWithin = 2 * time.Second

// Check is one thing that has to be well for the listener to be of use.
type Check struct {
	Name string                      // for people: "database"
	Well func(context.Context) error // nil: it is well
}

// Ready answers 200 if all is well, and 503 with a line that says what is not.
func Ready(checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		var ill []string
		for _, c := range checks {
			if err := c.Well(ctx); err != nil {
				ill = append(ill, c.Name+": "+strings.ReplaceAll(err.Error(), "\n", " "))
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if len(ill) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(strings.Join(ill, "; ") + "\n"))
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
