package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mrgate/internal/config"
	"mrgate/internal/gitlab"
	"mrgate/internal/server"
)

// remote is a listener that is spoken to through its API (docs/openapi.yaml).
type remote struct {
	base   string
	token  string
	client *http.Client
}

// problemError is the listener's refusal.
type problemError struct{ server.Problem }

func (e *problemError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the listener answered %d %s", e.Status, e.Title)
	}
	return "the listener says: " + e.Detail
}

// passes says that the same call may be answered well later.
func (e *problemError) passes() bool {
	return e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests
}

// pollFor is how long the listener is asked to wait in one call: proxies often
// cut connections that are silent for a minute.
const pollFor = 30 * time.Second

func newRemote(cfg *config.Config, token config.Secret) (*remote, error) {
	transport, err := gitlab.NewTransport(cfg.GitLabCAFile)
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	return &remote{base: cfg.Server, token: token.Reveal(), client: &http.Client{
		Transport:     transport,
		Timeout:       2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would carry the token along
	}}, nil
}

// request is the path of a request's resource.
func requestPath(id string) string { return "/api/v1/requests/" + url.PathEscape(id) }

// call makes one call. *problemError: the listener refused; any other error is
// trouble on the way.
func (r *remote) call(ctx context.Context, method, path string, wait time.Duration, body, into any) error {
	var sent io.Reader = http.NoBody
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(data)
	}
	if wait > 0 {
		path += "?wait=" + wait.Round(time.Millisecond).String()
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, sent)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("User-Agent", "mrgate/"+version())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the listener: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask the listener: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(data, into); err != nil {
			return fmt.Errorf("%s does not answer like mrgate's listener: %w", r.base, err)
		}
		return nil
	}
	p := &problemError{server.Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal(data, &p.Problem) // else the status says enough
		p.Status = resp.StatusCode
	} else if resp.StatusCode == http.StatusNotFound {
		p.Detail = fmt.Sprintf("404: %s has no API there; is --server the right address of the two, and has it --api-token, --operator-token or --public-url?", r.base)
	}
	return p
}

// persist makes the call again until it is answered, refused for good, or ctx
// ends: a listener is started anew, a connection is cut. A certificate that is not
// trusted is for good, too.
func (r *remote) persist(ctx context.Context, method, path string, wait time.Duration, body, into any) error {
	for pauseFor := time.Second; ; pauseFor = min(2*pauseFor, 10*time.Second) {
		err := r.call(ctx, method, path, wait, body, into)
		var refused *problemError
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		if err == nil || untrusted || errors.As(err, &refused) && !refused.passes() {
			return err
		}
		timer := time.NewTimer(pauseFor)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
