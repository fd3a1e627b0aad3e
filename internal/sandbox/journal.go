package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// step is one thing that happened, for people to read.
type step struct {
	ID       string // "gitlab-12"
	At       time.Time
	Kind     kind
	From, To string // Bob, GitLab, mrgate, Feishu
	What     string // what it was for: "merges !1 at commit 3f2a91c0"
	Reply    string // what a click was answered with
	Word     string // of an entry of the log: its kind
	About    string // likewise: the merge request, as in !1

	HTTP    string // "PUT /api/v4/…"; "" if it was no request
	Request string // bodies, without secrets
	Answer  string
	Result  string // "200", "no answer"; "" while it is under way
	Bad     bool   // it failed, or was refused
	Sweep   bool   // mrgate looked whether it had missed something
}

type kind string

const (
	deed    kind = "deed"    // what a person did
	call    kind = "call"    // a request to or from mrgate
	entry   kind = "entry"   // of the audit log
	process kind = "process" // the listener was killed, or started
)

// journal is everything that happened, in order.
type journal struct {
	world  *world
	record *recorder
	poke   chan struct{} // something has happened

	mu    sync.Mutex
	steps []step
	at    map[string]int // where a step is in steps
	hooks int            // deliveries taken over so far
	log   Log            // nil: not opened yet
	last  int64          // the newest entry of the log taken over
	deeds int
	news  news

	end  context.CancelFunc
	done chan struct{}
}

// newJournal begins to write down what happens in a world.
func newJournal(w *world) (*journal, error) {
	record, err := newRecorder(w.opts.Record)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &journal{
		world: w, record: record, poke: make(chan struct{}, 1), at: map[string]int{},
		end: cancel, done: make(chan struct{}),
	}
	wake := func() {
		select {
		case j.poke <- struct{}{}:
		default:
		}
	}
	w.gitlab.Hook(func(*http.Request, gitlabsim.Phase) { wake() })
	w.feishu.Hook(func(*http.Request, feishusim.Phase) { wake() })
	go j.follow(ctx)
	return j, nil
}

// news tells everybody who waits for it that something has changed.
type news struct {
	mu      sync.Mutex
	changed chan struct{}
}

// next is closed at the next change.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed != nil {
		close(n.changed)
	}
	n.changed = make(chan struct{})
}

// follow takes over what happens, soon after each call, and else four times a
// second.
func (j *journal) follow(ctx context.Context) {
	defer close(j.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	alive := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-j.poke:
			// Hooks are called before the call has ended.
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
		j.pull(ctx)
		if now := j.world.listener.alive(); now != alive {
			alive = now
			j.news.tell()
		}
	}
}

func (j *journal) close() {
	j.end()
	<-j.done
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log != nil {
		_ = j.log.Close() // it was only read
	}
}

// pull takes over what has happened since.
func (j *journal) pull(ctx context.Context) {
	w := j.world
	toGitLab, toFeishu, deliveries := w.gitlab.Calls(), w.feishu.Calls(), w.gitlab.Deliveries()

	j.mu.Lock()
	defer j.mu.Unlock()
	var steps []step
	for _, c := range toGitLab {
		if id := fmt.Sprintf("gitlab-%d", c.Seq); !j.over(id) {
			steps = append(steps, gitlabStep(id, c))
		}
	}
	for _, c := range toFeishu {
		if id := fmt.Sprintf("feishu-%d", c.Seq); !j.over(id) {
			steps = append(steps, w.feishuStep(id, c))
		}
	}
	for i, d := range deliveries[min(j.hooks, len(deliveries)):] {
		steps = append(steps, webhookStep(j.hooks+i, d))
	}
	j.hooks = len(deliveries)
	steps = append(steps, j.entries(ctx)...)
	news := false
	for _, s := range steps {
		news = j.put(s) || news
	}
	if news {
		j.news.tell()
	}
}

// over says whether a step is known and can no longer change.
func (j *journal) over(id string) bool {
	i, known := j.at[id]
	return known && j.steps[i].Result != ""
}

// entries are the new ones of the audit log.
func (j *journal) entries(ctx context.Context) []step {
	if j.log == nil {
		log, err := j.world.opts.OpenLog(ctx, j.world.database())
		if err != nil {
			return nil // there is no database yet
		}
		j.log = log
	}
	entries, err := j.log.After(ctx, j.last)
	if err != nil {
		return nil // it is asked again soon
	}
	var steps []step
	for _, e := range entries {
		s := step{
			ID: fmt.Sprintf("entry-%d", e.Number), At: e.At, Kind: entry, From: "mrgate", To: "log", What: j.world.named(e.What), Word: e.Kind,
			Result: fmt.Sprintf("#%d", e.Number),
		}
		if ref, ok := strings.CutPrefix(e.About, projectPath); ok {
			s.About, s.What = ref, ref+" "+s.What
		}
		steps = append(steps, s)
		j.last = e.Number
	}
	return steps
}

