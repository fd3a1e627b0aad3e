package gitlabsim

import (
	"slices"
	"strings"
)

// A quick action is a line in a note that begins, at its very first column,
// with a slash and the name of a command: GitLab takes it out of the note and
// does what it says, with the rights of who wrote the note, also where that is
// a bot that only passed on somebody's words
// (docs.gitlab.com/user/project/quick_actions).
//
// What is code is spared, but what counts as code has changed. Older servers
// (to about 16) search the raw text, and know only fences of exactly three
// backticks at the first column, whatever stands between two backticks, HTML
// and >>> blocks. Newer ones search the paragraphs of the rendered Markdown,
// so that every fence counts, but backticks pair only within a paragraph.
// (lib/gitlab/quick_actions/extractor.rb, both; banzai's quick_action_filter.)
// Here a line is obeyed if either would obey it: what is safe here is safe on both.

// quickAction is a command as it was found, from from to to in the text.
type quickAction struct {
	name, arg string
	from, to  int
}

// quickActions takes the commands out of a note.
func quickActions(text string) (rest string, found []quickAction) {
	text = strings.ReplaceAll(text, "\r", "") // first of all, as GitLab does
	found = findCommands(text, true)
	for _, b := range blocks(text) {
		if b.kind != paragraph {
			continue
		}
		for _, c := range findCommands(text[b.from:b.to], false) {
			c.from, c.to = c.from+b.from, c.to+b.from
			if !slices.ContainsFunc(found, func(o quickAction) bool { return o.from == c.from }) {
				found = append(found, c)
			}
		}
	}
	slices.SortFunc(found, func(a, b quickAction) int { return a.from - b.from })
	var kept strings.Builder
	at := 0
	for _, c := range found {
		kept.WriteString(text[at:max(at, c.from)])
		at = max(at, c.to)
	}
	kept.WriteString(text[at:])
	return strings.TrimRight(kept.String(), " \t\n"), found
}

// findCommands goes through a text from left to right; what begins first wins.
func findCommands(text string, raw bool) []quickAction {
	var found []quickAction
	for at := 0; at < len(text); {
		lineStart := at == 0 || text[at-1] == '\n'
		rest := text[at:]
		var skip int
		switch {
		case raw && lineStart && strings.HasPrefix(rest, "```"):
			skip = endOfBlock(rest, "```")
		case raw && lineStart && strings.HasPrefix(rest, ">>>"):
			skip = endOfBlock(rest, ">>>")
		case lineStart && rest[0] == '<':
			skip = endOfHTML(rest)
		case lineStart && rest[0] == '/':
			if c, ok := parseCommand(rest); ok {
				c.from, c.to = at, at+c.to
				found = append(found, c)
				skip = c.to - at
			}
		}
		if skip == 0 && rest[0] == '`' {
			skip = endOfSpan(rest)
		}
		at += max(skip, 1)
	}
	return found
}

// endOfBlock finds the line that is the fence and nothing else; 0: there is none.
func endOfBlock(text, fence string) int {
	for at := len(fence) + 1; at < len(text); at++ {
		if end := at + 1 + len(fence); strings.HasPrefix(text[at:], "\n"+fence) && (end == len(text) || text[end] == '\n') {
			return end
		}
	}
	return 0
}

// endOfSpan finds the next backtick but one character: runs are not counted.
func endOfSpan(text string) int {
	if len(text) > 2 {
		if i := strings.IndexByte(text[2:], '`'); i >= 0 {
			return i + 3
		}
	}
	return 0
}

// endOfHTML finds the end of a tag alone on its line, up to a line that begins
// with a closing tag and ends with it.
func endOfHTML(text string) int {
	open := strings.IndexByte(text, '>')
	if open < 2 || open+1 >= len(text) || text[open+1] != '\n' {
		return 0
	}
	for at := open + 3; at < len(text); at++ {
		if !strings.HasPrefix(text[at:], "\n</") {
			continue
		}
		if i := strings.IndexByte(text[at:], '>'); i > 3 && (at+i+1 == len(text) || text[at+i+1] == '\n') {
			return at + i + 1
		}
	}
	return 0
}

