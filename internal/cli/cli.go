// Package cli holds mrgate's commands, a file each. It is the one place where
// the parts are wired together.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/sandbox"
)

// Exit codes. Scripts depend on them.
const (
	ExitDone     = 0 // done
	ExitFailed   = 1 // failed
	ExitUsage    = 2 // bad usage or config
	ExitRejected = 3 // rejected
	ExitTimeout  = 4 // not decided, or not carried out, in time
	ExitOvertook = 5 // overtaken: another commit or target, merged or closed elsewhere
)

// Environment is what a command sees of the world around it.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // as os.Environ gives it
	Dir            string   // the working directory; "": the process's

	sandbox func(*sandbox.Options) // what a test changes of one; nil: nothing
}

// OS is the environment of this process. From now on only who has the Environment
// writes to standard output: Feishu's SDK would print there, among results, that it
// is ready.
func OS() *Environment {
	env := &Environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}
	if nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = nowhere
	}
	return env
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage is an error in how mrgate was called or set up: exit 2.
func usage(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

// Run runs a command line (without the program's name) and returns the exit
// code. Results go to stdout, everything else to stderr, an error as one line.
func Run(ctx context.Context, args []string, env *Environment) int {
	root := newRootCmd(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitDone
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: %s\n", strings.TrimRight(line, "\n"))
	}
	var coded *exitError
	var wrong *config.Error
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &wrong):
		return ExitUsage
	}
	return ExitFailed
}

func newRootCmd(env *Environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "mrgate",
		Short: "Approve GitLab merge requests from a card in Feishu",
		Long: `mrgate carries a person's approval from a chat to a code host.

A merge request is opened in GitLab, its approvers get a card in Feishu (Lark),
one click there approves and merges it, or rejects and closes it, and its author
is told.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(newNotifyCmd(env), newServeCmd(env), newDecideCmd(env), newListCmd(env), newShowCmd(env), newLogCmd(env), newRulesCmd(env), newDoctorCmd(env),
		newSandboxCmd(env), newVersionCmd(env))
	for _, cmd := range root.Commands() {
		args := cmd.Args
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			switch err := args(cmd, given); {
			case err == nil:
				return nil
			case len(given) == 0:
				return usage("%s: REF is missing; write it as '%s', see '%s --help'", cmd.Name(), cmd.UseLine(), cmd.CommandPath())
			}
			return usage("%s: %q is one argument too many; write it as '%s', see '%s --help'", cmd.Name(), given[len(given)-1], cmd.UseLine(), cmd.CommandPath())
		}
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("there is no command %q; see 'mrgate --help'", args[0])
		}
		return nil
	}
	// cobra's own help shows the root's, and success, for a command that is not there.
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err == nil && found == root {
					return root.Args(root, rest)
				}
				return nil
			}
		}
	}
	return root
}

// load reads the command's settings.
func (env *Environment) load(cmd *cobra.Command) (*config.Config, error) {
	return config.Load(config.LoadOptions{Flags: cmd.Flags(), Environ: env.Environ, Dir: env.Dir, Stderr: env.Stderr})
}

// logger writes to stderr, a line an event.
func (env *Environment) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(env.Stderr, nil))
}
