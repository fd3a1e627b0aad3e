package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mrgate/internal/gate"
)

// overlap is how far back the end of a list of what changed is read again. Not
// all that changes comes at the list's end: GitLab stamps at most one note a
// minute, and a push is stamped only by its note
// (app/models/concerns/throttled_touch.rb, app/services/merge_requests/refresh_service.rb),
// so that what changed up to a minute ago stands where it stood before;
// transactions commit later than they stamp, and several servers have several
// clocks.
const overlap = 2 * time.Minute

// mark is how far a list was read, by GitLab's clock. Pages are not cut by their
// number, since a merge request that changes while they are read moves, and all
// behind it with it: the next page begins with the time at which the last one
// ended (updated_after takes that in: app/models/concerns/updated_at_filterable.rb).
// Only those of the same millisecond are counted.
type mark struct {
	Floor time.Time `json:"floor,omitzero"` // what has not changed since is nobody's business
	Since time.Time `json:"since,omitzero"` // what changed before has been told
	Skip  int       `json:"skip,omitempty"` // so many of those that changed then, too
	Size  int       `json:"size,omitempty"` // of a page, where a hundred were too long an answer; 0: they were not
}

func parseMark(text gate.Mark) (m mark, err error) {
	if text == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("it is not known how far it was read: %w", err)
	}
	return m, nil
}

func (m mark) text() gate.Mark {
	if m == (mark{}) {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // times and numbers
	}
	return gate.Mark(text)
}

// Changed implements gate.Forge.
func (f *Forge) Changed(ctx context.Context, list gate.List, from gate.Mark) (gate.Page, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	m, err := parseMark(from)
	var page gate.Page
	switch {
	case err != nil:
	case from == "" && !list.Open:
		page, err = f.begin(ctx, list)
	default:
		page, err = f.next(ctx, list, m)
	}
	if status(err) == http.StatusNotFound {
		return gate.Page{}, fmt.Errorf("read what is %s: %w: it is gone, or the token's user may not see it", list, gate.ErrNotFound)
	}
	return page, f.fail("read what is", list, err)
}

// begin finds where a list that was never read begins: behind what changed last,
// by GitLab's clock.
func (f *Forge) begin(ctx context.Context, list gate.List) (gate.Page, error) {
	newest, now, err := f.list(ctx, list.Of, listOptions{State: "all", OrderBy: "updated_at", Sort: "desc", PerPage: 1})
	if err != nil {
		return gate.Page{}, err
	}
	m := mark{Floor: now}
	if len(newest) > 0 {
		m.Floor = after(newest[0].UpdatedAt)
	}
	m.Since = m.Floor
	return gate.Page{Mark: m.text()}, nil
}

// after is the first millisecond, which is how fine GitLab shows times, after t.
func after(t time.Time) time.Time { return t.Truncate(time.Millisecond).Add(time.Millisecond) }

func (f *Forge) next(ctx context.Context, list gate.List, m mark) (gate.Page, error) {
	found, now, err := f.listFrom(ctx, list, &m)
	if err != nil {
		return gate.Page{}, err
	}
	var page gate.Page
	for _, mr := range found {
		hint, ok := f.hint(mr)
		if !ok || mr.State == "merged" && mr.MergedAt != nil && mr.MergedAt.Before(m.Floor) {
			continue
		}
		if list.Open {
			hint.Snapshot.Merging.Reason = "" // who waits for that asks by themselves
		}
		page.Hints = append(page.Hints, hint)
	}
	size := m.size()
	last := m.Since
	if n := len(found); n > 0 {
		if last = found[n-1].at(list); last.IsZero() {
			return gate.Page{}, errors.New("GitLab's answer lacks the times of merge requests")
		}
	}
	switch page.More = len(found) >= size; {
	case page.More && last.After(m.Since):
		m.Since, m.Skip = last, 0
	case page.More:
		m.Skip = (m.Skip/size + 1) * size
	case list.Open:
		m = mark{} // and round again
	case len(found) > 0 || m.Skip > 0:
		m = mark{Floor: m.Floor, Since: m.caughtUp(last, now)}
	}
	page.Mark = m.text()
	return page, nil
}

