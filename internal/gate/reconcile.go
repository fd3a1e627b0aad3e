package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// work is one worker's pass over one merge request, under its lease.
type work struct {
	g     *Gate
	lease Lease
	seen  int64 // MergeRequest.Wake when the pass began: what came later needs another

	mu        sync.Mutex
	mr        *MergeRequest         // as of the last write, and what was learned since
	unwritten []func(*MergeRequest) // what was learned since, in its order

	cancel atomic.Pointer[context.CancelFunc] // of the messages being written; nil: none are

	read   time.Time // when the forge was last read in this pass; zero: not, or written to since
	failed bool      // the forge failed in this pass
	well   bool      // the forge was read well in this pass
}

// errStop ends a pass: the row is left as it is, and says itself when it is next due.
var errStop = errors.New("stop")

// reconcile compares what is with what should be, and does the next things: read
// the forge, judge, act on the forge, bring the messages up to date. A failure
// of one side is written down and never keeps the other from its turn.
func (g *Gate) reconcile(ctx context.Context, mr *MergeRequest) {
	w := &work{g: g, mr: mr, lease: Lease{Row: mr.ID, Token: mr.Lease, For: leaseFor}, seen: mr.Wake}
	g.atWork.Store(mr.ID, w)
	defer g.atWork.CompareAndDelete(mr.ID, w)

	err := w.forge(ctx)
	if err == nil {
		err = w.people(ctx)
	}
	if err == nil {
		err = w.messages(ctx)
	}
	if err == nil {
		err = w.finish()
	}
	switch {
	case err == nil:
		if due := w.mr.DueAt; !due.IsZero() && !due.After(w.mr.Now) {
			g.nudge(0) // something arrived meanwhile; the runner may be asleep
		}
	case errors.Is(err, ErrLeaseLost):
		g.log.Info("another worker took over", "merge_request", mr.Ref.String())
	default:
		// The database fails: the lease runs out, and the row is taken again.
		g.log.Error("the database refuses to write", "merge_request", mr.Ref.String(), "err", err)
	}
}

// change is a write under the lease, of what was learned and of f. It renews the
// lease; what comes back is the row as written.
func (w *work) change(f func(mr *MergeRequest)) error {
	w.g.rush.makeWay()
	w.mu.Lock()
	defer w.mu.Unlock()
	var open []int64
	var now *MergeRequest
	err := w.g.store.Change(context.Background(), By{Lease: &w.lease}, func(mr *MergeRequest) error {
		open = mr.openRequests()
		for _, learned := range w.unwritten {
			learned(mr)
		}
		f(mr)
		now = mr
		return nil
	})
	if err == nil {
		w.g.observeMerge(open, now)
		w.mr, w.unwritten = now, nil
	}
	return err
}

// learn takes in what a call has shown. It is written together with what comes
// next, be that what is tried then or the end of the pass: each write is a
// transaction, and nothing is called or waited for in between.
func (w *work) learn(f func(mr *MergeRequest)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.mr)
	w.unwritten = append(w.unwritten, f)
}

// announce is a write that says what is about to be tried. An effect may follow
// it only within the first half of the lease.
func (w *work) announce(f func(mr *MergeRequest)) error {
	began := time.Now()
	if err := w.change(f); err != nil {
		return err
	}
	if time.Since(began) > effectWithin {
		return ErrLeaseLost
	}
	return nil
}

// call gives a context for one call, in which the lease does not run out.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// forge does all there is to do with the forge now. Trouble with it is written
// down; an error is trouble with the database.
func (w *work) forge(ctx context.Context) error {
	if r := w.mr.Current(); r != nil && r.expired(w.mr.Now) {
		if err := w.expire(ctx); err != nil {
			return err
		}
	}
	if w.mr.forgeRests() {
		return nil
	}
	var err error
	if w.mr.wantsLook() {
		err = w.look(ctx)
	}
	if err == nil {
		err = w.act(ctx)
	}
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	if w.well && !w.failed && w.mr.Tries > 0 {
		return w.change(func(mr *MergeRequest) { mr.Tries, mr.ForgeAt, mr.Error = 0, time.Time{}, "" })
	}
	return nil
}

