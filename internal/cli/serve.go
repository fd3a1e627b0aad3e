package cli

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mrgate/internal/config"
	"mrgate/internal/feishu"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/metrics"
	"mrgate/internal/page"
	"mrgate/internal/server"
	"mrgate/internal/sqlite"
	"mrgate/internal/words"
)

func newServeCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve-callback",
		Aliases: []string{"serve"},
		Short:   "Listen for webhooks and clicks, record decisions and act on them",
		Long: `Listen for GitLab's webhooks and Feishu's clicks, record what people decide in
an SQLite database, and act on GitLab.

It answers a click after the decision is on disk, and carries it out through
crashes and failures of either side: started again, it goes on where it was.

  POST /feishu/callback    Feishu's card callbacks, and its url_verification
  POST /gitlab/webhook     GitLab's merge request events (project, group or system hook)
  POST /api/v1/requests    opens a request, for those with an API token or a job's ID token
  GET  /api/v1/requests/…  waits for its decision
  GET  /healthz            ok

On the admin address; beyond this machine, with an operator token, which a browser
gives as the password of any user:

  GET  /                             a page that shows what is pending and what happened
  GET  /readyz                       ok, or 503 and what is not: database, long connection
  GET  /metrics                      for Prometheus; docs/metrics.md tells what each means
  POST /api/v1/requests/…/decisions  decides (always with an operator token)

A route whose secret is not configured does not exist.

With --long-connection it takes clicks over a connection that it opens to Feishu
itself. It then needs no verification token, and listens for the world only where
--listen says so: with the sweep, nobody has to reach this machine.

Every --sweep it asks GitLab what has changed in the projects that the rules can
match, and finds what no webhook told, also after days of being down. The first
time it takes only what changes from then on; with --backfill, all that is open.

SIGHUP has it read the policy of its config file again, also for requests that are
open: approvals of people who may no longer decide stop counting. A bad one is
refused, and the one before stays. Other settings need a new start.

With --dry-run it is a rehearsal: people get cards that say so, their decisions are
recorded and shown, and nothing is changed in GitLab. Started again without the flag,
it carries out none of these decisions, and asks anew. Requests from before the dry run
are paused: their cards take no decision until it is over.`,
		Example: `  # nobody has to reach this machine: it calls GitLab and Feishu, and they never call it
  export MRGATE_GITLAB_TOKEN_FILE=/run/secrets/gitlab-token
  export MRGATE_FEISHU_APP_ID=cli_a1b2c3 MRGATE_FEISHU_APP_SECRET_FILE=/run/secrets/feishu-secret
  mrgate serve-callback --long-connection --sweep 1m --config mrgate.yaml --db /var/lib/mrgate/mrgate.db

  # GitLab and Feishu call it, through a proxy that does the TLS
  export MRGATE_GITLAB_SIGNING_TOKEN_FILE=/run/secrets/gitlab-signing-token
  export MRGATE_FEISHU_VERIFICATION_TOKEN_FILE=/run/secrets/feishu-token MRGATE_FEISHU_ENCRYPT_KEY_FILE=/run/secrets/feishu-key
  mrgate serve-callback --listen 127.0.0.1:8080 --config mrgate.yaml --db /var/lib/mrgate/mrgate.db`,
		Args: cobra.NoArgs,
	}
	config.Define(cmd.Flags(), "config", "listen", "admin_listen", "db", "sweep", "backfill", "long_connection", "dry_run",
		"gitlab_url", "gitlab_token", "gitlab_ca_file", "gitlab_webhook_secret", "gitlab_signing_token",
		"feishu_url", "feishu_app_id", "feishu_app_secret", "feishu_verification_token", "feishu_encrypt_key", "feishu_old_callbacks",
		"public_url", "api_token", "operator_token")
	reword(cmd, "dry-run", "a rehearsal: record and show everything, change nothing in GitLab, now or later")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		if err := mayServe(cfg); err != nil {
			return err
		}
		if cfg.LongConnection && !cfg.Given("listen") {
			cfg.Listen = ""
		}
		return env.serve(cmd.Context(), cfg, env.logger())
	}
	return cmd
}

// mayServe refuses what could never work, or would be less safe than it looks.
func mayServe(cfg *config.Config) error {
	return errors.Join(obstacles(cfg)...)
}

