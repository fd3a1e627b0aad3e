package gitlab

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"

	"mrgate/internal/gate"
)

const (
	// maxWebhook is GitLab's own limit for a body
	// (docs.gitlab.com/user/gitlab_com, "Webhooks").
	maxWebhook = 25 << 20
	// maxSentence keeps answers, which GitLab stores and shows, below 8 kB also
	// where every character of it has to be escaped.
	maxSentence = 1000
)

// WebhookConfig is what the webhook's handler needs.
type WebhookConfig struct {
	Secrets []string // any of them; plain
	Look    gate.LookFunc
	Log     *slog.Logger // nil: silence
}

// Webhook receives GitLab's webhooks of merge requests, of projects, groups and
// the whole instance, and passes on where to look.
//
// Everything that is authenticated is answered with a 2xx, wanted or not:
// GitLab switches a hook off that answers 4xx, for good on some versions
// (app/models/concerns/web_hooks/auto_disabling.rb), and with it all later
// events would be lost because of one. What was not wanted, and why, stands in
// the answer: {"ignored": "…"}, which GitLab shows to who looks after the hook.
// Only where Look fails is it a 503: nothing is on disk then, and the hook's
// owner may see that. Whoever is not authenticated always gets the same 401.
func Webhook(cfg WebhookConfig) http.Handler {
	h := &webhook{look: cfg.Look, log: cfg.Log}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for _, s := range cfg.Secrets {
		if s != "" { // an empty one would let in who sends none
			h.secrets = append(h.secrets, sha256.Sum256([]byte(s)))
		}
	}
	return h
}

type webhook struct {
	secrets [][sha256.Size]byte
	look    gate.LookFunc
	log     *slog.Logger
}

// ServeHTTP implements http.Handler.
func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "error", "only POST")
		return
	}
	if !h.knows(r.Header.Values("X-Gitlab-Token")) {
		h.log.WarnContext(r.Context(), "GitLab webhook refused: X-Gitlab-Token is not that of gitlab_webhook_secret", "from", r.RemoteAddr)
		answer(w, http.StatusUnauthorized, "error", "unauthorized")
		return
	}
	body, why := read(r)
	if why != "" {
		h.ignore(w, r, why)
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

// read reads the body, or says why not.
func read(r *http.Request) (body []byte, why string) {
	const tooLong = "the body is longer than 25 MB"
	if r.ContentLength > maxWebhook {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxWebhook+1))
	switch {
	case err != nil:
		return nil, "the body broke off"
	case len(body) > maxWebhook:
		return nil, tooLong
	}
	return body, ""
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
