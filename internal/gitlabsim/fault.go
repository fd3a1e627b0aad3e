package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong, to order. Which calls it hits is said by
// Match, or by Method and PathSuffix; where all are empty it hits every call.
// The first fault that fits a call is the one it gets.
type Fault struct {
	Method     string // "" is any
	PathSuffix string // of the escaped path: "/merge", "/notes"
	Match      func(*http.Request) bool
	Times      int // how many calls; 0: every one, until it is removed

	// Status is answered instead of doing anything. Without a Body it comes
	// with the one that GitLab, or the proxy before it, sends.
	Status int
	Body   string
	// RetryAfter goes into the Retry-After header, in seconds.
	RetryAfter time.Duration
	// Delay is waited before the effect, and cut short if the client leaves:
	// then there is no effect. A long one is a time-out.
	Delay time.Duration
	// AnswerDelay is waited after the effect: a time-out of a call that was done.
	AnswerDelay time.Duration
	// Drop closes the connection without an effect or an answer.
	Drop bool
	// LoseAnswer does what was asked, and then closes the connection.
	LoseAnswer bool
	// RevokeToken revokes the token just before it would be looked at: this
	// call and all that follow are refused, until SetToken.
	RevokeToken bool
}

type fault struct {
	Fault
	left int // -1: without end
}

// Inject orders a fault, and returns what takes it back.
func (s *Server) Inject(f Fault) (remove func()) {
	in := &fault{Fault: f, left: f.Times}
	if f.Times <= 0 {
		in.left = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, in)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(x *fault) bool { return x == in })
	}
}

// faultFor gives the fault that hits this call; the zero Fault is none.
func (s *Server) faultFor(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.hits(r) {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		if f.left == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f.Fault
	}
	return Fault{}
}

func (f *fault) hits(r *http.Request) bool {
	return (f.Method == "" || f.Method == r.Method) &&
		strings.HasSuffix(r.URL.EscapedPath(), f.PathSuffix) &&
		(f.Match == nil || f.Match(r))
}

// answer is what the fault says instead of GitLab; status 0 lets GitLab speak.
func (f Fault) answer() answer {
	if f.Status == 0 {
		return answer{}
	}
	a := answer{status: f.Status, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(f.Body)}
	if f.Body == "" {
		switch f.Status {
		case http.StatusTooManyRequests:
			// GitLab limits before its API is reached: plain text.
			// docs.gitlab.com/administration/settings/user_and_ip_rate_limits
			a.header.Set("Content-Type", "text/plain")
			a.body = []byte("Retry later\n")
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			a.header.Set("Content-Type", "text/html")
			a.body = fmt.Appendf(nil, "<html><head><title>%d</title></head><body>GitLab is not responding</body></html>", f.Status)
		default:
			a.body = message(f.Status, fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))).body
		}
	}
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	return a
}

// String says what the fault does, for Call.Fault; "" for none.
func (f Fault) String() string {
	var does []string
	if f.Delay > 0 {
		does = append(does, "delay "+f.Delay.String())
	}
	if f.Drop {
		does = append(does, "drop")
	}
	if f.RevokeToken {
		does = append(does, "revoke token")
	}
	if f.Status != 0 {
		does = append(does, "status "+strconv.Itoa(f.Status))
	}
	if f.AnswerDelay > 0 {
		does = append(does, "answer delay "+f.AnswerDelay.String())
	}
	if f.LoseAnswer {
		does = append(does, "lose answer")
	}
	return strings.Join(does, ", ")
}
