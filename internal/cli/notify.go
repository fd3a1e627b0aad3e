package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/feishu"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// maxEvent is the largest webhook body that GitLab sends
// (app/services/web_hook_service.rb: 25 MB).
const maxEvent = 25 << 20

func newNotifyCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Ask for approval of one merge request",
		Long: `Ask for approval of one merge request.

With --dry-run nothing is sent: it prints, as one JSON object, the request and
every message with its recipient, and touches no network.`,
		Example: `  # What would be sent for this webhook body?
  mrgate notify --dry-run --event merge_request.json --config mrgate.yaml`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "event", "dry_run")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		switch {
		case !cfg.DryRun:
			return usage("notify: so far it only shows what it would send; add --dry-run")
		case cfg.Event == "":
			return usage("notify: no merge request is named; add --event FILE with the body of a GitLab merge request webhook, or - for standard input")
		case len(cfg.Policy.Rules) == 0:
			return usage("notify: there is no policy that says who may approve; name a file with rules by --config")
		}
		return env.preview(cfg)
	}
	return cmd
}

// preview prints what would be sent for the webhook body.
func (env *Environment) preview(cfg *config.Config) error {
	body, err := env.readEvent(cfg.Event)
	if err != nil {
		return err
	}
	event, err := gitlab.ParseEvent(body)
	if err != nil {
		return fmt.Errorf("notify: --event %s: %w", cfg.Event, err)
	}
	mr, letters, ok := gate.Preview(cfg.Policy, words.For(string(cfg.Policy.Locale)), event.Ref, event.Snapshot, asNamed, time.Now())
	if !ok {
		_, err := fmt.Fprintf(env.Stderr, "mrgate: nothing to ask for %s: %s\n", event.Snapshot.URL, mr.Why)
		return err
	}
	out, err := describe(mr, letters)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(env.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

// asNamed is a directory that takes everybody at their word: without a network,
// the address in the policy is all that is known of a person.
func asNamed(id policy.Identity) gate.Person { return gate.Person{ID: id.Value} }

func (env *Environment) readEvent(name string) ([]byte, error) {
	from := env.Stdin
	if name != "-" {
		file, err := os.Open(env.path(name)) // the operator names it
		if err != nil {
			var path *os.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return nil, fmt.Errorf("notify: cannot read --event %s: %w", name, err)
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
