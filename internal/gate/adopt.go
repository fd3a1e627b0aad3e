package gate

import (
	"context"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// maxClaims bounds what can wait for one look: more people than that do not
// press within one look.
const maxClaims = 50

// adopt takes a click on a card that nothing here has a record of, but which
// says what it is about: a job sent it (see [Origin]). All it is believed is
// where to look. The look turns the message into a card of this listener's, with
// the forge's facts; what the click counts for, the policy says.
func (g *Gate) adopt(ctx context.Context, c Click) Answer {
	rules := g.rules.Load()
	mode := rules.AdoptCards
	to, ours := c.Origin.recipient(c)
	if !ours || mode == policy.AdoptRefuse || c.Action != ActionApprove && c.Action != ActionReject {
		return g.unknownCard(c, "its card is a job's, and not to be taken over")
	}
	var row int64
	full := false
	err := g.store.Change(ctx, By{Ref: &c.Origin.Ref}, func(mr *MergeRequest) error {
		row = mr.ID
		for _, claim := range mr.Claims {
			if claim.Message == c.Key && claim.Person.ID == c.By.ID {
				return nil // the first one stands
			}
		}
		claim := &Claim{
			Message: c.Key, Person: c.By, Action: c.Action, Reason: c.Text, At: mr.Now,
			Origin: c.Origin, Ref: c.Ref, To: to, Dry: rules.dry, Evidence: evidenceOf(c),
		}
		claim.Evidence.Unknown = "a job sent it"
		if full = len(mr.Claims) >= maxClaims; full {
			mr.tell(nil, claim.became(BecameRefused, RefusedCrowd, g.words().ToastUnavailable()))
			return nil
		}
		mr.Claims = append(mr.Claims, claim)
		mr.tell(nil, claim.became(BecameChecking, "", g.words().ToastChecking()))
		if !c.Origin.Again.IsZero() {
			mr.askAgain(AgainData{At: c.Origin.Again, Evidence: claim.Evidence})
		}
		mr.look()
		mr.arrive(true)
		return nil
	})
	switch {
	case err != nil:
		g.log.Error("a click was not recorded", "message", c.Key, "err", err)
		return Answer{Kind: AnswerError, Text: g.words().ToastNotRecorded()}
	case full:
		return Answer{Kind: AnswerError, Text: g.words().ToastUnavailable()}
	}
	g.nudge(row)
	card := checkingCard(c.Origin, g.words())
	return Answer{Kind: AnswerInfo, Text: g.words().ToastChecking(), Card: &card}
}

// recipient says to whom the card went: its key was made of that, so it is known
// without asking. false: the key is not one that mrgate makes for this origin
// and the person or the group that clicked.
func (o *Origin) recipient(c Click) (Recipient, bool) {
	if o == nil || c.Ref == nil || c.By.ID == "" {
		return Recipient{}, false
	}
	for _, to := range []Recipient{{ID: c.By.ID}, {Group: true, ID: c.Chat}} {
		if to.ID != "" && c.Key == MessageKey(o.Ref, o.Head, o.Target, o.ordinal(), KindCard, to) {
			return to, true
		}
	}
	return Recipient{}, false
}

// checkingCard is shown while the forge is asked. It says nothing about the
// merge request: what the job wrote is not vouched for.
func checkingCard(o *Origin, w *words.Words) Card {
	title := w.TitleChecking(words.Ref("", o.Ref.Number))
	return Card{Tone: ToneBlue, Title: title, Summary: title, Status: []words.Text{words.Plain(w.Checking())}}
}

// refusedCard is what such a card becomes if no request comes of it.
func refusedCard(c *Claim, w *words.Words) Card {
	title := w.TitleNoRule(words.Ref("", c.Origin.Ref.Number))
	return Card{Tone: ToneGrey, Title: title, Summary: title, Status: []words.Text{words.Plain(c.Refused)}}
}

// adoptable judges a claim on a job's card: it attaches the message to the
// latest request, if there is one to be shown. Otherwise the claim has to wait
// for another look (false), or is refused.
func (mr *MergeRequest) adoptable(c *Claim, v view) (*Request, *Message, bool) {
	r, s, w := mr.Current(), v.snapshot, v.rules.words
	switch {
	case mr.wantedAgain():
		return nil, nil, false
	case r != nil && (!r.State.Followed() || mr.asked(s, mr.Opening, v.rules)):
		return r, mr.attach(r, c), true
	case s.State == ForgeMerged || s.State == ForgeClosed:
		mr.refuseClaim(c, RefusedWithdrawn, w.ToastWithdrawn())
	case s.Draft:
		mr.refuseClaim(c, RefusedSuperseded, w.Draft())
	case v.rule == nil:
		mr.refuseClaim(c, RefusedNoRule, w.ToastNoRule(s.Target))
	}
	return nil, nil, false
}

// attach makes the clicked message one of the request's.
func (mr *MergeRequest) attach(r *Request, c *Claim) *Message {
	for _, kind := range []MessageKind{KindCard, KindAdopted} {
		m := r.message(kind, c.To)
		switch {
		case m == nil:
			m = &Message{Key: MessageKey(mr.Ref, r.Head, r.Target, r.Seq, kind, c.To), Kind: kind, To: c.To}
			r.Messages = append(r.Messages, m)
		case m.Ref != nil && m.Ref.Data != c.Ref.Data:
			continue // that is another message of theirs
		}
		m.Ref, m.Shown, m.TriedAt = c.Ref, "", c.At
		m.NotBefore, m.Gone, m.Tries = c.At.Add(clickHold), "", 0
		r.Settled = false
		return m
	}
	return nil // a third card at the same recipient is let be
}
