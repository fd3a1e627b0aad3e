package gitlab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"mrgate/internal/gate"
)

const (
	// maxWebhook is how long a body may be. GitLab sends up to 25 MB
	// (docs.gitlab.com/user/gitlab_com, "Webhooks"), but of a merge request the
	// longest part is its description, of at most a million characters: 6 MB, if
	// each of them is escaped. What is longer is none, and not worth the memory.
	maxWebhook = 8 << 20
	// maxSentence keeps answers, which GitLab stores and shows, below 8 kB also
	// where every character of it has to be escaped.
	maxSentence = 1000

	// small is what each may hold without asking. Those in testdata have 2 to 6 kB; a
	// thousand connections that hold this much take 64 MB.
	small = 64 << 10
	// largeAtOnce is how many may be larger at a time. It takes its 8 MB, and the
	// library that checks a signature three times as much again.
	largeAtOnce = 1
	// waitForLarge is how long one waits for its turn, and patience how long its
	// sending may take. GitLab gives up after 10 s in all (gitlab.yml,
	// webhook_timeout).
	waitForLarge = 3 * time.Second
	patience     = 10 * time.Second

	tooLong = "the body is longer than 8 MB"
)

// WebhookConfig is what the webhook's handler needs. At least one of Secrets and
// SigningTokens has to be set; of several values each is good, so that they can
// be changed one by one.
type WebhookConfig struct {
	Secrets       []string // what X-Gitlab-Token may be; plain
	SigningTokens []string // "whsec_…"; where there are any, only they count
	Look          gate.LookFunc
	Log           *slog.Logger     // nil: silence
	Now           func() time.Time // nil: time.Now
}

// Webhook receives GitLab's webhooks of merge requests, of projects, groups and
// the whole instance, and passes on where to look. Which kind of hook it was
// stands in X-Gitlab-Event, and does not matter; where two of them report the
// same, Look is called twice, which does no harm.
//
// Whoever is not authenticated always gets the same 401. With signing tokens it
// is the signature that is needed, and that suffices. X-Gitlab-Token is not
// looked at then, not even a wrong one beside a good signature: GitLab can send
// both (gitlab-org/gitlab!231325), but who holds the signing key could leave the
// header away, so that to refuse a wrong one would keep nobody out but a hook
// whose secret is just being changed.
//
// Everything that is authenticated is answered with a 2xx, wanted or not:
// GitLab switches a hook off that answers 4xx, for good on some versions
// (app/models/concerns/web_hooks/auto_disabling.rb), and with it all later
// events would be lost because of one. What was not wanted, and why, stands in
// the answer: {"ignored": "…"}, which GitLab shows to who looks after the hook.
// Only where Look fails is it a 503: nothing is on disk then, and the hook's
// owner may see that. (It is one, too, where too many large bodies wait for
// their signatures to be checked.)
//
// An error names the setting.
func Webhook(cfg WebhookConfig) (http.Handler, error) {
	h := &webhook{look: cfg.Look, log: cfg.Log, now: cfg.Now, large: make(chan struct{}, largeAtOnce)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	h.refusals = refusals{log: h.log, now: h.now}
	var err error
	if h.signing, err = newSigning(cfg.SigningTokens); err != nil {
		return nil, err
	}
	for _, s := range cfg.Secrets {
		if s != "" { // an empty one would let in who sends none
			h.secrets = append(h.secrets, sha256.Sum256([]byte(s)))
		}
	}
	if h.signing == nil && h.secrets == nil {
		return nil, errors.New("gitlab_webhook_secret: neither it nor gitlab_signing_token is set, so nobody could be told from GitLab")
	}
	return h, nil
}

type webhook struct {
	secrets  [][sha256.Size]byte
	signing  signing
	look     gate.LookFunc
	log      *slog.Logger
	now      func() time.Time
	refusals refusals
	large    chan struct{} // one for each large body that nobody has vouched for
}

// ServeHTTP implements http.Handler.
func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "error", "only POST")
		return
	}
	receive := h.receive
	if h.signing != nil {
		receive = h.receiveSigned
	}
	body, bad := receive(w, r)
	switch {
	case bad.status == http.StatusOK:
		h.ignore(w, r, bad.why)
		return
	case bad.status != 0:
		h.refusals.note(r.Context(), bad.why, r.RemoteAddr)
		text := "unauthorized"
		if bad.status == http.StatusServiceUnavailable {
			text = "busy, send it again"
		}
		answer(w, bad.status, "error", text)
		return
	}
	e, err := ParseEvent(body)
	if err != nil {
		h.ignore(w, r, err.Error())
		return
	}
	s := &e.Snapshot
	said, err := h.look(r.Context(), gate.Hint{Ref: e.Ref, Path: s.Path, Snapshot: s})
	if err != nil {
		h.log.ErrorContext(r.Context(), "GitLab webhook not recorded", "merge_request", e.Ref.String(), "error", err)
		answer(w, http.StatusServiceUnavailable, "error", "not recorded, send it again")
		return
	}
	answer(w, http.StatusOK, "looking", said)
}

