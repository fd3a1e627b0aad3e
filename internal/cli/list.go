package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/sqlite"
	"mrgate/internal/story"
)

// listed is how many requests a list has where nobody says how many.
const listed = 50

func newListCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List approval requests: what is pending, and what became of the others",
		Long: `List approval requests, the newest first: 50 of them, all with --limit 0.

A request that is pending waits for approvals, one that is approved for GitLab, one
that is blocked for a person; all others are over. AWAITED are those whose approval
would count and who have not decided; AGE is the time since the request was opened.

With --format csv it is a list for auditors: one row for each merge into a branch that
a rule covered, the newest first, all of them unless --limit says otherwise; also those
that went around the gate, and why. Who approved, when, through what and in which entry
of the log stands in the last columns, apart from each other by "; ". A cell that a
spreadsheet could take for a formula has an apostrophe in front.

It reads the listener's database, also while the listener runs, and needs neither a
token nor the network. On a terminal long lines are cut to its width.

States: ` + strings.Join(stateNames(), ", "),
		Example: `  mrgate list --state pending --state blocked
  mrgate list --project payments/api --since 7d
  mrgate list --project 'payments/*' --state pending --older-than 4h
  mrgate list --approver alice@example.com --limit 0 --json
  mrgate list --format csv --since 90d > merges.csv`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "db", "format", "json", "state", "project", "since", "older_than", "limit")
	config.DefineWho(cmd.Flags())
	reword(cmd, "json", "the same as --format json")
	reword(cmd, "project", "only of this project, by its path or ID, or of all below a group: 'group/*'")
	reword(cmd, "since", "only requests that were opened, or merges that happened, within this time, as in 7d")
	reword(cmd, "older-than", "only those from longer ago than this, as in 4h")
	cmd.Flags().Lookup("limit").DefValue = fmt.Sprint(listed)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		filter, err := filterOf(cfg)
		if err != nil {
			return err
		}
		switch {
		case cfg.JSON && cfg.Given("format") && cfg.Format != "json":
			return usage("list: --json and --format %s contradict each other", cfg.Format)
		case cfg.Format != "csv":
			cfg.JSON = cfg.JSON || cfg.Format == "json"
			return env.list(cmd.Context(), cfg, filter)
		case len(cfg.States) > 0 || cfg.Who != "":
			return usage("list: --format csv lists merges: choose with --project, --since and --older-than, not with --state or --approver")
		case !cfg.Given("limit"):
			filter.Limit = 0
		}
		return env.merges(cmd.Context(), cfg, filter)
	}
	return cmd
}

func reword(cmd *cobra.Command, flag, usage string) { cmd.Flags().Lookup(flag).Usage = usage }

func stateNames() []string {
	var names []string
	for _, s := range []gate.State{
		gate.Pending, gate.Approved, gate.BlockedNow, gate.MergedHere, gate.Rejected,
		gate.ClosedHere, gate.Expired, gate.Superseded, gate.Withdrawn,
	} {
		names = append(names, string(s))
	}
	return names
}

// filterOf is what the flags ask for.
func filterOf(cfg *config.Config) (gate.Filter, error) {
	f := gate.Filter{Project: strings.Trim(cfg.Project, "/"), Approver: cfg.Who, Since: cfg.Since, Older: cfg.Older, Limit: listed}
	for _, name := range cfg.States {
		state := strings.ToLower(name)
		if !slices.Contains(stateNames(), state) {
			return f, usage("list: there is no state %q; the states are %s", name, strings.Join(stateNames(), ", "))
		}
		f.States = append(f.States, gate.State(state))
	}
	if group := strings.TrimSuffix(f.Project, "/*"); strings.Contains(group, "*") {
		return f, usage("list: --project %q is no project; write a path like group/project, an ID, or group/* for all below a group", cfg.Project)
	}
	if cfg.Given("limit") {
		f.Limit = int(cfg.Limit)
	}
	return f, nil
}

