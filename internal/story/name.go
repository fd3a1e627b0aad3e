package story

import (
	"cmp"
	"fmt"
	"strings"

	"mrgate/internal/gate"
	"mrgate/internal/words"
)

// longest is how much of one text from outside is shown.
const longest = 300

// Clean makes a text that came from outside fit to be shown: one line, in which
// nothing moves the cursor, colours, hides or turns around what stands beside it.
func Clean(s string) string { return words.Line(s, longest) }

// DryRun stands behind what was only rehearsed.
func DryRun(dry bool) string {
	if dry {
		return " (dry run)"
	}
	return ""
}

// Name is a merge request's name for people: payments/api!7.
func Name(path string, ref gate.Ref) string {
	return fmt.Sprintf("%s!%d", cmp.Or(Clean(path), fmt.Sprint(ref.Project)), ref.Number)
}

// UserName is somebody in GitLab: "Bob Chen (@bob)".
func UserName(u gate.User) string {
	name, username := Clean(u.Name), Clean(u.Username)
	switch {
	case username == "":
		return cmp.Or(name, "somebody")
	case name == "" || strings.EqualFold(name, username):
		return "@" + username
	}
	return name + " (@" + username + ")"
}

// CauseText says what ended a request that nobody ended by a decision.
func CauseText(c gate.Cause) string {
	switch c {
	case gate.CausePush:
		return "another commit was pushed"
	case gate.CauseRetarget:
		return "it has another target branch"
	case gate.CauseDraft:
		return "it was turned into a draft"
	case gate.CauseReopened:
		return "it was closed or a draft in between"
	case gate.CauseMerged:
		return "it was merged in GitLab, not from here"
	case gate.CauseClosed:
		return "it was closed in GitLab"
	case gate.CauseNoRule:
		return "no rule covers it any more"
	case gate.CauseDryRun:
		return "the dry run is over"
	case gate.CauseTime:
		return "nobody decided in time, or it could not be merged in time"
	}
	return Clean(string(c))
}

// CleanList is [Clean] for several, with commas between.
func CleanList(items []string) string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = Clean(item)
	}
	return strings.Join(list, ", ")
}

// MessageName is what a message is, for people: "card", "notice that it is blocked
// (conflict)".
func MessageName(kind gate.MessageKind) string {
	if cause, is := strings.CutPrefix(string(kind), string(gate.KindStuck)+" "); is {
		return "notice that it is blocked (" + Clean(cause) + ")"
	}
	return Clean(string(kind))
}
