package page

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"mrgate/internal/gate"
)

const (
	// recent is how many of those that are over the first page shows.
	recent = 15
	// aroundFor is how long it shows a merge around the gate.
	aroundFor = 7 * 24 * time.Hour
	// aroundMost is how many of these it shows.
	aroundMost = 5
)

// overview is what the first page shows.
type overview struct {
	Open, Over         []row
	MoreOpen, MoreOver bool
	Around             []landedRow
	MoreAround         bool
	Summary            string
}

func openStates() []gate.State { return states(gate.State.Open) }

// overStates are those of requests that are over, or followed at most.
func overStates() []gate.State {
	return states(func(s gate.State) bool { return !s.Open() })
}

func states(which func(gate.State) bool) (list []gate.State) {
	for _, s := range gate.States() {
		if which(s) {
			list = append(list, s)
		}
	}
	return list
}

func (l *listenerPage) overview(r *http.Request) (view, error) {
	var o overview
	var err error
	if o.Open, o.MoreOpen, err = l.list(r.Context(), gate.Filter{States: openStates()}, rows); err != nil {
		return view{}, err
	}
	if o.Over, o.MoreOver, err = l.list(r.Context(), gate.Filter{States: overStates()}, recent); err != nil {
		return view{}, err
	}
	if o.Around, o.MoreAround, err = l.landings(r.Context(), gate.LandingFilter{Around: true, Since: aroundFor}, aroundMost); err != nil {
		return view{}, err
	}
	o.Summary = summary(o.Open, o.MoreOpen)
	title := "Now"
	if len(o.Open) > 0 {
		title = fmt.Sprintf("(%s) Now", number(len(o.Open), o.MoreOpen))
	}
	return view{name: "overview.html", title: title, here: "/", live: true, data: o}, nil
}

// list gives the newest requests that the filter lets through, and whether there
// are more.
func (l *listenerPage) list(ctx context.Context, f gate.Filter, most int) (list []row, more bool, err error) {
	f.Limit = most + 1
	found, err := l.Archive.List(ctx, f)
	if err != nil {
		return nil, false, err
	}
	if more = len(found) > most; more {
		found = found[:most]
	}
	now := time.Now()
	for _, item := range found {
		list = append(list, rowOf(item, now))
	}
	return list, more, nil
}

// summary says in a sentence how many wait, and for what.
func summary(open []row, more bool) string {
	if len(open) == 0 {
		return "Nothing waits."
	}
	n := map[gate.State]int{}
	for _, r := range open {
		n[r.State]++
	}
	said := ""
	for _, part := range []struct {
		state gate.State
		says  string
	}{
		{gate.Pending, "for approval"}, {gate.BlockedNow, "for somebody to unblock it in GitLab"}, {gate.Approved, "for GitLab"},
	} {
		if n[part.state] == 0 {
			continue
		}
		if said != "" {
			said += ", "
		}
		said += fmt.Sprintf("%d %s", n[part.state], part.says)
	}
	if more {
		return fmt.Sprintf("More than %d wait; of the newest: %s.", len(open), said)
	}
	return "Waiting: " + said + "."
}

// number is a number of rows, with a + if there are more.
func number(n int, more bool) string {
	if more {
		return fmt.Sprintf("%d+", n)
	}
	return fmt.Sprint(n)
}
