package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/server"
	"mrgate/internal/sqlite"
	"mrgate/internal/story"
	"mrgate/internal/words"
)

func newDecideCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decide --approve|--reject [REF]",
		Short: "Decide on a merge request from a shell, as an operator",
		Long: `Decide on a merge request from a shell, as an operator.

The decision goes through the same checks of rule, commit, target and state as a
click, and into the same log, which says that it was an operator: the user and
host that this runs as. It settles the request alone, whatever number of people
the rule asks for. A request is opened if there is none.

REF is a request's number, group/project!7, or the merge request's URL; or name it
by --project and --mr. It works on the listener's database, also while the listener
runs, and returns when GitLab has done it. With --server the listener at that admin
address does it, for whoever has an operator token.

  0  done       1  blocked, or failed      3  somebody has rejected it
  4  recorded; the listener will do it     5  overtaken: another commit or target, merged or closed elsewhere`,
		Example: `  mrgate decide --approve 'payments/api!7' --reason "hotfix, Alice is on a plane"
  mrgate decide --reject 42 --reason 'superseded by !9' --config mrgate.yaml
  mrgate decide --approve --project payments/api --mr 7 --dry-run
  mrgate decide --approve 'payments/api!7' --server http://127.0.0.1:8081`,
		Args: cobra.MaximumNArgs(1),
	}
	config.Define(cmd.Flags(), "config", "db", "approve", "reject", "reason", "by", "timeout", "dry_run", "project", "mr", "json",
		"gitlab_url", "gitlab_token", "gitlab_ca_file", "feishu_url", "feishu_app_id", "feishu_app_secret", "server", "operator_token")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		switch {
		case cfg.Approve == cfg.Reject:
			return usage("decide: say either --approve or --reject")
		case cfg.Server != "":
			return env.decideServer(cmd.Context(), cfg, args)
		}
		named, err := parseReference(cfg, args)
		switch {
		case err != nil:
			return err
		case cfg.GitLabToken.Reveal() == "":
			return usage("decide: gitlab-token is missing; set MRGATE_GITLAB_TOKEN or MRGATE_GITLAB_TOKEN_FILE")
		case len(cfg.Policy.Rules) == 0:
			return usage("decide: there is no policy that says what may be decided; name a file with rules by --config")
		}
		return env.decide(cmd.Context(), cfg, named)
	}
	return cmd
}

func (env *Environment) decide(ctx context.Context, cfg *config.Config, named reference) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	forge, err := newForge(cfg)
	if err != nil {
		return err
	}
	if cfg.DryRun {
		return env.rehearse(ctx, cfg, forge, named)
	}
	store, err := env.openToDecide(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	ref, err := named.find(ctx, store, forge)
	if err != nil {
		return fmt.Errorf("decide: %w", withRemedy(err, cfg))
	}
	progress := env.progress(cfg, clean(named.String()))
	log := slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn}))
	parts := gate.Parts{Forge: forge, Store: store, Policy: cfg.Policy, Log: log, Earlier: config.ParsePolicy}
	if cfg.FeishuAppID != "" && cfg.FeishuAppSecret.Reveal() != "" {
		if parts.Chat, err = newChat(cfg, log); err != nil {
			return err
		}
	}
	order := gate.Order{Verdict: verdict(cfg), Reason: cfg.Reason, By: cfg.By, Operator: operator(), Way: "shell"}
	stop := progress.watch(func() string { return awaited(ctx, store, ref) })
	outcome, mr, err := gate.New(parts).Decide(ctx, ref, named.request, order)
	stop()
	switch {
	case errors.Is(err, gate.ErrDenied), errors.Is(err, gate.ErrOtherPolicy), errors.Is(err, gate.ErrDryRun), errors.Is(err, gate.ErrNoRule):
		return usage("decide: %s: %w", named, err)
	case err != nil && outcome == "":
		return fmt.Errorf("decide: %s: %w", named, err)
	}
	return env.decided(cfg, named, order.Verdict, outcome, mr, err)
}

// What a decision waits for before there is a request, and after all is done.
const (
	unread  = "GitLab to say how it stands"
	unnoted = "GitLab to take mrgate's note"
)

