package gitlab

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// IDTokens verifies the ID tokens that GitLab gives its jobs
// (https://docs.gitlab.com/ci/secrets/id_token_authentication/). Such a token
// proves that a job runs for a project, and nothing about merge requests.
type IDTokens struct {
	issuer, audience string
	client           *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: GitLab was not asked yet, or did not answer
}

// Claims is what an ID token proves. In the pipeline of a merge request from a
// fork that runs in the parent project, GitLab names the fork since 18.2.2
// (https://gitlab.com/gitlab-org/gitlab/-/work_items/563038).
type Claims struct {
	Project int64  // ID
	Path    string // of the project
}

// ErrKeys says that GitLab does not tell with which keys it signs, so that nothing
// can be said about a token now.
var ErrKeys = errors.New("GitLab's keys cannot be read")

var errAudience = errors.New("its audience is not public-url")

// keysEvery is how often GitLab is asked for its keys at most: whoever makes up
// tokens must not have mrgate ask for each.
const keysEvery = time.Minute

// seldom lets each address be asked once in keysEvery, and remembers whether the
// last answer was good.
type seldom struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	asked map[string]time.Time
	well  map[string]bool
}

// errAsked: it was asked just now. errKnown: and it answered well.
var (
	errAsked = errors.New("it was asked within the last minute")
	errKnown = errors.New("what it answered within the last minute is all there is")
)

// RoundTrip implements [http.RoundTripper].
func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	to := r.URL.String()
	s.mu.Lock()
	since, well := s.now().Sub(s.asked[to]), s.well[to]
	if since >= keysEvery {
		s.asked[to] = s.now()
	}
	s.mu.Unlock()
	switch {
	case since < keysEvery && well:
		return nil, errKnown
	case since < keysEvery:
		return nil, errAsked
	}
	resp, err := s.next.RoundTrip(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.well[to] = err == nil && resp.StatusCode == http.StatusOK
	return resp, err
}

// NewIDTokens takes the tokens of this GitLab that are meant for audience. GitLab
// is only asked when the first token comes.
func (f *Forge) NewIDTokens(audience string) *IDTokens {
	return &IDTokens{
		issuer: strings.TrimRight(f.base.String(), "/"), audience: strings.TrimRight(audience, "/"),
		client: &http.Client{
			Transport:     &seldom{next: f.plain, now: f.hold.now, asked: map[string]time.Time{}, well: map[string]bool{}},
			Timeout:       f.timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Verify says what the token proves. ErrKeys: nothing can be said now. Any other
// error: it is not good, and the error says why without quoting it.
func (t *IDTokens) Verify(ctx context.Context, token string) (Claims, error) {
	if err := t.glance(token); err != nil {
		return Claims{}, err
	}
	verifier, err := t.load(ctx)
	if err != nil {
		return Claims{}, err
	}
	good, err := verifier.Verify(ctx, token)
	if err != nil {
		return Claims{}, explainToken(err)
	}
	if !t.means(good.Audience) {
		return Claims{}, errAudience
	}
	// GitLab gives numbers as strings, too (lib/gitlab/ci/jwt_v2.rb).
	var claims struct {
		ProjectID   string `json:"project_id"`
		ProjectPath string `json:"project_path"`
	}
	if err := good.Claims(&claims); err != nil {
		return Claims{}, errors.New("its claims are not those of a GitLab job")
	}
	id, err := strconv.ParseInt(claims.ProjectID, 10, 64)
	if err != nil || id <= 0 || claims.ProjectPath == "" {
		return Claims{}, errors.New("it names no project")
	}
	return Claims{Project: id, Path: claims.ProjectPath}, nil
}

// glance refuses what no signature could make good, before GitLab is asked for
// its keys.
func (t *IDTokens) glance(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("it is no JWT")
	}
	var head struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Issuer   string   `json:"iss"`
		Audience audience `json:"aud"`
		Expires  float64  `json:"exp"`
	}
	for i, into := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return errors.New("it is no JWT")
		}
	}
	switch {
	case head.Alg != oidc.RS256:
		return errors.New("it is not signed as GitLab signs, by RS256")
	case claims.Issuer != t.issuer:
		return errors.New("it is another issuer's")
	case !t.means(claims.Audience):
		return errAudience
	case claims.Expires == 0:
		return errors.New("it never expires")
	}
	return nil
}

// means says that one of the audiences is ours, with or without slashes at its end.
func (t *IDTokens) means(audiences []string) bool {
	return slices.ContainsFunc(audiences, func(a string) bool { return strings.TrimRight(a, "/") == t.audience })
}

// audience is one, or a list (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON reads either.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// load gives the verifier; it asks GitLab for its configuration the first time.
func (t *IDTokens) load(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verifier != nil {
		return t.verifier, nil
	}
	// The provider keeps this context for its later calls: they end by the
	// client's time limit.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), t.client)
	provider, err := oidc.NewProvider(ctx, t.issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	t.verifier = provider.VerifierContext(ctx, &oidc.Config{
		SkipClientIDCheck:    true, // see means
		SupportedSigningAlgs: []string{oidc.RS256},
	})
	return t.verifier, nil
}

// explainToken tells a bad token from keys that cannot be had. For the latter
// go-oidc has words alone: it wraps what the fetching goroutine said (jwks.go).
func explainToken(err error) error {
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return errors.New("it has expired")
	case strings.Contains(err.Error(), errKnown.Error()):
		return errors.New("it is signed by no key of this GitLab")
	case strings.Contains(err.Error(), "fetching keys"):
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return err
}
