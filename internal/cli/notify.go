package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mrgate/internal/config"
	"mrgate/internal/feishu"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
)

// maxEvent is the largest webhook body that GitLab sends
// (app/services/web_hook_service.rb: 25 MB).
const maxEvent = 25 << 20

func newNotifyCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Ask for approval of one merge request",
		Long: `Ask for approval of one merge request: send its approvers a card each, and its
author a notice.

The merge request is taken from --event (the JSON body of a GitLab merge request
webhook), else from --project and --mr (read from GitLab), else from the variables
of a merge request pipeline. The policy says who is asked, or --approver.

It keeps no state: a listener (mrgate serve-callback) takes the clicks. The first
click on such a card has the listener look at GitLab and turn the card into its
own; by default the person then decides on that. Run again within an hour, it
sends only what is missing.

After a request has expired, or was sent back with the merge request left open,
nobody is asked about the same commit again until somebody says so: the author, by
the button on the message about it, or --again, which sends new cards.

With --server a listener does all that, and the job holds no secret but its own
ID token (MRGATE_ID_TOKEN, from id_tokens: with the listener's public-url as its
aud) or an API token. With --wait it then waits for the decision:

  0  approved (merged or not)         3  rejected
  4  not decided in time, or expired  5  overtaken: another commit or target, merged or closed elsewhere
  2  no rule covers it (0 with --if-no-rule pass)

With --dry-run nothing is sent: it prints, as one JSON object, the request and
every message with its recipient, and touches no network (but to read --mr).`,
		Example: `  # In a job of a merge request pipeline
  mrgate notify --config mrgate.yaml

  # The same through a listener, and wait for people
  mrgate notify --server https://mrgate.example.com --wait 30m

  # By hand
  mrgate notify --project payments/api --mr 7 --approver alice@example.com

  # Once more, after it expired
  mrgate notify --again --project payments/api --mr 7 --config mrgate.yaml

  # What would be sent for this webhook body?
  mrgate notify --dry-run --event merge_request.json --config mrgate.yaml`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "event", "project", "mr", "approver", "again", "dry_run",
		"server", "id_token", "api_token", "wait", "if_no_rule", "json",
		"gitlab_url", "gitlab_token", "gitlab_ca_file", "feishu_url", "feishu_app_id", "feishu_app_secret")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		switch {
		case cfg.Server != "":
			return env.notifyServer(cmd.Context(), cfg)
		case cfg.Wait != 0:
			return usage("notify: --wait needs a listener that knows the decision; add --server")
		case cfg.JSON && !cfg.DryRun:
			return usage("notify: --json goes with --server or --dry-run")
		}
		p, err := policyOf(cfg)
		if err != nil {
			return err
		}
		return env.notify(cmd.Context(), cfg, p)
	}
	return cmd
}

// policyOf is the configured policy, or one that --approver makes up.
func policyOf(cfg *config.Config) (*policy.Policy, error) {
	switch {
	case len(cfg.Approvers) > 0:
		p := *cfg.Policy
		rule := policy.NewRule(1)
		rule.Name, rule.Approvers = "notify", cfg.Approvers
		rule.Projects, rule.TargetBranches = []string{"**"}, []string{"**"}
		p.Rules = []policy.Rule{rule}
		if problems := p.Validate(); len(problems) > 0 {
			return nil, usage("notify: --approver: %s", problems[0].Text)
		}
		return &p, nil
	case len(cfg.Policy.Rules) == 0:
		return nil, usage("notify: nobody is named who may approve; add --approver, or name a file with rules by --config")
	}
	return cfg.Policy, nil
}

