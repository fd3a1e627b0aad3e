package gate

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// atOnce is how many messages of one request are sent at the same time.
const atOnce = 4

// messages sends and changes what does not show what it should. Trouble with
// the chat is written down; an error is trouble with the database.
func (w *work) messages(ctx context.Context) error {
	if w.g.chat == nil {
		return nil // an operator's shell: the listener does that
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.cancel.Store(&cancel)
	defer w.cancel.Store(nil)

	var tasks []func() (func(mr *MergeRequest), error)
	mr := w.mr // each of those that are started writes, and puts another in its place
	for _, key := range mr.stale(w.g.words()) {
		tasks = append(tasks, func() (func(*MergeRequest), error) { return w.show(ctx, key) })
	}
	for _, c := range mr.Claims {
		if c.Refused != "" && !mr.ChatAt.After(mr.Now) {
			tasks = append(tasks, func() (func(*MergeRequest), error) { return w.turnAway(ctx, c) })
		}
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var left atomic.Int64
	left.Store(int64(len(tasks)))
	for _, task := range tasks {
		group.Go(func() error {
			answer, err := task()
			last := left.Add(-1) == 0
			switch {
			case err != nil || answer == nil:
				return err
			case last:
				w.learn(answer) // others would have to wait, the pass's end does not
				return nil
			}
			return w.change(answer)
		})
	}
	return group.Wait()
}

// stale gives the keys of the messages to send or change now.
func (mr *MergeRequest) stale(w *words.Words) []string {
	if mr.Snapshot == nil || mr.ChatAt.After(mr.Now) {
		return nil
	}
	var keys []string
	for _, r := range mr.Requests {
		for _, m := range r.Messages {
			if at, due := mr.showAt(r, m, w); due && !at.After(mr.Now) {
				keys = append(keys, m.Key)
			}
		}
	}
	return keys
}

// showAt says whether a message has to be sent or changed, and not before when.
func (mr *MergeRequest) showAt(r *Request, m *Message, w *words.Words) (time.Time, bool) {
	if m.Gone != "" || mr.Snapshot == nil {
		return time.Time{}, false
	}
	if m.Ref == nil && m.TriedAt.IsZero() && (!r.State.Followed() && (m.Kind == KindCard || m.Kind == KindNotice) || r.State != BlockedNow && m.Kind.isStuck()) {
		return time.Time{}, false // over before anybody was asked, or told
	}
	// What tells the author something is a message of its own, sent once. Only
	// a notice that stands for a newer commit is changed, and only by that, and
	// one that offers to ask again.
	if !m.Kind.follows() && m.Ref != nil && m.Shown != "" && !m.offersAgain(r) {
		return time.Time{}, false
	}
	card := mr.face(r, m, w)
	if m.Ref != nil && m.Shown == card.Digest() {
		return time.Time{}, false
	}
	at := latest(m.NotBefore, mr.ChatAt)
	if m.Face == r.progress() {
		at = latest(at, m.PushAt)
	}
	return at, true
}

// show brings one message up to date, and gives what to write down of that; nil:
// nothing was to be done.
func (w *work) show(ctx context.Context, key string) (func(mr *MergeRequest), error) {
	if ctx.Err() != nil {
		return nil, nil // make room; finish sees that it is still due
	}
	var card Card
	var m Message
	var face string
	due, tried := false, false
	err := w.change(func(mr *MergeRequest) {
		r, msg := mr.MessageByKey(key)
		if r == nil {
			return // settled long ago: what it shows is left alone
		}
		var at time.Time
		// Between the plan and now the card may have been clicked, and a clicked
		// card is left alone.
		if at, due = mr.showAt(r, msg, w.g.words()); due && !at.After(mr.Now) {
			card, face = mr.face(r, msg, w.g.words()), r.progress()
			tried = !msg.TriedAt.IsZero()
			msg.TriedAt = mr.Now
			m = *msg
		} else {
			due = false
		}
		if msg.Ref != nil && !msg.Ref.Until.IsZero() && mr.Now.After(msg.Ref.Until) || msg.Ref != nil && msg.Ref.Left == 0 {
			mr.letGo(r, msg, "the chat changes it no more")
			due = false
		}
	})
	if err != nil || !due {
		return nil, err
	}
	c, cancel := call(ctx)
	defer cancel()
	var ref CardRef
	digest := card.Digest()
	if m.Ref == nil {
		sent := card
		if m.SentAs != "" {
			sent.Key = m.SentAs
		}
		ref, err = w.g.chat.Send(c, m.To, sent)
		w.g.observe(ctx, callSend(), err)
		if tried || m.SentAs != "" {
			digest = "" // perhaps it is an earlier sending's, and shows what that showed
		}
	} else {
		ref, err = w.g.chat.Update(c, *m.Ref, card)
		w.g.observe(ctx, callUpdate(), err)
	}
	cut := ctx.Err() != nil
	return func(mr *MergeRequest) {
		r, msg := mr.MessageByKey(key)
		switch {
		case err == nil:
			mr.shown(r, msg, ref, digest, face, m.Ref == nil)
		case cut:
			// Cut off to make room, or at mrgate's end: nobody's fault.
		default:
			if !tried && m.Ref == nil && (errors.Is(err, ErrNotPermitted) || errors.Is(err, ErrGone)) {
				msg.TriedAt = time.Time{} // surely not sent: a card with this key is nobody's of ours
			}
			mr.chatFailed(r, msg, err)
		}
	}, nil
}

// turnAway has a job's card, of which no request came, say why, and gives what to
// write down of that.
func (w *work) turnAway(ctx context.Context, c *Claim) (func(mr *MergeRequest), error) {
	if ctx.Err() != nil {
		return nil, nil
	}
	if err := w.renew(); err != nil {
		return nil, err
	}
	limit, cancel := call(ctx)
	defer cancel()
	_, err := w.g.chat.Update(limit, *c.Ref, refusedCard(c, w.g.words()))
	w.g.observe(ctx, callUpdate(), err)
	cut := ctx.Err() != nil
	return func(mr *MergeRequest) {
		if err == nil || errors.Is(err, ErrGone) || errors.Is(err, ErrNotPermitted) {
			mr.Claims = slices.DeleteFunc(mr.Claims, func(o *Claim) bool { return o.Message == c.Message && o.Person.ID == c.Person.ID })
		} else if !cut {
			mr.ChatTries++
			mr.ChatAt = latest(mr.ChatAt, mr.Now.Add(backoff(mr.ChatTries, err)))
		}
	}, nil
}

// shown writes down that the chat took a message.
func (mr *MergeRequest) shown(r *Request, m *Message, ref CardRef, digest, face string, sent bool) {
	if m.NotBefore.After(mr.Now) && !sent {
		digest = "" // clicked meanwhile: who knows which of the two it shows
	}
	m.Ref, m.Shown, m.Face, m.Tries = &ref, digest, face, 0
	if m.AskedAt.IsZero() {
		m.AskedAt = mr.Now
	}
	mr.ChatTries, mr.ChatAt = 0, time.Time{}
	if mr.Tries == 0 {
		mr.Error = ""
	}
	switch {
	case sent:
		mr.tellMessage(r, m, MessageSent)
	case m.Told != face:
		mr.tellMessage(r, m, MessageChanged)
	}
}

// tellMessage logs what happened to a message. Of what it shows, the log tells
// changes of state and count: the many repaints besides explain nothing.
func (mr *MergeRequest) tellMessage(r *Request, m *Message, did MessageDid) {
	d := MessageData{Did: did, Kind: m.Kind, To: m.To, Key: m.Key, Shows: m.Face, Shown: m.Shown, Why: m.Gone}
	if m.Ref != nil {
		d.Ref = m.Ref.Data
	}
	m.Told = m.Face
	mr.record(r, EntryMessage, d)
}

// chatFailed writes down that the chat did not take a message.
func (mr *MergeRequest) chatFailed(r *Request, m *Message, err error) {
	if errors.Is(err, ErrGone) {
		mr.letGo(r, m, err.Error())
		return
	}
	if errors.Is(err, ErrNotPermitted) && m.Ref == nil && !r.State.Followed() {
		mr.Error = err.Error()
		mr.letGo(r, m, err.Error()) // nothing was sent, and nobody needs it any more
		return
	}
	m.Tries++
	mr.Error = err.Error()
	m.NotBefore = mr.Now.Add(chatPause(m.Tries, err))
	var told *RetryAfter
	if errors.As(err, &told) || errors.Is(err, ErrNotPermitted) {
		return // about this message alone; the adapter itself holds back where the whole token has to wait
	}
	mr.ChatTries++
	mr.ChatAt = latest(mr.ChatAt, mr.Now.Add(backoff(mr.ChatTries, err)))
}

// chatPause is how long to wait with a message after the tries-th failure in a
// row. Where a person must act each call is one of a monthly quota: soon at first,
// then once a day.
func chatPause(tries int, err error) time.Duration {
	if errors.Is(err, ErrNotPermitted) {
		return min(personMax<<min(tries-1, 10), 24*time.Hour)
	}
	return backoff(tries, err)
}

// letGo gives a message up that can never be sent or changed again.
func (mr *MergeRequest) letGo(r *Request, m *Message, why string) {
	m.Gone = why
	mr.tellMessage(r, m, MessageLetGo)
}

// behind says that some message of the request does not show what it should.
func (mr *MergeRequest) behind(r *Request, w *words.Words) bool {
	return slices.ContainsFunc(r.Messages, func(m *Message) bool {
		_, due := mr.showAt(r, m, w)
		return due
	})
}

// settled says that nothing of the request is outstanding.
func (mr *MergeRequest) settled(r *Request, w *words.Words, p *rules) bool {
	switch {
	case !p.minds(r.Dry):
		return r.Settled // what it still wants of the forge comes after the dry run
	case p.dry && r.State == Expired:
		return false // after the dry run it is asked about for real
	}
	if _, due := mr.statusAt(r, p); due {
		return false
	}
	return mr.effectOf(r, p) == "" && (!r.State.Open() || r.ends()) && !mr.behind(r, w)
}

// nextDue is when there is next something to do; zero: when something arrives.
func (mr *MergeRequest) nextDue(w *words.Words, p *rules) time.Time {
	var due time.Time
	switch r, _ := mr.nextEffect(p); {
	case mr.Snapshot == nil && mr.LookAt.IsZero() && mr.Tries >= goneAfter:
		// It never was there.
	case r != nil, mr.Snapshot == nil:
		due = latest(mr.Now, mr.ForgeAt)
	case !mr.LookAt.IsZero():
		due = latest(mr.LookAt, mr.ForgeAt)
	}
	for _, c := range mr.Claims {
		if c.Refused != "" {
			due = earliest(due, latest(mr.ChatAt, mr.Now))
		} else if p.minds(c.Dry) {
			due = earliest(due, mr.Now.Add(retryMax)) // a look is on its way; nobody waits for ever
		}
	}
	for _, r := range mr.Requests {
		if r.State.Open() && !r.ends() {
			due = earliest(due, r.expiresAt())
		}
		if at, wanted := mr.statusAt(r, p); wanted && at.After(mr.Now) { // else it is the next effect, or waits with the others
			due = earliest(due, latest(at, mr.ForgeAt))
		}
		if at, wanted := mr.renewAt(r, p); wanted {
			due = earliest(due, latest(at, mr.Now))
		}
		for _, m := range r.Messages {
			if at, ok := mr.showAt(r, m, w); ok {
				due = earliest(due, latest(at, mr.Now))
			}
		}
	}
	return due
}

// latest is the later of two times, of which either may be zero.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func projectOf(ref Ref, s *Snapshot) policy.ProjectRef {
	return policy.ProjectRef{ID: ref.Project, Path: s.Path}
}