// expire ends a request whose time is over. Perhaps something else has ended it
// that nobody told of, so the forge is read, if it answers.
func (w *work) expire(ctx context.Context) error {
	if !w.mr.forgeRests() {
		if err := w.look(ctx); err != nil && !errors.Is(err, errStop) {
			return err
		}
	}
	return w.change(func(mr *MergeRequest) { mr.expire() })
}

// look reads the forge and judges.
func (w *work) look(ctx context.Context) error {
	began, ref := w.mr.Now, w.mr.Ref
	err := w.announce(func(mr *MergeRequest) { began, mr.ReadingAt = mr.Now, mr.Now })
	if err != nil {
		return err
	}
	c, cancel := call(ctx)
	s, err := w.g.forge.Get(c, ref)
	cancel()
	w.g.observe(ctx, callRead(), err)
	if err != nil {
		return w.fail(ctx, "read", err)
	}
	w.read, w.well = time.Now(), true
	s.ReadAt = began
	if was := w.mr.Snapshot; was != nil && was.Path != s.Path {
		// Nobody tells of this for each of the project's merge requests.
		if err := w.g.store.Moved(ctx, ref.Forge, ref.Project, s.Path); err != nil {
			return err
		}
		w.g.nudge(0)
	}
	v := w.g.view(&s, ref)
	if s.State == ForgeMerged && w.mr.Landing == nil {
		if v.then, err = w.g.covering(ctx, ref, &s); err != nil {
			return err
		}
	}
	trouble := w.lookUp(ctx, &v)
	if errors.Is(trouble, ErrLeaseLost) {
		return trouble
	}
	landed := w.mr.Landing != nil
	var asked int64
	var before Panel
	if r := w.mr.Current(); r != nil {
		asked, before = r.ID, r.Panel
	}
	w.learn(func(mr *MergeRequest) { mr.judge(v) })
	r := w.mr.Current()
	if opened := r != nil && r.ID != asked; opened || landed != (w.mr.Landing != nil) || trouble != nil {
		// What is told below is told of what is on disk.
		if err := w.renew(); err != nil {
			return err
		}
	}
	w.foretell(v, asked, before)
	if l := w.mr.Landing; !landed && l != nil && l.Around != "" {
		w.g.log.Warn("merged around the gate", "merge_request", s.URL, "why", string(l.Around), "by", s.MergedBy.Username, "rule", l.Rule)
	}
	if trouble == nil {
		return nil
	}
	// What the judge could do without it is done, and may go on: a request that
	// a push superseded is taken back also while the chat's directory is down.
	if chat := (*chatTrouble)(nil); errors.As(trouble, &chat) && ctx.Err() == nil {
		err := w.change(func(mr *MergeRequest) {
			mr.ChatTries++
			mr.Error = trouble.Error()
			if mr.LookAt.IsZero() || mr.LookAt.After(mr.Now) {
				mr.LookAt = mr.Now.Add(backoff(mr.ChatTries, trouble))
			} // else something arrived while it was read
		})
		w.warn("look up people", trouble, w.mr.LookAt)
		return err
	}
	if r, what := w.mr.nextEffect(w.g.rules.Load()); what == effectRetract {
		if err := w.effect(ctx, r, what); err != nil {
			return err
		}
	}
	w.read = time.Time{}
	return w.fail(ctx, "look up a merge request", trouble)
}

func (g *Gate) view(s *Snapshot, ref Ref) view {
	rules := g.rules.Load()
	return view{snapshot: s, rules: rules, rule: rules.Match(projectOf(ref, s), s.Target)}
}

// covering is the rule that covered what is merged when it was; nil: none did.
// An error is trouble with the database.
func (g *Gate) covering(ctx context.Context, ref Ref, s *Snapshot) (*policy.Rule, error) {
	rules, project := g.rules.Load(), projectOf(ref, s)
	now := rules.Match(project, s.Target)
	if s.MergedAt.IsZero() {
		return now, nil
	}
	then, err := g.store.PolicyAt(ctx, s.MergedAt)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the policy at %s: %w", s.MergedAt, err)
	case then.Hash == "":
		return nil, nil // there was no gate yet
	case then.Hash == rules.hash || g.earlier == nil:
		return now, nil
	}
	p, err := g.earlier(then.Text)
	if err != nil {
		g.log.Warn("an earlier policy cannot be read any more; the one in force stands for it", "policy", then.Hash, "err", err)
		return now, nil
	}
	return p.Match(project, s.Target), nil
}

