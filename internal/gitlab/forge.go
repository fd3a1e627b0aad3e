// Package gitlab is gate's Forge on GitLab, and the reader of GitLab's webhooks and
// of the variables of its pipelines.
//
// GitLab's REST API says little: a refusal is a bare status code, the same code
// means several things, and the checks come in an order of GitLab's own (a merge
// of a draft at a stale commit is a 405, not a 409). Wherever an answer has more
// than one meaning, the adapter reads the merge request and says what is so;
// it never guesses from the code. Each method's comment names what it expects
// and where that was found.
//
// Nothing is tried twice here: gate does that, with the patience that it has
// written down. The one thing remembered between calls is a 429: it belongs to
// the token, so it stops every call until it is over ([Forge] is one token).
package gitlab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// Name is the forge's name in a gate.Ref.
const Name = "gitlab"

// Config is what it takes to talk to one GitLab.
type Config struct {
	BaseURL   string            // "https://gitlab.example.com", also with a path
	Token     string            // sent as PRIVATE-TOKEN, and nowhere else
	CAFile    string            // PEM certificates to trust besides the system's
	Transport http.RoundTripper // nil: net/http's own, with the proxies of the environment
	UserAgent string
	Timeout   time.Duration    // of one call of the port, all its requests together; 0: 10 s
	Now       func() time.Time // nil: time.Now; only for how long GitLab asked to wait, and its version is believed
	Log       *slog.Logger     // nil: silence; only for what is no error
}

// Forge is one GitLab, seen with one token.
type Forge struct {
	api     *gogitlab.Client //nolint:staticcheck // go-gitlab was named by the project's owner; its successor is another module
	base    *url.URL
	token   string
	hold    *hold
	plain   http.RoundTripper // without the token
	timeout time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	self    user   // the token's; ID 0: not asked yet
	release string // the server's version; "": not asked yet
	asked   time.Time

	found found // where there are projects that rules can match
}

// keepVersion is how long the server's version is believed: it may be upgraded.
const keepVersion = time.Hour

var _ gate.Forge = (*Forge)(nil)

// New makes one. It touches no network; errors name the setting.
func New(c Config) (*Forge, error) {
	base, err := url.Parse(strings.TrimSuffix(strings.TrimRight(c.BaseURL, "/"), "/api/v4"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("gitlab_url: %q is no address like https://gitlab.example.com", c.BaseURL)
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("gitlab_url: only scheme, host and path may stand in it")
	}
	if c.Token == "" {
		return nil, errors.New("gitlab_token: is empty")
	}
	for _, b := range []byte(c.Token) {
		if b <= ' ' || b > '~' { // no header may hold it, and the refusal would quote it
			return nil, errors.New("gitlab_token: holds a blank or a character that no token has")
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	next := c.Transport
	switch {
	case next == nil:
		if next, err = NewTransport(c.CAFile); err != nil {
			return nil, err
		}
	case c.CAFile != "":
		return nil, errors.New("gitlab_ca_file: a transport was given that cannot take it")
	}

	f := &Forge{base: base, token: c.Token, hold: &hold{now: c.Now}, plain: next, timeout: c.Timeout, log: c.Log}
	f.api, err = gogitlab.NewClient(c.Token, //nolint:staticcheck // as above
		gogitlab.WithBaseURL(base.String()),
		// It would try PUT and POST five times over on 429 and 5xx, within one call,
		// and ignore Retry-After (gitlab.go:343,505 of v0.115.0).
		gogitlab.WithoutRetries(),
		// Its own limiter sleeps inside calls, as the first answer's RateLimit-Limit
		// suggests, and is set without a lock (gitlab.go:588).
		gogitlab.WithCustomLimiter(unlimited{}),
		gogitlab.WithHTTPClient(&http.Client{
			Transport: &transport{next: next, hold: f.hold},
			Timeout:   c.Timeout,
			// A redirect would carry the token to wherever it points, and turn a
			// PUT into a GET. The 3xx comes back as the error that it is.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}))
	if err != nil {
		return nil, fmt.Errorf("gitlab_url: %w", err)
	}
	f.api.UserAgent = c.UserAgent
	return f, nil
}

// NewTransport is net/http's default (proxies from the environment, HTTP/2,
// time-outs), which a bare http.Transport{} is not, trusting caFile besides.
func NewTransport(caFile string) (http.RoundTripper, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("net/http's default transport was replaced")
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 16 // gate's workers all talk to this one host
	if caFile == "" {
		return trusting{t}, nil
	}
	pem, err := os.ReadFile(caFile) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("gitlab_ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any still trusts the file
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("gitlab_ca_file: %s holds no PEM certificate", caFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return trusting{t}, nil
}

// trusting is a transport that says what to do about an authority that is not
// trusted.
type trusting struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (t trusting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		err = fmt.Errorf("%w; if it is your company's own, name the PEM file with its certificate by gitlab_ca_file", err)
	}
	return resp, err
}

// unlimited is a go-gitlab rate limiter that is none.
type unlimited struct{}

// Wait implements gogitlab.RateLimiter.
func (unlimited) Wait(context.Context) error { return nil }

// bound gives a call of the port its time.
func (f *Forge) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, f.timeout)
}

// path of something of the merge request; "" is itself.
func path(mr gate.Ref, rest string) string {
	return fmt.Sprintf("projects/%d/merge_requests/%d%s", mr.Project, mr.Number, rest)
}

// call makes one request and decodes its answer into v, unless that is nil. opt
// goes into the query of a GET, else into a JSON body. Any answer but 200, 201,
// 202 and 204 is an *answerError.
func (f *Forge) call(ctx context.Context, method, path string, opt, v any) (*gogitlab.Response, error) {
	req, err := f.api.NewRequest(method, path, opt, []gogitlab.RequestOptionFunc{gogitlab.WithContext(ctx)})
	if err != nil {
		return nil, err
	}
	resp, err := f.api.Do(req, v)
	return resp, f.trouble(resp, err)
}

// me is the ID of the token's user.
func (f *Forge) me(ctx context.Context) (int64, error) {
	u, err := f.account(ctx)
	return u.ID, err
}

// account is the token's user. It is asked once.
func (f *Forge) account(ctx context.Context) (user, error) {
	f.mu.Lock()
	u := f.self
	f.mu.Unlock()
	if u.ID != 0 {
		return u, nil
	}
	if _, err := f.call(ctx, http.MethodGet, "user", nil, &u); err != nil {
		return user{}, err
	}
	if u.ID <= 0 {
		return user{}, errors.New("GET user: the answer has no id")
	}
	f.mu.Lock()
	f.self = u
	f.mu.Unlock()
	return u, nil
}

// version is the server's, as in "19.5.0-ee".
func (f *Forge) version(ctx context.Context) (string, error) {
	f.mu.Lock()
	known, asked := f.release, f.asked
	f.mu.Unlock()
	if known != "" && f.hold.now().Sub(asked) < keepVersion {
		return known, nil
	}
	var answer struct {
		Version string `json:"version"`
	}
	if _, err := f.call(ctx, http.MethodGet, "version", nil, &answer); err != nil {
		return "", err
	}
	if answer.Version == "" {
		return "", errors.New("GET version: the answer has no version")
	}
	f.mu.Lock()
	f.release, f.asked = answer.Version, f.hold.now()
	f.mu.Unlock()
	return answer.Version, nil
}
