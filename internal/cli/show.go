package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/sqlite"
	"mrgate/internal/story"
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
	s, err := story.Read(ctx, store, found[0])
	if err != nil {
		return err
	}
	if cfg.JSON {
		return writeJSON(env.Stdout, s, true)
	}
	return printStory(s, env.Stdout, env.zone(), env.painter())
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
		found, err = story.FindURL(ctx, archive, r.url)
		if errors.Is(err, story.ErrAddress) {
			err = usage("%s", err)
		}
	default:
		found, err = archive.Find(ctx, gate.Sought{Path: r.project, Number: r.mr})
	}
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no request for %s in this database; see mrgate list --limit 0, and mrgate list --format csv for what was merged without one", r.text)
	}
	return found, err
}

// printStory says it all for people, in their zone.
func printStory(s *story.Story, out io.Writer, zone *time.Location, paint func(c color, text string) string) error {
	var b strings.Builder
	at := func(t story.Stamp) string { return local(time.Time(t), zone) }
	section := func(title string) { fmt.Fprintf(&b, "\n%s\n", title) }
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", name, value)
		}
	}
	moment := func(name string, t story.Stamp) {
		if !t.IsZero() {
			field(name, at(t))
		}
	}
	state := paint(colorOf(s.State), string(s.State)+story.DryRun(s.DryRun))
	if s.Cause != "" {
		state += ": " + story.CauseText(s.Cause)
	}
	fmt.Fprintf(&b, "Request %d, %s!%d: %s\n\n", s.Request, cmp.Or(clean(s.Project), fmt.Sprint(s.ProjectID)), s.IID, state)
	field("title", clean(s.Title))
	field("author", story.UserName(s.Author))
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
	field("role", needs(s.Role))
	field("earlier", numbers(s.Earlier))
	field("later", numbers(s.Later))
	field("times in", story.ZoneName(time.Time(s.OpenedAt), zone))
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