// awaited says what an operator's decision waits for; "": nobody knows.
func awaited(ctx context.Context, store gate.Store, ref gate.Ref) string {
	mr, err := store.Peek(ctx, gate.By{Ref: &ref})
	if err != nil {
		return ""
	}
	r := mr.Current()
	text := unread
	if looks := !mr.LookAt.IsZero(); r != nil && (r.State.Followed() || !looks) {
		if r.State == gate.Pending {
			return "" // it is about to be recorded
		}
		text = cmp.Or(story.WaitsFor(mr, r), unnoted)
	}
	if mr.Tries > 0 {
		text += "; so far: " + clean(mr.Error)
	}
	return text
}

// openToDecide opens the listener's database; one that is not there is created,
// with a warning: perhaps this is the wrong directory.
func (env *Environment) openToDecide(ctx context.Context, cfg *config.Config) (*sqlite.Store, error) {
	path := env.path(cfg.DB)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: warning: there is no database at %s; it is created. If a listener runs, name its database by --db\n", path)
	}
	return sqlite.Open(ctx, path, sqlite.Options{})
}

func verdict(cfg *config.Config) gate.Verdict {
	if cfg.Approve {
		return gate.Approve
	}
	return gate.Reject
}

// operator is who runs this, as the system knows them.
func operator() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return name + "@" + host
}

// rehearse says what would be decided, and writes nothing.
func (env *Environment) rehearse(ctx context.Context, cfg *config.Config, forge *gitlab.Forge, named reference) error {
	var store *sqlite.Store
	if path := env.path(cfg.DB); named.request != 0 {
		var err error
		if store, err = sqlite.Open(ctx, path, sqlite.Options{MustExist: true, ReadOnly: true}); err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
	}
	ref, err := named.find(ctx, store, forge)
	if err != nil {
		return fmt.Errorf("decide: %w", withRemedy(err, cfg))
	}
	s, err := forge.Get(ctx, ref)
	if err != nil {
		return fmt.Errorf("decide: read %s: %w", named, err)
	}
	mr, _, ok := gate.Preview(cfg.Policy, gate.Asking{Ref: ref, Snapshot: s}, asNamed, time.Now())
	if !ok {
		return usage("decide: %s: nothing to decide on: %s", named, mr.Why)
	}
	what := map[gate.Verdict]string{gate.Approve: "approve", gate.Reject: "reject"}[verdict(cfg)]
	if cfg.JSON {
		return env.printJSON(map[string]any{
			"dry_run": true, "verdict": what, "project": s.Path, "project_id": ref.Project, "iid": ref.Number,
			"head": s.Head, "target": s.Target, "rule": mr.Current().Rule.Name, "url": s.URL, "title": s.Title,
		})
	}
	_, err = fmt.Fprintf(env.Stdout, "would %s %s!%d: commit %s into %s, under rule %s\n", what, s.Path, ref.Number, s.Head.Short(), s.Target, mr.Current().Rule.Name)
	return err
}

// decided says what became of it, and gives the exit code.
func (env *Environment) decided(cfg *config.Config, named reference, v gate.Verdict, outcome gate.Outcome, mr *gate.MergeRequest, trouble error) error {
	if trouble == nil && mr != nil && mr.Error != "" {
		trouble = errors.New(mr.Error)
	}
	d := decision{name: named.String(), verdict: v, outcome: outcome, trouble: trouble}
	if mr != nil && mr.Snapshot != nil {
		d.name, d.commit = fmt.Sprintf("%s!%d", mr.Snapshot.Path, mr.Ref.Number), mr.Snapshot.MergeCommit
		if r := mr.Current(); r != nil {
			w := words.For("en")
			d.blocked, d.detail, d.state = r.Blocked.Reason, w.Blocked(mr.Block(r, w)), r.State
		}
	}
	return env.report(cfg, d)
}

// decision is what became of one.
type decision struct {
	name            string // of the merge request
	verdict         gate.Verdict
	outcome         gate.Outcome
	state           gate.State
	commit          gate.CommitID // the merge commit
	blocked, detail string        // GitLab's word for why it does not merge, and ours
	trouble         error         // why it is not carried out yet
}

