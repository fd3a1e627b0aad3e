package feishu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer is how much of a response is read: a hundred times what the largest
// of our calls needs.
const maxAnswer = 1 << 20

// wire sends the SDK's requests, and notes in the exchange of the request's
// context what came back: the SDK drops status and headers where it cannot read a
// body, and takes an HTTP 500 with "code": 0 for success.
type wire struct {
	client    *http.Client
	userAgent string
}

type exchangeKey struct{}

// exchange is one response; err is set, or status.
type exchange struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// newTransport has the proxies of the environment and no patience: a call is
// given up after 10 s, and most of that should not go into connecting.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

func newWire(transport http.RoundTripper, userAgent string) *wire {
	return &wire{
		userAgent: userAgent,
		client: &http.Client{
			Transport: transport,
			// A redirect would take the token along to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Do implements the SDK's HttpClient.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	x, _ := req.Context().Value(exchangeKey{}).(*exchange)
	if x == nil {
		return nil, errors.New("a request from elsewhere") // the SDK calls nobody on its own account
	}
	*x = exchange{} // the SDK tries a failed dial once more
	req.Header.Set("User-Agent", w.userAgent)
	resp, err := w.client.Do(req) //nolint:gosec // to the configured address, and no further
	if err != nil {
		x.err = err
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the response is longer than 1 MiB")
	}
	if err != nil {
		x.err = fmt.Errorf("read the response: %w", err)
		return nil, x.err
	}
	x.status, x.header, x.body = resp.StatusCode, resp.Header, body
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// refusal says why the call failed; nil: it did not.
func (x *exchange) refusal(hide func(string) string) *APIError {
	var body struct {
		Code  *int   `json:"code"`
		Msg   string `json:"msg"`
		Error struct {
			PermissionViolations []struct {
				Subject string `json:"subject"`
			} `json:"permission_violations"`
			Helps []struct {
				URL string `json:"url"`
			} `json:"helps"`
		} `json:"error"`
	}
	refused := &APIError{Status: x.status}
	if err := json.Unmarshal(x.body, &body); err != nil || body.Code == nil {
		return refused // a proxy's page, or an address that is not Feishu's
	}
	if *body.Code == 0 && x.status/100 == 2 {
		return nil
	}
	refused.Code = *body.Code
	refused.Msg = hide(literal(body.Msg, 300))
	for _, v := range body.Error.PermissionViolations {
		if v.Subject != "" && len(refused.Scopes) < 10 {
			refused.Scopes = append(refused.Scopes, hide(literal(v.Subject, 100)))
		}
	}
	for _, h := range body.Error.Helps {
		if u, err := url.Parse(h.URL); err == nil && u.Scheme == "https" && refused.HelpURL == "" {
			refused.HelpURL = hide(literal(u.String(), 500))
		}
	}
	return refused
}

// APIError is Feishu's refusal of a call. Where the core has to act on it, it
// wraps gate.ErrGone or gate.ErrNotPermitted, or stands in a gate.RetryAfter.
type APIError struct {
	Status  int      // of HTTP
	Code    int      // of the body; 0: it had none, so that something else than Feishu may have answered
	Msg     string   // Feishu's own, cut
	Scopes  []string // that the app lacks; any one of them will do
	HelpURL string   // where they can be asked for

	kind error
}

// Error is one line without secrets.
func (e *APIError) Error() string {
	var b strings.Builder
	switch {
	case e.Code != 0:
		fmt.Fprintf(&b, "feishu says %d %s", e.Code, e.Msg)
	case e.Status/100 == 3:
		fmt.Fprintf(&b, "HTTP %d, a redirect, which is not followed", e.Status)
	case e.Status/100 == 2:
		fmt.Fprintf(&b, "HTTP %d without a code, which is not an answer of Feishu's", e.Status)
	default:
		fmt.Fprintf(&b, "HTTP %d", e.Status)
	}
	if hint := hintOf(e.Code); hint != "" {
		b.WriteString(" (" + hint + ")")
	}
	if e.HelpURL != "" {
		b.WriteString("; ask for it at " + e.HelpURL)
	}
	return b.String()
}

// Remedy is what a person can do about it; "": that is not known.
func (e *APIError) Remedy() string {
	if e.HelpURL == "" {
		return hintOf(e.Code)
	}
	ask := "ask for it"
	if len(e.Scopes) > 0 {
		ask = "ask for " + strings.Join(e.Scopes, " or ")
	}
	return ask + " at " + e.HelpURL + ", and publish a version of the app"
}

// Unwrap gives the kind.
func (e *APIError) Unwrap() error { return e.kind }

// silence is the SDK's logger: its own prints tokens and bodies.
type silence struct{}

func (silence) Debug(context.Context, ...any) {}
func (silence) Info(context.Context, ...any)  {}
func (silence) Warn(context.Context, ...any)  {}
func (silence) Error(context.Context, ...any) {}
