package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// Parts is what a Gate is made of. All but Workers are needed; only for Decide,
// Chat may be nil.
type Parts struct {
	Forge   Forge
	Chat    Chat
	Store   Store
	Policy  *policy.Policy // until SetPolicy
	Log     *slog.Logger
	Workers int  // merge requests at work at the same time; 0: 8
	DryRun  bool // a rehearsal: see the package's story
	Sweeps  bool // Sweep will be called; reminders wait for its first one
	// Earlier reads a policy that was in force before from its text. nil: the one
	// in force stands for all that were.
	Earlier  func(text string) (*policy.Policy, error)
	Observer Observer // nil: nobody measures
	// Rush is told when many people begin to click at once, and when that has been
	// over for a while. nil: nobody needs to know.
	Rush func(on bool)
}

// Gate takes what arrives and carries it out. Its methods may be called from
// several goroutines, and several Gates may work on one store.
type Gate struct {
	forge    Forge
	chat     Chat
	store    Store
	log      *slog.Logger
	workers  int
	earlier  func(text string) (*policy.Policy, error)
	observer Observer
	sweeps   bool

	rules  atomic.Pointer[rules]
	noting sync.Mutex    // held while the store is told which policy is in force
	nudged chan struct{} // one slot: something is due
	atWork sync.Map      // row → *work, to hurry those that only write messages
	merges projectLocks
	rush   rush
	rushed func(on bool)

	unwritten sync.Once // to say that notes are not written

	strangers throttle // clicks on cards that nothing is known of

	swept atomic.Pointer[time.Time] // when a sweep last went through
}

// rules is a policy with what comes of it, replaced as one.
type rules struct {
	*policy.Policy
	hash  string
	words *words.Words // in the policy's language
	dry   bool         // the gate rehearses
}

func rulesOf(p *policy.Policy, dry bool) *rules {
	return &rules{Policy: p, hash: p.Hash(), words: words.For(string(p.Locale)), dry: dry}
}

// minds says that a request or claim, of a dry run or real, is for this gate to
// judge. A dry run leaves alone what is real.
func (p *rules) minds(dry bool) bool { return dry || !p.dry }

func (g *Gate) words() *words.Words { return g.rules.Load().words }

// New puts the parts together. Run starts it.
func New(parts Parts) *Gate {
	g := &Gate{
		forge: parts.Forge, chat: parts.Chat, store: parts.Store,
		log: parts.Log, workers: parts.Workers, earlier: parts.Earlier, observer: parts.Observer, sweeps: parts.Sweeps, rushed: parts.Rush,
		nudged: make(chan struct{}, 1),
	}
	if g.workers == 0 {
		g.workers = 8
	}
	if g.rushed == nil {
		g.rushed = func(bool) {}
	}
	g.rules.Store(rulesOf(parts.Policy, parts.DryRun))
	return g
}

// SetPolicy puts another policy in force. From then on no effect follows from the
// one before; open requests are looked at under the new one, which may end them
// or let approvals count no more. It returns when that is on disk, however often
// it has to be tried; only if ctx ends before, with its error.
func (g *Gate) SetPolicy(ctx context.Context, p *policy.Policy) error {
	// Before the store is told: a row that is judged in between is judged by the
	// new policy, and not by the old one after it was made due.
	g.rules.Store(rulesOf(p, g.rules.Load().dry))
	for {
		err := g.notePolicy(ctx)
		if err == nil {
			g.nudge(0)
			return nil
		}
		g.log.Error("the new policy is in force, but not noted yet; it will be tried again", "err", err)
		if !pause(ctx, pollEvery) {
			return ctx.Err()
		}
	}
}

// notePolicy tells the store which policy is in force.
func (g *Gate) notePolicy(ctx context.Context) error {
	g.noting.Lock()
	defer g.noting.Unlock()
	rules := g.rules.Load()
	if err := g.store.Policy(ctx, rules.hash, rules.Text(), rules.dry); err != nil {
		return fmt.Errorf("note the policy: %w", err)
	}
	return nil
}

// Look writes down that the merge request is to be read, and says in a few words
// what will come of it. It implements [LookFunc]: when it returns without an
// error, that is on disk.
//
// A hint that shows nothing new costs a read of the database and nothing else;
// one from a project that no rule covers leaves no trace.
func (g *Gate) Look(ctx context.Context, hint Hint) (string, error) {
	return g.look(ctx, hint, true)
}

