package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mrgate/internal/gate"
	"mrgate/internal/sandbox"
	"mrgate/internal/sqlite"
	"mrgate/internal/story"
)

func newSandboxCmd(env *Environment) *cobra.Command {
	var (
		script                 bool
		listen, record, locale string
	)
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Play the whole loop on this machine, GitLab and Feishu simulated",
		Long: `Play the whole loop on this machine: the real listener, as a process of its own,
between a GitLab and a Feishu that are simulated, on a temporary database.

It prints the address of a web page, where you do what the people would do: open
merge requests and push to them, press the buttons on the cards of Alice and Carol,
take GitLab down, kill the listener and start it again; and see each request with its
answer. Ctrl-C ends it.

With --script it tells a story in the terminal and ends: merge requests are opened,
approved, rejected, pushed to and in conflict, somebody clicks who may not, and the
listener is killed between a click and its merge. Each outcome is held against what
mrgate promises. The exit code is 0 if all of it was kept, and else 1, with a
sentence that says what was not.

Nothing of it leaves this machine, and nothing of it stays. It takes no setting from
the environment or from a config file.`,
		Example: `  mrgate sandbox
  mrgate sandbox --script
  mrgate sandbox --script --locale zh --record bodies`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&listen, "listen", "", "the `address` of the page, on this machine only; default: "+sandbox.DefaultAddress+", or any free port if that is taken")
	cmd.Flags().BoolVar(&script, "script", false, "tell the story in the terminal, check it, and end")
	cmd.Flags().StringVar(&record, "record", "", "write the bodies of all requests and answers into this `directory`, without secrets")
	cmd.Flags().StringVar(&locale, "locale", "en", "the `language` of the cards: en or zh")
	_ = cmd.MarkFlagDirname("record") // both flags are there
	_ = cmd.RegisterFlagCompletionFunc("locale", cobra.FixedCompletions([]string{"en", "zh"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// Also when its terminal is closed there is something to be put away.
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
		defer stop()
		if locale != "en" && locale != "zh" {
			return usage("sandbox: --locale %q is no language of the cards; write en or zh", locale)
		}
		if script && listen != "" {
			return usage("sandbox: --script has no page, and --listen no effect; leave one of them out")
		}
		binary, err := os.Executable()
		if err != nil {
			return err
		}
		if record != "" {
			record = env.path(record)
		}
		opts := sandbox.Options{
			Binary: binary, Locale: locale, Record: record, Zone: env.variable("TZ"), OpenLog: openSandboxLog,
			Colour: env.colored(), Width: widthOf(env.Stdout), Cut: fit,
		}
		if env.sandbox != nil {
			env.sandbox(&opts)
		}
		if script {
			return sandbox.Script(ctx, opts, env.Stdout)
		}
		err = sandbox.Serve(ctx, opts, listen, env.Stdout)
		if errors.Is(err, sandbox.ErrAddress) {
			return usage("sandbox: --listen: %w", err)
		}
		return err
	}
	return cmd
}

// variable is a variable of the environment; "": it is not set.
func (env *Environment) variable(name string) string {
	for _, e := range env.Environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// sandboxLog reads the log of a sandbox's listener, told as mrgate log tells it.
type sandboxLog struct {
	store  *sqlite.Store
	teller *story.Teller
}

func openSandboxLog(ctx context.Context, database string) (sandbox.Log, error) {
	store, err := sqlite.Open(ctx, database, sqlite.Options{MustExist: true, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return &sandboxLog{store, story.NewTeller(store)}, nil
}

func (l *sandboxLog) Close() error { return l.store.Close() }

func (l *sandboxLog) After(ctx context.Context, number int64) ([]sandbox.Entry, error) {
	var entries []sandbox.Entry
	for e, err := range l.store.Log(ctx, gate.LogFilter{After: number}) {
		if err != nil {
			return entries, err
		}
		what := l.teller.Tell(ctx, e)
		entries = append(entries, sandbox.Entry{
			Number: e.Number, At: e.At, Kind: string(e.Kind), About: l.teller.About(ctx, e).String(), What: what,
		})
	}
	return entries, nil
}
