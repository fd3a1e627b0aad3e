package policy

import (
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Rule says who may decide on merge requests of some projects into some
// branches, and what follows.
type Rule struct {
	Name string // unique; shown on cards and in the log

	// Projects are globs over full paths (* within a part, ** across parts,
	// without regard to case, as GitLab resolves them) or numeric IDs, which
	// also survive a rename.
	Projects []string
	// TargetBranches are globs over branch names, which are case-sensitive.
	TargetBranches []string

	Approvers []Identity // who may decide; people, never groups
	CardsTo   []Identity // who gets the card; empty: reviewers who are approvers, else all approvers

	Required          int  // how many people must approve
	AllowSelfApproval bool // whether author and committers may approve
	RequireRole       Role // that a person needs in the project to approve; empty: none

	OnApprove OnApprove
	OnReject  OnReject
	Merge     MergeOptions

	RequireReason bool          // a rejection must say why
	Forks         bool          // a fork's job may ask with its ID token
	CommitStatus  bool          // a status on the commit shows where it stands
	RemindAfter   time.Duration // 0: nobody is reminded
	ExpireAfter   time.Duration // at most MaxExpire
}

// OnApprove is what follows when enough people approved.
type OnApprove string

// What mrgate does in GitLab after the approval.
const (
	OnApproveMerge   OnApprove = "merge"
	OnApproveApprove OnApprove = "approve"
)

// OnReject is what follows when somebody rejected.
type OnReject string

// What mrgate does in GitLab after the rejection.
const (
	OnRejectClose   OnReject = "close"
	OnRejectComment OnReject = "comment"
)

// MergeOptions says how to merge. Nil: as the merge request says, or, of
// WhenPipelineSucceeds, as GitLab decides.
type MergeOptions struct {
	// Squash is nil or true. GitLab reads the parameter only where it is true
	// (lib/api/merge_requests.rb), so false would promise what nobody does.
	Squash               *bool
	RemoveSourceBranch   *bool
	WhenPipelineSucceeds *bool // true: wait also where the project demands no pipeline
}

const (
	// MaxExpire is the longest that a request may wait. Feishu neither updates
	// a card nor takes clicks on it later than 14 days after it was sent
	// (https://open.larkoffice.com/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/update-feishu-card.md).
	MaxExpire = 14 * 24 * time.Hour
	// DefaultExpire leaves a day in which the card can still say that it expired.
	DefaultExpire = 13 * 24 * time.Hour
)

// NewRule returns a rule with the defaults; n is its place in the policy,
// counted from 1, and names it until somebody does.
func NewRule(n int) Rule {
	return Rule{
		Name:        "rule " + strconv.Itoa(n),
		Required:    1,
		OnApprove:   OnApproveMerge,
		OnReject:    OnRejectClose,
		ExpireAfter: DefaultExpire,
	}
}

// matchesProject tells whether the rule can apply to the project.
func (r *Rule) matchesProject(project ProjectRef) bool {
	id := strconv.FormatInt(project.ID, 10)
	for _, pattern := range r.Projects {
		if allDigits(pattern) {
			if pattern == id {
				return true
			}
			continue
		}
		if matchGlob(foldProject(pattern), foldProject(project.Path)) {
			return true
		}
	}
	return false
}

// matchesTarget tells whether the rule can apply to the target branch.
func (r *Rule) matchesTarget(target string) bool {
	for _, pattern := range r.TargetBranches {
		if MatchesBranch(pattern, target) {
			return true
		}
	}
	return false
}

// MatchesBranch tells whether a pattern of target branches matches the name.
func MatchesBranch(pattern, name string) bool { return matchGlob(pattern, name) }

// covers tells whether every project and target that later matches is matched
// by r as well. It says yes only where that is certain: a pattern is equal to
// one of r's, is a plain name that one of r's matches, or one of r's is **.
func (r *Rule) covers(later *Rule) bool {
	return coversAll(r.Projects, later.Projects, foldProject) &&
		coversAll(r.TargetBranches, later.TargetBranches, func(s string) string { return s })
}

func coversAll(earlier, later []string, fold func(string) string) bool {
	for _, pattern := range later {
		covered := false
		for _, by := range earlier {
			if coversPattern(fold(by), fold(pattern)) {
				covered = true
				break
			}
		}
		if !covered {
			return false
		}
	}
	return len(later) > 0
}

func coversPattern(by, pattern string) bool {
	switch {
	case by == anything || by == pattern:
		return true
	case allDigits(by), allDigits(pattern):
		return false // an ID and a path may mean the same project, but nothing here can tell
	case strings.ContainsAny(pattern, globMeta):
		return false
	default:
		return matchGlob(by, pattern)
	}
}

const (
	anything = "**"      // the glob that matches every name
	globMeta = `*?[]{}\` // what makes a pattern more than a plain name
)

// foldProject makes project paths and their globs comparable.
func foldProject(s string) string { return strings.ToLower(s) }

// matchGlob tells whether the glob matches the whole name; a bad glob (Validate
// finds them) matches nothing.
func matchGlob(pattern, name string) bool {
	ok, err := doublestar.Match(pattern, name)
	return err == nil && ok
}
