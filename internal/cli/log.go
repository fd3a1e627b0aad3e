package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
)

// logRows is how many rows of the log are aligned and printed at a time.
const logRows = 200

func newLogCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log [REF]",
		Short: "Print the audit log, the oldest entry first",
		Long: `Print the audit log, the oldest entry first: requests that were opened, decisions,
what was done in GitLab and what it answered, and messages that were sent or let go.

REF is a request's number, or names a merge request: group/project!7, or its URL.
Without one, all is printed. --limit N prints the last N entries of these.

With --json each line is an object: number, at (RFC 3339, in UTC), project, iid,
request (its number), kind, data (as it was recorded), merge_request (the row of the
database) and hash, which covers the entry and the hash before it.

It reads the listener's database, also while the listener runs, and needs neither a
token nor the network. On a terminal long lines are cut to its width.`,
		Example: `  mrgate log --since 1d
  mrgate log 'payments/api!7'
  mrgate log --limit 20
  mrgate log --json | jq 'select(.kind == "decided")'`,
		Args: cobra.MaximumNArgs(1),
	}
	config.Define(cmd.Flags(), "config", "db", "json", "since", "limit")
	reword(cmd, "since", "only entries of this last time, as in 7d")
	reword(cmd, "limit", "at most so many, the last ones; 0: all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		return env.log(cmd.Context(), cfg, args)
	}
	return cmd
}

// line is an entry in the output of mrgate log --json, one a line. Fields may be
// added; those that are there keep their names and meanings.
type line struct {
	Number       int64           `json:"number"` // 1, 2, 3, without gaps
	At           stamp           `json:"at"`
	Project      string          `json:"project,omitempty"` // path, as it was when the request was opened
	IID          int64           `json:"iid,omitempty"`
	Request      int64           `json:"request,omitempty"`
	Kind         gate.EntryKind  `json:"kind"` // opened, decided, state, effect, message
	Data         json.RawMessage `json:"data"` // an object, whose fields the kind says
	MergeRequest int64           `json:"merge_request"`
	Hash         string          `json:"hash"` // see gate.Entry.Chain
}