// size is how many merge requests a page has.
func (m mark) size() int {
	if m.Size == 0 {
		return perPage
	}
	return m.Size
}

// caughtUp is from when on to read next, with the end of the list reached: last
// is when its last one changed, now GitLab's clock.
func (m mark) caughtUp(last, now time.Time) time.Time {
	since := after(last)
	if again := now.Add(-overlap); again.Before(since) {
		since = again
	}
	if since.Before(m.Floor) {
		since = m.Floor
	}
	return since
}

// listFrom reads the page at m, and a smaller one where it is too long an answer:
// a description may have a million characters.
func (f *Forge) listFrom(ctx context.Context, list gate.List, m *mark) ([]*mergeRequest, time.Time, error) {
	for {
		size := m.size()
		opt := listOptions{State: "all", OrderBy: "updated_at", Sort: "asc", PerPage: size, Page: m.Skip/size + 1}
		since := &opt.UpdatedAfter
		if list.Open {
			opt.State, opt.OrderBy = "opened", "created_at"
			since = &opt.CreatedAfter
		}
		if !m.Since.IsZero() {
			*since = m.Since.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		found, now, err := f.list(ctx, list.Of, opt)
		if !errors.Is(err, errTooLong) || size == 1 {
			return found, now, err
		}
		m.Size = max(size/4, 1)
	}
}

// at is when the merge request changed, or began to be open, as the list is sorted.
func (mr *mergeRequest) at(list gate.List) time.Time {
	if !list.Open {
		return mr.UpdatedAt.Truncate(time.Millisecond)
	}
	if mr.CreatedAt == nil {
		return time.Time{}
	}
	return mr.CreatedAt.Truncate(time.Millisecond)
}

// hint is what an entry of a list says. Whether it can be merged GitLab has
// perhaps not found out: it does that for who asks for the one.
func (f *Forge) hint(mr *mergeRequest) (gate.Hint, bool) {
	ref := gate.Ref{Forge: Name, Project: mr.TargetProjectID, Number: mr.IID}
	s, err := f.partial(ref, mr)
	if err != nil || ref.Project <= 0 || ref.Number <= 0 {
		return gate.Hint{}, false
	}
	if s.Merging.Class == gate.MergeSoon {
		s.Merging.Reason = ""
	}
	return gate.Hint{Ref: ref, Path: s.Path, Snapshot: &s}, true
}

// listOptions are those of GET …/merge_requests that are used. Without scope,
// some versions list what the token's user made. With details of labels the
// lists of projects do not come out of a cache, in which the head commit may be
// an old one (lib/api/merge_requests.rb, render_merge_requests; openjdk/skara#1427).
type listOptions struct {
	State        string `url:"state"`
	OrderBy      string `url:"order_by"`
	Sort         string `url:"sort"`
	PerPage      int    `url:"per_page"`
	Page         int    `url:"page,omitempty"`
	UpdatedAfter string `url:"updated_after,omitempty"`
	CreatedAfter string `url:"created_after,omitempty"`
	Scope        string `url:"scope"`
	Labels       bool   `url:"with_labels_details"`
}

// list reads one page of the merge requests of a project or a group, and when
// GitLab made it. Where the project was renamed and is named by its old path,
// it is read by its ID.
func (f *Forge) list(ctx context.Context, of string, opt listOptions) ([]*mergeRequest, time.Time, error) {
	const rest = "/merge_requests"
	opt.Scope, opt.Labels = "all", true
	var found []*mergeRequest
	resp, err := f.call(ctx, http.MethodGet, of+rest, opt, &found)
	if id, ok := movedTo(resp, rest); ok && strings.HasPrefix(of, "projects/") {
		resp, err = f.call(ctx, http.MethodGet, fmt.Sprintf("projects/%d%s", id, rest), opt, &found)
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	return found, f.answeredAt(resp.Header), nil
}
