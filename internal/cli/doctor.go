package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/policy"
	"mrgate/internal/words"
)

func newDoctorCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check settings, tokens, scopes, people and reachability, and say what to do",
		Long: `Check a listener's set-up before it is needed, a line for each check: ok, warning or
failure, what is so, and behind an arrow what to do about it.

It checks the settings; that GitLab answers, whose token it is, its scopes and its
last day; in each project that the rules can match (the first twenty, or the one of
--project), whether mrgate may merge into the rules' branches, whether anybody else
may, which is a way around the gate, and the webhooks; that Feishu takes the app's
credentials, that the app has a bot and its scopes, and may have a long connection;
the clocks of both; who each approver is, whether a rule can be fulfilled, and
whether mrgate can tell who wrote what; and the database, its disk and its log.

It only reads. What cannot be told from here is said as "unchecked": above all,
whether the app's callback is subscribed in Feishu's console. --send-test shows it:
it sends that person a card with one button. With --long-connection doctor waits for
the click itself; Feishu gives a click to any of an app's connections,
so a listener that has one may take it instead (the card then says that it arrived).
Without, the running listener has to take the click, and the card says whether it did.

The exit code is 1 if anything fails, and 2 if the settings cannot be read. Give it
the settings that the listener has.`,
		Example: `  mrgate doctor --long-connection
  mrgate doctor --project payments/api --json | jq '.checks[] | select(.status != "ok")'
  mrgate doctor --long-connection --send-test alice@example.com`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "db", "json", "project", "send_test", "timeout",
		"listen", "admin_listen", "public_url", "sweep", "long_connection",
		"gitlab_url", "gitlab_token", "gitlab_ca_file", "gitlab_webhook_secret", "gitlab_signing_token",
		"feishu_url", "feishu_app_id", "feishu_app_secret", "feishu_verification_token", "feishu_encrypt_key", "operator_token")
	reword(cmd, "project", "only this of the projects that the rules can match, by its path or ID")
	reword(cmd, "timeout", "how long to wait for the click")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		d := &doctor{env: env, cfg: cfg, report: diagnosis{Checks: []finding{}}}
		if cfg.SendTest != "" {
			if d.tester, err = policy.ParseIdentity(cfg.SendTest); err != nil {
				return usage("doctor: --send-test %w", err)
			}
			if d.tester.Kind == policy.KindGroup {
				return usage("doctor: --send-test names a group; write a person's e-mail address, mobile number or ID (ou_…)")
			}
		}
		return d.examine(cmd.Context())
	}
	return cmd
}

// diagnosis is what mrgate doctor --json prints. Fields may be added; those that are
// there keep their names and meanings.
type diagnosis struct {
	OK       bool      `json:"ok"` // nothing failed
	Failures int       `json:"failures"`
	Warnings int       `json:"warnings"`
	Checks   []finding `json:"checks"`
}

// finding is what a check found.
type finding struct {
	Check  string    `json:"check"`           // what was checked, the same at every run: gitlab.token, rule, …
	About  string    `json:"about,omitempty"` // which of several: a project, a rule, an identity
	Status condition `json:"status"`
	What   string    `json:"what"`
	Remedy string    `json:"remedy,omitempty"`
}

// condition is how something is.
type condition string

const (
	conditionOK        condition = "ok"
	conditionWarning   condition = "warning"
	conditionFailure   condition = "failure"
	conditionUnchecked condition = "unchecked" // it cannot be told from here
)

func (c condition) color() color {
	switch c {
	case conditionOK:
		return greenColor
	case conditionWarning:
		return yellowColor
	case conditionFailure:
		return redColor
	case conditionUnchecked:
	}
	return greyColor
}

// longestFinding is how much of what was found, and of its remedy, is printed.
const longestFinding = 1000

// The longest that clocks may differ: for longer, signed calls of either are refused
// as stale (±5 minutes), and before that something is wrong already.
const (
	clockWarning = 30 * time.Second
	clockFailure = 5 * time.Minute
)