// openArchive opens the listener's database to read it. One that is not there is
// not created.
func (env *Environment) openArchive(ctx context.Context, cfg *config.Config) (*sqlite.Store, error) {
	path := env.path(cfg.DB)
	store, err := sqlite.Open(ctx, path, sqlite.Options{MustExist: true, ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database at %s; name the listener's by --db or MRGATE_DB", path)
	}
	return store, err
}

// item is a request in the output of mrgate list --json, which is a list of them.
// Fields may be added; those that are there keep their names and meanings.
type item struct {
	Request     int64            `json:"request"` // its number
	State       gate.State       `json:"state"`
	DryRun      bool             `json:"dry_run,omitempty"` // it was rehearsed: nothing of it is ever carried out
	Cause       gate.Cause       `json:"cause,omitempty"`   // what ended it, where nobody decided
	Blocked     string           `json:"blocked,omitempty"` // GitLab's word for why it does not merge
	Error       string           `json:"error,omitempty"`   // the last trouble, while something is outstanding
	Project     string           `json:"project"`           // path
	ProjectID   int64            `json:"project_id"`
	IID         int64            `json:"iid"`
	URL         string           `json:"url"`
	Title       string           `json:"title"`
	Author      gate.User        `json:"author"` // id, username, name
	Source      string           `json:"source"`
	Target      string           `json:"target"`
	Head        gate.CommitID    `json:"head"`
	MergeCommit gate.CommitID    `json:"merge_commit,omitempty"`
	Rule        string           `json:"rule"`
	Required    int              `json:"required"`  // approvals
	Approvals   int              `json:"approvals"` // that count
	Awaited     []string         `json:"awaited"`   // names, or identities of those without one
	Missing     []string         `json:"missing"`   // identities that the chat does not know
	Others      []gate.Other     `json:"others"`    // identities that are another person's than at first, and count for nobody
	Decisions   []story.Decision `json:"decisions"`
	OpenedAt    story.Stamp      `json:"opened_at"`
	DecidedAt   story.Stamp      `json:"decided_at,omitzero"`
	EndedAt     story.Stamp      `json:"ended_at,omitzero"`
}

func itemOf(l gate.Listed) item {
	i := item{
		Request: l.Number, State: l.State, DryRun: l.Dry, Cause: l.Cause, Blocked: l.Blocked, Error: l.Error,
		Project: l.Path, ProjectID: l.Ref.Project, IID: l.Ref.Number, URL: l.URL, Title: l.Title, Author: l.Author,
		Source: l.Source, Target: l.Target, Head: l.Head, MergeCommit: l.MergedAs,
		Rule: l.Rule, Required: max(1, l.Required), Approvals: l.Approvals, Awaited: append([]string{}, l.Awaited...),
		Missing: append([]string{}, l.Missing...), Others: append([]gate.Other{}, l.Others...),
		Decisions: []story.Decision{},
		OpenedAt:  story.Stamp(l.OpenedAt), DecidedAt: story.Stamp(l.DecidedAt), EndedAt: story.Stamp(l.EndedAt),
	}
	for _, d := range l.Decided {
		i.Decisions = append(i.Decisions, story.DecisionOf(d))
	}
	return i
}

func (env *Environment) list(ctx context.Context, cfg *config.Config, f gate.Filter) error {
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	limit := f.Limit
	if limit > 0 {
		f.Limit++ // to see whether there are more
	}
	list, err := store.List(ctx, f)
	if err != nil {
		return err
	}
	more := limit > 0 && len(list) > limit
	if more {
		list = list[:limit]
	}
	if cfg.JSON {
		err = env.listJSON(list)
	} else {
		err = env.listTable(list, time.Now())
	}
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: there is no such request in %s\n", env.path(cfg.DB))
	case more:
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: these are the newest %d, there are more; choose with --state, --project, --approver, --since or --older-than, or see all with --limit 0\n", limit)
	}
	return nil
}

func (env *Environment) listJSON(list []gate.Listed) error {
	items := []item{}
	for _, l := range list {
		items = append(items, itemOf(l))
	}
	return writeJSON(env.Stdout, items, true)
}

func (env *Environment) listTable(list []gate.Listed, now time.Time) error {
	paint := env.painter()
	t := &table{
		out: env.Stdout, width: widthOf(env.Stdout),
		heads: []string{"REQUEST", "STATE", mergeRequestHead, "TITLE", "TARGET", "COMMIT", "RULE", "APPROVALS", "AWAITED", "AGE"},
		least: []int{0, 0, 12, 12, 6, 0, 6, 0, 7, 0},
		right: []bool{true, false, false, false, false, false, false, true, false, true},
		spare: []int{5, 6, 4}, // COMMIT, RULE, TARGET
		paint: func(column int, cell string) string {
			if column != 1 {
				return cell
			}
			state, _, _ := strings.Cut(cell, " ")
			return paint(colorOf(gate.State(state)), cell)
		},
	}
	for _, l := range list {
		names := make([]string, 0, len(l.Awaited))
		for _, name := range l.Awaited {
			names = append(names, clean(name))
		}
		if len(l.Missing) > 0 {
			names = append(names, "not found: "+story.CleanList(l.Missing))
		}
		for _, o := range l.Others {
			names = append(names, "another person now: "+clean(o.Identity))
		}
		t.add(fmt.Sprint(l.Number), string(l.State)+story.DryRun(l.Dry), story.Name(l.Path, l.Ref), clean(l.Title), clean(l.Target), clean(l.Head.Short()),
			clean(l.Rule), fmt.Sprintf("%d/%d", l.Approvals, max(1, l.Required)), cmp.Or(strings.Join(names, ", "), "-"), age(now.Sub(l.OpenedAt)))
	}
	return t.flush()
}