// parseCommand reads "/name" or "/name argument" to the end of the line, and
// the blank lines after it.
func parseCommand(text string) (quickAction, bool) {
	line, _, _ := strings.Cut(text, "\n")
	name, arg, _ := strings.Cut(line[1:], " ")
	name = strings.ToLower(strings.TrimRight(name, "\t"))
	if !slices.Contains(commandNames(), name) {
		return quickAction{}, false
	}
	to := len(line)
	after := text[to:]
	blank := after[:len(after)-len(strings.TrimLeft(after, " \t\n"))]
	if i := strings.LastIndexByte(blank, '\n'); i >= 0 {
		to += i + 1
	}
	return quickAction{name: name, arg: strings.TrimSpace(arg), to: to}, true
}

// commandNames are the quick actions of a merge request; every one of them is
// taken out of a note, also where it does nothing then.
func commandNames() []string {
	return []string{
		"approve", "assign", "assign_reviewer", "award", "close", "copy_metadata", "done", "draft", "estimate", "label",
		"labels", "lock", "merge", "milestone", "react", "ready", "rebase", "relabel", "remove_estimate", "remove_label",
		"remove_milestone", "remove_time_spent", "reopen", "open", "request_changes", "request_review", "reviewer", "spend",
		"spend_time", "spent", "submit_review", "subscribe", "target_branch", "title", "todo", "unapprove", "unassign",
		"unassign_reviewer", "unlabel", "unlock", "unsubscribe", "wip",
	}
}

// obey does what the commands say, as far as the access level reaches. sha is
// the merge_request_diff_head_sha given with the note: without it, or with
// another one, /merge does nothing (quick_actions/merge_request_actions.rb).
func (s *Server) obey(mr *mergeRequest, by *User, level int, commands []quickAction, sha string) obeyed {
	done := obeyed{summary: []string{}, changes: object{}}
	for _, c := range commands {
		mr.commands = append(mr.commands, strings.TrimSpace("/"+c.name+" "+c.arg))
		does, key, value := "Could not apply "+c.name+" command.", "", any(nil)
		if level >= Developer {
			switch c.name {
			case "close":
				s.close(mr, by)
				does, key, value = "Closed this merge request.", "state_event", "close"
			case "reopen", "open":
				s.reopen(mr, by)
				does, key, value = "Reopened this merge request.", "state_event", "reopen"
			case "draft", "wip":
				s.setDraft(mr, true, by)
				does, key, value = "Marked this merge request as a draft.", "wip_event", "draft"
			case "ready":
				s.setDraft(mr, false, by)
				does, key, value = "Marked this merge request as ready.", "wip_event", "ready"
			case "title":
				s.setTitle(mr, or(c.arg, mr.title), by)
				does, key, value = "Changed the title to \""+c.arg+"\".", "title", c.arg
			case "target_branch":
				s.retarget(mr, or(c.arg, mr.target), by)
				does, key, value = "Set target branch to "+c.arg+".", "target_branch", c.arg
			case "label", "labels":
				for l := range strings.FieldsSeq(c.arg) {
					mr.labels = append(mr.labels, strings.Trim(l, `~"`))
				}
				does, key, value = "Added labels.", "add_label_ids", []int{}
			case "assign", "assign_reviewer", "reviewer", "request_review":
				users := s.people(strings.Fields(strings.ReplaceAll(c.arg, "@", "")))
				if c.name == "assign" {
					mr.assignees = append(mr.assignees, users...)
				} else {
					mr.reviewers = append(mr.reviewers, users...)
				}
				does, key, value = "Assigned.", "assignee_ids", userIDs(users)
			case "approve":
				if mr.state == "opened" {
					s.addApproval(mr, by)
					does = "Approved the current merge request."
				}
			case "merge":
				does = "The `/merge` quick action requires the SHA of the head of the branch."
				if sha == mr.head() && level >= mr.project.MergeAccess && mr.status() == "mergeable" {
					s.merge(mr, by, mergeParams{})
					does, key, value = "Merged this merge request.", "merge", sha
				}
			}
		}
		done.summary = append(done.summary, does)
		if key != "" {
			done.changes[key] = value
		}
	}
	if len(commands) > 0 {
		s.touch(mr)
	}
	return done
}
