package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/sqlite"
	"mrgate/internal/words"
)

func newShowCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Show what happened to an approval request, and why",
		Long: `Show what happened to an approval request, and why: who was asked, who decided what,
what was done in GitLab and what it answered, and what it waits for now.

REF is a request's number; or names a merge request, whose latest request is then
shown: group/project!7, or its URL; or is a commit (8 or more of its digits) that a
request was about, or that it was merged as.

It reads the listener's database, also while the listener runs, and needs neither a
token nor the network.`,
		Example: `  mrgate show 42
  mrgate show 'payments/api!7'
  mrgate show https://gitlab.example.com/payments/api/-/merge_requests/7
  mrgate show 1a2b3c4d --json`,
		Args: cobra.ExactArgs(1),
	}
	config.Define(cmd.Flags(), "config", "db", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		return env.show(cmd.Context(), cfg, args[0])
	}
	return cmd
}

func (env *Environment) show(ctx context.Context, cfg *config.Config, ref string) error {
	commit := regexp.MustCompile(`^[0-9A-Fa-f]{8,64}$`).MatchString(ref)
	named, err := parseReference(&config.Config{}, []string{ref})
	if err != nil && !commit {
		return usage("%q names no request; give its number, group/project!7, a merge request's URL, or 8 or more digits of a commit", ref)
	}
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	var found []int64
	if named.text != "" {
		found, err = named.requests(ctx, store)
	}
	// A commit may consist of decimal digits; a number that there is goes first.
	if commit && (named.text == "" || err != nil) {
		found, err = env.ofCommit(ctx, store, ref)
	}
	if err != nil {
		return err
	}
	s, err := readStory(ctx, store, found[0])
	if err != nil {
		return err
	}
	if cfg.JSON {
		return writeJSON(env.Stdout, s, true)
	}
	return s.print(env.Stdout, env.zone())
}

// ofCommit gives the requests about a commit, the newest first.
func (env *Environment) ofCommit(ctx context.Context, store *sqlite.Store, commit string) ([]int64, error) {
	found, err := store.Find(ctx, gate.Sought{Commit: commit})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("no request in this database is about commit %s", commit)
	case len(found) > 1:
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: %d requests are about commit %s; this is the newest, the others are %s\n", len(found), commit, numbers(found[1:]))
	}
	return found, nil
}

func numbers(list []int64) string {
	var b strings.Builder
	for i, n := range list {
		if i == 20 {
			return b.String() + " …"
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// requests gives the requests that the reference names, the newest first; at least one.
func (r reference) requests(ctx context.Context, archive gate.Archive) (found []int64, err error) {
	switch {
	case r.request != 0:
		if _, err := archive.Story(ctx, r.request); errors.Is(err, gate.ErrNoRow) {
			return nil, fmt.Errorf("there is no request %d in this database; see mrgate list", r.request)
		} else if err != nil {
			return nil, err
		}
		return []int64{r.request}, nil
	case r.url != "":
		found, err = findURL(ctx, archive, r.url)
	default:
		found, err = archive.Find(ctx, gate.Sought{Path: r.project, Number: r.mr})
	}
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no request for %s in this database; see mrgate list --limit 0, and mrgate list --format csv for what was merged without one", r.text)
	}
	return found, err
}

// findURL finds the requests of the merge request that has this address, with
// any page of it, a query or a fragment behind. What stands before the project's
// path in it (where GitLab is not at the root of its host) is not known.
func findURL(ctx context.Context, archive gate.Archive, raw string) ([]int64, error) {
	sought, path, number := mergeRequestURL(raw)
	if path == "" {
		return nil, usage("%s is not the address of a merge request; it looks like https://gitlab.example.com/group/project/-/merge_requests/7", raw)
	}
	for strings.Contains(path, "/") {
		found, err := archive.Find(ctx, gate.Sought{Path: path, Number: number})
		if err != nil {
			return nil, err
		}
		var same []int64 // of one merge request; a path may have been another's before
		for _, n := range found {
			mr, err := archive.Story(ctx, n)
			if err != nil {
				return nil, err
			}
			if mr.Snapshot == nil {
				continue
			}
			if known, _, _ := mergeRequestURL(mr.Snapshot.URL); strings.EqualFold(known, sought) {
				same = append(same, n)
			}
		}
		if len(same) > 0 {
			return same, nil
		}
		_, path, _ = strings.Cut(path, "/")
	}
	return nil, nil
}

// mergeRequestURL takes an address apart: what names the merge request, without
// its scheme; all of the path before that; and the number. path is "" where it
// is none of a merge request.
func mergeRequestURL(raw string) (name, path string, number int64) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", 0
	}
	path, page, ok := strings.Cut(strings.Trim(u.Path, "/"), "/-/merge_requests/")
	digits, _, _ := strings.Cut(page, "/")
	if _, err := fmt.Sscanf(digits, "%d", &number); !ok || err != nil || fmt.Sprint(number) != digits {
		return "", "", 0
	}
	return fmt.Sprintf("%s/%s!%d", u.Host, path, number), path, number
}

