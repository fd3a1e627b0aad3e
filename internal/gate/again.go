package gate

import (
	"time"

	"mrgate/internal/words"
)

// Asking again: after it expired, or was sent back while its merge request stays
// open, a request is followed by another one for the same commit only if somebody
// wants that: the author, by the button on the message that told them, or a job
// (notify --again). The wish stands on the merge request until a look has granted
// it or found it moot.

// againOrdinal takes the place of a request's ordinal in the keys of a job's
// messages that ask again: the job keeps no count, and those of its first asking
// would be the same messages to the chat.
const againOrdinal = 0

// ordinal is the one in the keys of the messages that a job sent.
func (o *Origin) ordinal() int {
	if o.Again.IsZero() {
		return 1
	}
	return againOrdinal
}

// mayBeAskedAgain says that the request is over, and the merge request may still
// wait for an approval of the same commit.
func (r *Request) mayBeAskedAgain() bool {
	return r.State == Expired || r.State == Rejected && r.ends()
}

// overSince is when it came to that: a listener that was down notices later.
func (r *Request) overSince() time.Time {
	if r.State == Expired {
		return r.ExpiresAt
	}
	return r.DecidedAt
}

// askAgain notes that somebody asked again, at d.At, if there is something to ask
// for again: what was over by then.
func (mr *MergeRequest) askAgain(d AgainData) {
	mr.expire()
	r := mr.Current()
	if r == nil || !r.mayBeAskedAgain() || d.At.Before(r.overSince()) {
		return
	}
	if mr.AgainAt.IsZero() {
		mr.record(r, EntryAgain, d)
	}
	mr.AgainAt = latest(mr.AgainAt, d.At)
}

// wantedAgain says that somebody asked again for the latest request.
func (mr *MergeRequest) wantedAgain() bool {
	return !mr.AgainAt.IsZero() && mr.Current() != nil && mr.Current().mayBeAskedAgain()
}

// againOver ends the wish, which was granted or became moot. Where the author
// pressed the button in vain, the message that has it says why.
func (mr *MergeRequest) againOver(v view) {
	moot := mr.wantedAgain()
	mr.AgainAt = time.Time{}
	if !moot {
		return
	}
	r, w := mr.Current(), v.rules.words
	m := r.message(KindResult, Recipient{ID: r.Panel.Author.ID})
	if m == nil {
		return
	}
	if m.Said = v.snapshot.moot(w); m.Said == "" {
		m.Said = w.NoRule(v.snapshot.Target)
	}
}

// offersAgain says that the request's author is offered to ask again.
func (mr *MergeRequest) offersAgain(r *Request) bool {
	return r == mr.Current() && r.mayBeAskedAgain() && mr.AgainAt.IsZero() && mr.Snapshot.Ready()
}

// offersAgain says that the message has that button, or had it.
func (m *Message) offersAgain(r *Request) bool { return m.Kind == KindResult && r.mayBeAskedAgain() }

// pressAgain is what a click on that button does, and its answer. It is the
// author's alone: who else is asked would only ring everybody's phone.
func (mr *MergeRequest) pressAgain(r *Request, m *Message, c Click, evidence Evidence, w *words.Words) Answer {
	switch {
	case !m.is(c.Ref):
		return Answer{Kind: AnswerError, Text: w.ToastUnknownCard(), Why: RefusedCard}
	case c.By.ID == "" || c.By.ID != r.Panel.Author.ID:
		return Answer{Kind: AnswerError, Text: w.ToastOnlyAuthor(), Why: RefusedNotAuthor}
	case !r.mayBeAskedAgain():
		_, why, text := r.over(Approve, w)
		return Answer{Kind: AnswerInfo, Text: text, Why: why}
	}
	if m.Ref == nil {
		m.Ref = c.Ref
	}
	m.Said = ""
	if r != mr.Current() || !mr.AgainAt.IsZero() {
		return mr.answer(r, m, w, AnswerInfo, w.ToastAskedAgain()).because(RefusedAgain)
	}
	if moot := mr.Snapshot.moot(w); moot != "" {
		return mr.answer(r, m, w, AnswerInfo, moot).because(RefusedWithdrawn)
	}
	mr.askAgain(AgainData{By: r.Panel.Author, At: mr.Now, Evidence: evidence})
	mr.ForgeAt = time.Time{} // a person waits
	mr.look()
	mr.arrive(true)
	return mr.answer(r, m, w, AnswerOK, w.ToastAskedAgain())
}

// moot says why nobody can be asked about what the snapshot shows; "": they can.
func (s *Snapshot) moot(w *words.Words) string {
	switch {
	case s.Ready():
		return ""
	case s.Draft && s.State == ForgeOpen:
		return w.Draft()
	}
	return w.ToastWithdrawn()
}

// sentAgain has the messages of a request that a job's card asked for find those
// that the job has sent, for as long as the chat knows their keys.
func (mr *MergeRequest) sentAgain(r, old *Request) {
	for _, c := range mr.Claims {
		if c.Origin == nil || c.Origin.Again.IsZero() || c.Origin.Head != r.Head || c.Origin.Target != r.Target {
			continue
		}
		for _, m := range r.Messages {
			key := MessageKey(mr.Ref, r.Head, r.Target, againOrdinal, m.Kind, m.To)
			taken := false
			if old != nil {
				was := old.message(m.Kind, m.To)
				taken = was != nil && was.SentAs == key
			}
			if m.Ref == nil && !taken {
				m.SentAs = key
			}
		}
	}
}
