package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Token lets whoever shows its value in; Name says in the log which it was, and
// may be empty.
type Token struct {
	Name, Value string
}

// match gives the token with this value; nil: there is none. Every token is
// compared, each in a time that tells nothing about it.
func match(tokens []Token, value string) *Token {
	given := sha256.Sum256([]byte(value))
	var found *Token
	for i := range tokens {
		want := sha256.Sum256([]byte(tokens[i].Value))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 && tokens[i].Value != "" {
			found = &tokens[i]
		}
	}
	return found
}

// bearer is the token that the request shows (RFC 6750, section 2.1); "": none.
func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}