// story is what mrgate show --json prints. Fields may be added; those that are
// there keep their names and meanings. Times are RFC 3339, in UTC; what has not
// happened is left out.
type story struct {
	Request int64      `json:"request"` // its number
	State   gate.State `json:"state"`
	DryRun  bool       `json:"dry_run,omitempty"` // it was rehearsed: nothing of it is ever carried out
	Cause   gate.Cause `json:"cause,omitempty"`   // what ended it, where nobody decided

	// The merge request. Title, author and source are what GitLab last said, or,
	// if there is a later request, what it said when this one was opened.
	Project     string        `json:"project"` // path
	ProjectID   int64         `json:"project_id"`
	IID         int64         `json:"iid"`
	URL         string        `json:"url"`
	Title       string        `json:"title"`
	Author      gate.User     `json:"author"` // id, username, name
	Source      string        `json:"source"`
	Target      string        `json:"target"`
	Head        gate.CommitID `json:"head"`                   // the commit that approval is asked for
	MergeCommit gate.CommitID `json:"merge_commit,omitempty"` // what it was merged as
	Note        string        `json:"note,omitempty"`         // GitLab's reference to the note under the merge request

	Rule      string         `json:"rule"`
	Required  int            `json:"required"`  // approvals
	Approvals int            `json:"approvals"` // that count
	Approvers []approverItem `json:"approvers"`
	Decisions []decisionItem `json:"decisions"` // the first one first

	OpenedAt  stamp `json:"opened_at"`
	ExpiresAt stamp `json:"expires_at,omitzero"`
	DecidedAt stamp `json:"decided_at,omitzero"` // when it was approved or rejected
	EndedAt   stamp `json:"ended_at,omitzero"`

	// What is still to come. WaitsFor and Troubles are sentences for people.
	WaitsFor  string   `json:"waits_for,omitempty"`
	Blocked   string   `json:"blocked,omitempty"`    // GitLab's word for why it does not merge
	NextTryAt stamp    `json:"next_try_at,omitzero"` // when the listener next works on it by itself
	Error     string   `json:"error,omitempty"`      // the last trouble, while something is outstanding
	Troubles  []string `json:"troubles"`             // what will go wrong, or stays undone
	Earlier   []int64  `json:"earlier_requests"`     // of the merge request, the newest first
	Later     []int64  `json:"later_requests"`       // likewise

	Messages []messageItem `json:"messages"`
	Timeline []event       `json:"timeline"` // the log's entries, the oldest first
}

// approverItem is somebody who may decide.
type approverItem struct {
	Identity string `json:"identity"`       // as the policy names them
	ID       string `json:"id,omitempty"`   // the chat's; none: the chat does not know them
	Name     string `json:"name,omitempty"` // as the chat knows them
}

