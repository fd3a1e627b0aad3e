package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mrgate/internal/feishusim"
)

const root = "../.."

// preview is what notify --dry-run prints (DESIGN §1).
type preview struct {
	Request struct {
		Project, Title, Author, URL, Head, Source, Target, Rule string
		IID                                                     int
		ProjectID                                               int64 `json:"project_id"`
		Required                                                int
	}
	Messages []struct {
		To   struct{ Type, ID string }
		Card json.RawMessage
	}
}

// previewCommand shows what would be sent about a webhook's body.
func previewCommand() []string {
	return strings.Fields("notify --dry-run --event testdata/gitlab/merge_request_open.json --config testdata/mrgate.yaml")
}

// environWithoutSettings is this process's, without what mrgate would read.
func environWithoutSettings() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MRGATE_") || strings.HasPrefix(v, "CI_") || strings.HasPrefix(v, "LD_")
	})
}

// tellsOfTheFixture checks what was printed about testdata/gitlab/merge_request_open.json.
func tellsOfTheFixture(t *testing.T, o outcome) {
	t.Helper()
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("exit %d, stderr %q", o.code, o.stderr)
	}
	p := decode[preview](t, []byte(o.stdout))
	r := p.Request
	for _, c := range []struct{ what, got, want string }{
		{"project", r.Project, "acme/webhook"},
		{"title", r.Title, "add some random text"},
		{"author", r.Author, "bob"},
		{"commit", r.Head, "856c10e99992733286ea5d2cb053ccb0a5eb789b"},
		{"link", r.URL, "https://gitlab.com/acme/webhook/-/merge_requests/7"},
		{"source", r.Source, "new"},
		{"target", r.Target, "main"},
		{"rule", r.Rule, "production"},
	} {
		if c.got != c.want {
			t.Errorf("%s %q, want %q", c.what, c.got, c.want)
		}
	}
	if r.IID != 7 || r.ProjectID != 47778247 || r.Required != 1 {
		t.Errorf("!%d of project %d, %d required", r.IID, r.ProjectID, r.Required)
	}
	var to []string
	for _, m := range p.Messages {
		to = append(to, m.To.Type+" "+m.To.ID)
		if err := feishusim.CheckCard(string(m.Card)); err != nil {
			t.Errorf("Feishu would refuse the card to %s: %v\n%s", m.To.ID, err, m.Card)
		}
		text := feishusim.PlainText(string(m.Card))
		for _, want := range []string{"acme/webhook !7", "add some random text", "856c10e9"} {
			if !strings.Contains(text, want) {
				t.Errorf("the card to %s lacks %q:\n%s", m.To.ID, want, text)
			}
		}
		if !slices.ContainsFunc(feishusim.Links(string(m.Card)), func(l string) bool { return strings.HasPrefix(l, r.URL) }) {
			t.Errorf("the card to %s does not lead to %s", m.To.ID, r.URL)
		}
		decides := strings.Contains(string(m.Card), `"callback"`)
		if approver := m.To.ID != "bob@example.com"; decides != approver {
			t.Errorf("the card to %s can be decided on: %t, want %t", m.To.ID, decides, approver)
		}
	}
	slices.Sort(to)
	if want := []string{"email alice@example.com", "email bob@example.com", "email carol@example.com"}; !slices.Equal(to, want) {
		t.Errorf("messages to %v, want %v", to, want)
	}
}

func TestPreviewShowsWhatWouldBeSent(t *testing.T) {
	t.Parallel()
	tellsOfTheFixture(t, command(t, root, environWithoutSettings(), "", binary(t), previewCommand()...))
}

func TestPreviewNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	unshare := withoutNetwork(t)
	if unshare == nil {
		return
	}
	args := append(unshare[1:], binary(t))
	args = append(args, previewCommand()...)
	tellsOfTheFixture(t, command(t, root, environWithoutSettings(), "", unshare[0], args...))
}

