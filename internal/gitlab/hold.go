package gitlab

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"mrgate/internal/gate"
)

const (
	// unsaid is how long a 429 holds that does not say. GitLab counts by the
	// minute (docs.gitlab.com/administration/settings/user_and_ip_rate_limits):
	// half of one is what is left on average.
	unsaid = 30 * time.Second
	// longest is the most that is believed: a clock that is wrong, on either
	// side, must not silence mrgate for a day.
	longest = 10 * time.Minute
	// maxAnswer bounds what is read of one answer. The largest that is wanted
	// is the list of changed files, some hundred bytes each.
	maxAnswer = 16 << 20
)

// hold is until when GitLab asked the token to be quiet. A limit counts what a
// token does, whatever it does it to, so one answer stops all calls.
type hold struct {
	now func() time.Time

	mu    sync.Mutex
	until time.Time
}

// left is how long it still lasts; 0: it is over.
func (h *hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.until.Sub(h.now()), 0)
}

func (h *hold) set(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := h.now().Add(d); until.After(h.until) {
		h.until = until
	}
}

// held says whether an answer asks to wait: a 429, or any other failure that
// names a time (GitLab in maintenance: 503).
func held(resp *http.Response) bool {
	return resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode >= 400 && resp.Header.Get("Retry-After") != ""
}

// wait reads how long: Retry-After in seconds or as a date (RFC 9110, 10.2.3),
// else RateLimit-Reset, which is GitLab's and in seconds since 1970.
func wait(header http.Header, now time.Time) time.Duration {
	d := unsaid
	said := header.Get("Retry-After")
	if n, err := strconv.ParseInt(said, 10, 32); err == nil && n >= 0 {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(said); err == nil {
		d = at.Sub(now)
	} else if at, err := strconv.ParseInt(header.Get("RateLimit-Reset"), 10, 64); err == nil {
		d = time.Unix(at, 0).Sub(now)
	}
	return min(max(d, time.Second), longest)
}

// transport stands between go-gitlab and the network: it keeps the hold, and
// bounds what an answer may hold.
type transport struct {
	next http.RoundTripper
	hold *hold
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if left := t.hold.left(); left > 0 {
		if req.Body != nil {
			_ = req.Body.Close() // RoundTripper's contract, also where nothing is sent
		}
		return nil, &gate.RetryAfter{After: left, Err: fmt.Errorf("GitLab asked to wait, for another %s", left.Round(time.Second))}
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if held(resp) {
		t.hold.set(wait(resp.Header, t.hold.now()))
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// boundedBody fails, rather than ends, where too much has come.
type boundedBody struct {
	io.ReadCloser
	left int64
}

var errTooLong = errors.New("the answer is too long")

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
