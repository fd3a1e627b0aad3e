package gate

import (
	"context"
	"errors"
	"time"

	"mrgate/internal/policy"
)

// Asking is a merge request for which somebody asks for approval without a
// listener's help, from what they were told of it.
type Asking struct {
	Ref      Ref
	Snapshot Snapshot
	Contents *Contents // nil: not known
	Starter  string    // who asks, where nobody knows who the author is; "": not known either
	Again    bool      // for what has expired or was rejected
}

// Letter is a message as it would be sent.
type Letter struct {
	To   Recipient
	Kind MessageKind
	Card Card
}

// Preview gives the request that would be opened, and the messages that would
// ask and tell people, without reading or writing anything: with the keys that a
// listener would give them, and with an [Origin] on what can be clicked. People
// is what the directory says of the identities. ok is false where nobody is to
// be asked: the merge request's Why says why.
func Preview(p *policy.Policy, a Asking, people func(policy.Identity) Person, now time.Time) (mr *MergeRequest, letters []Letter, ok bool) {
	mr = &MergeRequest{Ref: a.Ref, Now: now, NextRequest: 1, starter: a.Starter}
	s := a.Snapshot
	s.ReadAt, s.Merging.Class = now, MergeGo
	v := view{snapshot: &s, rules: rulesOf(p, false), rule: p.Match(projectOf(a.Ref, &s), s.Target)}
	if v.rule != nil && s.Ready() {
		if v.contents = a.Contents; v.contents == nil {
			v.contents = &Contents{Head: s.Head}
		}
		known := make(map[policy.Identity]Person)
		for _, id := range concerned(p, v.rule, &s, v.contents) {
			known[id] = people(id)
		}
		panel := seat(p, v.rule, &s, v.contents, &directory{people: known})
		if s.Author.Username == "" {
			panel.Unsure = nil // of an author whom nobody told, nothing can be said yet
		}
		v.panel = &panel
	}
	mr.judge(v)
	r := mr.Current()
	if r == nil {
		return mr, nil, false
	}
	origin := &Origin{Ref: a.Ref, Head: r.Head, Target: r.Target}
	if a.Again {
		origin.Again = now.UTC().Truncate(time.Millisecond)
	}
	for _, m := range r.Messages {
		m.Key = MessageKey(a.Ref, r.Head, r.Target, origin.ordinal(), m.Kind, m.To)
		card := mr.face(r, m, v.rules.words)
		if m.Kind == KindCard {
			card.Origin = origin
		}
		letters = append(letters, Letter{To: m.To, Kind: m.Kind, Card: card})
	}
	return mr, letters, true
}

// Concerned gives the identities that Preview will ask for.
func Concerned(p *policy.Policy, a Asking) []policy.Identity {
	rule := p.Match(projectOf(a.Ref, &a.Snapshot), a.Snapshot.Target)
	if rule == nil {
		return nil
	}
	contents := a.Contents
	if contents == nil {
		contents = &Contents{}
	}
	return concerned(p, rule, &a.Snapshot, contents)
}

// Deliver sends a letter, and tries trouble that passes a few times. Sent again
// within an hour, a letter that had arrived is not sent twice: the chat knows
// its key.
func Deliver(ctx context.Context, chat Chat, letter Letter) error {
	for try := 1; ; try++ {
		limit, cancel := call(ctx)
		_, err := chat.Send(limit, letter.To, letter.Card)
		cancel()
		wait := backoff(try, err)
		if err == nil || try == 4 || wait > callTimeout || errors.Is(err, ErrGone) || errors.Is(err, ErrNotPermitted) {
			return err
		}
		if !pause(ctx, wait) {
			return err
		}
	}
}
