package gate

import (
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// Letter is a message as it would be sent.
type Letter struct {
	To   Recipient
	Kind MessageKind
	Card Card
}

// Preview gives the request that would be opened for the merge request, and the
// messages that would ask and tell people, without reading or writing anything.
// People is what the directory says of the identities; an author whom nobody
// knows is told nothing. ok is false where no rule covers the merge request or
// it is a draft or not open: then the request's MergeRequest.Why says so.
func Preview(p *policy.Policy, w *words.Words, ref Ref, s Snapshot, people func(policy.Identity) Person, now time.Time) (mr *MergeRequest, letters []Letter, ok bool) {
	mr = &MergeRequest{Ref: ref, Now: now, NextRequest: 1}
	s.ReadAt = now
	v := view{snapshot: &s, hash: p.Hash(), rule: p.Match(projectOf(ref, &s), s.Target)}
	if v.rule != nil && s.Ready() {
		v.contents = &Contents{Head: s.Head}
		known := make(map[policy.Identity]Person)
		for _, id := range concerned(p, v.rule, &s, v.contents) {
			known[id] = people(id)
		}
		panel := seat(p, v.rule, &s, v.contents, known)
		v.panel = &panel
	}
	mr.judge(v)
	r := mr.Current()
	if r == nil {
		return mr, nil, false
	}
	for _, m := range r.Messages {
		letters = append(letters, Letter{To: m.To, Kind: m.Kind, Card: mr.face(r, m, w)})
	}
	return mr, letters, true
}