// messageItem is a message that was sent, or is to be.
type messageItem struct {
	Kind      gate.MessageKind `json:"kind"` // card, adopted, notice, result, stuck
	To        string           `json:"to"`   // the chat's ID
	Group     bool             `json:"group,omitempty"`
	Sent      bool             `json:"sent"`
	Failures  int              `json:"failures,omitempty"` // in a row
	NextTryAt stamp            `json:"next_try_at,omitzero"`
	LetGo     string           `json:"let_go,omitempty"` // why it is followed no more

	RemindedAt stamp `json:"reminded_at,omitzero"` // of a card: when its recipient was reminded
}

// event is an entry of the log.
type event struct {
	Number int64           `json:"number"`
	At     stamp           `json:"at"`
	Kind   gate.EntryKind  `json:"kind"`
	Text   string          `json:"text"` // a sentence for people
	Data   json.RawMessage `json:"data"`
	Hash   string          `json:"hash"`
}

// readStory reads what there is to say of a request.
func readStory(ctx context.Context, archive gate.Archive, request int64) (*story, error) {
	mr, err := archive.Story(ctx, request)
	if err != nil {
		return nil, err
	}
	siblings, err := archive.Find(ctx, gate.Sought{Ref: &mr.Ref})
	if err != nil {
		return nil, err
	}
	t := newTeller(archive)
	t.learn(mr)
	s := storyOf(mr, siblings)
	for e, err := range archive.Log(ctx, gate.LogFilter{Request: request}) {
		if err != nil {
			return nil, err
		}
		s.Timeline = append(s.Timeline, event{e.Number, stamp(e.At), e.Kind, t.tell(ctx, e), e.Data, e.Hash})
		if e.Kind == gate.EntryOpened && len(s.Later) > 0 {
			var o gate.OpenedData
			if json.Unmarshal(e.Data, &o) == nil {
				s.Title, s.Author, s.Source = o.Title, o.Author, o.Source
			}
		}
	}
	s.Troubles = append(s.Troubles, troubles(ctx, t, mr)...)
	return s, nil
}

func storyOf(mr *gate.MergeRequest, siblings []int64) *story {
	r := mr.Current()
	s := &story{
		Request: r.ID, State: r.State, DryRun: r.Dry, Cause: r.Cause, ProjectID: mr.Ref.Project, IID: mr.Ref.Number,
		Target: r.Target, Head: r.Head, Note: r.NoteRef, Rule: r.Rule.Name, Required: max(1, r.Rule.Required),
		Approvers: []approverItem{}, Decisions: []decisionItem{}, Messages: []messageItem{}, Timeline: []event{},
		Earlier: []int64{}, Later: []int64{}, Troubles: []string{},
		OpenedAt: stamp(r.OpenedAt), ExpiresAt: stamp(r.ExpiresAt), DecidedAt: stamp(r.DecidedAt), EndedAt: stamp(r.EndedAt),
		WaitsFor: waitsFor(mr, r),
	}
	if known := mr.Snapshot; known != nil {
		s.Project, s.URL, s.Title, s.Author, s.Source = known.Path, known.URL, known.Title, known.Author, known.Source
		if r.State == gate.MergedHere || r.Cause == gate.CauseMerged {
			s.MergeCommit = known.MergeCommit
		}
	}
	for _, n := range siblings {
		switch {
		case n < r.ID:
			s.Earlier = append(s.Earlier, n)
		case n > r.ID:
			s.Later = append(s.Later, n)
		}
	}
	for _, m := range r.Panel.Approvers {
		s.Approvers = append(s.Approvers, approverItem{m.Identity.Value, m.ID, m.Name})
	}
	for _, d := range r.Decisions {
		s.Decisions = append(s.Decisions, decisionItemOf(*d))
		if d.Verdict == gate.Approve && !d.Void {
			s.Approvals++
		}
	}
	for _, m := range r.Messages {
		item := messageItem{Kind: m.Kind, To: m.To.ID, Group: m.To.Group, Sent: m.Ref != nil, Failures: m.Tries, LetGo: m.Gone, RemindedAt: stamp(m.RemindedAt)}
		if m.Tries > 0 && m.Gone == "" {
			item.NextTryAt = stamp(m.NotBefore)
		}
		s.Messages = append(s.Messages, item)
	}
	if r.State == gate.BlockedNow {
		s.Blocked = r.Blocked.Reason
	}
	if !r.Settled {
		s.Error = mr.Error
		if !mr.DueAt.IsZero() {
			s.NextTryAt = stamp(mr.DueAt)
			if mr.DueAt.Before(mr.Now) {
				s.NextTryAt = stamp(mr.Now)
			}
		}
	}
	return s
}

