package gate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mrgate/internal/words"
)

// Reminders: whoever has not decided some time after their card arrived
// (remind_after) is reminded once, by one message that lists all that waits for
// them, also what is not due yet and will not be mentioned again. A push that
// changes a waiting card in place does not start the time anew; if its person had
// been reminded already, it does. Groups are not reminded.
//
// It is the store that knows for each card when that is (see [Request.RemindAt]):
// a reminder is about many merge requests, and holds up none of them.

const (
	// remindLines is how many requests a reminder lists.
	remindLines = 10
	// expiresSoon is when a reminder also names the time at which a request expires.
	expiresSoon = 24 * time.Hour
	// catchUp is how long after a start reminders wait for it to be known what
	// happened meanwhile.
	catchUp = 30 * time.Second
)

// Reminder is a message to somebody about all that waits for them.
type Reminder struct {
	Key    string    // see MessageKey; of the first request that was due
	To     string    // the chat's ID
	MadeAt time.Time // what arrived before, is not mentioned by another one
	Tries  int       // failures in a row
	Now    time.Time // by the store's clock

	Requests []int64   // the numbers of those that still wait, the longest first
	Listed   []Waiting // of them, as many as a message lists
}

// Waiting is a request that waits for somebody.
type Waiting struct {
	Request   int64
	Ref       Ref
	Path      string // of the project
	URL       string
	Title     string
	AskedAt   time.Time
	ExpiresAt time.Time
}

// Awaits says that the message asked somebody whose approval is still waited
// for, and would count.
func (r *Request) Awaits(m *Message) bool {
	return r.State == Pending && m.Kind == KindCard && !m.To.Group && m.Gone == "" && !m.AskedAt.IsZero() &&
		r.mayApprove(m.To.ID) && r.decisionOf(m.To.ID) == nil
}

// RemindAt is when the message's recipient is to be reminded; zero: never.
func (r *Request) RemindAt(m *Message) time.Time {
	if r.Rule.RemindAfter == 0 || !m.RemindedAt.IsZero() || !r.Awaits(m) {
		return time.Time{}
	}
	at := m.AskedAt.Add(r.Rule.RemindAfter)
	if !at.Before(r.ExpiresAt) {
		return time.Time{}
	}
	return at
}

// reminding gives what has the reminders sent that are due, beside the work. After
// a start it waits until the first sweep is through, and then for a quiet moment,
// but not for long: what happened while nobody listened may have ended what they
// would be about. It is for one goroutine.
func (g *Gate) reminding(ctx context.Context, workers *sync.WaitGroup) func(quiet bool) {
	var busy atomic.Bool
	began, caughtUp := time.Now(), !g.sweeps
	return func(quiet bool) {
		caughtUp = caughtUp || quiet && !g.LastSweep().IsZero() || time.Since(began) > catchUp
		if caughtUp && busy.CompareAndSwap(false, true) {
			workers.Go(func() {
				defer busy.Store(false)
				g.remind(ctx)
			})
		}
	}
}

// remind sends the reminders that are due.
func (g *Gate) remind(ctx context.Context) {
	var group errgroup.Group
	for range atOnce {
		group.Go(func() error {
			for ctx.Err() == nil {
				r, err := g.store.Remind(ctx, g.rules.Load().dry, leaseFor, remindLines)
				if err != nil || r == nil {
					return err
				}
				if err := g.sendReminder(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		g.log.Error("cannot take reminders from the database", "err", err)
	}
}

// sendReminder sends one reminder and writes down what became of it. An error is
// trouble with the database.
func (g *Gate) sendReminder(ctx context.Context, r *Reminder) error {
	if len(r.Requests) == 0 {
		return g.store.Reminded(ctx, r, 0) // all was decided meanwhile
	}
	limit, cancel := call(ctx)
	defer cancel()
	ref, err := g.chat.Send(limit, Recipient{ID: r.To}, r.card(g.words()))
	g.observe(ctx, callSend(), err)
	if ctx.Err() != nil {
		return nil // at mrgate's end: sent again by whoever comes next, with the same key
	}
	d := ReminderData{Did: MessageSent, To: Recipient{ID: r.To}, Key: r.Key, Ref: ref.Data, Waiting: len(r.Requests)}
	switch {
	case err == nil:
		g.log.Info("a reminder was sent", "to", r.To, "waiting", len(r.Requests))
	case errors.Is(err, ErrGone):
		d.Did, d.Why = MessageLetGo, err.Error()
		g.log.Warn("a reminder can never be sent", "to", r.To, "err", err)
	default:
		again := chatPause(r.Tries+1, err)
		g.log.Warn("a reminder was not sent; it will be tried again", "to", r.To, "err", err, "in", again.Round(time.Millisecond))
		return g.store.Reminded(ctx, r, again)
	}
	var entries []*Entry
	for _, one := range r.Listed {
		e := newEntry(EntryReminder, d)
		e.Request = one.Request
		entries = append(entries, e)
	}
	return g.store.Reminded(ctx, r, 0, entries...)
}

// card is what the reminder says. It has no buttons: what is to be decided on
// stands on the cards.
func (r *Reminder) card(w *words.Words) Card {
	w = w.Near(r.Now)
	first := r.Listed[0]
	waited := r.Now.Sub(first.AskedAt)
	c := Card{Key: r.Key, Tone: ToneBlue, Title: w.RemindMany(len(r.Requests), waited), Foot: w.RemindFoot()}
	c.Summary = c.Title
	if len(r.Requests) == 1 {
		ref := words.Ref(first.Path, first.Ref.Number)
		c.Title, c.Subtitle, c.Link = w.TitleReminder(ref), words.Title(first.Title), first.URL
		c.Summary = words.Line(w.Remind(ref, first.Title, waited), faceSummary)
	}
	for _, one := range r.Listed {
		var expires time.Time
		if one.ExpiresAt.Sub(r.Now) < expiresSoon {
			expires = one.ExpiresAt
		}
		c.Facts = append(c.Facts, w.RemindLine(words.Ref(one.Path, one.Ref.Number), one.URL, one.Title, r.Now.Sub(one.AskedAt), expires))
	}
	if more := len(r.Requests) - len(r.Listed); more > 0 {
		c.Facts = append(c.Facts, words.Plain(w.RemindMore(more)))
	}
	return c
}
