package gitlabsim

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Call is one HTTP call as it arrived, and what became of it.
type Call struct {
	Seq      int // from 1, in the order of arrival
	At       time.Time
	Method   string
	Path     string // still escaped: /api/v4/projects/acme%2Fwebhook
	RawQuery string
	Header   http.Header // the token is redacted
	Body     []byte
	Status   int    // 0: no answer was made, or not yet
	Answer   []byte // as made, also where it was then lost
	Fault    string // which fault hit it, if any
}

// Calls gives the calls so far, in the order of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, 0, len(s.calls))
	for _, c := range s.calls {
		calls = append(calls, *c)
	}
	return calls
}

// ResetCalls forgets the calls so far; the numbers go on.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

func (s *Server) record(r *http.Request, body []byte) *Call {
	header := r.Header.Clone()
	for _, name := range []string{"Private-Token", "Authorization", "Job-Token", "Cookie"} {
		if header.Get(name) != "" {
			header.Set(name, "[redacted]")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callSeq++
	c := &Call{
		Seq: s.callSeq, At: s.now(), Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		Header: header, Body: slices.Clone(body),
	}
	s.calls = append(s.calls, c)
	return c
}

func (s *Server) finish(c *Call, a answer, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Status, c.Answer, c.Fault = a.status, a.body, fault
}

// answer is what a call is answered with. As a pointer it is a refusal: the
// finders give one back instead of what they were asked for.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps, strings and numbers are answered
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

// message is how the API itself refuses: {"message": "404 Not found"}.
func message(status int, text string) answer {
	return jsonAnswer(status, object{"message": text})
}

// problem is how the layer before the endpoints refuses (Grape's validation, an unknown route).
func problem(status int, text string) answer {
	return jsonAnswer(status, object{"error": text})
}

func refuse(status int, text string) *answer {
	a := message(status, text)
	return &a
}

type object = map[string]any
