package feishusim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Call is one HTTP request that reached the server, and what became of it.
// Secrets are blacked out: the Authorization header, the app secret in the
// request for a token and the token in its answer.
type Call struct {
	Seq      int // counts from 1 and goes on after ResetCalls
	At       time.Time
	Method   string
	Path     string
	RawQuery string
	Header   http.Header
	Body     string
	Status   int    // 0: no answer yet, or none was made
	Answer   string // also when a fault kept it from being delivered
	Fault    string // the ordered fault that met the call; empty: none
}

// Phase is a moment in the life of a call.
type Phase int

// The phases at which hooks are called.
const (
	Arrived Phase = iota // the request was read, nothing was done
	Done                 // the effect is there for everybody to see, the answer is not sent
)

func (p Phase) String() string {
	if p == Arrived {
		return "arrived"
	}
	return "done"
}

// Hook has fn called at both phases of every later call, on the goroutine that
// serves it and without any lock held: it may wait, look around with the
// server's methods, or kill the program that called. The request's body can be
// read.
func (s *Server) Hook(fn func(*http.Request, Phase)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, fn)
}

// Calls returns all calls since the start or the last ResetCalls, in the order
// of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, 0, len(s.calls))
	for _, c := range s.calls {
		copied := *c
		copied.Header = c.Header.Clone()
		calls = append(calls, copied)
	}
	return calls
}

// ResetCalls forgets the calls so far.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

func (s *Server) begin(r *http.Request, body []byte) *Call {
	header := r.Header.Clone()
	if header.Get("Authorization") != "" {
		header.Set("Authorization", "[redacted]")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	c := &Call{
		Seq: s.seq, At: s.opts.Now(), Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery,
		Header: header, Body: s.redact(string(body)),
	}
	s.calls = append(s.calls, c)
	return c
}

func (s *Server) end(c *Call, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Status, c.Answer = a.status, s.redact(string(a.body))
}

// redact blacks out the app secret and the tokens that were given out.
func (s *Server) redact(text string) string {
	text = strings.ReplaceAll(text, s.opts.AppSecret, "[redacted]")
	for _, t := range s.tokens {
		text = strings.ReplaceAll(text, t.value, "[redacted]")
	}
	return text
}

func (s *Server) reach(r *http.Request, body []byte, p Phase) {
	s.mu.Lock()
	hooks := slices.Clone(s.hooks)
	s.mu.Unlock()
	for _, fn := range hooks {
		rewind(r, body)
		fn(r, p)
	}
}