// lookUp reads what opening a request, or another rule, needs besides the
// snapshot. Without it the judge still ends what is to be ended.
func (w *work) lookUp(ctx context.Context, v *view) error {
	mr, s := w.mr, v.snapshot
	cur := mr.Current()
	asked := mr.asked(s, mr.openingAfter(s), v.rules)
	opens := v.rule != nil && s.Ready() && !asked
	changed := v.rule != nil && cur != nil && cur.State.Followed() && v.rules.minds(cur.Dry) && asked &&
		(cur.PolicyHash != v.rules.hash || cur.Panel.Blind && w.g.chat != nil)
	if opens || changed {
		if err := w.lookUpPeople(ctx, v); err != nil {
			return err
		}
	}
	return w.roles(ctx, v)
}

// lookUpPeople reads whom the request concerns.
func (w *work) lookUpPeople(ctx context.Context, v *view) error {
	mr, s := w.mr, v.snapshot
	contents := mr.Contents
	if contents == nil || contents.Head != s.Head || contents.Size == nil {
		if err := w.renew(); err != nil {
			return err
		}
		c, cancel := call(ctx)
		read, err := w.g.forge.Contents(c, mr.Ref, s.Path, s.Head)
		cancel()
		w.g.observe(ctx, callRead(), err)
		if err != nil {
			return fmt.Errorf("read the commits: %w", err)
		}
		contents = &read
	}
	v.contents = contents
	return w.panel(ctx, v)
}

// foretell says on stderr what will go wrong at a click: at the opening, and when
// others are known than before. asked is the request that was the latest before,
// and before its panel.
func (w *work) foretell(v view, asked int64, before Panel) {
	r := w.mr.Current()
	if v.panel == nil || r == nil || r.Panel.Blind || !r.State.Followed() {
		return
	}
	log := w.g.log.With("merge_request", w.mr.Snapshot.URL, "request", r.ID, "rule", r.Rule.Name)
	if r.ID != asked {
		before = Panel{}
		log.Info("approval request opened", "head", r.Head.Short(), "target", r.Target, "cards", len(r.Panel.Cards))
	}
	for _, name := range r.Panel.Missing {
		if !slices.Contains(before.Missing, name) {
			log.Warn("somebody is not in the chat's directory and gets no card; check the address and the app's contact range", "identity", name)
		}
	}
	for _, other := range r.Panel.Others {
		if !slices.Contains(before.Others, other) {
			log.Warn("this is another person in the chat than it was, and counts for nobody; if the policy means that person, write their new ID into it",
				"identity", other.Identity, "was", other.First, "is", other.Now)
		}
	}
	for _, m := range r.Panel.Approvers {
		if m.ID != "" && slices.Contains(before.Missing, m.Identity.Value) {
			log.Info("an approver is now in the chat's directory", "identity", m.Identity.Value)
		}
	}
	for _, name := range r.Panel.Unsure {
		if !r.Rule.AllowSelfApproval && !slices.Contains(before.Unsure, name) {
			log.Warn("cannot tell who this GitLab user is in the chat, so approvals that may be their own are refused; add them to users", "username", name)
		}
	}
}

// act writes to the forge, a step at a time, until nothing is left or something
// has to be waited for.
func (w *work) act(ctx context.Context) error {
	for range 20 { // more steps than any request has; a row that wants more comes back
		r, what := w.mr.nextEffect(w.g.rules.Load())
		if r == nil {
			return nil
		}
		if err := w.effect(ctx, r, what); err != nil {
			return err
		}
	}
	return nil
}

// renew renews the lease, before a call that changes nothing, and writes what was
// learned.
func (w *work) renew() error { return w.announce(func(*MergeRequest) {}) }

// fail writes down that the forge failed, and ends the work with it for now.
func (w *work) fail(ctx context.Context, what string, err error) error {
	return w.failWith(ctx, what, err, func(*MergeRequest) {})
}

