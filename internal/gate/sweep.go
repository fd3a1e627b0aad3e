package gate

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// sweepPages is how much of one list a sweep reads at most; the next one goes
	// on from there.
	sweepPages = 10
	// sweepFailures is after how many failures in a row a sweep leaves the forge
	// alone. That a list is not there, or may not be read, is none: it keeps none
	// of the others from their turn.
	sweepFailures = 3
)

// Sweep finds what nobody told: every so often, until ctx ends, it goes through
// the forge's lists of what has changed in the projects that the rules can match,
// since the marks that the store keeps, and has looked at what shows something
// new. So nothing depends on a webhook, nor on mrgate having been up.
//
// A forge does not tell every change by its lists (GitLab: a push back to an
// earlier commit, a project's new path). So what is open there is compared with
// what is known to be, too, a page at a time, and round again; what is known and
// not there is looked at.
//
// The first time it takes only what changes from then on; with backfill, all
// that is open, too. Several may work on one store.
func (g *Gate) Sweep(ctx context.Context, every time.Duration, backfill bool) {
	s := &sweeper{g: g, backfill: backfill, round: newRound(), filled: map[string]bool{}, troubles: map[string]string{}}
	for {
		if s.sweep(ctx) {
			now := time.Now()
			g.swept.Store(&now)
		}
		if !pause(ctx, every) {
			return
		}
	}
}

// LastSweep is when a sweep of this Gate last went through every list without
// trouble; zero: none has.
func (g *Gate) LastSweep() time.Time {
	if at := g.swept.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// sweeper is one goroutine's way through the lists. What it remembers may be
// forgotten: it is only about when and how often.
type sweeper struct {
	g        *Gate
	backfill bool

	round    *round
	filled   map[string]bool   // by list of what is open: it has been through once
	missing  map[Ref]bool      // were not where they should be, the last time round
	troubles map[string]string // by list: what was last said of it
	first    string            // the list to begin with: the last sweep got only to the one before
}

// round is one way through all that is open.
type round struct {
	began time.Time
	marks map[string]Mark // by list: how far it is
	done  map[string]bool // by list: it is through
	seen  map[Ref]bool
}

func newRound() *round {
	return &round{began: time.Now(), marks: map[string]Mark{}, done: map[string]bool{}, seen: map[Ref]bool{}}
}

// sweep goes through all lists once, and says whether it could.
func (s *sweeper) sweep(ctx context.Context) bool {
	lists, err := s.g.forge.Lists(ctx, s.g.rules.Load().Scope())
	all := s.say(ctx, "the lists of merge requests", err) // are known
	well := all
	if i := slices.IndexFunc(lists, func(l List) bool { return l.String() == s.first }); i > 0 {
		lists = slices.Concat(lists[i:], lists[:i])
	}
	failures := 0
	for i, list := range lists {
		err := s.read(ctx, list)
		if ctx.Err() != nil {
			return false
		}
		well = s.say(ctx, list.String(), err) && well
		if err == nil || denied(err) {
			failures = 0
		} else if failures++; failures == sweepFailures || errors.As(err, new(*RetryAfter)) {
			s.first = lists[(i+1)%len(lists)].String()
			break
		}
	}
	left := slices.ContainsFunc(lists, func(l List) bool { return l.Open && !s.round.done[l.Of] })
	if all && !left {
		well = s.say(ctx, "what is known to be open", s.lookForMissing(ctx)) && well
		s.round = newRound()
	}
	return well
}

// say logs trouble with a list when it begins, becomes another or ends; true:
// there is none.
func (s *sweeper) say(ctx context.Context, what string, err error) bool {
	was := s.troubles[what]
	switch {
	case ctx.Err() != nil:
	case err == nil && was != "":
		s.g.log.Info("the sweep can read it again", "what", what)
		delete(s.troubles, what)
	case err != nil && err.Error() != was:
		s.g.log.Warn("the sweep cannot read it; it will be tried again", "what", what, "err", err)
		s.troubles[what] = err.Error()
	}
	return err == nil
}

// read reads a list on from where the last sweep was.
func (s *sweeper) read(ctx context.Context, list List) error {
	if !list.Open {
		return s.follow(ctx, list)
	}
	err := s.compare(ctx, list)
	if denied(err) {
		s.round.done[list.Of] = true // and later, too
	}
	return err
}

// denied says that a list is not there, or may not be read.
func denied(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotPermitted) }

// follow reads what has changed.
func (s *sweeper) follow(ctx context.Context, list List) error {
	for range sweepPages {
		mark, err := s.g.store.Mark(ctx, list.String())
		if err != nil {
			return err
		}
		from := mark
		if from == "" {
			from = list.From
		}
		page, err := s.page(ctx, list, from, true)
		if err != nil {
			return err
		}
		if page.Mark != mark {
			// If another process has come further meanwhile, that stands.
			set, err := s.g.store.SetMark(ctx, list.String(), mark, page.Mark)
			if err != nil {
				return err
			}
			if set && mark == "" {
				s.g.log.Info("the sweep finds what changes from now on", "where", list.Of)
			}
		}
		if !page.More {
			break
		}
	}
	return nil
}

// compare reads what is open, and compares it with what is known: one page a
// sweep, but the first time of a backfill.
func (s *sweeper) compare(ctx context.Context, list List) error {
	pages := 1
	if s.backfill && !s.filled[list.Of] {
		pages = sweepPages
	}
	for range pages {
		if s.round.done[list.Of] {
			break
		}
		page, err := s.page(ctx, list, s.round.marks[list.Of], s.backfill)
		if err != nil {
			return err
		}
		for _, hint := range page.Hints {
			s.round.seen[hint.Ref] = true
		}
		s.round.marks[list.Of] = page.Mark
		if !page.More {
			s.round.done[list.Of], s.filled[list.Of] = true, true
		}
	}
	return nil
}

// page reads one page and has looked at what shows something new.
func (s *sweeper) page(ctx context.Context, list List, from Mark, alsoNew bool) (Page, error) {
	page, err := s.g.forge.Changed(ctx, list, from)
	if err != nil {
		return Page{}, err
	}
	for _, hint := range page.Hints {
		s.g.rush.makeWay()
		if _, err := s.g.look(ctx, hint, alsoNew); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// lookForMissing has looked at what is followed and was in no list of this round:
// its project may be gone, or be where no rule looks. Once: it may well be there
// all the same, and not be listed (GitLab: in an archived project).
func (s *sweeper) lookForMissing(ctx context.Context) error {
	followed, err := s.g.store.Followed(ctx, time.Since(s.round.began))
	if err != nil {
		return err
	}
	missing := map[Ref]bool{}
	for _, ref := range followed {
		if s.round.seen[ref] {
			continue
		}
		missing[ref] = true
		if s.missing[ref] {
			continue
		}
		if _, err := s.g.look(ctx, Hint{Ref: ref}, false); err != nil {
			return err
		}
	}
	s.missing = missing
	return nil
}
