// Package config makes one validated Config out of everything that can be set.
//
// A setting has one name everywhere: the flag --foo-bar, the variable
// MRGATE_FOO_BAR and the key foo_bar of the config file. The flag goes before
// the variable, that before the file, that before GitLab's own variables of a
// job, and the default comes last. A secret may also be read from the file that
// MRGATE_FOO_BAR_FILE names, which is how container platforms hand them out.
//
// A command says with Define which settings it has, lets its flags be parsed,
// and calls Load. The other commands' settings do not concern it: they may stand
// in the environment and in the file, so that one file serves all commands.
//
// The config file also holds the policy, with positions: whatever is wrong in
// it is reported as file:line:column, never with the line itself, which may
// hold a secret. A file that was merely found, not named, may hold nothing but
// the policy.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"mrgate/internal/policy"
)

// Config is everything that was set, validated; what was not has its default.
// Which settings count is up to the command.
type Config struct {
	File   string         // the config file that was read; empty: none
	Policy *policy.Policy // never nil; without rules if no file has any

	GitLabURL           string // without a slash at the end, as all addresses
	GitLabToken         Secret
	GitLabCAFile        string
	GitLabWebhookSecret Secrets
	GitLabSigningToken  Secrets

	FeishuURL               string
	FeishuAppID             string
	FeishuAppSecret         Secret
	FeishuVerificationToken Secrets
	FeishuEncryptKey        Secrets
	FeishuOldCallbacks      bool

	Listen         string
	AdminListen    string
	PublicURL      string
	DB             string
	Sweep          time.Duration // 0: never
	Backfill       bool
	LongConnection bool
	DryRun         bool
	APIToken       Secrets // a listener takes them all, a client sends the first
	OperatorToken  Secrets // likewise

	Server    string
	IDToken   Secret
	Event     string
	Project   string
	MR        int64 // 0: not given
	Approvers []policy.Identity
	Again     bool
	Wait      time.Duration // 0: do not wait
	IfNoRule  string        // fail or pass

	Approve bool
	Reject  bool
	Reason  string
	By      string
	Timeout time.Duration

	SendTest string // an identity, as it was written

	Format       string // table, json or csv
	JSON         bool
	Verify       bool
	Anchors      []string // number:hash
	FromGitLab   bool
	Check        string
	TargetBranch string
	At           string // a moment or a day, as it was written
	States       []string
	Since        time.Duration // 0: always
	Older        time.Duration // 0: however young
	Who          string        // an identity or a name; see DefineWho
	Limit        int64         // 0: all

	found   bool              // the file was found, not named
	read    *File             // what stood in it; nil: there was none
	origins map[string]string // of every setting that is not at its default
}

// LoadOptions is where a Config comes from.
type LoadOptions struct {
	Flags   *pflag.FlagSet // with the flags of Define, parsed; a file is read only if config is among them
	Environ []string       // as os.Environ gives it
	Dir     string         // where to look for DefaultFile; empty: the working directory
	Stderr  io.Writer      // for warnings, a line each; nil: nowhere
}

// Load reads all sources, and returns the Config or an *Error with everything
// that is wrong. Without a file there is no error: a command that needs rules
// says so itself.
func Load(opts LoadOptions) (*Config, error) {
	env := environment(opts.Environ)
	c := &Config{Policy: policy.New(), origins: map[string]string{}}
	l := &loader{config: c, env: env, flags: map[string]*given{}}
	opts.Flags.VisitAll(func(f *pflag.Flag) {
		if g, ok := f.Value.(*given); ok {
			l.flags[g.setting.Name] = g
		}
	})
	settings := Settings()
	for _, s := range settings {
		if s.Default != "" {
			if err := s.field(c).set([]string{s.Default}); err != nil {
				panic("config: default of " + s.Name + " " + err.Error()) // a test sets them all
			}
		}
	}
	if opts.Stderr != nil {
		for _, warning := range env.strangers(settings) {
			_, _ = fmt.Fprintln(opts.Stderr, "mrgate: warning: "+warning)
		}
	}
	// A file that is to be checked stands in for the config file.
	if l.flags["config"] != nil && (l.flags["check"] == nil || len(l.flags["check"].texts) == 0 && env["MRGATE_CHECK"] == "") {
		l.readFile(opts.Dir)
	}
	for _, s := range settings {
		if g := l.flags[s.Name]; g != nil && s.Name != "config" {
			l.resolve(g.setting) // as the command has it
		}
	}
	if len(l.problems) > 0 {
		return nil, wrong(l.problems)
	}
	return c, nil
}

// Given tells whether the setting was set by anything but its default.
func (c *Config) Given(name string) bool { return c.origins[name] != "" }

// Origin says where the setting's value comes from, for people: --gitlab-url,
// MRGATE_GITLAB_URL, mrgate.yaml:3:13, CI_SERVER_URL or default.
func (c *Config) Origin(name string) string {
	if origin := c.origins[name]; origin != "" {
		return origin
	}
	return "default"
}

// Warnings says what is probably not meant in the policy of the config file.
func (c *Config) Warnings() []Problem {
	if c.read == nil {
		return nil
	}
	return c.read.Warnings
}

