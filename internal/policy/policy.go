// Package policy says who may decide what: the rules that the operator wrote
// down, as validated data. It knows no files and no network; internal/config
// reads it from YAML and internal/gate asks it.
//
// A policy is a list of rules, and the first one that matches a project and a
// target branch holds; where none matches, mrgate stays out. The rule names the
// people who may decide (by their identity in the chat), how many of them it
// takes, and what follows from their verdict. Beside the rules stands who a
// GitLab user is in the chat, because authors and committers must not approve
// their own work.
//
// What can go wrong is found by Validate before anything runs: a rule that no
// merge request can reach or no person can fulfil is a gate that stands open or
// never opens, and both are worse than a program that does not start.
package policy

import (
	"strconv"
	"strings"
)

// Policy is all that the operator decided. New gives one with the defaults;
// a Policy is not changed after it was validated, so it may be shared.
type Policy struct {
	Rules []Rule // the first that matches holds

	// Users says who a GitLab user is in the chat. A key is a user ID in
	// decimal, or a username in lower case (see Policy.PersonOf).
	Users map[string]Identity
	// UserEmail makes an e-mail address out of the username of somebody who is
	// not in Users: "{username}@example.com". Empty: nobody else is known.
	// It is a guess that counts only if the chat's directory knows the address.
	UserEmail string

	AdoptCards        AdoptMode
	Note              NoteMode
	OperatorDecisions OperatorMode
	Locale            Locale
}

// AdoptMode says what the first click does on a card that a job sent by itself.
type AdoptMode string

// The ways to treat a click on a card that no listener sent.
const (
	AdoptConfirm AdoptMode = "confirm" // the card is turned into the listener's own, and the person decides on that
	AdoptTrust   AdoptMode = "trust"   // the click counts
	AdoptRefuse  AdoptMode = "refuse"  // the click is turned away
)

// NoteMode says who may read the note that explains a decision on the merge
// request.
type NoteMode string

// The kinds of notes. GitLab shows an internal one to members only.
const (
	NoteAuto     NoteMode = "" // internal where the project is public, else public
	NotePublic   NoteMode = "public"
	NoteInternal NoteMode = "internal"
	NoteOff      NoteMode = "off"
)

// OperatorMode says whether `mrgate decide` and its API may decide.
type OperatorMode string

// Operators may decide, or not.
const (
	OperatorAllow OperatorMode = "allow"
	OperatorDeny  OperatorMode = "deny"
)

// Locale is the language of what people in the chat read.
type Locale string

// The languages that internal/words speaks.
const (
	LocaleZH Locale = "zh"
	LocaleEN Locale = "en"
)

// New returns a policy without rules and with the default of everything else.
func New() *Policy {
	return &Policy{
		Users:             map[string]Identity{},
		AdoptCards:        AdoptConfirm,
		Note:              NoteAuto,
		OperatorDecisions: OperatorAllow,
		Locale:            LocaleZH,
	}
}

// ProjectRef names a project as GitLab does: by a number that never changes,
// and by its full path (group/subgroup/project), which may.
type ProjectRef struct {
	ID   int64
	Path string
}

// GitLabUser names a user as GitLab does. The ID stays; the username is the
// user's own to change.
type GitLabUser struct {
	ID       int64
	Username string
}

// Match returns the first rule that matches the project and the target branch,
// or nil. The rule belongs to the policy: do not change it.
func (p *Policy) Match(project ProjectRef, target string) *Rule {
	for i := range p.Rules {
		if p.Rules[i].matchesProject(project) && p.Rules[i].matchesTarget(target) {
			return &p.Rules[i]
		}
	}
	return nil
}

// Covers tells whether some rule can match the project, whatever the target
// branch: what it does not cover need not even be looked at.
func (p *Policy) Covers(project ProjectRef) bool {
	for i := range p.Rules {
		if p.Rules[i].matchesProject(project) {
			return true
		}
	}
	return false
}

// CoversForks tells whether some rule that lets jobs of forks ask can match the
// project.
func (p *Policy) CoversForks(project ProjectRef) bool {
	for i := range p.Rules {
		if p.Rules[i].Forks && p.Rules[i].matchesProject(project) {
			return true
		}
	}
	return false
}

// PersonOf returns who the GitLab user is in the chat: as listed in Users by ID,
// else by username, else as UserEmail makes it out of the username. False: the
// policy cannot tell.
//
// GitLab compares usernames without regard to case. A username may consist of
// digits alone and is its owner's to choose, so a number in Users is only ever
// an ID: nobody becomes user 47 by calling themselves "47".
func (p *Policy) PersonOf(user GitLabUser) (Identity, bool) {
	if user.ID > 0 {
		if who, ok := p.Users[strconv.FormatInt(user.ID, 10)]; ok {
			return who, true
		}
	}
	name := strings.ToLower(user.Username)
	if name == "" {
		return Identity{}, false
	}
	if !allDigits(name) {
		if who, ok := p.Users[name]; ok {
			return who, true
		}
	}
	if p.UserEmail == "" {
		return Identity{}, false
	}
	who, err := ParseIdentity(strings.ReplaceAll(p.UserEmail, placeholder, name))
	if err != nil || who.Kind != KindEmail {
		return Identity{}, false
	}
	return who, true
}

// placeholder is what UserEmail replaces by the username.
const placeholder = "{username}"

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