// waitsFor says what has to happen next, and who has to do it; "": nothing has to.
func waitsFor(mr *gate.MergeRequest, r *gate.Request) string {
	switch r.State {
	case gate.Pending:
		return waitsForApproval(r)
	case gate.Approved:
		switch {
		case r.Dry:
			return ""
		case r.Approve.Done.IsZero():
			return "GitLab to take the approval"
		case r.Rule.OnApprove == policy.OnApproveApprove:
			return "somebody to merge it in GitLab; the rule has mrgate only approve"
		case r.Scheduled:
			return "GitLab to merge it by itself, when its checks pass"
		}
		return "GitLab to merge it"
	case gate.BlockedNow:
		w := words.For("en")
		return "a person: " + w.Blocked(mr.Block(r, w))
	case gate.Rejected:
		if r.Rule.OnReject == policy.OnRejectClose && !r.Dry {
			return "GitLab to close it"
		}
	case gate.MergedHere, gate.ClosedHere, gate.Expired, gate.Superseded, gate.Withdrawn:
	}
	return ""
}

func waitsForApproval(r *gate.Request) string {
	given := 0
	for _, d := range r.Decisions {
		if d.Verdict == gate.Approve && !d.Void {
			given++
		}
	}
	missing := max(1, max(1, r.Rule.Required)-given)
	what := "1 approval"
	if missing > 1 {
		what = fmt.Sprintf("%d approvals", missing)
	}
	var names []string
	for _, m := range mayApprove(r) {
		names = append(names, clean(cmp.Or(m.Name, m.Identity.Value)))
	}
	switch {
	case len(names) == 0:
		return what + ", but nobody is left who may approve"
	case len(names) < missing:
		return what + ", but only " + strings.Join(names, ", ") + " may still approve"
	}
	return what + " of " + strings.Join(names, ", ")
}

// mayApprove gives the approvers, each person once, who are known to the chat,
// are neither author nor committer (where that bars them), and have not decided.
func mayApprove(r *gate.Request) []gate.Member {
	var list []gate.Member
	for _, m := range r.Panel.Approvers {
		same := func(p gate.Person) bool { return p.ID == m.ID }
		switch {
		case m.ID == "" && !r.Panel.Blind:
		case !r.Rule.AllowSelfApproval && m.ID != "" && (same(r.Panel.Author) || slices.ContainsFunc(r.Panel.Committer, same)):
		case slices.ContainsFunc(r.Decisions, func(d *gate.Decision) bool { return d.Person == m.ID }):
		case m.ID != "" && slices.ContainsFunc(list, func(o gate.Member) bool { return o.ID == m.ID }):
		default:
			list = append(list, m)
		}
	}
	return list
}

// troubles says what will go wrong if nobody does anything, and what stays undone.
func troubles(ctx context.Context, t *teller, mr *gate.MergeRequest) (list []string) {
	r := mr.Current()
	if r.State == gate.Pending {
		list = append(list, foretold(ctx, t, r)...)
	}
	for _, m := range r.Messages {
		to := t.to(ctx, r.ID, m.To)
		switch {
		case m.Gone != "" && !strings.HasPrefix(m.Gone, "taken over"):
			list = append(list, fmt.Sprintf("the %s to %s is followed no more%s", clean(string(m.Kind)), to, because(m.Gone)))
		case m.Gone == "" && m.Tries > 0:
			list = append(list, fmt.Sprintf("the %s to %s has failed, %d in a row", clean(string(m.Kind)), to, m.Tries))
		}
	}
	if !r.Settled && mr.Tries > 0 {
		list = append(list, fmt.Sprintf("calls to GitLab have failed, %d in a row", mr.Tries))
	}
	return list
}

