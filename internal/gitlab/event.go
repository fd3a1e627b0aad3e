package gitlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"mrgate/internal/gate"
)

// Event is what a merge request webhook's body says, or the variables of a merge
// request pipeline (see FromCI).
type Event struct {
	Ref gate.Ref
	// Snapshot holds what bodies carry: Path, URL, Title, Description, State,
	// Draft, Head, Source, Target, Fork, Author and Merging. What is missing in
	// this one is empty: Author has a name only if the author is who did
	// something, Head is empty while there is no commit, State is where it is
	// unknown.
	Snapshot gate.Snapshot
	Actor    gate.User // who did something; ID 0 with old servers
	Action   string    // open, update, merge …; "" from a system hook or a pipeline
	Cut      bool      // the description is only its beginning
}

// Check says in one sentence what is missing for asking somebody's approval of
// the head commit; nil: nothing. A listener needs none of this but Ref: it reads
// the rest from GitLab.
func (e Event) Check() error {
	s, lacks := &e.Snapshot, []string(nil)
	for _, part := range []struct {
		name string
		ok   bool
	}{
		{"the project's ID", e.Ref.Project > 0},
		{"the merge request's number", e.Ref.Number > 0},
		{"the project's path", isProjectPath(s.Path)},
		{"the merge request's address", isWebAddress(s.URL)},
		{"the title", s.Title != ""},
		{"the state", s.State != ""},
		{"the head commit in full", isCommitID(s.Head)},
		{"the target branch", s.Target != ""},
	} {
		if !part.ok {
			lacks = append(lacks, part.name)
		}
	}
	if lacks == nil {
		return nil
	}
	return fmt.Errorf("nobody can be asked for approval, because it does not tell %s", strings.Join(lacks, ", "))
}

// ParseEvent reads the body of a merge request webhook: project, group or system
// hook, of any GitLab of the last ten years. Only what is used is looked at; it
// has to be of the right type, and no name may stand twice beside it (every
// reader would see another one). All else is passed over: go-gitlab's type for
// these bodies cannot read real ones, whose changes.reviewers is a list of lists.
//
// An error says in one sentence why the body is of no use.
func ParseEvent(body []byte) (Event, error) {
	if !utf8.Valid(body) {
		return Event{}, errors.New("the body is not valid UTF-8")
	}
	if !json.Valid(body) { // also where something follows the value
		return Event{}, errors.New("the body is not one JSON value")
	}
	top, err := parseObject(body, "the body")
	if err != nil {
		return Event{}, err
	}
	r := &reader{}
	// A template of one's own can replace the whole body (GitLab 17.0), and some
	// senders in the wild have keys with blanks in them.
	kind := r.text(top, "object_kind")
	if r.err != nil {
		return Event{}, r.err
	}
	if kind != "merge_request" {
		if kind == "" {
			return Event{}, errors.New("the body has no object_kind: it is of no merge request event, or made by a template")
		}
		return Event{}, fmt.Errorf("an event of kind %q: only merge requests are looked at", oneLine(kind, 40))
	}

	at := r.object(top, "object_attributes")
	project := r.object(top, "project")
	target := r.object(at, "target")
	actor := r.object(top, "user")
	commit := r.object(at, "last_commit")

	var e Event
	e.Ref = gate.Ref{Forge: Name, Project: r.number(project, "id"), Number: r.number(at, "iid")}
	targetProject := r.number(at, "target_project_id")
	if e.Ref.Project == 0 { // system hooks leave it out
		e.Ref.Project = targetProject
	}
	source := r.number(at, "source_project_id")
	e.Action = r.text(at, "action")
	e.Actor = gate.User{ID: r.number(actor, "id"), Username: r.text(actor, "username"), Name: r.text(actor, "name")}

	s := &e.Snapshot
	s.Path = first(r.text(project, "path_with_namespace"), r.text(target, "path_with_namespace"))
	s.Title, s.Description = r.text(at, "title"), r.text(at, "description")
	s.Source, s.Target = r.text(at, "source_branch"), r.text(at, "target_branch")
	s.Fork = source != 0 && targetProject != 0 && source != targetProject
	s.Head = gate.CommitID(r.text(commit, "id"))
	s.State = gate.ForgeState(r.text(at, "state"))
	s.URL = r.text(at, "url")
	webURL := r.text(project, "web_url")
	if s.URL == "" && webURL != "" {
		s.URL = fmt.Sprintf("%s/-/merge_requests/%d", webURL, e.Ref.Number)
	}
	if s.Author.ID = r.number(at, "author_id"); s.Author.ID != 0 && s.Author.ID == e.Actor.ID {
		s.Author = e.Actor
	}
	s.Merging.Reason = first(r.text(at, "detailed_merge_status"), r.text(at, "merge_status"))
	s.Merging.Class = class(s.Merging.Reason)
	draft, wip := r.flag(at, "draft"), r.flag(at, "work_in_progress")

	switch {
	case r.err != nil:
		return Event{}, r.err
	case e.Ref.Project <= 0:
		return Event{}, errors.New("the body names no project: neither project.id nor object_attributes.target_project_id")
	case e.Ref.Number <= 0:
		return Event{}, errors.New("the body names no merge request: object_attributes.iid")
	case s.Head != "" && !isCommitID(s.Head):
		return Event{}, errors.New("object_attributes.last_commit.id is no commit ID")
	}
	switch {
	case draft != nil:
		s.Draft = *draft
	case wip != nil: // before 13.2 or so
		s.Draft = *wip
	default:
		s.Draft = draftTitle(s.Title)
	}
	if s.State, err = forgeState(string(s.State)); err != nil {
		s.State = "" // the look will tell
	}
	return e, nil
}