// doctor collects findings.
type doctor struct {
	env    *Environment
	cfg    *config.Config
	tester policy.Identity // of --send-test; its zero value: nobody
	report diagnosis
	err    error // of printing
}

// examine checks everything. An error: something fails.
func (d *doctor) examine(ctx context.Context) error {
	d.settings()
	projects := d.gitlab(ctx)
	if chat := d.feishu(ctx); chat != nil {
		d.people(ctx, chat, projects)
		d.clicks(ctx, chat)
	}
	d.database(ctx)

	d.report.OK = d.report.Failures == 0
	if d.cfg.JSON {
		d.err = writeJSON(d.env.Stdout, d.report, true)
	}
	if d.err != nil || d.report.OK {
		return d.err
	}
	return fmt.Errorf("doctor: %s, %s; see above", plural(d.report.Failures, "failure"), plural(d.report.Warnings, "warning"))
}

func (d *doctor) ok(check, about, what string, args ...any) {
	d.find(finding{check, about, conditionOK, fmt.Sprintf(what, args...), ""})
}

func (d *doctor) warn(check, about, remedy, what string, args ...any) {
	d.find(finding{check, about, conditionWarning, fmt.Sprintf(what, args...), remedy})
}

func (d *doctor) fail(check, about, remedy, what string, args ...any) {
	d.find(finding{check, about, conditionFailure, fmt.Sprintf(what, args...), remedy})
}

func (d *doctor) unchecked(check, about, remedy, what string, args ...any) {
	d.find(finding{check, about, conditionUnchecked, fmt.Sprintf(what, args...), remedy})
}

// find takes a finding, and prints it at once: some checks take a while.
func (d *doctor) find(f finding) {
	f.What = strings.TrimRight(f.What, ".")
	switch f.Status {
	case conditionFailure:
		d.report.Failures++
	case conditionWarning:
		d.report.Warnings++
	case conditionOK, conditionUnchecked:
	}
	d.report.Checks = append(d.report.Checks, f)
	if d.cfg.JSON || d.err != nil {
		return
	}
	line := d.env.painter()(f.Status.color(), fmt.Sprintf("%-9s", f.Status)) + "  " + f.Check
	if f.About != "" {
		line += " " + clean(f.About)
	}
	line += ": " + words.Line(f.What, longestFinding)
	if f.Remedy != "" {
		line += " → " + words.Line(f.Remedy, longestFinding)
	}
	_, d.err = fmt.Fprintln(d.env.Stdout, line)
}

// settings says what is wrong with them that can be told without anybody else.
func (d *doctor) settings() {
	cfg := d.cfg
	file := "no config file"
	if cfg.File != "" {
		file = cfg.File
	}
	wrong := obstacles(cfg)
	for _, err := range wrong {
		what, remedy, _ := strings.Cut(strings.TrimPrefix(err.Error(), "serve-callback: "), "; ")
		d.fail("config", "", remedy, "%s", what)
	}
	for _, w := range cfg.Warnings() {
		what, remedy, _ := strings.Cut(w.String(), "; ")
		d.warn("config", "", remedy, "%s", what)
	}
	if len(wrong) == 0 {
		d.ok("config", "", "%s: %s, policy %s", file, plural(len(cfg.Policy.Rules), "rule"), cfg.Policy.Hash()[:12])
	}
}

// clock says how far somebody's clock is from ours.
func (d *doctor) clock(check, whose string, ahead time.Duration) {
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	off := ahead.Abs().Round(time.Second)
	what := fmt.Sprintf("%s clock is %s %s this machine's", whose, policy.FormatDuration(off), side)
	const remedy = "set this machine's clock, or have it set by NTP"
	switch {
	case off >= clockFailure:
		d.fail(check, "", remedy, "%s; signed calls are refused from 5 minutes on", what)
	case off >= clockWarning:
		d.warn(check, "", remedy, "%s", what)
	default:
		d.ok(check, "", "%s clock and this machine's agree, to a second or so", whose)
	}
}
