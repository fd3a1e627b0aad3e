package gitlabsim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Note is a comment on a merge request.
type Note struct {
	ID        int64
	Body      string // without the quick actions that were obeyed
	Author    string
	Internal  bool
	System    bool // written by GitLab
	CreatedAt time.Time
	UpdatedAt time.Time
}

type note struct {
	Note
	by *User
}

func (s *Server) systemNote(mr *mergeRequest, by *User, body string) {
	mr.notes = append(mr.notes, &note{by: by, Note: Note{
		ID: s.id(), Body: body, Author: by.Username, System: true, CreatedAt: s.now(), UpdatedAt: s.now(),
	}})
}

// addNote obeys the quick actions in body with the given access level, and
// writes the rest. Where nothing is left there is no note, only a summary of
// what was done (app/services/notes/create_service.rb).
func (s *Server) addNote(mr *mergeRequest, by *User, level int, body string, internal bool, sha string) (n *note, done obeyed) {
	body, found := quickActions(body)
	if body != "" {
		n = &note{by: by, Note: Note{
			ID: s.id(), Body: body, Author: by.Username, Internal: internal, CreatedAt: s.now(), UpdatedAt: s.now(),
		}}
		mr.notes = append(mr.notes, n)
		mr.mentions = append(mr.mentions, mentions(body)...)
		s.touch(mr)
		s.noteHook(mr, n, "create")
	}
	return n, s.obey(mr, by, level, found, sha)
}

// noteableOf finds the merge request of a call about notes.
func (s *Server) noteableOf(q *request) (*mergeRequest, *answer) {
	p, no := s.projectOf(q)
	if no != nil {
		return nil, no
	}
	mr := s.find(p, int(q.number("noteable_id"))) //nolint:misspell // GitLab's word
	if mr == nil || !p.readable() {
		return nil, refuse(http.StatusNotFound, "404 MergeRequest Not Found")
	}
	return mr, nil
}

func (s *Server) noteOf(q *request) (*mergeRequest, *note, *answer) {
	mr, no := s.noteableOf(q)
	if no != nil {
		return nil, nil, no
	}
	for _, n := range mr.notes {
		if n.ID == q.number("note_id") && mr.project.shows(n) {
			return mr, n, nil
		}
	}
	return nil, nil, refuse(http.StatusNotFound, "404 Not found")
}

// shows: internal notes are for Reporters and up (docs.gitlab.com/user/discussions).
func (p *Project) shows(n *note) bool { return !n.Internal || p.BotAccess >= Reporter }

func (s *Server) listNotes(q *request) answer {
	mr, no := s.noteableOf(q)
	if no != nil {
		return *no
	}
	var notes []*note
	for _, n := range mr.notes {
		switch q.str("activity_filter") {
		case "only_comments":
			if n.System {
				continue
			}
		case "only_activity":
			if !n.System {
				continue
			}
		}
		if mr.project.shows(n) {
			notes = append(notes, n)
		}
	}
	if q.str("order_by") == "updated_at" {
		slices.SortStableFunc(notes, func(a, b *note) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
	}
	if q.str("sort") != "asc" {
		slices.Reverse(notes) // desc is the default
	}
	return paginate(q, notes, func(n *note) any { return s.noteJSON(mr, n, nil) })
}

func (s *Server) getNote(q *request) answer {
	mr, n, no := s.noteOf(q)
	if no != nil {
		return *no
	}
	return jsonAnswer(http.StatusOK, s.noteJSON(mr, n, nil))
}

// postNote: lib/api/notes.rb and helpers/notes_helpers.rb. internal is heard
// here only, and cannot be changed afterwards. Whoever may not make a note
// internal (nobody, on a merge request before 16.9: gitlab-org/gitlab!142003)
// makes a public one, and is not told (app/services/notes/build_service.rb).
func (s *Server) postNote(q *request) answer {
	mr, no := s.noteableOf(q)
	if no != nil {
		return *no
	}
	if strings.TrimSpace(q.str("body")) == "" {
		return message(http.StatusBadRequest, `400 Bad request - Note {:note=>["can't be blank"]}`)
	}
	internal := (q.flag("internal") || q.flag("confidential")) && s.isAtLeast(16, 9) && mr.project.BotAccess >= Reporter
	n, done := s.addNote(mr, s.bot, mr.project.BotAccess, q.str("body"), internal, q.str("merge_request_diff_head_sha"))
	if n == nil {
		return done.answer()
	}
	return jsonAnswer(http.StatusCreated, s.noteJSON(mr, n, done.changes))
}

// putNote edits. Quick actions are obeyed here, too, but /merge, which needs a
// sha that cannot be given; a note that was left empty by it is deleted
// (app/services/notes/update_service.rb).
func (s *Server) putNote(q *request) answer {
	mr, n, no := s.noteOf(q)
	if no != nil {
		return *no
	}
	if n.System || n.by != s.bot && mr.project.BotAccess < Maintainer {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	if !q.has("body") {
		return jsonAnswer(http.StatusOK, s.noteJSON(mr, n, nil))
	}
	old := mentions(n.Body)
	body, found := quickActions(q.str("body"))
	if body == "" {
		mr.notes = slices.DeleteFunc(mr.notes, func(x *note) bool { return x == n })
		return s.obey(mr, s.bot, mr.project.BotAccess, found, "").answer()
	}
	if body != n.Body {
		n.Body, n.UpdatedAt = body, s.now()
		for _, m := range mentions(body) { // only who was not mentioned before is mailed
			if !slices.Contains(old, m) {
				mr.mentions = append(mr.mentions, m)
			}
		}
		s.touch(mr)
		s.noteHook(mr, n, "update")
	}
	done := s.obey(mr, s.bot, mr.project.BotAccess, found, "")
	return jsonAnswer(http.StatusOK, s.noteJSON(mr, n, done.changes))
}

// deleteNote: one's own, and everybody's for a Maintainer (app/policies/note_policy.rb).
func (s *Server) deleteNote(q *request) answer {
	mr, n, no := s.noteOf(q)
	if no != nil {
		return *no
	}
	if n.System || n.by != s.bot && mr.project.BotAccess < Maintainer {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	mr.notes = slices.DeleteFunc(mr.notes, func(x *note) bool { return x == n })
	return answer{status: http.StatusNoContent, header: http.Header{}}
}

func (s *Server) noteJSON(mr *mergeRequest, n *note, changes object) object {
	if changes == nil {
		changes = object{}
	}
	return object{
		"id": n.ID, "type": nil, "body": n.Body, "author": s.userJSON(n.by), "created_at": stamp(n.CreatedAt),
		"updated_at": stamp(n.UpdatedAt), "system": n.System,
		"noteable_id": mr.id, "noteable_type": "MergeRequest", "noteable_iid": mr.iid, //nolint:misspell // GitLab's word
		"project_id": mr.project.ID, "resolvable": false, "confidential": n.Internal, "internal": n.Internal,
		"imported": false, "imported_from": "none", "commands_changes": changes,
	}
}

// obeyed is what quick actions did.
type obeyed struct {
	summary []string
	changes object
}

// answer is API::Entities::NoteCommands: nothing was left of the note.
func (o obeyed) answer() answer {
	return jsonAnswer(http.StatusAccepted, object{"commands_changes": o.changes, "summary": o.summary})
}
