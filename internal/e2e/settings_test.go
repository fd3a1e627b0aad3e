package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSettingsMistakes: whatever is wrong is one line that names the thing, the
// value (of a secret: its name only) and the remedy, and exit code 2.
func TestSettingsMistakes(t *testing.T) {
	w := newWorld(t)
	file := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	w.open()
	body := w.gitlab.WebhookBody(project, 1, "open")
	event := file("event.json", string(body))
	for name, c := range map[string]struct {
		env  []string
		args []string
		says []string
	}{
		"no such flag":          {nil, []string{"notify", "--dryrun"}, []string{"--dryrun", "--help"}},
		"no such command":       {nil, []string{"nofity"}, []string{`"nofity"`}},
		"an argument too many":  {nil, []string{"notify", "7"}, []string{`"7"`}},
		"no policy":             {nil, []string{"notify", "--dry-run", "--event", event}, []string{"--approver", "--config"}},
		"no merge request":      {nil, []string{"notify", "--config", w.config}, []string{"--event", "--project"}},
		"a branch pipeline":     {[]string{"CI=true", "GITLAB_CI=true", "CI_PIPELINE_SOURCE=push"}, []string{"notify", "--config", w.config}, []string{"merge_request_event"}},
		"half a merge request":  {nil, []string{"notify", "--config", w.config, "--project", "a/b"}, []string{"--mr"}},
		"a bad number":          {nil, []string{"notify", "--config", w.config, "--project", "a/b", "--mr", "seven"}, []string{"--mr", "seven"}},
		"a bad approver":        {nil, []string{"notify", "--event", event, "--approver", "alice"}, []string{"--approver", "alice"}},
		"a group decides":       {nil, []string{"notify", "--event", event, "--approver", "oc_a0553eda9014c201e6969b478895c230"}, []string{"--approver"}},
		"plain http":            {[]string{"MRGATE_GITLAB_URL=http://gitlab.example.com"}, []string{"decide", "--approve", "1", "--config", w.config}, []string{"MRGATE_GITLAB_URL", "http://gitlab.example.com", "https"}},
		"a secret twice":        {[]string{"MRGATE_GITLAB_TOKEN_FILE=" + w.config}, []string{"decide", "--approve", "1", "--config", w.config}, []string{"MRGATE_GITLAB_TOKEN_FILE"}},
		"a secret's file":       {[]string{"MRGATE_GITLAB_TOKEN=", "MRGATE_GITLAB_TOKEN_FILE=/nowhere"}, []string{"decide", "--approve", "1", "--config", w.config}, []string{"MRGATE_GITLAB_TOKEN_FILE", "/nowhere"}},
		"rules without a file":  {nil, []string{"rules"}, []string{"rules", "--config"}},
		"a bad moment":          {nil, []string{"rules", "--config", w.config, "--at", "yesterday"}, []string{"--at", "yesterday", "2026-10-01"}},
		"a check and more":      {nil, []string{"rules", "--check", w.config, "--project", "a/b"}, []string{"--check", "--project"}},
		"a bad duration":        {nil, []string{"decide", "--approve", "1", "--config", w.config, "--timeout", "soon"}, []string{"--timeout", "soon"}},
		"no such config":        {nil, []string{"decide", "--approve", "1", "--config", "/nowhere.yaml"}, []string{"/nowhere.yaml"}},
		"an unknown key":        {nil, []string{"decide", "--approve", "1", "--config", file("unknown.yaml", policyText+"aprovers: []\n")}, []string{"unknown.yaml:10:1", "aprovers"}},
		"a second document":     {nil, []string{"decide", "--approve", "1", "--config", file("second.yaml", policyText+"---\nlocale: zh\n")}, []string{"second.yaml:10:"}},
		"a signing token":       {[]string{"MRGATE_GITLAB_SIGNING_TOKEN=not-a-token"}, []string{"serve-callback", "--config", w.config, "--db", w.db, "--listen", "127.0.0.1:0"}, []string{"signing"}},
		"a bad address":         {nil, []string{"serve-callback", "--config", w.config, "--db", w.db, "--listen", "nonsense"}, []string{"--listen", "nonsense"}},
		"unreachable by clicks": {[]string{"MRGATE_FEISHU_VERIFICATION_TOKEN="}, []string{"serve-callback", "--config", w.config, "--db", w.db}, []string{"feishu-verification-token"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.run(c.env, c.args...)
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			if r.code != 2 || len(lines) != 1 || r.stdout != "" || !strings.HasPrefix(lines[0], "mrgate: ") {
				t.Errorf("%+v, want exit 2 and one line", r)
			}
			for _, word := range c.says {
				if !strings.Contains(r.stderr, word) {
					t.Errorf("%q does not name %q", r.stderr, word)
				}
			}
			if strings.Contains(r.stderr, "not-a-token") {
				t.Errorf("a secret is shown: %s", r.stderr)
			}
		})
	}
	if n := len(w.gitlab.Calls()) + len(w.feishu.Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestPolicyThatWasMerelyFoundMayHoldNoSettings(t *testing.T) {
	w := newWorld(t)
	found := filepath.Join(w.dir, "mrgate.yaml")
	if err := os.WriteFile(found, []byte(policyText+"gitlab_url: https://evil.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.run(nil, "decide", "--approve", "1")
	if r.code != 2 || !strings.Contains(r.stderr, "mrgate.yaml:10:1") || !strings.Contains(r.stderr, "gitlab_url") {
		t.Errorf("found: %+v", r)
	}
	if r = w.run([]string{"MRGATE_GITLAB_URL="}, "notify", "--config", found, "--dry-run", "--event", "-"); strings.Contains(r.stderr, "gitlab_url") {
		t.Errorf("named: %+v", r)
	}
}

func TestUnknownVariableIsAWarning(t *testing.T) {
	w := newWorld(t)
	r := w.run([]string{"MRGATE_GITLAB_TOKN=x"}, "decide", "--approve", "4711", "--config", w.config, "--db", w.db)
	if !strings.Contains(r.stderr, "MRGATE_GITLAB_TOKN") || !strings.Contains(r.stderr, "warning") || r.code == 2 {
		t.Errorf("%+v", r)
	}
}

func TestNobodyIsHelpedWithACommandThatIsNotThere(t *testing.T) {
	for _, args := range [][]string{{"decied"}, {"help", "decied"}} {
		mrgate(t, t.TempDir(), nil, "", args...).refuses(t, 2, `there is no command "decied"`, "mrgate --help")
	}
	for _, args := range [][]string{{"help"}, {"help", "decide"}, {"help", "completion", "bash"}} {
		if o := mrgate(t, t.TempDir(), nil, "", args...); o.code != 0 || !strings.Contains(o.stdout, "Usage:") {
			t.Errorf("%q: exit %d, %s%s", args, o.code, o.stdout, o.stderr)
		}
	}
}

func TestHelpOfEveryCommandHasExamples(t *testing.T) {
	w := newWorld(t)
	for _, command := range []string{"notify", "serve-callback", "serve", "decide", "list", "show", "log", "rules", "doctor", "sandbox", "version"} {
		r := w.run(nil, command, "--help")
		if r.code != 0 || !strings.Contains(r.stdout, "Examples:") || r.stderr != "" {
			t.Errorf("%s --help: %+v", command, r)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := w.run(nil, "completion", shell); r.code != 0 || len(r.stdout) < 1000 {
			t.Errorf("completion %s: %d, %d bytes", shell, r.code, len(r.stdout))
		}
	}
}

func TestWhereThereIsNoDatabase(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{"list"}, {"show", "1"}, {"log"}, {"rules", "--at", "2026-10-01"}} {
		r := w.run(nil, append(args, "--db", w.db)...)
		if r.code != 1 || !strings.Contains(r.stderr, w.db) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
		if _, err := os.Stat(w.db); err == nil {
			t.Fatalf("%v made a database", args)
		}
	}
}