// put adds a step, or brings it up to date, and says whether that changed
// anything.
func (j *journal) put(s step) bool {
	s.What, s.Request, s.Answer = j.world.redact(s.What), j.world.redact(s.Request), j.world.redact(s.Answer)
	if i, known := j.at[s.ID]; known {
		if j.steps[i] == s {
			return false
		}
		j.steps[i] = s
	} else {
		j.at[s.ID] = len(j.steps)
		j.steps = append(j.steps, s)
	}
	if s.Kind == call && s.Result != "" {
		j.record.write(s)
	}
	return true
}

// all gives every step so far, the oldest first.
func (j *journal) all() []step {
	j.mu.Lock()
	defer j.mu.Unlock()
	steps := slices.Clone(j.steps)
	slices.SortStableFunc(steps, func(a, b step) int {
		// The log counts milliseconds. What was called for comes before what was
		// written down about it.
		return cmp.Or(a.At.Truncate(time.Millisecond).Compare(b.At.Truncate(time.Millisecond)), cmp.Compare(a.rank(), b.rank()))
	})
	return steps
}

func (s *step) rank() int {
	if s.Kind == entry {
		return 1
	}
	return 0
}

// did writes down what a person did, or what happened to the listener.
func (j *journal) did(k kind, who, what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deeds++
	j.put(step{ID: fmt.Sprintf("deed-%d", j.deeds), At: time.Now(), Kind: k, From: who, What: what, Result: "done"})
	j.news.tell()
}

// clicked writes down a click and its answer.
func (j *journal) clicked(at time.Time, who person, a feishusim.Answer, err error) {
	s := step{
		At: at, Kind: call, From: "Feishu", To: "mrgate", HTTP: "POST /feishu/callback",
		What: "tells of " + who.Name + "'s click", Request: a.Sent, Answer: a.Body, Result: strconv.Itoa(a.Status),
	}
	var client *feishusim.ClientError
	switch {
	case errors.As(err, &client):
		s.Bad, s.Result = true, cmp.Or(map[bool]string{true: "no answer"}[a.Status == 0], s.Result)
		s.Reply = fmt.Sprintf("does not answer; %s sees error code %d", who.Name, client.Code)
	case a.Toast != nil:
		s.Bad = a.Toast.Type == "error"
		s.Reply = fmt.Sprintf("answers “%s” after %d ms", a.Toast.Content, max(1, a.Took.Milliseconds()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deeds++
	s.ID = fmt.Sprintf("click-%d", j.deeds)
	j.put(s)
	j.news.tell()
}

func webhookStep(n int, d gitlabsim.Delivery) step {
	s := step{
		ID: fmt.Sprintf("webhook-%d", n+1), At: d.At, Kind: call, From: "GitLab", To: "mrgate", HTTP: "POST /gitlab/webhook",
		What: describeWebhook(d.Body), Request: string(d.Body), Result: strconv.Itoa(d.Status), Bad: d.Status != http.StatusOK,
	}
	if d.Status == 0 {
		s.Result = "no answer"
		s.What += ", in vain: nobody listens, and GitLab never says it again"
	}
	return s
}

func gitlabStep(id string, c gitlabsim.Call) step {
	s := step{
		ID: id, At: c.At, Kind: call, From: "mrgate", To: "GitLab",
		HTTP: c.Method + " " + c.Path, Request: string(c.Body), Answer: string(c.Answer),
	}
	if c.RawQuery != "" {
		s.HTTP += "?" + c.RawQuery
	}
	s.What, s.Sweep = describeGitLab(c.Method, c.Path, c.Body)
	s.Result, s.Bad = result(c.Status, c.Fault, c.At)
	return s
}

func (w *world) feishuStep(id string, c feishusim.Call) step {
	s := step{
		ID: id, At: c.At, Kind: call, From: "mrgate", To: "Feishu",
		HTTP: c.Method + " " + c.Path, What: w.describeFeishu(c.Method, c.Path, c.Body),
		Request: c.Body, Answer: c.Answer,
	}
	if c.RawQuery != "" {
		s.HTTP += "?" + c.RawQuery
	}
	s.Result, s.Bad = result(c.Status, c.Fault, c.At)
	return s
}

// result is how a call ended; "": it has not.
func result(status int, fault string, at time.Time) (text string, bad bool) {
	switch {
	case status != 0:
		return strconv.Itoa(status), status >= http.StatusBadRequest
	case fault == "drop", time.Since(at) > 15*time.Second: // mrgate waits for ten
		return "no answer", true
	}
	return "", false
}
