package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mrgate/internal/policy"
)

// How long an answer of the directory is believed. A miss is asked again soon:
// somebody was just told to add that person.
const (
	keepPerson = 24 * time.Hour
	keepMiss   = 10 * time.Minute
	// missMax is how long an open request waits at most for somebody whom the chat
	// does not know: at first as long as a miss is believed, then ever more rarely.
	missMax = time.Hour
)

// directory is what the chat's directory says of identities.
type directory struct {
	people map[policy.Identity]Person // who is not there, or is somebody else than before, has no ID
	others map[policy.Identity]Other
	fresh  time.Duration // until the first who was found is to be looked up again
}

// take takes in what is said of an identity; first is whose it was first of all.
func (d *directory) take(id policy.Identity, who Person, first string) {
	if first != "" && who.ID != "" && who.ID != first {
		d.others[id] = Other{Identity: id.Value, First: first, Now: who.ID}
		who = Person{}
	}
	d.people[id] = who
}

// identities are those that are the person's.
func (d *directory) identities(person string) []policy.Identity {
	var ids []policy.Identity
	for id, who := range d.people {
		if who.ID == person {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b policy.Identity) int { return strings.Compare(a.Value, b.Value) })
	return ids
}

// resolve asks what is stored, then the chat's directory. If the directory
// cannot be asked, what it said before is good enough.
func (w *work) resolve(ctx context.Context, ids []policy.Identity) (*directory, error) {
	g := w.g
	known, err := g.store.People(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the directory: %w", err)
	}
	d := &directory{people: make(map[policy.Identity]Person, len(ids)), others: map[policy.Identity]Other{}, fresh: keepPerson}
	var ask []policy.Identity
	missing := false
	for _, id := range ids {
		k, ok := known[id]
		if ok {
			d.take(id, k.Person, k.First)
		}
		switch {
		case k.Fresh > 0 && k.ID != "" && k.Name != "":
			d.fresh = min(d.fresh, k.Fresh)
		case k.Fresh <= 0 && !slices.Contains(ask, id):
			ask = append(ask, id)
			missing = missing || !ok
		}
	}
	if len(ask) == 0 {
		return d, nil
	}
	if err := w.renew(); err != nil {
		return nil, err
	}
	c, cancel := call(ctx)
	defer cancel()
	answers, err := g.chat.Resolve(c, ask)
	g.observe(ctx, callPeople(), err)
	if err != nil {
		if !missing {
			g.log.Warn("the chat's directory does not answer; what it said before is used", "err", err)
			d.fresh = 0
			return d, nil
		}
		return nil, &chatTrouble{fmt.Errorf("look up people in the chat: %w", err)}
	}
	hits, misses := map[policy.Identity]Person{}, map[policy.Identity]Person{}
	for _, id := range ask {
		d.take(id, answers[id], known[id].First)
		if answers[id].ID == "" || answers[id].Name == "" {
			misses[id] = answers[id] // a name may only have failed to be read
		} else {
			hits[id] = answers[id]
		}
	}
	if err := g.store.Learn(ctx, hits, keepPerson); err != nil {
		return nil, fmt.Errorf("store people: %w", err)
	}
	if err := g.store.Learn(ctx, misses, keepMiss); err != nil {
		return nil, fmt.Errorf("store people: %w", err)
	}
	return d, nil
}

// chatTrouble marks trouble with the chat, so that the forge is not blamed.
type chatTrouble struct{ err error }

func (e *chatTrouble) Error() string { return e.err.Error() }
func (e *chatTrouble) Unwrap() error { return e.err }

// complete says that another look into the directory would not tell more, unless
// people come and go.
func (p *Panel) complete() bool { return len(p.Missing)+len(p.Others) == 0 && !p.Sought }

// until is when the people are to be looked up again.
func (r *Request) until(fresh time.Duration, now time.Time) time.Time {
	switch {
	case r.Panel.Blind:
		return time.Time{} // a listener does that at its next look
	case r.Panel.complete():
		return now.Add(max(fresh, retryMax))
	}
	return now.Add(patience(now.Sub(r.OpenedAt), keepMiss, missMax))
}

// renewAt says whether the people are to be looked up again for the request under
// the same policy, and when.
func (mr *MergeRequest) renewAt(r *Request, p *rules) (time.Time, bool) {
	wanted := r.State.Open() && !r.ends() && p.minds(r.Dry) && r.PolicyHash == p.hash && mr.Snapshot != nil && !r.Panel.Until.IsZero()
	return latest(r.Panel.Until, mr.ChatAt), wanted
}

// people looks them up again, if it is time. The forge is not asked: what it said
// last is as good as it was.
func (w *work) people(ctx context.Context) error {
	r, rules := w.mr.Current(), w.g.rules.Load()
	if w.g.chat == nil || r == nil {
		return nil
	}
	if at, wanted := w.mr.renewAt(r, rules); !wanted || at.After(w.mr.Now) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.cancel.Store(&cancel)
	defer w.cancel.Store(nil)

	s := *w.mr.Snapshot
	v := view{snapshot: &s, rules: rules, rule: rules.Match(projectOf(w.mr.Ref, &s), s.Target), contents: w.mr.Contents}
	if v.rule == nil || v.contents == nil || v.contents.Head != r.Head || s.Head != r.Head {
		return w.change(func(mr *MergeRequest) { mr.LookAt = mr.Now }) // that is for a look to see
	}
	err := w.panel(ctx, &v)
	switch {
	case errors.Is(err, ErrLeaseLost):
		return err
	case err != nil && ctx.Err() != nil:
		return nil // cut off to make room, or at mrgate's end
	case err != nil:
		werr := w.change(func(mr *MergeRequest) { mr.Current().Panel.Until = mr.Now.Add(retryMax) })
		w.warn("look up people", err, w.mr.Now.Add(retryMax))
		return werr
	}
	before := r.Panel
	err = w.change(func(mr *MergeRequest) {
		if cur := mr.Current(); cur.ID == r.ID {
			mr.recount(cur, v)
		}
	})
	if err == nil {
		w.foretell(v, r.ID, before)
	}
	return err
}