func foretold(ctx context.Context, t *teller, r *gate.Request) (list []string) {
	if r.Panel.Blind {
		list = append(list, "nobody has been looked up in the chat yet: an operator opened it, and a listener has to take it over")
		return list
	}
	for _, name := range r.Panel.Missing {
		list = append(list, fmt.Sprintf("%s is not known to the chat, and gets no card; correct the policy, or add them to the app's scope", clean(name)))
	}
	for _, o := range r.Panel.Others {
		list = append(list, fmt.Sprintf("%s is another person in the chat than it was (was %s, is %s), and counts for nobody; if the policy means that person, write %[3]s into it",
			clean(o.Identity), clean(o.First), clean(o.Now)))
	}
	if !r.Rule.AllowSelfApproval {
		var told []string
		for _, m := range mayApprove(r) {
			if slices.Contains(r.Panel.Told, m.ID) {
				told = append(told, t.who(ctx, r.ID, m.ID))
			}
		}
		for _, name := range r.Panel.Unsure {
			only := "no approval counts"
			if len(told) > 0 {
				only = "only an approval of " + strings.Join(told, ", ") + " counts"
			}
			list = append(list, fmt.Sprintf("nobody can tell who %s is in the chat, so %s until then; add %[1]s to users in the policy", clean(name), only))
		}
	}
	if len(r.Panel.Cards) == 0 {
		list = append(list, "nobody has got a card: of those who are to get one, the chat knows none")
	}
	return list
}

// print says it all for people, in their zone.
func (s *story) print(out io.Writer, zone *time.Location) error {
	var b strings.Builder
	at := func(t stamp) string { return local(time.Time(t), zone) }
	section := func(title string) { fmt.Fprintf(&b, "\n%s\n", title) }
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", name, value)
		}
	}
	moment := func(name string, t stamp) {
		if !t.IsZero() {
			field(name, at(t))
		}
	}
	state := string(s.State) + dryRun(s.DryRun)
	if s.Cause != "" {
		state += ": " + causeText(s.Cause)
	}
	fmt.Fprintf(&b, "Request %d, %s!%d: %s\n\n", s.Request, cmp.Or(clean(s.Project), fmt.Sprint(s.ProjectID)), s.IID, state)
	field("title", clean(s.Title))
	field("author", userName(s.Author))
	field("branches", clean(s.Source)+" → "+clean(s.Target))
	field("commit", clean(string(s.Head)))
	field("merged as", clean(string(s.MergeCommit)))
	field("url", clean(s.URL))
	field("note", clean(s.Note))
	field("rule", clean(s.Rule))
	field("approvals", fmt.Sprintf("%d of %d", s.Approvals, s.Required))
	var names []string
	for _, m := range s.Approvers {
		names = append(names, clean(cmp.Or(m.Name, m.Identity)))
	}
	field("approvers", strings.Join(names, ", "))
	field("earlier", numbers(s.Earlier))
	field("later", numbers(s.Later))
	field("times in", zoneName(time.Time(s.OpenedAt), zone))
	moment("opened", s.OpenedAt)
	moment("decided", s.DecidedAt)
	moment("ended", s.EndedAt)

	if s.WaitsFor != "" || s.Error != "" || len(s.Troubles) > 0 {
		section("Now")
		field("waits for", s.WaitsFor)
		if s.WaitsFor != "" {
			if s.NextTryAt != s.ExpiresAt {
				moment("next look", s.NextTryAt)
			}
			if s.State.Open() {
				moment("expires", s.ExpiresAt)
			}
		}
		field("last error", clean(s.Error))
		for _, text := range s.Troubles {
			field("trouble", text)
		}
	}

	section("What happened")
	for _, e := range s.Timeline {
		fmt.Fprintf(&b, "  %s  %s\n", at(e.At), e.Text)
		if e.Kind == gate.EntryDecided {
			fmt.Fprintf(&b, "  %19s  log entry %d, hash %s\n", "", e.Number, clean(e.Hash))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