func (env *Environment) log(ctx context.Context, cfg *config.Config, args []string) error {
	var named *reference
	if len(args) > 0 {
		r, err := parseReference(&config.Config{}, args)
		if err != nil {
			return err
		}
		named = &r
	}
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	teller := newTeller(store)
	printed, put, flush := 0, func(gate.Entry) error { return nil }, func() error { return nil }
	if cfg.JSON {
		put = func(e gate.Entry) error {
			at := teller.about(ctx, e)
			return writeJSON(env.Stdout, line{
				e.Number, stamp(e.At), at.path, at.number, e.Request, e.Kind, e.Data, e.MergeRequest, e.Hash,
			}, false)
		}
	} else {
		zone := env.zone()
		t := &table{
			out: env.Stdout, width: env.terminalWidth(),
			least: []int{0, 0, 0, 12, 0, 0}, right: []bool{true, false, true, false, false, false},
		}
		put = func(e gate.Entry) error {
			if t.heads == nil {
				t.heads = []string{"ENTRY", "TIME (" + zoneName(e.At, zone) + ")", "REQUEST", mergeRequestHead, "KIND", "WHAT"}
			}
			request := "-"
			if e.Request != 0 {
				request = fmt.Sprint(e.Request)
			}
			what := teller.tell(ctx, e) // first: an entry may itself say what it is about
			t.add(fmt.Sprint(e.Number), local(e.At, zone), request, teller.about(ctx, e).String(), clean(string(e.Kind)), what)
			if len(t.rows) < logRows {
				return nil
			}
			return t.flush()
		}
		flush = t.flush
	}
	err = chosen(ctx, store, cfg, named, func(e gate.Entry) error {
		printed++
		return put(e)
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if printed == 0 {
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: there is no such entry in the log of %s\n", env.path(cfg.DB))
	}
	return nil
}

// chosen gives the entries that were asked for, the oldest first.
func chosen(ctx context.Context, archive gate.Archive, cfg *config.Config, named *reference, do func(gate.Entry) error) error {
	f := gate.LogFilter{Since: cfg.Since}
	if named == nil {
		if cfg.Limit > 0 {
			last, err := lastEntry(ctx, archive)
			if err != nil {
				return err
			}
			f.After = max(0, last-cfg.Limit)
		}
		for e, err := range archive.Log(ctx, f) {
			if err != nil {
				return err
			}
			if err := do(e); err != nil {
				return err
			}
		}
		return nil
	}
	requests, err := named.requests(ctx, archive)
	if err != nil {
		return err
	}
	var all []gate.Entry
	for _, f.Request = range requests {
		for e, err := range archive.Log(ctx, f) {
			if err != nil {
				return err
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b gate.Entry) int { return cmp.Compare(a.Number, b.Number) })
	if n := int(cfg.Limit); n > 0 && len(all) > n {
		all = all[len(all)-n:]
	}
	for _, e := range all {
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// lastEntry is the number of the last one; 0: there is none. Entries have no
// gaps, so it is found by halving.
func lastEntry(ctx context.Context, archive gate.Archive) (int64, error) {
	isAfter := func(n int64) (bool, error) {
		for _, err := range archive.Log(ctx, gate.LogFilter{After: n, Limit: 1}) {
			return err == nil, err
		}
		return false, nil
	}
	low, high := int64(0), int64(1) // the last one is not below low
	for {
		more, err := isAfter(high - 1)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		low, high = high, 2*high
	}
	for low < high-1 {
		middle := low + (high-low)/2
		more, err := isAfter(middle - 1)
		if err != nil {
			return 0, err
		}
		if more {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// teller says in a sentence what an entry of the log is about. It learns names
// from the entries that it tells, and else from the requests.
type teller struct {
	archive gate.Archive
	names   map[string]string // by the chat's ID
	refs    map[int64]mrName  // by the request's number
	asked   int64             // the request whose story was read last
}

// mrName is a merge request's name for people.
type mrName struct {
	path   string
	number int64
}

func (n mrName) String() string {
	if n.number == 0 {
		return "-"
	}
	return fmt.Sprintf("%s!%d", cmp.Or(clean(n.path), "?"), n.number)
}

func newTeller(archive gate.Archive) *teller {
	return &teller{archive: archive, names: map[string]string{}, refs: map[int64]mrName{}}
}

// learn takes in whom a request concerns.
func (t *teller) learn(mr *gate.MergeRequest) {
	r := mr.Current()
	t.asked = r.ID
	people := append([]gate.Person{r.Panel.Author}, r.Panel.Committer...)
	for _, m := range r.Panel.Approvers {
		people = append(people, m.Person)
	}
	for _, p := range people {
		t.name(p)
	}
	if _, known := t.refs[r.ID]; !known && mr.Snapshot != nil {
		t.refer(r.ID, mrName{mr.Snapshot.Path, mr.Ref.Number})
	}
}

func (t *teller) name(p gate.Person) {
	if p.ID != "" && p.Name != "" {
		t.names[p.ID] = p.Name
	}
}

func (t *teller) refer(request int64, name mrName) {
	if len(t.refs) > 10000 { // a log may be long
		clear(t.refs)
	}
	t.refs[request] = name
}

// about is the merge request that an entry is about.
func (t *teller) about(ctx context.Context, e gate.Entry) mrName {
	if e.Kind == gate.EntryOpened {
		var o openedData
		if json.Unmarshal(e.Data, &o) == nil && o.Number != 0 {
			t.refer(e.Request, mrName{o.Path, o.Number})
		}
	}
	if _, known := t.refs[e.Request]; !known && e.Request != 0 {
		t.read(ctx, e.Request)
	}
	return t.refs[e.Request]
}

// read learns what a request knows. Without it some names are missing.
func (t *teller) read(ctx context.Context, request int64) {
	if t.asked == request {
		return
	}
	t.asked = request
	if mr, err := t.archive.Story(ctx, request); err == nil {
		t.learn(mr)
	}
}

// who names somebody in the chat.
func (t *teller) who(ctx context.Context, request int64, id string) string {
	if t.names[id] == "" && request != 0 {
		t.read(ctx, request)
	}
	if t.names[id] == "" {
		t.names[id] = id
	}
	return clean(t.names[id])
}

func (t *teller) to(ctx context.Context, request int64, to gate.Recipient) string {
	if to.Group {
		return "group " + clean(to.ID)
	}
	return t.who(ctx, request, to.ID)
}

// What the entries hold, as package gate writes them.
type (
	openedData struct {
		Path, URL, Title, Source, Target, Rule string
		Number                                 int64
		Author                                 gate.User
		Head                                   gate.CommitID
		Approvers                              []gate.Member
	}
	decidedData struct {
		Person  json.RawMessage // of a claim that was refused: an object
		Name    string
		Verdict gate.Verdict
		Action  gate.ActionID
		Reason  string
		Via     string
		Refused string
	}
	stateData struct {
		From, To gate.State
		On       gate.Event
		Cause    gate.Cause
		Why      string
	}
	effectData struct {
		Effect, Note, Error, Why string
		Head, Commit             gate.CommitID
		Answer                   gate.MergeStatus
	}
	messageData struct {
		Kind  gate.MessageKind
		To    gate.Recipient
		LetGo string `json:"let_go"`
	}
)

// tell says what an entry is about.
func (t *teller) tell(ctx context.Context, e gate.Entry) string {
	said := ""
	switch e.Kind {
	case gate.EntryOpened:
		said = told(e, t.opened)
	case gate.EntryDecided:
		said = told(e, func(d decidedData) string { return t.decided(ctx, e.Request, d) })
	case gate.EntryState:
		said = told(e, moved)
	case gate.EntryEffect:
		said = told(e, effected)
	case gate.EntryMessage:
		said = told(e, func(d messageData) string { return t.message(ctx, e.Request, d) })
	}
	return cmp.Or(said, clean(string(e.Data))) // of a version to come
}

// told has an entry told by what it holds; "": it holds something else.
func told[T any](e gate.Entry, tell func(T) string) string {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return ""
	}
	return tell(data)
}

func (t *teller) opened(d openedData) string {
	for _, m := range d.Approvers {
		t.name(m.Person)
	}
	return fmt.Sprintf("opened for %q by %s: commit %s, %s → %s, rule %s", clean(d.Title), userName(d.Author), clean(d.Head.Short()),
		clean(d.Source), clean(d.Target), clean(d.Rule))
}

// userName is somebody in GitLab: "Bob Chen (@bob)".
func userName(u gate.User) string {
	name, username := clean(u.Name), clean(u.Username)
	switch {
	case username == "":
		return cmp.Or(name, "somebody")
	case name == "" || strings.EqualFold(name, username):
		return "@" + username
	}
	return name + " (@" + username + ")"
}

// because is a reason behind a sentence.
func because(reason string) string {
	if reason = clean(reason); reason == "" {
		return ""
	}
	return fmt.Sprintf(": %q", reason)
}

func (t *teller) decided(ctx context.Context, request int64, d decidedData) string {
	if d.Refused != "" {
		var p gate.Person
		_ = json.Unmarshal(d.Person, &p) // without, it is somebody without a name
		t.name(p)
		return fmt.Sprintf("%s pressed %s, which did not count: %s", cmp.Or(t.who(ctx, request, p.ID), "somebody"), clean(string(d.Action)), clean(d.Refused))
	}
	did := map[gate.Verdict]string{gate.Approve: "approved", gate.Reject: "rejected"}[d.Verdict]
	if did == "" {
		return ""
	}
	if d.Via == "operator" {
		return "operator " + clean(d.Name) + " " + did + " from a shell" + because(d.Reason)
	}
	var id string
	_ = json.Unmarshal(d.Person, &id) // likewise
	t.name(gate.Person{ID: id, Name: d.Name})
	return t.who(ctx, request, id) + " " + did + because(d.Reason)
}

func moved(d stateData) string {
	why := ""
	switch {
	case d.To == gate.BlockedNow:
		why = ": GitLab says " + cmp.Or(clean(d.Why), "no reason")
	case d.Cause != "" && !d.To.Followed():
		why = ": " + causeText(d.Cause)
	case d.On != "":
		why = ": " + clean(string(d.On))
	}
	return clean(string(d.From)) + " → " + clean(string(d.To)) + why
}

func causeText(c gate.Cause) string {
	switch c {
	case gate.CausePush:
		return "another commit was pushed"
	case gate.CauseRetarget:
		return "it has another target branch"
	case gate.CauseDraft:
		return "it was turned into a draft"
	case gate.CauseReopened:
		return "it was closed or a draft in between"
	case gate.CauseMerged:
		return "it was merged in GitLab, not from here"
	case gate.CauseClosed:
		return "it was closed in GitLab"
	case gate.CauseNoRule:
		return "no rule covers it any more"
	case gate.CauseTime:
		return "nobody decided in time, or it could not be merged in time"
	}
	return clean(string(c))
}

func effected(d effectData) string {
	head := clean(d.Head.Short())
	if d.Error != "" {
		return "GitLab refused to " + clean(d.Effect) + " commit " + head + because(d.Error)
	}
	switch d.Effect {
	case "approve":
		return "approved commit " + head + " in GitLab"
	case "close":
		return "closed the merge request in GitLab"
	case "retract":
		return "took approval and auto-merge back in GitLab"
	case "note":
		return "wrote note " + clean(d.Note) + " under the merge request"
	case "merge":
	default:
		return ""
	}
	why := ""
	if d.Why != "" {
		why = ", it says " + clean(d.Why)
	}
	switch d.Answer {
	case gate.Merged:
		return "GitLab merged commit " + head + " as " + clean(d.Commit.Short())
	case gate.Scheduled:
		return "GitLab will merge commit " + head + " by itself when its checks pass"
	case gate.Computing:
		return "GitLab did not merge commit " + head + " yet" + why
	case gate.Blocked:
		return "GitLab did not merge commit " + head + why
	case gate.Moved:
		return "GitLab did not merge commit " + head + ": the merge request has changed"
	}
	return ""
}

func (t *teller) message(ctx context.Context, request int64, d messageData) string {
	if d.Kind == "" {
		return ""
	}
	to := t.to(ctx, request, d.To)
	if d.LetGo != "" {
		return clean(string(d.Kind)) + " to " + to + " was let go" + because(d.LetGo)
	}
	return clean(string(d.Kind)) + " sent to " + to
}
