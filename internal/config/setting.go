package config

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Setting is one thing that can be set: by a flag, by a variable of the
// environment and by a key of the config file, all of one name.
type Setting struct {
	Name    string // as in the config file: foo_bar
	Usage   string
	Default string // as it would be written; empty: unset
	CI      string // the variable of a GitLab job that it comes from where nothing else says it
	Secret  bool
	Many    bool // the flag may repeat, and the key hold a list

	field func(*Config) value
}

// Flag returns the name of the flag, without dashes before it.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// Env returns the name of the variable.
func (s Setting) Env() string { return "MRGATE_" + strings.ToUpper(s.Name) }

// EnvFile returns the name of the variable that names a file which holds the
// secret; empty for what is no secret.
func (s Setting) EnvFile() string {
	if !s.Secret {
		return ""
	}
	return s.Env() + "_FILE"
}

// Kind returns the word for the value in a command's help: url, duration, …
func (s Setting) Kind() string { return s.field(&Config{}).kind() }

// Settings returns every setting of every command. A new flag is a new row
// here and a field of Config; Define gives it to a command.
func Settings() []Setting {
	text := func(word string, to func(*Config) *string) func(*Config) value {
		return func(c *Config) value { return textValue{to(c), word} }
	}
	flag := func(to func(*Config) *bool) func(*Config) value {
		return func(c *Config) value { return boolValue{to(c)} }
	}
	address := func(to func(*Config) *string) func(*Config) value {
		return func(c *Config) value { return addressValue{to(c)} }
	}
	secret := func(to func(*Config) *Secret) func(*Config) value {
		return func(c *Config) value { return secretValue{to(c)} }
	}
	secrets := func(to func(*Config) *Secrets) func(*Config) value {
		return func(c *Config) value { return secretsValue{to: to(c)} }
	}
	tokens := func(to func(*Config) *Secrets) func(*Config) value {
		return func(c *Config) value { return secretsValue{to(c), true} }
	}
	return []Setting{
		{Name: "config", Usage: "config file; default: mrgate.yaml here, if there is one, and then for the policy only", field: text("file", func(c *Config) *string { return &c.File })},

		{Name: "gitlab_url", Usage: "GitLab's address", Default: "https://gitlab.com", CI: "CI_SERVER_URL", field: address(func(c *Config) *string { return &c.GitLabURL })},
		{Name: "gitlab_token", Usage: "GitLab access token of mrgate's own account, scope api", Secret: true, field: secret(func(c *Config) *Secret { return &c.GitLabToken })},
		{Name: "gitlab_ca_file", Usage: "PEM file with a company's CA, trusted beside the system's for GitLab", CI: "CI_SERVER_TLS_CA_FILE", field: text("file", func(c *Config) *string { return &c.GitLabCAFile })},
		{Name: "gitlab_webhook_secret", Usage: "secret token of GitLab's webhook (X-Gitlab-Token)", Secret: true, Many: true, field: secrets(func(c *Config) *Secrets { return &c.GitLabWebhookSecret })},
		{Name: "gitlab_signing_token", Usage: "signing token of GitLab's webhook (whsec_…); unsigned deliveries are then refused", Secret: true, Many: true, field: secrets(func(c *Config) *Secrets { return &c.GitLabSigningToken })},

		{Name: "feishu_url", Usage: "Feishu's address; of Lark: https://open.larksuite.com", Default: "https://open.feishu.cn", field: address(func(c *Config) *string { return &c.FeishuURL })},
		{Name: "feishu_app_id", Usage: "the Feishu app's ID (cli_…)", field: text("id", func(c *Config) *string { return &c.FeishuAppID })},
		{Name: "feishu_app_secret", Usage: "the Feishu app's secret", Secret: true, field: secret(func(c *Config) *Secret { return &c.FeishuAppSecret })},
		{Name: "feishu_verification_token", Usage: "the Feishu app's verification token, for its callbacks", Secret: true, Many: true, field: secrets(func(c *Config) *Secrets { return &c.FeishuVerificationToken })},
		{Name: "feishu_encrypt_key", Usage: "the Feishu app's encrypt key; only encrypted callbacks are then accepted", Secret: true, Many: true, field: secrets(func(c *Config) *Secrets { return &c.FeishuEncryptKey })},
		{Name: "feishu_old_callbacks", Usage: "accept old-style callbacks beside an encrypt key", field: flag(func(c *Config) *bool { return &c.FeishuOldCallbacks })},

		{Name: "listen", Usage: "where webhooks, clicks and API calls arrive; off with --long-connection, unless given", Default: ":8080", field: func(c *Config) value { return listenValue{&c.Listen} }},
		{Name: "admin_listen", Usage: "where the page, metrics and operators' decisions are; beyond loopback it takes the operator token", Default: "127.0.0.1:8081", field: func(c *Config) value { return listenValue{&c.AdminListen} }},
		{Name: "public_url", Usage: "the listener's address as seen from outside; the aud of jobs' ID tokens", field: address(func(c *Config) *string { return &c.PublicURL })},
		{Name: "db", Usage: "database file", Default: "mrgate.db", field: text("file", func(c *Config) *string { return &c.DB })},
		{Name: "sweep", Usage: "how often to look for what no webhook told; 0: never", Default: "1m", field: func(c *Config) value { return durationValue{&c.Sweep, time.Second} }},
		{Name: "backfill", Usage: "also ask for merge requests that were open before the first start, or that no rule covered then", field: flag(func(c *Config) *bool { return &c.Backfill })},
		{Name: "long_connection", Usage: "take clicks over a connection to Feishu, so that nothing has to reach this machine", field: flag(func(c *Config) *bool { return &c.LongConnection })},
		{Name: "dry_run", Usage: "change nothing, say what would be done", field: flag(func(c *Config) *bool { return &c.DryRun })},
		{Name: "api_token", Usage: "token of the listener's API, which may ask for approval, never decide", Secret: true, Many: true, field: tokens(func(c *Config) *Secrets { return &c.APIToken })},
		{Name: "operator_token", Usage: "token of an operator, who may decide; name:token shows the name in the log", Secret: true, Many: true, field: tokens(func(c *Config) *Secrets { return &c.OperatorToken })},

		{Name: "server", Usage: "a listener's address, which then does the work", field: address(func(c *Config) *string { return &c.Server })},
		{Name: "id_token", Usage: "the GitLab job's ID token, to show to the listener", Secret: true, field: secret(func(c *Config) *Secret { return &c.IDToken })},
		{Name: "event", Usage: "file with the JSON body of a GitLab merge request webhook; -: standard input", field: text("file", func(c *Config) *string { return &c.Event })},
		{Name: "project", Usage: "GitLab project, by its path or ID", field: text("project", func(c *Config) *string { return &c.Project })},
		{Name: "mr", Usage: "number of the merge request in its project (the 7 of !7)", field: func(c *Config) value { return numberValue{&c.MR} }},
		{Name: "approver", Usage: "who may decide, instead of a policy's rules; repeats", Many: true, field: func(c *Config) value { return peopleValue{&c.Approvers} }},
		{Name: "again", Usage: "ask again after a request expired or was rejected", field: flag(func(c *Config) *bool { return &c.Again })},
		{Name: "wait", Usage: "how long to wait for the decision, as in 30m", field: func(c *Config) value { return durationValue{to: &c.Wait} }},
		{Name: "if_no_rule", Usage: "what to do while waiting if no rule matches", Default: "fail", field: func(c *Config) value { return wordValue{&c.IfNoRule, []string{"fail", "pass"}} }},

		{Name: "approve", Usage: "approve it", field: flag(func(c *Config) *bool { return &c.Approve })},
		{Name: "reject", Usage: "reject it", field: flag(func(c *Config) *bool { return &c.Reject })},
		{Name: "reason", Usage: "why, for the author and the log", field: text("text", func(c *Config) *string { return &c.Reason })},
		{Name: "by", Usage: "who you say you are, recorded as a claim", field: text("name", func(c *Config) *string { return &c.By })},
		{Name: "timeout", Usage: "how long to wait until GitLab has done it", Default: "1m", field: func(c *Config) value { return durationValue{to: &c.Timeout} }},

		{Name: "send_test", Usage: "send a card with one button to this person, and wait for its click", field: text("identity", func(c *Config) *string { return &c.SendTest })},

		{Name: "format", Usage: "how to print", Default: "table", field: func(c *Config) value { return wordValue{&c.Format, []string{"table", "json", "csv"}} }},
		{Name: "json", Usage: "print JSON", field: flag(func(c *Config) *bool { return &c.JSON })},
		{Name: "verify", Usage: "check that no entry of the log was changed or removed", field: flag(func(c *Config) *bool { return &c.Verify })},
		{Name: "anchor", Usage: "with verify: number and hash of an entry as known from a note or an earlier run; repeats", Many: true, field: func(c *Config) value { return listValue{&c.Anchors, "number:hash"} }},
		{Name: "from_gitlab", Usage: "with verify: take anchors from mrgate's notes in GitLab", field: flag(func(c *Config) *bool { return &c.FromGitLab })},
		{Name: "check", Usage: "config file to check offline", field: text("file", func(c *Config) *string { return &c.Check })},
		{Name: "target_branch", Usage: "target branch", field: text("branch", func(c *Config) *string { return &c.TargetBranch })},
		{Name: "at", Usage: "moment or day, as in 2026-10-01T12:00:00Z or 2026-10-01", field: text("time", func(c *Config) *string { return &c.At })},
		{Name: "state", Usage: "only requests in this state; repeats", Many: true, field: func(c *Config) value { return listValue{&c.States, "state"} }},
		{Name: "since", Usage: "only what happened within this time, as in 7d", field: func(c *Config) value { return durationValue{to: &c.Since} }},
		{Name: "older_than", Usage: "only requests that were opened longer ago than this, as in 4h", field: func(c *Config) value { return durationValue{to: &c.Older} }},
		{Name: "limit", Usage: "at most this many; 0: all", field: func(c *Config) value { return countValue{&c.Limit} }},
	}
}

