package page

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mrgate/internal/gate"
)

// requests is what the page with requests shows.
type requests struct {
	List    []row
	Text    string
	State   string // "": all; open, over, or a state
	States  []string
	Project string
	Wrong   string // why nothing was looked for
	// Looked is through how many requests a search for a text went, if it did not
	// go through all.
	Looked int
	First  string // the address of the newest ones; "": these are
	Next   string // the address of those behind; "": there are none
}

func (q *requests) address(before int64) string {
	query := url.Values{}
	for name, value := range map[string]string{"q": q.Text, "state": q.State, "project": q.Project} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if before > 0 {
		query.Set("before", fmt.Sprint(before))
	}
	return addressOf("/requests", query)
}

// filter is what the address asks for. errAbsent: nothing that there is.
func (q *requests) filter(asked url.Values) (gate.Filter, error) {
	q.Text = strings.TrimSpace(asked.Get("q"))
	q.State = asked.Get("state")
	q.Project = strings.Trim(strings.TrimSpace(asked.Get("project")), "/")
	f := gate.Filter{Project: q.Project}
	switch {
	case q.State == "":
	case q.State == "open":
		f.States = openStates()
	case q.State == "over":
		f.States = overStates()
	case slices.Contains(gate.States(), gate.State(q.State)):
		f.States = []gate.State{gate.State(q.State)}
	default:
		return f, errAbsent
	}
	for _, s := range gate.States() {
		q.States = append(q.States, string(s))
	}
	if before := asked.Get("before"); before != "" {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n < 1 {
			return f, errAbsent
		}
		f.Before = n
		q.First = q.address(0)
	}
	return f, nil
}

func (l *listenerPage) requests(r *http.Request) (view, error) {
	var q requests
	f, err := q.filter(r.URL.Query())
	if err != nil {
		return view{}, err
	}
	v := view{name: "requests.html", title: "Requests", here: "/requests", sought: q.Text}
	if q.Text != "" && q.State == "" && q.Project == "" && f.Before == 0 {
		if number, err := l.named(r.Context(), q.Text); err != nil {
			return view{}, err
		} else if number != 0 {
			return view{elsewhere: fmt.Sprintf("/requests/%d", number)}, nil
		}
	}
	var next int64
	switch q.Wrong = wrongProject(q.Project); {
	case q.Wrong != "":
	case q.Text != "":
		v.title = "Search: " + q.Text
		q.List, q.Looked, next, err = l.search(r.Context(), f, q.Text)
	default:
		var more bool
		if q.List, more, err = l.list(r.Context(), f, rows); more {
			next = q.List[len(q.List)-1].Number
		}
		v.live = q.First == "" && q.Project == "" // of a project, it takes its time
	}
	if err != nil {
		return view{}, err
	}
	if next != 0 {
		q.Next = q.address(next)
	}
	v.data = q
	return v, nil
}