// Reload reads the config file again, under the same terms. It also names the
// settings beside the policy that are not what they were. The Config stays as it
// is: the caller decides what to do with the new policy.
func (c *Config) Reload() (now *File, others []string, err error) {
	if c.read == nil {
		return nil, nil, wrong([]Problem{{Text: "no config file was read at the start; name one with --config, and start again"}})
	}
	f, problems := readRules(c.File, c.found)
	if len(problems) > 0 {
		return nil, nil, wrong(problems)
	}
	for _, s := range Settings() {
		if !slices.Equal(c.read.values[s.Name].texts, f.values[s.Name].texts) {
			others = append(others, s.Name)
		}
	}
	return f, others, nil
}

// loader carries what Load works on.
type loader struct {
	config   *Config
	env      environ
	flags    map[string]*given // the command's settings
	file     *File
	problems []Problem
}

func (l *loader) fail(format string, args ...any) {
	l.problems = append(l.problems, Problem{Text: fmt.Sprintf(format, args...)})
}

// readFile finds the config file and reads it.
func (l *loader) readFile(dir string) {
	c := l.config
	switch texts := l.flags["config"].texts; {
	case len(texts) > 0:
		c.File, c.origins["config"] = last(texts), "--config"
		if c.File == "" {
			l.fail("--config names no file; write --config %s, or leave it out", DefaultFile)
			return
		}
	case l.env["MRGATE_CONFIG"] != "":
		c.File, c.origins["config"] = l.env["MRGATE_CONFIG"], "MRGATE_CONFIG"
	default:
		name := filepath.Join(dir, DefaultFile)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return
		}
		c.File, c.found, c.origins["config"] = name, true, name
	}
	f, problems := readFile(c.File, c.found)
	if len(problems) > 0 {
		l.problems = append(l.problems, problems...)
		return
	}
	l.file, c.read, c.Policy = f, f, f.Policy
}

// resolve sets one setting from the first source that has it.
func (l *loader) resolve(s Setting) {
	inline, byFile := l.env[s.Env()], ""
	if s.Secret {
		byFile = l.env[s.EnvFile()]
	}
	if inline != "" && byFile != "" {
		l.fail("%s and %s are both set; unset one of them", s.Env(), s.EnvFile())
		return
	}
	if texts := l.flags[s.Name].texts; len(texts) > 0 && (!s.Secret || strings.Join(texts, "") != "") {
		if s.Default != "" && last(texts) == "" {
			l.fail("--%s is empty; write a value, or leave it out for %s", s.Flag(), s.Default)
			return
		}
		l.set(s, "--"+s.Flag(), "--"+s.Flag(), texts)
		return
	}
	if inline != "" {
		l.set(s, s.Env(), s.Env(), []string{inline})
		return
	}
	if byFile != "" {
		const most = 64 << 10
		data, err := readAll(byFile, most+1)
		switch {
		case err != nil:
			l.fail("%s: %s cannot be read: %v; check the name and who may read it", s.EnvFile(), quote(byFile), err)
			return
		case len(data) > most:
			l.fail("%s: %s is larger than %d KiB; name the file that holds the secret alone", s.EnvFile(), quote(byFile), most>>10)
			return
		case trimNewline(string(data)) != "":
			l.set(s, s.EnvFile(), s.EnvFile(), []string{string(data)})
			return
		}
	}
	if l.file != nil {
		if v, ok := l.file.values[s.Name]; ok {
			l.set(s, v.at.place()+": "+s.Name, v.at.place(), v.texts)
			return
		}
	}
	if s.CI != "" && l.env[s.CI] != "" {
		l.set(s, s.CI, s.CI, []string{l.env[s.CI]})
	}
}

// set reads the texts into the setting, or reports what is wrong with them;
// where names the source in that report.
func (l *loader) set(s Setting, where, origin string, texts []string) {
	if err := s.field(l.config).set(texts); err != nil {
		l.problems = append(l.problems, Problem{Text: complaint(s, where, texts, err)})
		return
	}
	l.config.origins[s.Name] = origin
}

// environ is the environment by name.
type environ map[string]string

func environment(list []string) environ {
	env := environ{}
	for _, e := range list {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return env
}

// strangers returns a warning for every variable that looks like a setting and
// is none: a misspelt one would otherwise be silently without effect.
func (e environ) strangers(settings []Setting) []string {
	known := make([]string, 0, 2*len(settings))
	for _, s := range settings {
		known = append(known, s.Env())
		if s.Secret {
			known = append(known, s.EnvFile())
		}
	}
	var warnings []string
	for name := range e {
		switch {
		case !strings.HasPrefix(name, "MRGATE_") || slices.Contains(known, name) || fromKubernetes(name):
		case slices.Contains(policyKeys(), strings.ToLower(strings.TrimPrefix(name, "MRGATE_"))):
			warnings = append(warnings, name+" has no effect: it belongs to the policy; write it into the config file")
		default:
			warnings = append(warnings, printable(name)+" is no setting"+didYouMean(name, known, "unset it"))
		}
	}
	return sorted(warnings)
}

// fromKubernetes tells whether the variable is one of those that Kubernetes sets
// for a service called mrgate
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
func fromKubernetes(name string) bool {
	return name == "MRGATE_PORT" || name == "MRGATE_SERVICE_HOST" ||
		strings.HasPrefix(name, "MRGATE_PORT_") || strings.HasPrefix(name, "MRGATE_SERVICE_PORT")
}