// report says what became of a decision, and gives the exit code.
func (env *Environment) report(cfg *config.Config, d decision) error {
	name, outcome, state, commit := d.name, d.outcome, d.state, d.commit
	if cfg.JSON {
		out := map[string]any{"outcome": outcome, "merge_request": name, "state": state}
		if commit != "" {
			out["merge_commit"] = commit
		}
		if outcome == gate.OutcomeBlocked {
			out["blocked"] = d.blocked
		}
		if err := env.printJSON(out); err != nil {
			return err
		}
	}
	say := func(code int, format string, args ...any) error {
		return &exitError{code, fmt.Errorf("decide: "+format, args...)}
	}
	switch outcome {
	case gate.OutcomeDone:
		if cfg.JSON {
			return nil
		}
		done := map[gate.State]string{gate.MergedHere: "merged", gate.ClosedHere: "closed", gate.Approved: "approved", gate.Rejected: "rejected"}[state]
		if commit != "" {
			done += " as " + commit.Short()
		}
		_, err := fmt.Fprintf(env.Stdout, "%s %s\n", name, done)
		return err
	case gate.OutcomeBlocked:
		why := d.blocked
		if d.detail != "" {
			why += ": " + d.detail
		}
		return say(ExitFailed, "%s is approved, but GitLab will not merge it: %s", name, why)
	case gate.OutcomeRejected:
		return say(ExitRejected, "%s was rejected", name)
	case gate.OutcomeOvertaken:
		return say(ExitOvertook, "%s was overtaken: the request is %s", name, state)
	case gate.OutcomeRecorded:
		if d.trouble != nil {
			return say(ExitTimeout, "%s: the decision to %s is recorded, but not carried out yet (%w); a listener on this database will do it", name, d.verdict, d.trouble)
		}
		return say(ExitTimeout, "%s: the decision to %s is recorded, but not carried out within %s; a listener on this database will do it", name, d.verdict, cfg.Timeout)
	}
	return say(ExitFailed, "%s: %s", name, outcome)
}

func (env *Environment) printJSON(v any) error {
	encoder := json.NewEncoder(env.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// decideServer has the listener at --server decide. Sent again, the same decision
// goes on waiting.
func (env *Environment) decideServer(ctx context.Context, cfg *config.Config, args []string) error {
	switch {
	case !cfg.OperatorToken.First().IsSet():
		return usage("decide: --server takes an operator token; set MRGATE_OPERATOR_TOKEN or MRGATE_OPERATOR_TOKEN_FILE")
	case cfg.DryRun:
		return usage("decide: --dry-run does not go with --server")
	}
	named, err := parseReference(cfg, args)
	if err != nil {
		return err
	}
	r, err := newRemote(cfg, cfg.OperatorToken.First())
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	id := named.id()
	stop := env.progress(cfg, clean(named.String())).watch(func() string {
		limit, done := context.WithTimeout(ctx, 5*time.Second)
		defer done()
		var st server.Status
		if r.call(limit, http.MethodGet, requestPath(id), 0, nil, &st) != nil {
			return ""
		}
		// Of a path the listener has to ask GitLab, each time.
		id = fmt.Sprintf("%d!%d", st.MergeRequest.ProjectID, st.MergeRequest.IID)
		switch r := st.Request; {
		case r == nil:
			return unread
		case r.State == gate.Pending:
			return ""
		default:
			return cmp.Or(clean(r.WaitsFor), unnoted)
		}
	})
	defer stop()
	for {
		var out server.Decided
		wait := min(pollFor, cfg.Timeout-time.Since(began))
		// The answer needs a moment more than the wait.
		limit, done := context.WithTimeout(context.WithoutCancel(ctx), wait+pollFor)
		err := r.call(limit, http.MethodPost, requestPath(named.id())+"/decisions", wait, server.Order{Verdict: verdict(cfg), Reason: cfg.Reason, By: cfg.By}, &out)
		done()
		var refused *problemError
		switch {
		case errors.As(err, &refused) && (refused.Type == server.ProblemNoRule || refused.Type == server.ProblemDenied):
			return usage("decide: %s: %w", named, err)
		case errors.As(err, &refused) && refused.Type == server.ProblemOvertaken:
			return &exitError{ExitOvertook, fmt.Errorf("decide: %s: %w", named, err)}
		case err != nil:
			return fmt.Errorf("decide: %s: %w", named, err)
		}
		if out.Result != gate.OutcomeRecorded || ctx.Err() != nil || wait < pollFor {
			d := decision{name: named.String(), verdict: verdict(cfg), outcome: out.Result, commit: out.Status.MergeRequest.MergeCommit}
			if m := out.Status.MergeRequest; m.Path != "" {
				d.name = fmt.Sprintf("%s!%d", m.Path, m.IID)
			}
			if r := out.Status.Request; r != nil {
				d.state, d.blocked = r.State, r.Blocked
			}
			stop()
			return env.report(cfg, d)
		}
	}
}
