package server

import (
	"net"
	"net/http"
	"strings"
)

// Guard is before what tells what is pending and what happened. On a loopback
// address everybody on the machine may read it, under a name of that machine
// alone: a page elsewhere, whose name was made to point here, gets nothing.
// Anywhere else it takes an operator token, as a bearer token or, for browsers,
// as the password of any user.
type Guard struct {
	Loopback  bool
	Operators []Token
}

// Wrap lets through to next who may read.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.Loopback && !isLoopback(r.Host):
			http.Error(w, "ask under the name of this machine, localhost", http.StatusMisdirectedRequest)
		case !g.Loopback && !g.knows(r):
			w.Header().Set("WWW-Authenticate", `Basic realm="mrgate: any user, the operator token as password", charset="UTF-8"`)
			http.Error(w, "show an operator token, as a bearer token or as a password", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *Guard) knows(r *http.Request) bool {
	value := bearer(r)
	if _, password, ok := r.BasicAuth(); ok {
		value = password
	}
	return match(g.Operators, value) != nil
}

// IsLoopback says that an address to listen on can be reached from this machine
// alone.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