// obstacles are all the settings for which a listener does not start.
func obstacles(cfg *config.Config) (wrong []error) {
	obstacle := func(so bool, format string, args ...any) {
		if so {
			wrong = append(wrong, usage("serve-callback: "+format, args...))
		}
	}
	const missing = "%s is missing; set --%[1]s or %[2]s, or name a file that holds it by %[2]s_FILE"
	obstacle(cfg.GitLabToken.Reveal() == "", missing, "gitlab-token", "MRGATE_GITLAB_TOKEN")
	obstacle(cfg.FeishuAppID == "", "feishu-app-id is missing; set --feishu-app-id or MRGATE_FEISHU_APP_ID")
	obstacle(cfg.FeishuAppSecret.Reveal() == "", missing, "feishu-app-secret", "MRGATE_FEISHU_APP_SECRET")
	obstacle(len(cfg.Policy.Rules) == 0, "there is no policy that says who may approve; name a file with rules by --config")
	obstacle(len(cfg.FeishuVerificationToken) == 0 && !cfg.LongConnection,
		"no click could reach this listener; start it with --long-connection, or set feishu-verification-token, from the app's page Events & Callbacks")
	obstacle(!server.IsLoopback(cfg.AdminListen) && cfg.AdminListen != "" && len(cfg.OperatorToken) == 0,
		"admin-listen %s can be reached from other machines; set MRGATE_OPERATOR_TOKEN_FILE, which those who may read and decide there have to show, or listen on 127.0.0.1", cfg.AdminListen)
	return wrong
}

// serve runs the listener until ctx ends.
func (env *Environment) serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	reloads := make(chan os.Signal, 1) // several at once are one
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	db := env.path(cfg.DB)
	store, err := sqlite.Open(ctx, db, sqlite.Options{Directory: cfg.FeishuAppID})
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			log.Error("close the database", "err", err)
		}
	}()
	forge, err := newForge(cfg)
	if err != nil {
		return err
	}
	measured := metrics.New(version(), store, log)
	g, err := newGate(cfg, store, forge, measured, log)
	if err != nil {
		return err
	}
	click := measured.Clicks(g.Click)
	routes, err := routes(cfg, g, click, log)
	if err != nil {
		return err
	}
	checks := []server.Check{{Name: "database", Well: func(ctx context.Context) error {
		_, _, err := store.NextDue(ctx, cfg.DryRun)
		return err
	}}}
	var connection *feishu.Connection
	if cfg.LongConnection {
		connection, err = feishu.NewConnection(chatConfig(cfg, log), click, words.For(string(cfg.Policy.Locale)).ToastNotRecorded())
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		checks = append(checks, server.Check{Name: "long connection", Well: connection.Ready})
		measured.LongConnection(connection.Ready)
	}
	if cfg.Sweep > 0 {
		measured.Sweep(g.LastSweep)
	}
	api := newAPI(ctx, cfg, g, forge, log)
	maps.Copy(routes, api.Public())
	guard := server.Guard{Loopback: server.IsLoopback(cfg.AdminListen), Operators: tokens(cfg.OperatorToken)}
	admin := map[string]http.Handler{
		"GET /readyz":  guard.Wrap(server.Ready(checks...)),
		"GET /metrics": guard.Wrap(measured),
	}
	pages, err := page.Listener(page.ListenerConfig{
		Archive: store, Version: version(), DryRun: cfg.DryRun, Zone: env.zone(), Log: log,
	})
	if err != nil {
		return err
	}
	for pattern, handler := range pages {
		admin[pattern] = guard.Wrap(handler)
	}
	maps.Copy(admin, api.Admin())
	srv, err := server.Listen(ctx, server.Config{
		Listen: cfg.Listen, Admin: cfg.AdminListen, Routes: routes, AdminRoutes: admin, Log: log,
	})
	if err != nil {
		return err
	}
	if cfg.DryRun {
		log.Warn("a dry run: decisions are recorded and shown, and nothing is changed in GitLab, now or later")
	}
	log.Info("mrgate "+version(), "db", db, "gitlab", cfg.GitLabURL, "feishu", cfg.FeishuURL, "policy", cfg.Policy.Hash()[:12], "rules", len(cfg.Policy.Rules))
	warn(log, cfg.Warnings())

	// What clicks and calls come through ends first, so that what was acknowledged
	// can still be worked on.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		defer stop()
		doors, ctx := errgroup.WithContext(ctx)
		doors.Go(func() error { return srv.Serve(ctx) })
		if connection != nil {
			doors.Go(func() error { return connection.Run(ctx) })
		}
		return doors.Wait()
	})
	group.Go(func() error {
		defer cancel()
		return g.Run(work)
	})
	if cfg.Sweep > 0 {
		group.Go(func() error {
			g.Sweep(ctx, cfg.Sweep, cfg.Backfill)
			return nil
		})
	}
	group.Go(func() error {
		for {
			select {
			case <-reloads:
				reload(ctx, cfg, g, log)
			case <-ctx.Done():
				return nil
			}
		}
	})
	err = group.Wait()
	log.Info("ended")
	return err
}

// reload puts the policy in force that the config file now holds. A bad one is
// refused, and the one before stays.
func reload(ctx context.Context, cfg *config.Config, g *gate.Gate, log *slog.Logger) {
	file, others, err := cfg.Reload()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			log.Error("the policy was not read again; the one before stays in force", "err", strings.TrimSpace(line))
		}
		return
	}
	if err := g.SetPolicy(ctx, file.Policy); err != nil {
		return // mrgate ends
	}
	log.Info("the policy was read again", "file", cfg.File, "policy", file.Policy.Hash()[:12], "rules", len(file.Policy.Rules))
	warn(log, file.Warnings)
	if len(others) > 0 {
		log.Warn("of the config file only the policy was read again; for what else has changed in it, start mrgate again",
			"settings", strings.Join(others, ", "))
	}
}

