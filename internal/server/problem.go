package server

import (
	"encoding/json"
	"net/http"
)

// Types of problems that a program may want to tell apart; see docs/openapi.yaml.
const (
	ProblemNoRule    = "urn:mrgate:no-rule"
	ProblemDenied    = "urn:mrgate:denied"
	ProblemDryRun    = "urn:mrgate:dry-run"
	ProblemOvertaken = "urn:mrgate:overtaken"
	ProblemDecided   = "urn:mrgate:decided-otherwise"
)

// Problem is an error's answer, as RFC 9457 has it.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// refuse gives a problem of no type of its own.
func refuse(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// of gives the problem a type and a title that says what that means.
func (p *Problem) of(typ, title string) *Problem {
	p.Type, p.Title = typ, title
	return p
}

func (p *Problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="mrgate"`)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, kind string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // what is answered is made of strings, numbers and times
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