// withoutNetwork is a prefix that runs a command where there is no network. Where
// the machine has none, the test is skipped, but in CI it fails.
func withoutNetwork(t *testing.T) []string {
	t.Helper()
	for _, try := range [][]string{{"unshare", "-n"}, {"unshare", "-rn"}} {
		o := command(t, root, os.Environ(), "", "sh", "-c", strings.Join(try, " ")+" cat /proc/net/dev 2>&1")
		interfaces := 0
		for line := range strings.Lines(o.stdout) {
			if name, _, ok := strings.Cut(line, ":"); ok && !strings.Contains(name, "|") && strings.TrimSpace(name) != "lo" {
				interfaces++
			}
		}
		if o.code == 0 && interfaces == 0 && strings.Contains(o.stdout, "lo:") {
			return try
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("unshare cannot take the network away; CI has to be able to")
	}
	t.Skip("SKIPPED, NOT SHOWN: unshare cannot take the network away on this machine")
	return nil
}

// event is the fixture with some text replaced.
func event(t testing.TB, replace ...string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(root, "testdata/gitlab/merge_request_open.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(body), replace[i]) {
			t.Fatalf("the fixture has no %s", replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(body))
}

// policyFile writes a policy and gives its directory and name.
func policyFile(t testing.TB, text string) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	name = filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, name
}

func TestPreviewOfWhatNoRuleCoversSaysSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, says string }{
		{"another project", event(t, `"id": 47778247`, `"id": 1`, "acme/webhook", "other/thing"), "no rule"},
		{"another branch", event(t, `"target_branch": "main"`, `"target_branch": "playground"`), "playground"},
		{"a draft", event(t, `"draft": false`, `"draft": true`), "draft"},
		{"closed", event(t, `"state": "opened"`, `"state": "closed"`), "closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, policy := policyFile(t, policyText)
			mrgate(t, dir, nil, c.body, "notify", "--dry-run", "--event", "-", "--config", policy).refuses(t, 0, c.says)
		})
	}
}

func TestPreviewWithoutPolicyIsAMistakeInUse(t *testing.T) {
	t.Parallel()
	dir, policy := policyFile(t, "locale: en\n")
	for name, args := range map[string][]string{
		"no config file":            {"notify", "--dry-run", "--event", "-"},
		"a config file of no rules": {"notify", "--dry-run", "--event", "-", "--config", policy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mrgate(t, t.TempDir(), nil, event(t), args...).refuses(t, 2, "--config")
		})
	}
	t.Run("a config file that is not there", func(t *testing.T) {
		t.Parallel()
		missing := filepath.Join(dir, "missing.yaml")
		mrgate(t, dir, nil, event(t), "notify", "--dry-run", "--event", "-", "--config", missing).refuses(t, 2, missing)
	})
}

func TestPreviewOfABrokenEventFailsInOneLine(t *testing.T) {
	t.Parallel()
	dir, policy := policyFile(t, policyText)
	for _, c := range []struct{ name, body string }{
		{"empty", ""},
		{"cut off", event(t)[:700]},
		{"two values", event(t) + "{}"},
		{"not JSON", "<html>502</html>"},
		{"null", "null"},
		{"a list", "[" + event(t) + "]"},
		{"another kind", event(t, `"object_kind": "merge_request"`, `"object_kind": "push"`)},
		{"doubled name", event(t, `"state": "opened"`, `"state": "opened", "state": "merged"`)},
		{"no number", event(t, `"iid": 7`, `"iid": null`)},
		{"number of another type", event(t, `"iid": 7`, `"iid": "7"`)},
		{"not UTF-8", event(t, "add some random text", "add \xff text")},
		{"commit that is none", event(t, "856c10e99992733286ea5d2cb053ccb0a5eb789b", "$(reboot)")},
		{"deeply nested", strings.Repeat(`{"object_attributes":`, 20000) + "1" + strings.Repeat("}", 20000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mrgate(t, dir, nil, c.body, "notify", "--dry-run", "--event", "-", "--config", policy).refuses(t, 1, "--event -")
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		t.Parallel()
		mrgate(t, dir, nil, "", "notify", "--dry-run", "--event", "nowhere.json", "--config", policy).refuses(t, 1, "nowhere.json")
	})
}
