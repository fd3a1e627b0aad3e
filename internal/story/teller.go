package story

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"mrgate/internal/gate"
)

// Teller says in a sentence what an entry of the log is about. It learns names
// from the entries that it tells, and else from the requests.
type Teller struct {
	archive gate.Archive
	names   map[string]string // by the chat's ID
	refs    map[int64]Subject // by the request's number
	asked   int64             // the request whose story was read last
}

// Subject is the merge request that an entry is about.
type Subject struct {
	Path   string
	Number int64
}

func (n Subject) String() string {
	if n.Number == 0 {
		return "-"
	}
	return fmt.Sprintf("%s!%d", cmp.Or(Clean(n.Path), "?"), n.Number)
}

// NewTeller gives one that asks the archive for the names that it has not met.
func NewTeller(archive gate.Archive) *Teller {
	return &Teller{archive: archive, names: map[string]string{}, refs: map[int64]Subject{}}
}

// learn takes in whom a request concerns.
func (t *Teller) learn(mr *gate.MergeRequest) {
	r := mr.Current()
	t.asked = r.ID
	people := append([]gate.Person{r.Panel.Author}, r.Panel.Committer...)
	for _, m := range r.Panel.Approvers {
		people = append(people, m.Person)
	}
	for _, p := range people {
		t.name(p)
	}
	if _, known := t.refs[r.ID]; !known && mr.Snapshot != nil {
		t.refer(r.ID, Subject{mr.Snapshot.Path, mr.Ref.Number})
	}
}

func (t *Teller) name(p gate.Person) {
	if p.ID != "" && p.Name != "" {
		t.names[p.ID] = p.Name
	}
}

func (t *Teller) refer(request int64, name Subject) {
	if len(t.refs) > 10000 { // a log may be long
		clear(t.refs)
	}
	t.refs[request] = name
}

// About is the merge request that an entry is about.
func (t *Teller) About(ctx context.Context, e gate.Entry) Subject {
	if e.Kind == gate.EntryOpened || e.Kind == gate.EntryBypassed {
		var said Subject
		if json.Unmarshal(e.Data, &said) == nil && said.Number != 0 {
			if e.Request == 0 {
				return said
			}
			t.refer(e.Request, said)
		}
	}
	if _, known := t.refs[e.Request]; !known && e.Request != 0 {
		t.read(ctx, e.Request)
	}
	return t.refs[e.Request]
}

// read learns what a request knows. Without it some names are missing.
func (t *Teller) read(ctx context.Context, request int64) {
	if t.asked == request {
		return
	}
	t.asked = request
	if mr, err := t.archive.Story(ctx, request); err == nil {
		t.learn(mr)
	}
}

// who names somebody in the chat.
func (t *Teller) who(ctx context.Context, request int64, id string) string {
	if t.names[id] == "" && request != 0 {
		t.read(ctx, request)
	}
	if t.names[id] == "" {
		t.names[id] = id
	}
	return Clean(t.names[id])
}

func (t *Teller) to(ctx context.Context, request int64, to gate.Recipient) string {
	if to.Group {
		return "group " + Clean(to.ID)
	}
	return t.who(ctx, request, to.ID)
}

// Tell says what an entry is about.
func (t *Teller) Tell(ctx context.Context, e gate.Entry) string {
	said := ""
	switch e.Kind {
	case gate.EntryOpened:
		said = told(e, t.opened)
	case gate.EntryDecided:
		said = told(e, func(d gate.DecidedData) string { return t.decided(ctx, e.Request, d) })
	case gate.EntryClick:
		said = told(e, func(d gate.ClickData) string { return t.clicked(ctx, e.Request, d) })
	case gate.EntryCounts:
		said = told(e, func(d gate.CountsData) string { return t.counts(ctx, e.Request, d) })
	case gate.EntryState:
		said = told(e, moved)
	case gate.EntryEffect:
		said = told(e, effected)
	case gate.EntryBypassed:
		said = told(e, bypassed)
	case gate.EntryMessage:
		said = told(e, func(d gate.MessageData) string { return t.message(ctx, e.Request, d) })
	case gate.EntryPolicy:
		said = told(e, policyChanged)
	case gate.EntryReminder:
		said = told(e, func(d gate.ReminderData) string { return t.reminder(ctx, e.Request, d) })
	case gate.EntryAgain:
		said = told(e, t.askedAgain)
	case gate.EntryPeople:
		said = told(e, func(d gate.PeopleData) string {
			return cmp.Or(unknown(d.Missing, d.Others), "everybody is in the chat who is to be asked")
		})
	}
	return cmp.Or(said, Clean(string(e.Data))) // of a version to come
}