// look is Look; without the new, what is not known is let be.
func (g *Gate) look(ctx context.Context, hint Hint, alsoNew bool) (string, error) {
	known, err := g.store.Peek(ctx, By{Ref: &hint.Ref})
	switch {
	case errors.Is(err, ErrNoRow) && !alsoNew:
		return "never asked about", nil
	case errors.Is(err, ErrNoRow):
		project := policy.ProjectRef{ID: hint.Ref.Project, Path: hint.Path}
		rules, s := g.rules.Load(), hint.Snapshot
		switch {
		case !rules.Covers(project):
			return "no rule covers this project", nil
		case s == nil:
		case s.State == ForgeClosed:
			return "closed, and never asked about", nil
		case s.State == ForgeMerged && s.Target != "" && rules.Match(project, s.Target) == nil:
			return "merged into a branch that no rule covers", nil
		}
	case err != nil:
		return "", fmt.Errorf("look at %s: %w", hint.Ref, err)
	case known.shows(hint.Snapshot) && !hint.Again:
		return "nothing new", nil
	}
	err = g.store.Change(ctx, By{Ref: &hint.Ref}, func(mr *MergeRequest) error {
		if hint.Again {
			mr.askAgain(AgainData{At: mr.Now})
		}
		if s := hint.Snapshot; mr.Snapshot == nil && mr.LookAt.IsZero() && s != nil && s.Merging.Class == MergeSoon {
			mr.lookSoon()
		} else {
			mr.look()
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", hint.Ref, err)
	}
	g.nudge(0)
	return "looking", nil
}

// lookSoon makes a new merge request due to be read in a moment: the forge says
// itself that it is still preparing it, and has no size to tell yet.
func (mr *MergeRequest) lookSoon() {
	mr.Wake++
	mr.LookAt = mr.Now.Add(soonMin)
	if mr.Lease == "" {
		mr.DueAt = earliest(mr.DueAt, mr.LookAt)
	}
}

// look makes the merge request due to be read.
func (mr *MergeRequest) look() {
	waiting := !mr.LookAt.IsZero() && !mr.LookAt.After(mr.Now)
	if waiting && mr.Lease == "" && !mr.DueAt.IsZero() && !mr.DueAt.After(mr.Now) {
		return // it is about to be read anyway
	}
	mr.LookAt = mr.Now
	mr.arrive(false)
}

// shows says that the hint tells nothing that the row does not know. Hints are
// often partial: what one leaves out is not compared.
func (mr *MergeRequest) shows(hint *Snapshot) bool {
	known := mr.Snapshot
	switch {
	case known == nil, hint == nil, !mr.ReadingAt.IsZero():
		return false // what is known is about to change
	case mr.Tries > 0:
		return mr.wantsLook() // and is looked at as soon as the forge is asked again
	}
	same := func(said, known string) bool { return said == "" || said == known }
	if hint.State != known.State || hint.Draft != known.Draft || !same(hint.Path, known.Path) ||
		!same(string(hint.Head), string(known.Head)) || !same(hint.Target, known.Target) || !same(hint.Source, known.Source) ||
		!same(hint.Title, known.Title) || !same(hint.Description, known.Description) {
		return false
	}
	// Whoever waits for the forge wants to hear that its mind has changed.
	cur := mr.Current()
	waits := cur != nil && (cur.State == BlockedNow || cur.State == Approved && !mr.LookAt.IsZero())
	return !waits || same(hint.Merging.Reason, known.Merging.Reason)
}

// nudge wakes the runner; row, if not 0, is one for which a person waits.
func (g *Gate) nudge(row int64) {
	if row != 0 {
		if w, ok := g.atWork.Load(row); ok {
			w.(*work).hurry()
		}
	}
	select {
	case g.nudged <- struct{}{}:
	default:
	}
}

// projectLocks lets one merge of a project happen at a time: two merges at once
// into one branch make the forge compute everything twice and answer 405.
type projectLocks struct {
	mu   sync.Mutex
	held map[int64]chan struct{}
}

// lock waits for the project, at most for d; false: in vain.
func (l *projectLocks) lock(ctx context.Context, project int64, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		busy, ok := l.held[project]
		if !ok {
			if l.held == nil {
				l.held = make(map[int64]chan struct{})
			}
			l.held[project] = make(chan struct{})
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-timeout.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (l *projectLocks) unlock(project int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[project])
	delete(l.held, project)
}
