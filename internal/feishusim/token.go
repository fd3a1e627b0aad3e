package feishusim

import (
	"net/http"
	"strings"
	"time"
)

// token is a tenant access token that was given out.
type token struct {
	value   string
	expires time.Time
	revoked bool
}

// renewBefore is how long before its end a token is replaced: until then the
// same one is given out again, afterwards a new one, and both work. Source:
// "自建应用获取 tenant_access_token".
const renewBefore = 30 * time.Minute

// RevokeTokens makes all tokens so far invalid (99991663), as when the app's
// secret is reset.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.tokens {
		s.tokens[i].revoked = true
	}
}

// issueToken answers with HTTP 200 also when it refuses: seen on the live
// endpoint, where an app ID that nobody has gives 10014 and one that is none
// gives 10003.
func (s *Server) issueToken(body []byte) answer {
	no := func(code int, msg string) answer {
		return ok200(map[string]any{"code": code, "msg": msg})
	}
	var ask struct {
		AppID     string `json:"app_id"`
		AppSecret string `json:"app_secret"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch refused := readBody(body, &ask); {
	case refused != nil, !strings.HasPrefix(ask.AppID, "cli_"), ask.AppSecret == "":
		return no(10003, "invalid param")
	case ask.AppID != s.opts.AppID:
		return no(10014, "app id not exists")
	case ask.AppSecret != s.opts.AppSecret:
		return no(10015, "wrong app secret")
	}

	now := s.opts.Now()
	var current *token
	for i := range s.tokens {
		if t := &s.tokens[i]; !t.revoked && t.expires.Sub(now) >= renewBefore {
			current = t
		}
	}
	if current == nil {
		s.tokens = append(s.tokens, token{value: "t-" + randomHex(20), expires: now.Add(s.opts.TokenLife)})
		current = &s.tokens[len(s.tokens)-1]
	}
	return ok200(map[string]any{
		"code": 0, "msg": "ok", "tenant_access_token": current.value,
		"expire": int(current.expires.Sub(now) / time.Second),
	})
}

// authorize looks for a valid token. Source of the codes: "通用错误码".
func (s *Server) authorize(r *http.Request) *refusal {
	header := r.Header.Get("Authorization")
	given, isBearer := strings.CutPrefix(header, "Bearer ")
	switch {
	case header == "" || !isBearer || given == "":
		return refuse(99991661, "Missing access token for authorization. Please make a request with token attached.")
	case !strings.HasPrefix(given, "t-") && !strings.HasPrefix(given, "u-"):
		return refuse(99991671, "Invalid token: must start with t-/u-")
	}
	for _, t := range s.tokens {
		if t.value == given && !t.revoked && s.opts.Now().Before(t.expires) {
			return nil
		}
	}
	return refuse(99991663, "%s", usualMessage(99991663))
}
