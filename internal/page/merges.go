package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

// landedRow is a merge in a list.
type landedRow struct {
	gate.Landed
	Name     string
	By       string
	Approved string // by whom; "": nobody
	Story    string // the request's address; "": nobody was ever asked
	Now      time.Time
}

// merges is what the page with merges shows.
type merges struct {
	List    []landedRow
	All     bool // those through the gate too
	Project string
	Wrong   string // why nothing was looked for
	First   string // the address of the newest ones; "": these are
	Next    string // the address of those behind; "": there are none
}

func (l *listenerPage) merges(r *http.Request) (view, error) {
	q := r.URL.Query()
	m := merges{All: q.Get("show") == "all", Project: strings.Trim(strings.TrimSpace(q.Get("project")), "/")}
	v := view{name: "merges.html", title: "Merges", here: "/merges"}
	if m.Wrong = wrongProject(m.Project); m.Wrong != "" {
		v.data = m
		return v, nil
	}
	f := gate.LandingFilter{Around: !m.All, Project: m.Project}
	address := func(before string) string {
		query := url.Values{}
		if m.All {
			query.Set("show", "all")
		}
		if m.Project != "" {
			query.Set("project", m.Project)
		}
		if before != "" {
			query.Set("before", before)
		}
		return addressOf("/merges", query)
	}
	if at, row, ok := strings.Cut(q.Get("before"), "-"); ok {
		ms, err := strconv.ParseInt(at, 10, 64)
		id, err2 := strconv.ParseInt(row, 10, 64)
		if err != nil || err2 != nil {
			return view{}, errAbsent
		}
		f.Before = gate.LandingPlace{At: time.UnixMilli(ms), Row: id}
		m.First = address("")
	}
	list, more, err := l.landings(r.Context(), f, rows)
	if err != nil {
		return view{}, err
	}
	m.List, v.live = list, m.First == "" && m.Project == "" // of a project, it takes its time
	if more {
		last := list[len(list)-1]
		m.Next = address(fmt.Sprintf("%d-%d", last.At.UnixMilli(), last.Row))
	}
	v.data = m
	return v, nil
}

// landings gives the newest merges that the filter lets through, and whether there
// are more.
func (l *listenerPage) landings(ctx context.Context, f gate.LandingFilter, most int) (list []landedRow, more bool, err error) {
	f.Limit = most + 1
	now := time.Now()
	for landed, err := range l.Archive.Landings(ctx, f) {
		if err != nil {
			return nil, false, err
		}
		if len(list) == most {
			return list, true, nil
		}
		row := landedRow{Landed: landed, Name: story.Name(landed.Path, landed.Ref), By: story.UserName(landed.By), Now: now}
		var names []string
		for _, d := range landed.Approved {
			names = append(names, cmp.Or(d.Name, d.Person))
		}
		row.Approved = story.CleanList(names)
		if landed.Request != 0 {
			row.Story = fmt.Sprintf("/requests/%d", landed.Request)
		}
		list = append(list, row)
	}
	return list, false, nil
}

// wrongProject says why no project can be looked for under this name; "": one can.
func wrongProject(name string) string {
	if strings.Contains(strings.TrimSuffix(name, "/*"), "*") {
		return fmt.Sprintf("“%s” is no project; write a path like group/project, an ID, or group/* for all below a group.", story.Clean(name))
	}
	return ""
}

func addressOf(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