// draftTitle says whether GitLab takes a title for a draft's: it is the title
// that makes one (docs.gitlab.com/user/project/merge_requests/drafts).
func draftTitle(title string) bool {
	title = strings.ToLower(strings.TrimSpace(title))
	for _, prefix := range []string{"draft:", "[draft]", "(draft)", "wip:", "[wip]"} {
		if strings.HasPrefix(title, prefix) {
			return true
		}
	}
	return false
}

func isCommitID(id gate.CommitID) bool {
	if len(id) != 40 && len(id) != 64 {
		return false
	}
	for _, c := range id {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return true
}

// isProjectPath says whether path can be a project's, with its groups
// (docs.gitlab.com/user/reserved_names, "Rules for usernames, project and group
// names").
func isProjectPath(path string) bool {
	parts := strings.Split(path, "/")
	for _, p := range parts {
		if strings.Trim(p, "-.") == "" || strings.Trim(p, pathCharacters) != "" {
			return false
		}
	}
	return len(parts) > 1
}

const pathCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// isWebAddress says whether text is one that a card may link to.
func isWebAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// object is a JSON object with its values unread. encoding/json would match
// names without regard to case, and take the last of two.
type object struct {
	path   string // "object_attributes.", for errors
	values map[string]json.RawMessage
}

// parseObject reads one level of valid JSON.
func parseObject(data []byte, path string) (object, error) {
	o := object{values: map[string]json.RawMessage{}}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return o, fmt.Errorf("%s is no object", path)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return o, fmt.Errorf("%s cannot be read", path)
		}
		name, _ := t.(string)
		if _, twice := o.values[name]; twice {
			return o, fmt.Errorf("%s has the name %q twice", path, oneLine(name, 40))
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return o, fmt.Errorf("%s cannot be read", path)
		}
		o.values[name] = value
	}
	return o, nil
}

// reader takes values out of objects and remembers the first that was of the
// wrong type. Missing and null are the zero value.
type reader struct{ err error }

func (r *reader) value(o object, name string, v any, want string) {
	raw, ok := o.values[name]
	if !ok || string(raw) == "null" || r.err != nil {
		return
	}
	if json.Unmarshal(raw, v) != nil {
		r.err = fmt.Errorf("%s%s is not %s", o.path, name, want)
	}
}

func (r *reader) text(o object, name string) (s string) {
	r.value(o, name, &s, "a string")
	return s
}

// number is 0 where there is none, so that no ID can be mistaken for another.
func (r *reader) number(o object, name string) (n int64) {
	r.value(o, name, &n, "a whole number")
	return n
}

func (r *reader) flag(o object, name string) (b *bool) {
	r.value(o, name, &b, "true or false")
	return b
}

func (r *reader) object(o object, name string) object {
	raw, ok := o.values[name]
	if !ok || string(raw) == "null" || r.err != nil {
		return object{}
	}
	sub, err := parseObject(raw, o.path+name)
	if err != nil {
		r.err = err
		return object{}
	}
	sub.path = o.path + name + "."
	return sub
}
