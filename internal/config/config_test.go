package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"mrgate/internal/policy"
)

// run is one start of a command.
type run struct {
	settings []string // that the command has; config is always among them
	args     []string
	environ  []string
	files    map[string]string // in its working directory
	dir      string            // set by load
	stderr   bytes.Buffer
}

// load does what a command does: define, parse, load.
func (r *run) load(t *testing.T) (*Config, error) {
	t.Helper()
	r.dir = t.TempDir()
	for name, text := range r.files {
		write(t, filepath.Join(r.dir, name), text)
	}
	for _, list := range [][]string{r.args, r.environ} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], "$DIR", r.dir)
		}
	}
	fs := pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	Define(fs, append([]string{"config"}, r.settings...)...)
	if err := fs.Parse(r.args); err != nil {
		t.Fatal(err)
	}
	return Load(LoadOptions{Flags: fs, Environ: r.environ, Dir: r.dir, Stderr: &r.stderr})
}

func TestPrecedence(t *testing.T) {
	// The sources of one setting, strongest first; each run leaves out one more.
	file := map[string]string{"c.yaml": "gitlab_url: https://file.example/\n"}
	environ := []string{"MRGATE_GITLAB_URL=https://env.example", "CI_SERVER_URL=https://ci.example"}
	for _, tc := range []struct {
		name         string
		run          run
		want, origin string
	}{
		{"flag", run{args: []string{"--config=$DIR/c.yaml", "--gitlab-url", "https://flag.example"}, environ: environ, files: file}, "https://flag.example", "--gitlab-url"},
		{"environment", run{args: []string{"--config=$DIR/c.yaml"}, environ: environ, files: file}, "https://env.example", "MRGATE_GITLAB_URL"},
		{"file", run{args: []string{"--config=$DIR/c.yaml"}, environ: environ[1:], files: file}, "https://file.example", "$DIR/c.yaml:1:13"},
		{"file by variable", run{environ: []string{"MRGATE_CONFIG=$DIR/c.yaml"}, files: file}, "https://file.example", "$DIR/c.yaml:1:13"},
		{"file after an empty variable", run{environ: []string{"MRGATE_CONFIG=$DIR/c.yaml", "MRGATE_GITLAB_URL="}, files: file}, "https://file.example", "$DIR/c.yaml:1:13"},
		{"job", run{environ: environ[1:]}, "https://ci.example", "CI_SERVER_URL"},
		{"default", run{environ: []string{"CI_SERVER_URL="}}, "https://gitlab.com", "default"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.run.settings = []string{"gitlab_url"}
			c, err := tc.run.load(t)
			if err != nil {
				t.Fatal(err)
			}
			origin := strings.ReplaceAll(tc.origin, "$DIR", tc.run.dir)
			if c.GitLabURL != tc.want || c.Origin("gitlab_url") != origin || c.Given("gitlab_url") != (origin != "default") {
				t.Errorf("%s from %s, want %s from %s", c.GitLabURL, c.Origin("gitlab_url"), tc.want, origin)
			}
			if tc.run.stderr.Len() > 0 {
				t.Errorf("warned: %s", &tc.run.stderr)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	var names []string
	for _, s := range Settings() {
		if s.Name != "config" {
			names = append(names, s.Name)
		}
	}
	c, err := (&run{settings: names}).load(t)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Policy: policy.New(), origins: map[string]string{},
		GitLabURL: "https://gitlab.com", FeishuURL: "https://open.feishu.cn",
		Listen: ":8080", AdminListen: "127.0.0.1:8081", DB: "mrgate.db", Sweep: time.Minute,
		IfNoRule: "fail", Timeout: time.Minute, Format: "table",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestEverySettingHasAllItsSources gives each setting by flag, by variable and
// by file, and each must reach the same field.
func TestEverySettingHasAllItsSources(t *testing.T) {
	values := map[string]string{"bool": "true", "url": "https://x.example", "duration": "7m", "number": "7", "address": ":7", "identity": "x@example.com", "fail|pass": "pass", "table|json|csv": "csv"}
	fields := map[string]string{}
	for _, s := range Settings() {
		if s.Name == "config" {
			continue
		}
		value := "x"
		if v := values[s.Kind()]; v != "" {
			value = v
		}
		var configs []*Config
		for _, r := range []*run{
			{args: []string{"--" + s.Flag() + "=" + value}},
			{environ: []string{s.Env() + "=" + value}},
			{args: []string{"--config=$DIR/c.yaml"}, files: map[string]string{"c.yaml": s.Name + ": " + `"` + value + `"`}},
		} {
			r.settings = []string{s.Name}
			c, err := r.load(t)
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			if !c.Given(s.Name) {
				t.Errorf("%s: not given by %v %v", s.Name, r.args, r.environ)
			}
			c.File, c.read, c.origins = "", nil, nil
			configs = append(configs, c)
		}
		if !reflect.DeepEqual(configs[0], configs[1]) || !reflect.DeepEqual(configs[0], configs[2]) {
			t.Errorf("%s: differs by its source", s.Name)
		}
		changed := changedFields(t, configs[0])
		if len(changed) != 1 || fields[changed[0]] != "" {
			t.Errorf("%s sets %v, also set by %s", s.Name, changed, fields[changed[0]])
			continue
		}
		fields[changed[0]] = s.Name
	}
}

// changedFields names the exported fields of a Config that differ from defaults.
func changedFields(t *testing.T, c *Config) []string {
	t.Helper()
	plain, err := (&run{}).load(t)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	got, want := reflect.ValueOf(c).Elem(), reflect.ValueOf(plain).Elem()
	for i := range got.NumField() {
		if f := got.Type().Field(i); f.IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()) {
			names = append(names, f.Name)
		}
	}
	return names
}

func TestFoundFileHoldsThePolicyOnly(t *testing.T) {
	const rules = "rules:\n- projects: [a/b]\n  target_branches: [main]\n  approvers: [alice@example.com]\n"
	found := run{files: map[string]string{DefaultFile: rules + "locale: en\n"}}
	c, err := found.load(t)
	if err != nil || len(c.Policy.Rules) != 1 || c.Policy.Locale != policy.LocaleEN || c.File != filepath.Join(found.dir, DefaultFile) {
		t.Fatalf("%+v, %v", c, err)
	}
	more := run{settings: []string{"gitlab_url"}, files: map[string]string{DefaultFile: rules + "gitlab_url: https://evil.example\n"}}
	_, err = more.load(t)
	want := filepath.Join(more.dir, DefaultFile) + ":5:1: gitlab_url may not stand in a mrgate.yaml that was merely found, only the policy may; name the file with --config or MRGATE_CONFIG, or set MRGATE_GITLAB_URL"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	named := run{settings: more.settings, args: []string{"--config", "$DIR/" + DefaultFile}, files: more.files}
	if c, err := named.load(t); err != nil || c.GitLabURL != "https://evil.example" {
		t.Errorf("named: %+v, %v", c, err)
	}
	both := run{args: []string{"--config", "$DIR/other.yaml"}, files: map[string]string{DefaultFile: "nonsense", "other.yaml": rules}}
	if c, err := both.load(t); err != nil || len(c.Policy.Rules) != 1 {
		t.Errorf("the file that was not named is read: %v", err)
	}
}

func TestReloadKeepsTheTerms(t *testing.T) {
	const rules = "rules:\n- projects: [a/b]\n  target_branches: [main]\n  approvers: [alice@example.com]\n"
	r := run{files: map[string]string{DefaultFile: rules}}
	c, err := r.load(t)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.File, strings.Replace(rules, "alice", "carol", 1))
	now, _, err := c.Reload()
	if err != nil || now.Policy.Rules[0].Approvers[0].Value != "carol@example.com" || c.Policy.Rules[0].Approvers[0].Value != "alice@example.com" {
		t.Errorf("reloaded %+v, %v", now, err)
	}
	for _, bad := range []string{rules + "gitlab_url: https://evil.example\n", "rules: 1\n", ""} {
		write(t, c.File, bad)
		if _, _, err := c.Reload(); err == nil {
			t.Errorf("reloads %q", bad)
		}
	}
	none, err := (&run{}).load(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := none.Reload(); err == nil {
		t.Error("reloads without a file")
	}
}

func TestReloadNamesTheOtherSettingsThatChanged(t *testing.T) {
	const rules = "rules:\n- projects: [a/b]\n  target_branches: [main]\n  approvers: [alice@example.com]\n"
	r := run{
		settings: []string{"gitlab_url", "gitlab_token", "listen"}, args: []string{"--config", "$DIR/p.yaml"},
		files: map[string]string{"p.yaml": rules + "gitlab_url: https://one.example\ngitlab_token: glpat-one\nlisten: \":1\"\n"},
	}
	c, err := r.load(t)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.File, rules+"gitlab_url: https://one.example\ngitlab_token: glpat-two\ndb: other.db\nlocale: en\n")
	now, others, err := c.Reload()
	if want := []string{"gitlab_token", "listen", "db"}; err != nil || !slices.Equal(others, want) || now.Policy.Locale != "en" {
		t.Errorf("changed %v, want %v; %+v, %v", others, want, now, err)
	}
	if s := fmt.Sprintf("%v %+v", c, *c); strings.Contains(s, "glpat-one") {
		t.Errorf("the Config shows a secret: %s", s)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	files := map[string]string{
		"one": "glpat-1\n", "windows": "glpat-1\r\n", "bare": "glpat-1", "empty": "\n", "two": "a\nb\n", "tokens": "alice:t1\n\nt2\r\n",
		"large": strings.Repeat("x", 70<<10),
	}
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		want    string // the token; with spaces between several
		err     string // part of the error
	}{
		{"inline", nil, []string{"MRGATE_GITLAB_TOKEN=glpat-1"}, "glpat-1", ""},
		{"file", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/one"}, "glpat-1", ""},
		{"file with CRLF", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/windows"}, "glpat-1", ""},
		{"file without a line end", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/bare"}, "glpat-1", ""},
		{"empty file is unset", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/empty"}, "", ""},
		{"empty variables are unset", nil, []string{"MRGATE_GITLAB_TOKEN=", "MRGATE_GITLAB_TOKEN_FILE="}, "", ""},
		{"one of both is empty", nil, []string{"MRGATE_GITLAB_TOKEN=", "MRGATE_GITLAB_TOKEN_FILE=$DIR/one"}, "glpat-1", ""},
		{"both", nil, []string{"MRGATE_GITLAB_TOKEN=SENTINEL", "MRGATE_GITLAB_TOKEN_FILE=$DIR/one"}, "", "MRGATE_GITLAB_TOKEN and MRGATE_GITLAB_TOKEN_FILE are both set; unset one of them"},
		{"flag goes before the file", []string{"--gitlab-token=glpat-2"}, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/one"}, "glpat-2", ""},
		{"empty flag is unset", []string{"--gitlab-token="}, []string{"MRGATE_GITLAB_TOKEN=glpat-1"}, "glpat-1", ""},
		{"no file", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/none"}, "", `MRGATE_GITLAB_TOKEN_FILE: "$DIR/none" cannot be read: no such file or directory; check the name and who may read it`},
		{"a directory", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR"}, "", "is a directory"},
		{"too large", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/large"}, "", "larger than 64 KiB"},
		{"two lines for one value", nil, []string{"MRGATE_GITLAB_TOKEN_FILE=$DIR/two"}, "", "MRGATE_GITLAB_TOKEN_FILE: the value holds more than one line"},
		{"space", nil, []string{"MRGATE_GITLAB_TOKEN=SENTINEL "}, "", "MRGATE_GITLAB_TOKEN: the value has space around it; take it out"},
		{"control character", nil, []string{"MRGATE_GITLAB_TOKEN=SENT\x1bINEL"}, "", "MRGATE_GITLAB_TOKEN: the value holds characters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run{settings: []string{"gitlab_token"}, args: tc.args, environ: tc.environ, files: files}
			c, err := r.load(t)
			if tc.err != "" {
				if want := strings.ReplaceAll(tc.err, "$DIR", r.dir); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), sentinel) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.GitLabToken.Reveal(); got != tc.want || c.GitLabToken.IsSet() != (tc.want != "") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("several", func(t *testing.T) {
		r := run{
			settings: []string{"operator_token", "api_token", "gitlab_webhook_secret"},
			args:     []string{"--api-token=a", "--api-token=ci:b"},
			environ:  []string{"MRGATE_OPERATOR_TOKEN_FILE=$DIR/tokens", "MRGATE_GITLAB_WEBHOOK_SECRET=x:1\ny"},
			files:    files,
		}
		c, err := r.load(t)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.OperatorToken.Reveal(); !reflect.DeepEqual(got, []string{"t1", "t2"}) || c.OperatorToken[0].Name() != "alice" || c.OperatorToken[1].Name() != "" {
			t.Errorf("operator tokens %q", got)
		}
		if got := c.APIToken.Reveal(); !reflect.DeepEqual(got, []string{"a", "b"}) || c.APIToken[1].Name() != "ci" {
			t.Errorf("API tokens %q", got)
		}
		if got := c.GitLabWebhookSecret.Reveal(); !reflect.DeepEqual(got, []string{"x:1", "y"}) { // no names here
			t.Errorf("webhook secrets %q", got)
		}
		if c.OperatorToken.First().Reveal() != "t1" || (Secrets{}).First().IsSet() {
			t.Error("First is not the first")
		}
	})
}

func TestBadValuesNameTheirSource(t *testing.T) {
	for _, tc := range []struct {
		setting string
		run     run
		want    string // a line of the error
	}{
		{"sweep", run{args: []string{"--sweep=soon"}}, `--sweep: "soon" is not a duration; write it as 13d, 4h or 90m`},
		{"sweep", run{environ: []string{"MRGATE_SWEEP=1ms"}}, `MRGATE_SWEEP: "1ms" is less than 1s; write 1s or more`},
		{"sweep", run{args: []string{"--sweep="}}, `--sweep is empty; write a value, or leave it out for 1m`},
		{"gitlab_url", run{environ: []string{"CI_SERVER_URL=http://gitlab.corp"}}, `CI_SERVER_URL: "http://gitlab.corp" is not https; only on this machine (127.0.0.1, localhost) may an address be http, so write https://…`},
		{"gitlab_url", run{args: []string{"--gitlab-url=https://u:SENTINEL@gitlab.corp"}}, `--gitlab-url: the value holds a user or password; take it out, tokens have settings of their own`},
		{"gitlab_url", run{args: []string{"--gitlab-url="}}, `--gitlab-url is empty; write a value, or leave it out for https://gitlab.com`},
		{"mr", run{args: []string{"--mr=!7"}}, `--mr: "!7" is not a number above 0; write it in digits, as in 7`},
		{"if_no_rule", run{args: []string{"--if-no-rule=maybe"}}, `--if-no-rule: "maybe" is unknown; write fail or pass`},
		{"json", run{environ: []string{"MRGATE_JSON=perhaps"}}, `MRGATE_JSON: "perhaps" is neither true nor false; write one of them`},
		{"listen", run{args: []string{"--listen=8080"}}, `--listen: "8080" is not an address to listen on; write it as :8080 or 127.0.0.1:8080`},
		{"approver", run{args: []string{"--approver=bob"}}, `--approver: "bob" cannot be used: "bob" is no identity; write an e-mail address, a mobile number (+86…) or the chat's own ID (ou_…, of a group oc_…)`},
		{"limit", run{args: []string{"--limit=-1"}}, `--limit: "-1" is not a number; write it in digits, as in 50, or 0 for all`},
		{"approver", run{args: []string{"--approver=oc_1"}}, `--approver: "oc_1" names a group, and only people decide; write a person's e-mail address, mobile number or ID (ou_…)`},
		{"operator_token", run{args: []string{"--operator-token=:SENTINEL"}}, `--operator-token: the value has a colon, but not a name before it and a token behind it; write name:token, or the token alone`},
		{"listen", run{args: []string{"--config="}}, `--config names no file; write --config mrgate.yaml, or leave it out`},
		{"listen", run{environ: []string{"MRGATE_CONFIG=/none/c.yaml"}}, `/none/c.yaml: cannot be read: no such file or directory; check the name and who may read it`},
	} {
		tc.run.settings = []string{tc.setting}
		_, err := tc.run.load(t)
		var bad *Error
		if !errors.As(err, &bad) || err.Error() != tc.want {
			t.Errorf("%v %v:\n got %v\nwant %s", tc.run.args, tc.run.environ, err, tc.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"https://gitlab.com":            "https://gitlab.com",
		"https://gitlab.com/":           "https://gitlab.com",
		"https://x.example:8443/git/":   "https://x.example:8443/git",
		"http://localhost:8080":         "http://localhost:8080",
		"http://127.0.0.1:1":            "http://127.0.0.1:1",
		"http://127.9.9.9":              "http://127.9.9.9",
		"http://[::1]:8080":             "http://[::1]:8080",
		"HTTPS://gitlab.com":            "HTTPS://gitlab.com",
		"http://gitlab.com":             "",
		"http://127.0.0.1.evil.example": "",
		"http://localhost.evil.example": "",
		"http://0.0.0.0":                "",
		"http://[::ffff:127.0.0.1]":     "http://[::ffff:127.0.0.1]",
		"ftp://127.0.0.1":               "",
		"gitlab.com":                    "",
		"https://":                      "",
		"https://:8080":                 "",
		"https://x.example:":            "",
		"https://x.example:99999":       "",
		"https://x.example?x":           "",
		"https://x.example#x":           "",
		"https://x.example/ y":          "",
		"https://u@x.example":           "",
		"https:x.example":               "",
	} {
		var got string
		err := addressValue{&got}.set([]string{in})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestOtherCommandsSettingsDoNotConcernThisOne(t *testing.T) {
	r := run{
		settings: []string{"json"},
		args:     []string{"--config=$DIR/c.yaml"},
		environ:  []string{"MRGATE_SWEEP=nonsense", "MRGATE_GITLAB_TOKEN_FILE=/none", "MRGATE_SERVER=http://x.example", "MRGATE_FEISHU_URL=https://lark.example"},
		files:    map[string]string{"c.yaml": "listen: :9090\ngitlab_token: x\njson: true\n"},
	}
	c, err := r.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if !c.JSON || c.Listen != ":8080" || c.GitLabToken.IsSet() || c.FeishuURL != "https://open.feishu.cn" || r.stderr.Len() > 0 {
		t.Errorf("%+v, warned: %s", c, &r.stderr)
	}
}

func TestUnknownVariablesAreWarnedOf(t *testing.T) {
	r := run{environ: []string{
		"MRGATE_GITLAB_TOKN=SENTINEL", "MRGATE_COLOUR=SENTINEL", "MRGATE_LOCALE=en", "MRGATE_EVIL\x1b[31m=1", "MRGATE_DB_FILE=x",
		"MRGATE_PORT=tcp://10.0.0.1:8080", "MRGATE_PORT_8080_TCP_ADDR=10.0.0.1", "MRGATE_SERVICE_HOST=10.0.0.1", "MRGATE_SERVICE_PORT_HTTP=8080",
		"MRGATEX=1", "PATH=/bin", "MRGATE_ID_TOKEN=x", "MRGATE_ID_TOKEN_FILE=",
	}}
	if _, err := r.load(t); err != nil {
		t.Fatal(err)
	}
	want := `mrgate: warning: "MRGATE_EVIL\x1b[31m" is no setting; unset it
mrgate: warning: MRGATE_COLOUR is no setting; unset it
mrgate: warning: MRGATE_DB_FILE is no setting; unset it
mrgate: warning: MRGATE_GITLAB_TOKN is no setting; did you mean MRGATE_GITLAB_TOKEN?
mrgate: warning: MRGATE_LOCALE has no effect: it belongs to the policy; write it into the config file
`
	if got := r.stderr.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	r := run{settings: []string{"sweep", "mr"}, args: []string{"--config=$DIR/c.yaml", "--sweep=x", "--mr=x"}, files: map[string]string{"c.yaml": "locale: fr\ncolour: 1\n"}}
	_, err := r.load(t)
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Problems) != 4 || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("got %v", err)
	}
}

func TestWithoutTheConfigFlagNoFileIsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, DefaultFile), "nonsense")
	fs := pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	Define(fs, "listen")
	c, err := Load(LoadOptions{Flags: fs, Environ: []string{"MRGATE_CONFIG=/none"}, Dir: dir})
	if err != nil || c.File != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestUnreadableFoundFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, DefaultFile), 0o750); err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	Define(fs, "config")
	if _, err := Load(LoadOptions{Flags: fs, Dir: dir}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("got %v", err)
	}
}

func TestHelpNamesDefaultsAndWarnsOfSecrets(t *testing.T) {
	fs := pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	Define(fs, "sweep", "gitlab_token", "dry_run", "approver")
	if err := fs.Parse([]string{"--gitlab-token", sentinel, "--dry-run", "--approver", "a@b.c", "--approver", "d@e.f,g@h.i"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/help.golden", fs.FlagUsages())
	if got := fs.Lookup("gitlab-token").Value.String(); got != redacted {
		t.Errorf("the flag shows %q", got)
	}
	c, err := Load(LoadOptions{Flags: fs})
	if err != nil {
		t.Fatal(err)
	}
	if !c.DryRun || len(c.Approvers) != 3 || c.GitLabToken.Reveal() != sentinel {
		t.Errorf("%+v", c)
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown setting can be defined")
		}
	}()
	Define(fs, "colour")
}

func TestWhoIsAnybody(t *testing.T) {
	fs := pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	Define(fs, "limit")
	DefineWho(fs)
	if err := fs.Parse([]string{"--approver", "张伟, the other one", "--limit", "0"}); err != nil {
		t.Fatal(err)
	}
	c, err := Load(LoadOptions{Flags: fs})
	if err != nil || c.Who != "张伟, the other one" || len(c.Approvers) > 0 || c.Limit != 0 || !c.Given("limit") {
		t.Errorf("%+v, %v", c, err)
	}
	fs = pflag.NewFlagSet("mrgate", pflag.ContinueOnError)
	DefineWho(fs)
	if c, err = Load(LoadOptions{Flags: fs, Environ: []string{"MRGATE_APPROVER=Alice"}}); err != nil || c.Who != "Alice" {
		t.Errorf("%+v, %v", c, err)
	}
}