// failWith is fail with something else to write down.
func (w *work) failWith(ctx context.Context, what string, err error, also func(mr *MergeRequest)) error {
	if ctx.Err() != nil {
		// mrgate is told to end: nobody's fault, and to be gone on with at once.
		return errors.Join(w.change(func(mr *MergeRequest) { mr.LookAt = mr.Now; also(mr) }), errStop)
	}
	w.failed = true
	if werr := w.change(func(mr *MergeRequest) { mr.rest(err, w.g.words()); also(mr) }); werr != nil {
		return werr
	}
	w.warn(what, err, w.mr.ForgeAt)
	return errStop
}

func (w *work) warn(what string, err error, again time.Time) {
	w.g.log.LogAttrs(context.Background(), slog.LevelWarn, "not done yet; it will be tried again",
		slog.String("what", what), slog.String("merge_request", w.mr.Ref.String()), slog.Any("err", err),
		slog.Duration("in", again.Sub(w.mr.Now).Round(time.Millisecond)))
}

// goneAfter is how many times in a row a merge request may not be found before
// it counts as gone: a renamed project and a new one's caches take a moment.
const goneAfter = 3

// rest has the forge left alone for a while after err, and then read: whatever
// was tried, nobody knows what became of it.
func (mr *MergeRequest) rest(err error, w *words.Words) {
	mr.Tries++
	mr.Error = err.Error()
	mr.ReadingAt = time.Time{}
	mr.LookAt = mr.Now
	mr.ForgeAt = mr.Now.Add(backoff(mr.Tries, err))
	switch {
	case errors.Is(err, ErrHeadMoved) && mr.Tries == 1:
		mr.ForgeAt = mr.Now // there is something new to see
	case errors.Is(err, ErrNotFound) && mr.Tries >= goneAfter:
		for _, c := range mr.Claims {
			if c.Origin != nil && c.Refused == "" {
				mr.refuseClaim(c, RefusedCard, w.ToastUnknownCard())
			}
		}
		if mr.Snapshot == nil && len(mr.Claims) == 0 {
			mr.LookAt = time.Time{} // it never was there: nobody waits for it
		}
	}
}

// finish lets go of the row and says when it is next due.
func (w *work) finish() error {
	rules := w.g.rules.Load()
	return w.change(func(mr *MergeRequest) {
		for _, r := range mr.Requests {
			r.Settled = mr.settled(r, w.g.words(), rules)
		}
		behind := slices.ContainsFunc(mr.Requests, func(r *Request) bool { return mr.behind(r, w.g.words()) })
		if mr.Tries == 0 && mr.LookAt.IsZero() && !behind {
			mr.Error = "" // whatever failed is not wanted any more
		}
		if mr.LookAt.IsZero() && mr.unjudged(rules) {
			mr.LookAt = mr.Now.Add(time.Minute) // a net: these are never left to sleep
		}
		mr.Lease = ""
		mr.DueAt = mr.nextDue(w.g.words(), rules)
		if mr.Wake != w.seen {
			mr.DueAt = DueFirst()
		}
	})
}

// unjudged says that something waits for a look: a request under another policy,
// one of a dry run that is over, or a claim.
func (mr *MergeRequest) unjudged(p *rules) bool {
	cur := mr.Current()
	return cur != nil && cur.State.Followed() && p.minds(cur.Dry) && (cur.PolicyHash != p.hash || cur.Dry != p.dry) ||
		slices.ContainsFunc(mr.Claims, func(c *Claim) bool { return c.Refused == "" && p.minds(c.Dry) })
}

// hurry has a worker that writes messages make room: a person waits for the
// forge. A call under way gets half a second to end by itself, since one that is
// cut off has to be repeated.
func (w *work) hurry() {
	if cancel := w.cancel.Load(); cancel != nil {
		time.AfterFunc(500*time.Millisecond, *cancel)
	}
}

// earliest is the first of the times that are not zero; zero: none is.
func earliest(times ...time.Time) time.Time {
	times = slices.DeleteFunc(times, time.Time.IsZero)
	if len(times) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare)
}