func (env *Environment) notify(ctx context.Context, cfg *config.Config, p *policy.Policy) error {
	asking, err := env.asking(ctx, cfg)
	if err != nil {
		return err
	}
	asking.Again = cfg.Again
	if cfg.DryRun {
		mr, letters, ok := gate.Preview(p, asking, asNamed, time.Now())
		if !ok {
			return env.nothingToAsk(mr)
		}
		out, err := describe(mr, letters)
		if err != nil {
			return err
		}
		return env.printJSON(out)
	}
	if cfg.FeishuAppID == "" || cfg.FeishuAppSecret.Reveal() == "" {
		return usage("notify: feishu-app-id or feishu-app-secret is missing; set MRGATE_FEISHU_APP_ID and MRGATE_FEISHU_APP_SECRET. In a merge request pipeline, protected variables are missing: those of a job are open to everybody who can push")
	}
	chat, err := newChat(cfg, slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	people, err := chat.Resolve(ctx, gate.Concerned(p, asking))
	if err != nil {
		return fmt.Errorf("notify: look up people in Feishu: %w", err)
	}
	find := func(id policy.Identity) gate.Person { return people[id] }
	mr, letters, ok := gate.Preview(p, asking, find, time.Now())
	if !ok {
		return env.nothingToAsk(mr)
	}
	return env.send(ctx, chat, mr, letters)
}

// nothingToAsk says why nobody is asked: that is no failure.
func (env *Environment) nothingToAsk(mr *gate.MergeRequest) error {
	_, err := fmt.Fprintf(env.Stderr, "mrgate: nothing to ask for %s: %s\n", mr.Snapshot.URL, mr.Why)
	return err
}

// send sends the letters, all of them whatever becomes of one, and says on
// stdout what went out and on stderr what did not.
func (env *Environment) send(ctx context.Context, chat gate.Chat, mr *gate.MergeRequest, letters []gate.Letter) error {
	names := map[string]string{}
	asked := 0
	for _, m := range mr.Current().Panel.Approvers {
		names[m.ID] = m.Identity.Value
		if m.ID == "" {
			_, _ = fmt.Fprintf(env.Stderr, "mrgate: warning: %s is not in Feishu's directory, and is not asked; check the address and the app's contact range\n", m.Identity.Value)
		}
	}
	failures := make([]error, len(letters))
	var group errgroup.Group
	group.SetLimit(4)
	for i, letter := range letters {
		if letter.Kind == gate.KindCard {
			asked++
		}
		group.Go(func() error {
			failures[i] = gate.Deliver(ctx, chat, letter)
			return nil
		})
	}
	_ = group.Wait() // failures holds what went wrong
	if asked == 0 {
		return fmt.Errorf("notify: %s: nobody can be asked: none of the approvers is in Feishu's directory", mr.Snapshot.URL)
	}
	var failed error
	for i, letter := range letters {
		name := names[letter.To.ID]
		if name == "" {
			name = letter.To.ID
		}
		what := map[gate.MessageKind]string{gate.KindCard: "card to ", gate.KindNotice: "notice to the author, "}[letter.Kind] + name
		if failures[i] != nil {
			failed = errors.Join(failed, fmt.Errorf("notify: not sent: %s: %w", what, failures[i]))
			continue
		}
		if _, err := fmt.Fprintf(env.Stdout, "sent: %s\n", what); err != nil {
			return err
		}
	}
	return failed
}

// asking is the merge request to ask for, from the first source that is given.
func (env *Environment) asking(ctx context.Context, cfg *config.Config) (gate.Asking, error) {
	switch {
	case cfg.Event != "":
		body, err := env.readEvent(cfg.Event)
		if err != nil {
			return gate.Asking{}, err
		}
		event, err := gitlab.ParseEvent(body)
		if err == nil {
			err = event.Check()
		}
		if err != nil {
			return gate.Asking{}, fmt.Errorf("notify: --event %s: %w; it takes the body of a merge request webhook as GitLab sends it", cfg.Event, err)
		}
		return gate.Asking{Ref: event.Ref, Snapshot: event.Snapshot}, nil
	case cfg.Project != "" || cfg.MR != 0:
		return askingOf(ctx, cfg)
	}
	event, ok, err := gitlab.FromCI(env.Environ)
	switch {
	case err != nil:
		return gate.Asking{}, usage("notify: %w", err)
	case !ok:
		return gate.Asking{}, usage("notify: no merge request is named; add --event FILE, or --project and --mr, or run it in a merge request pipeline")
	}
	starter := event.Actor.Name
	if starter == "" {
		starter = event.Actor.Username
	}
	return gate.Asking{Ref: event.Ref, Snapshot: event.Snapshot, Starter: starter}, nil
}

// askingOf reads the merge request from GitLab. GitLab has a merge request before
// it has its diff: for the size it is asked a few times.
func askingOf(ctx context.Context, cfg *config.Config) (gate.Asking, error) {
	switch {
	case cfg.Project == "" || cfg.MR == 0:
		return gate.Asking{}, usage("notify: --project and --mr go together; give both, as in --project payments/api --mr 7")
	case cfg.GitLabToken.Reveal() == "":
		return gate.Asking{}, usage("notify: gitlab-token is missing, to read the merge request; set MRGATE_GITLAB_TOKEN or MRGATE_GITLAB_TOKEN_FILE")
	}
	forge, err := newForge(cfg)
	if err != nil {
		return gate.Asking{}, err
	}
	for try := 1; ; try++ {
		ref, s, err := forge.Find(ctx, cfg.Project, cfg.MR)
		if err != nil {
			return gate.Asking{}, fmt.Errorf("notify: %w", withRemedy(err, cfg))
		}
		a := gate.Asking{Ref: ref, Snapshot: s}
		contents, err := forge.Contents(ctx, ref, s.Path, s.Head)
		if err == nil {
			a.Contents = &contents // without it the card has no size, and that is all
		}
		if err == nil && contents.Size != nil || s.Merging.Class != gate.MergeSoon || try == 5 {
			return a, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return a, nil
		}
	}
}

// asNamed is a directory that takes everybody at their word: without a network,
// the address in the policy is all that is known of a person.
func asNamed(id policy.Identity) gate.Person { return gate.Person{ID: id.Value} }

func (env *Environment) readEvent(name string) ([]byte, error) {
	from := env.Stdin
	if name != "-" {
		file, err := os.Open(env.path(name)) // the operator names it
		if err != nil {
			if path, ok := errors.AsType[*os.PathError](err); ok {
				err = path.Err
			}
			return nil, fmt.Errorf("notify: cannot read --event %s: %w; check the name and who may read it", name, err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxEvent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("notify: cannot read --event %s: %w", name, err)
	case len(body) > maxEvent:
		return nil, fmt.Errorf("notify: --event %s is larger than the %d MB that GitLab sends at most", name, maxEvent>>20)
	}
	return body, nil
}

// preview is the shape of what notify --dry-run prints; scripts read it.
type preview struct {
	Request  previewRequest   `json:"request"`
	Messages []previewMessage `json:"messages"`
}

type previewRequest struct {
	Project   string        `json:"project"`
	ProjectID int64         `json:"project_id"`
	IID       int64         `json:"iid"`
	Title     string        `json:"title"`
	Author    string        `json:"author"`
	URL       string        `json:"url"`
	Head      gate.CommitID `json:"head"`
	Source    string        `json:"source"`
	Target    string        `json:"target"`
	Rule      string        `json:"rule"`
	Required  int           `json:"required"`
}

type previewMessage struct {
	To   previewRecipient `json:"to"`
	Card json.RawMessage  `json:"card"`
}

type previewRecipient struct {
	Type string `json:"type"` // email, mobile, open_id or chat_id
	ID   string `json:"id"`
}

func describe(mr *gate.MergeRequest, letters []gate.Letter) (*preview, error) {
	r, s := mr.Current(), mr.Snapshot
	out := &preview{Request: previewRequest{
		Project: s.Path, ProjectID: mr.Ref.Project, IID: mr.Ref.Number, Title: s.Title, Author: s.Author.Username,
		URL: s.URL, Head: r.Head, Source: s.Source, Target: r.Target, Rule: r.Rule.Name, Required: r.Rule.Required,
	}}
	for _, letter := range letters {
		card, err := feishu.Render(letter.Card)
		if err != nil {
			return nil, fmt.Errorf("draw the card: %w", err)
		}
		out.Messages = append(out.Messages, previewMessage{To: recipient(letter.To), Card: card})
	}
	return out, nil
}

func recipient(to gate.Recipient) previewRecipient {
	id, err := policy.ParseIdentity(to.ID)
	switch {
	case to.Group:
		return previewRecipient{"chat_id", to.ID}
	case err != nil, id.Kind == policy.KindID, id.Kind == policy.KindGroup:
		return previewRecipient{"open_id", to.ID}
	default:
		return previewRecipient{string(id.Kind), to.ID}
	}
}