// told has an entry told by what it holds; "": it holds something else.
func told[T any](e gate.Entry, tell func(T) string) string {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return ""
	}
	return tell(data)
}

func (t *Teller) reminder(ctx context.Context, request int64, d gate.ReminderData) string {
	to := t.to(ctx, request, d.To)
	switch d.Did {
	case gate.MessageSent:
		if d.Waiting == 1 {
			return "reminder sent to " + to
		}
		return fmt.Sprintf("reminder of this and %d more sent to %s", d.Waiting-1, to)
	case gate.MessageLetGo:
		return "reminder to " + to + " was let go" + because(d.Why)
	case gate.MessageChanged, gate.MessageAnswered:
	}
	return ""
}

func (t *Teller) askedAgain(d gate.AgainData) string {
	switch {
	case d.At.IsZero():
		return ""
	case d.By.ID == "":
		return "a job asked again"
	}
	t.name(d.By)
	return Clean(cmp.Or(d.By.Name, d.By.ID)) + " asked again"
}

func (t *Teller) opened(d gate.OpenedData) string {
	for _, m := range d.Approvers {
		t.name(m.Person)
	}
	said := fmt.Sprintf("opened for %q by %s: commit %s, %s → %s, rule %s", Clean(d.Title), UserName(d.Author), Clean(d.Head.Short()),
		Clean(d.Source), Clean(d.Target), Clean(d.Rule)) + DryRun(d.Dry)
	if who := unknown(d.Missing, d.Others); who != "" {
		said += "; " + who
	}
	return said
}

// unknown says who is not in the chat, or is somebody else there; "": nobody.
func unknown(missing []string, others []gate.Other) string {
	var list []string
	if len(missing) > 0 {
		list = append(list, "not found in the chat: "+CleanList(missing))
	}
	for _, o := range others {
		list = append(list, fmt.Sprintf("%s is another person now (was %s, is %s) and counts for nobody", Clean(o.Identity), Clean(o.First), Clean(o.Now)))
	}
	return strings.Join(list, "; ")
}

// because is a reason behind a sentence.
func because(reason string) string {
	if reason = Clean(reason); reason == "" {
		return ""
	}
	return fmt.Sprintf(": %q", reason)
}

// clicked tells of a click that decided nothing.
func (t *Teller) clicked(ctx context.Context, request int64, d gate.ClickData) string {
	t.name(d.Person)
	who := cmp.Or(t.who(ctx, request, d.Person.ID), "somebody") + " pressed " + Clean(string(d.Action))
	switch d.Became {
	case gate.BecameRefused:
		why := Clean(string(d.Why))
		if d.Said != "" {
			why += because(d.Said)
		}
		return who + ", which changed nothing: " + why
	case gate.BecameChecking:
		return who + ", which is to be checked against GitLab"
	case gate.BecameAdopted:
		return who + " on a card that the listener did not send; it now shows what GitLab says, to decide on that"
	case gate.BecameRetry:
		return who + ": the merge is tried again"
	}
	return ""
}

func (t *Teller) counts(ctx context.Context, request int64, d gate.CountsData) string {
	t.name(gate.Person{ID: d.Person, Name: d.Name})
	switch {
	case d.Role != "" && d.Counts:
		return "the approval of " + t.who(ctx, request, d.Person) + " counts again, with the role of a " + string(d.Role) + " in GitLab"
	case d.Role != "":
		return "the approval of " + t.who(ctx, request, d.Person) + " no longer counts, for want of the role of a " + string(d.Role) + " in GitLab"
	case d.Counts:
		return "the approval of " + t.who(ctx, request, d.Person) + " counts again, under another policy"
	}
	return "the approval of " + t.who(ctx, request, d.Person) + " no longer counts, under another policy"
}

func policyChanged(d gate.PolicyData) string {
	if d.Policy == "" {
		return ""
	}
	if d.Before == "" {
		return "policy " + shortHash(d.Policy) + " is in force" + DryRun(d.Dry)
	}
	return "policy " + shortHash(d.Policy) + " is in force, before it was " + shortHash(d.Before) + DryRun(d.Dry)
}