// warn says what is probably not meant in the policy.
func warn(log *slog.Logger, warnings []config.Problem) {
	for _, w := range warnings {
		log.Warn("the policy is probably not as it is meant", "where", w.String())
	}
}

// newGate wires the parts together.
func newGate(cfg *config.Config, store gate.Store, forge gate.Forge, observer gate.Observer, log *slog.Logger) (*gate.Gate, error) {
	chat, err := newChat(cfg, log)
	if err != nil {
		return nil, err
	}
	return gate.New(gate.Parts{
		Forge: forge, Chat: chat, Store: store, Policy: cfg.Policy, Log: log, Earlier: config.ParsePolicy,
		DryRun: cfg.DryRun, Observer: observer, Sweeps: cfg.Sweep > 0, Rush: server.Rush,
	}), nil
}

func newForge(cfg *config.Config) (*gitlab.Forge, error) {
	forge, err := gitlab.New(gitlab.Config{
		BaseURL: cfg.GitLabURL, Token: cfg.GitLabToken.Reveal(), CAFile: cfg.GitLabCAFile, UserAgent: "mrgate/" + version(),
	})
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	return forge, nil
}

func newChat(cfg *config.Config, log *slog.Logger) (*feishu.Chat, error) {
	chat, err := feishu.New(chatConfig(cfg, log))
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	return chat, nil
}

func chatConfig(cfg *config.Config, log *slog.Logger) feishu.Config {
	return feishu.Config{
		BaseURL: cfg.FeishuURL, AppID: cfg.FeishuAppID, AppSecret: cfg.FeishuAppSecret.Reveal(),
		UserAgent: "mrgate/" + version(), Log: log,
	}
}

// routes mounts what has its secret; nothing, where nothing listens. Clicks go to
// click.
func routes(cfg *config.Config, g *gate.Gate, click gate.ClickFunc, log *slog.Logger) (map[string]http.Handler, error) {
	routes := map[string]http.Handler{}
	if cfg.Listen == "" {
		warnOfIdle(cfg, log)
		return routes, nil
	}
	if len(cfg.GitLabWebhookSecret)+len(cfg.GitLabSigningToken) > 0 {
		webhook, err := gitlab.Webhook(gitlab.WebhookConfig{
			Secrets: cfg.GitLabWebhookSecret.Reveal(), SigningTokens: cfg.GitLabSigningToken.Reveal(), Look: g.Look, Log: log,
		})
		if err != nil {
			return nil, &exitError{ExitUsage, err}
		}
		routes["POST /gitlab/webhook"] = webhook
	} else if cfg.Sweep > 0 {
		log.Info("neither gitlab-signing-token nor gitlab-webhook-secret is set: merge requests are found by sweeps alone", "every", cfg.Sweep)
	} else {
		log.Warn("neither gitlab-signing-token nor gitlab-webhook-secret is set, and sweep is 0: this listener never hears of a merge request by itself")
	}
	if len(cfg.FeishuVerificationToken) == 0 {
		return routes, nil
	}
	routes["POST /feishu/callback"] = feishu.Callback(feishu.CallbackConfig{
		AppID: cfg.FeishuAppID, VerificationTokens: cfg.FeishuVerificationToken.Reveal(),
		EncryptKeys: cfg.FeishuEncryptKey.Reveal(), OldCallbacks: cfg.FeishuOldCallbacks, Click: click,
		Trouble: words.For(string(cfg.Policy.Locale)).ToastNotRecorded(), Log: log,
	})
	if len(cfg.FeishuEncryptKey) == 0 {
		log.Warn("clicks are authenticated by the verification token alone, which is in the body of each; set feishu-encrypt-key here and in Feishu's console")
	}
	return routes, nil
}

// warnOfIdle names the settings that have no effect because nothing listens. They
// are no error: a listener may be on its way from one kind of set-up to the other.
func warnOfIdle(cfg *config.Config, log *slog.Logger) {
	for _, name := range []string{
		"gitlab_webhook_secret", "gitlab_signing_token", "feishu_verification_token", "feishu_encrypt_key", "feishu_old_callbacks",
		"api_token", "public_url",
	} {
		if cfg.Given(name) {
			log.Warn("a setting has no effect: with --long-connection nothing listens; unset it, or set listen as well",
				"setting", strings.ReplaceAll(name, "_", "-"), "from", cfg.Origin(name))
		}
	}
	if cfg.Sweep == 0 {
		log.Warn("nothing tells this listener about merge requests: with --long-connection nothing listens, and sweep is 0; set sweep, or listen")
	}
}

// path is an absolute path for a name given on the command line.
func (env *Environment) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	dir := env.Dir
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return name
		}
	}
	return filepath.Join(dir, name)
}