// Define gives a flag set the flags of the named settings. What is given to
// them is only judged by Load, so that every source is judged alike; a command
// may reword Usage on the flags. It panics on a name that Settings lacks.
func Define(fs *pflag.FlagSet, names ...string) {
	all := Settings()
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Setting) bool { return s.Name == name })
		if i < 0 {
			panic("config: no setting " + name)
		}
		s := all[i]
		usage := s.Usage
		if s.Secret {
			usage += " (others on this machine can see flags: rather set " + s.Env() + " or " + s.EnvFile() + ")"
		}
		f := fs.VarPF(&given{setting: s}, s.Flag(), "", usage)
		f.DefValue = s.Default
		if s.Kind() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// DefineWho gives a flag set the setting approver as a filter: where others take
// from it whom to ask, which only identities can say, it may be anybody's name.
func DefineWho(fs *pflag.FlagSet) {
	fs.Var(&given{setting: Setting{Name: "approver", field: func(c *Config) value { return textValue{&c.Who, "identity|name"} }}},
		"approver", "only requests that this person may decide on, or did")
}

// given is what a flag was given, as it was written.
type given struct {
	setting Setting
	texts   []string
}

// Set takes one more text.
func (g *given) Set(text string) error {
	g.texts = append(g.texts, text)
	return nil
}

// Type returns the word for the value in help.
func (g *given) Type() string { return g.setting.Kind() }

// String returns what was given, but no secret.
func (g *given) String() string {
	if g.setting.Secret && len(g.texts) > 0 {
		return redacted
	}
	return strings.Join(g.texts, ",")
}