// shortHash is enough of a hash to tell policies apart.
func shortHash(hash string) string {
	hash = Clean(hash)
	return hash[:min(len(hash), 12)]
}

func (t *Teller) decided(ctx context.Context, request int64, d gate.DecidedData) string {
	did := map[gate.Verdict]string{gate.Approve: "approved", gate.Reject: "rejected"}[d.Verdict]
	if did == "" {
		return ""
	}
	if d.Via == "operator" {
		return "operator " + Clean(d.Name) + " " + did + " from a shell" + because(d.Reason) + DryRun(d.Dry)
	}
	t.name(gate.Person{ID: d.Person, Name: d.Name})
	return t.who(ctx, request, d.Person) + " " + did + because(d.Reason) + DryRun(d.Dry)
}

func moved(d gate.StateData) string {
	why := ""
	switch {
	case d.To == gate.BlockedNow:
		why = ": GitLab says " + cmp.Or(Clean(d.Why), "no reason")
	case d.Cause != "" && !d.To.Followed():
		why = ": " + CauseText(d.Cause)
	case d.On != "":
		why = ": " + Clean(string(d.On))
	}
	return Clean(string(d.From)) + " → " + Clean(string(d.To)) + why + DryRun(d.Dry)
}

// effectText is what mrgate does in GitLab, as a verb.
func effectText(effect string) string {
	switch effect {
	case "retract":
		return "take back the approval of"
	case "note":
		return "write a note on"
	case "status":
		return "set the status of"
	case "close":
		return "close the merge request of"
	}
	return Clean(effect)
}

// nth says which try in a row it was, if not the first.
func nth(tries int) string {
	if tries < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", tries)
}

func bypassed(d gate.BypassedData) string {
	if d.Why == "" {
		return ""
	}
	return fmt.Sprintf("MERGED AROUND THE GATE by %s: %s; commit %s into %s as %s, rule %s", UserName(d.By), Clean(string(d.Why)),
		Clean(d.Head.Short()), Clean(d.Target), Clean(d.Commit.Short()), Clean(d.Rule))
}

func effected(d gate.EffectData) string {
	head := Clean(d.Head.Short())
	if d.Error != "" {
		what, why := effectText(d.Effect)+" commit "+head+nth(d.Tries), because(d.Error)
		switch d.Answer {
		case gate.AnswerNone:
			return "tried to " + what + ", no answer" + why
		case gate.AnswerWait:
			return "tried to " + what + ", GitLab asks to wait" + why
		case gate.AnswerRefused:
			return "GitLab refused to " + what + why
		case gate.AnswerGivenUp:
			return "gave up to " + what + why
		}
		return "tried to " + what + ", GitLab says " + Clean(d.Answer) + why
	}
	switch d.Effect {
	case "approve":
		return "approved commit " + head + " in GitLab"
	case "close":
		return "closed the merge request in GitLab"
	case "retract":
		return "took approval and auto-merge back in GitLab"
	case "note":
		return "wrote note " + Clean(d.Note) + " under the merge request"
	case "status":
		return "set the status of commit " + head + " to " + Clean(string(d.Status))
	case "merge":
	default:
		return ""
	}
	why := ""
	if d.Why != "" {
		why = ", it says " + Clean(d.Why)
	}
	switch gate.MergeStatus(d.Answer) {
	case gate.Merged:
		return "GitLab merged commit " + head + " as " + Clean(d.Commit.Short())
	case gate.Scheduled:
		return "GitLab will merge commit " + head + " by itself when its checks pass"
	case gate.Computing:
		return "GitLab did not merge commit " + head + " yet" + why
	case gate.Blocked:
		return "GitLab did not merge commit " + head + why
	case gate.Moved:
		return "GitLab did not merge commit " + head + ": the merge request has changed"
	}
	return ""
}

func (t *Teller) message(ctx context.Context, request int64, d gate.MessageData) string {
	kind, to := MessageName(d.Kind), t.to(ctx, request, d.To)
	what := kind + " to " + to
	switch d.Did {
	case gate.MessageSent:
		return kind + " sent to " + to
	case gate.MessageChanged:
		return what + " changed to " + Clean(d.Shows)
	case gate.MessageAnswered:
		return what + " changed to " + Clean(d.Shows) + " by the answer to a click"
	case gate.MessageLetGo:
		return what + " was let go" + because(d.Why)
	}
	return ""
}
