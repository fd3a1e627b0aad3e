package gitlabsim

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"
)

type token struct {
	value   string
	scopes  []string
	revoked bool
	expires time.Time
}

// SetToken gives the bot a new token, valid at once; the old one is unknown.
func (s *Server) SetToken(value string, scopes ...string) {
	if len(scopes) == 0 {
		scopes = []string{"api"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token{value: value, scopes: scopes, expires: s.now().AddDate(1, 0, 0)}
}

// RevokeToken revokes the bot's token.
func (s *Server) RevokeToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token.revoked = true
}

// ExpireToken lets the bot's token be expired.
func (s *Server) ExpireToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token.expires = s.now().AddDate(0, 0, -1)
}

// credentials finds the token in a request: a header of GitLab's own, or OAuth's.
func credentials(r *http.Request) (string, bool) {
	if t := r.Header.Get("Private-Token"); t != "" {
		return t, true
	}
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return t, true
	}
	return "", false
}

// authenticate refuses as lib/api/api_guard.rb does: an unknown token like none
// at all; an expired or revoked one, and one of too small a scope, as OAuth
// words it (RFC 6750).
func (s *Server) authenticate(r *http.Request) *answer {
	given, ok := credentials(r)
	if !ok || subtle.ConstantTimeCompare([]byte(given), []byte(s.token.value)) != 1 {
		return refuse(http.StatusUnauthorized, "401 Unauthorized")
	}
	oauth := func(status int, kind, text, scope string) *answer {
		o := object{"error": kind, "error_description": text}
		if scope != "" {
			o["scope"] = scope
		}
		a := jsonAnswer(status, o)
		return &a
	}
	switch {
	case s.token.revoked:
		return oauth(http.StatusUnauthorized, "invalid_token", "Token was revoked. You have to re-authorize from the user.", "")
	case s.now().After(s.token.expires):
		return oauth(http.StatusUnauthorized, "invalid_token", "Token is expired. You can either do re-authorization or token refresh.", "")
	}
	needed := []string{"api"}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		needed = append(needed, "read_api")
		if strings.HasSuffix(r.URL.Path, "/user") {
			needed = append(needed, "read_user")
		}
	}
	self := strings.HasSuffix(r.URL.Path, "/personal_access_tokens/self") // open to a token of any scope
	if !self && !slices.ContainsFunc(s.token.scopes, func(have string) bool { return slices.Contains(needed, have) }) {
		return oauth(http.StatusForbidden, "insufficient_scope",
			"The request requires higher privileges than provided by the access token.", strings.Join(needed, " "))
	}
	return nil
}

func (s *Server) getToken(*request) answer {
	return jsonAnswer(http.StatusOK, object{
		"id": 1, "name": "mrgate", "revoked": s.token.revoked, "created_at": stamp(s.now()), "description": nil,
		"scopes": s.token.scopes, "user_id": s.bot.ID, "last_used_at": stamp(s.now()), "active": !s.token.revoked,
		"expires_at": s.token.expires.Format(time.DateOnly),
	})
}