// unread is why there is no body: the status to answer, 0 if there is one; why
// is for the log, and is answered only with a 200.
type unread struct {
	status int
	why    string
}

// receive reads the body of who knows the secret.
func (h *webhook) receive(_ http.ResponseWriter, r *http.Request) ([]byte, unread) {
	if !h.knows(r.Header.Values("X-Gitlab-Token")) {
		return nil, unread{http.StatusUnauthorized, "X-Gitlab-Token is not that of gitlab_webhook_secret"}
	}
	if r.ContentLength > maxWebhook {
		return nil, unread{http.StatusOK, tooLong}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, small+1))
	if err == nil && len(body) > small {
		if !h.acquire(r.Context()) {
			return nil, unread{http.StatusOK, "too many large bodies at once"}
		}
		defer func() { <-h.large }()
		body, err = io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(body), r.Body), maxWebhook+1))
	}
	switch {
	case err != nil:
		return nil, unread{http.StatusOK, "the body broke off"}
	case len(body) > maxWebhook:
		return nil, unread{http.StatusOK, tooLong}
	}
	return body, unread{}
}

// receiveSigned reads the body and checks its signature. That takes the whole
// body of a sender whom nobody knows yet. So none is read before the headers are
// in order, none for longer than GitLab would wait, and only few large ones at a
// time; small ones, as nearly all real ones are, never wait for those.
func (h *webhook) receiveSigned(w http.ResponseWriter, r *http.Request) ([]byte, unread) {
	no := func(why string) ([]byte, unread) { return nil, unread{http.StatusUnauthorized, why} }
	seal, why := readSeal(r.Header, h.now())
	if why != "" {
		return no(why)
	}
	if r.ContentLength > maxWebhook {
		return no(tooLong)
	}
	// Tests' writers know no deadlines, net/http's all do.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
	body, err := io.ReadAll(io.LimitReader(r.Body, small+1))
	if err == nil && len(body) > small {
		if !h.acquire(r.Context()) {
			return nil, unread{http.StatusServiceUnavailable, "too many large bodies at once that nobody has vouched for yet"}
		}
		defer func() { <-h.large }()
		body, err = io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(body), r.Body), maxWebhook+1))
	}
	switch {
	case err != nil:
		return no("the body broke off, or took longer than GitLab would wait")
	case len(body) > maxWebhook:
		return no(tooLong)
	case !h.signing.signed(body, seal):
		return no("webhook-signature was not made with gitlab_signing_token")
	}
	return body, unread{}
}

// acquire waits a little until a large body may be read.
func (h *webhook) acquire(ctx context.Context) bool {
	limit := time.NewTimer(waitForLarge)
	defer limit.Stop()
	select {
	case h.large <- struct{}{}:
		return true
	case <-limit.C:
	case <-ctx.Done():
	}
	return false
}

// knows says whether the header holds one of the secrets, in a time that does
// not depend on which, or on how much of one. Two headers are none: of those,
// somebody in between may have added one.
func (h *webhook) knows(tokens []string) bool {
	if len(tokens) != 1 || tokens[0] == "" {
		return false
	}
	got := sha256.Sum256([]byte(tokens[0]))
	found := 0
	for _, s := range h.secrets {
		found |= subtle.ConstantTimeCompare(got[:], s[:])
	}
	return found == 1
}

func (h *webhook) ignore(w http.ResponseWriter, r *http.Request, why string) {
	h.log.DebugContext(r.Context(), "GitLab webhook ignored", "why", why)
	answer(w, http.StatusOK, "ignored", why)
}

func answer(w http.ResponseWriter, status int, name, text string) {
	b, err := json.Marshal(map[string]string{name: oneLine(text, maxSentence)})
	if err != nil {
		panic(err) // a map of strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
