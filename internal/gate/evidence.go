package gate

import (
	"slices"
	"time"

	"mrgate/internal/words"
)

const (
	// refusalPause is how long the log tells nothing of a person's further clicks
	// that become the same: a flood must neither fill it nor cost a write a click.
	refusalPause = time.Minute
	// maxTold bounds what is remembered for that, and so how many such entries a
	// merge request can make in a minute.
	maxTold = 50
)

// Told is a click of which the log has an entry. The row remembers it for a
// minute, so that a restart changes nothing.
type Told struct {
	Person string    `json:"person"`
	Became Became    `json:"became"`
	Why    Refusal   `json:"why,omitempty"`
	At     time.Time `json:"at"`
}

// evidence says how the click came in and what its card showed before it.
func (mr *MergeRequest) evidence(r *Request, m *Message, c Click, w *words.Words) Evidence {
	e := evidenceOf(c)
	card := mr.face(r, m, w)
	switch {
	case !m.is(c.Ref):
		e.Unknown = "this listener did not send it"
	case m.Shown == "":
		e.Unknown = "it was being changed, or the chat did not confirm its last change"
	case m.Shown != card.Digest():
		e.Shown, e.Unknown = m.Shown, "it was to be changed, and showed what had been so before"
	default:
		e.Shown, e.Showed = m.Shown, showed(&card)
	}
	return e
}

func evidenceOf(c Click) Evidence {
	short := func(id string) string { return id[:min(len(id), 100)] } // no chat's are longer
	e := Evidence{Way: c.Way, Event: short(c.Event), Message: c.Key, Chat: short(c.Chat)}
	if c.Ref != nil {
		e.Ref = short(c.Ref.Data)
	}
	return e
}

// tell logs a click that decided nothing, unless the log has just told the same
// of this person. r may be nil.
func (mr *MergeRequest) tell(r *Request, d ClickData) {
	told := Told{Person: d.Person.ID, Became: d.Became, Why: d.Why, At: mr.Now}
	recent := func(o Told) bool {
		age := mr.Now.Sub(o.At)
		return age >= 0 && age < refusalPause // the clock may have been set back
	}
	if slices.ContainsFunc(mr.Told, func(o Told) bool {
		return o.Person == told.Person && o.Became == told.Became && o.Why == told.Why && recent(o)
	}) {
		return // and nothing is written
	}
	mr.Told = slices.DeleteFunc(slices.Clone(mr.Told), func(o Told) bool { return !recent(o) })
	if len(mr.Told) >= maxTold {
		return
	}
	mr.Told = append(mr.Told, told)
	mr.record(r, EntryClick, d)
}

// became is what the log tells of the claim.
func (c *Claim) became(b Became, why Refusal, said string) ClickData {
	return ClickData{
		Person: c.Person, Action: c.Action, Text: c.Reason, At: c.At, Became: b, Why: why, Said: said,
		Origin: c.Origin, Evidence: c.Evidence,
	}
}

// refuseClaim has a job's card, of which no request comes, say why.
func (mr *MergeRequest) refuseClaim(c *Claim, why Refusal, said string) {
	c.Refused = said
	mr.tell(nil, c.became(BecameRefused, why, said))
}
