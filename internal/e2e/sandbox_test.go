package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSandboxTellsTheWholeStory: one command, with nothing set up, in seconds.
// What is set up for a real installation, it does not touch.
func TestSandboxTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	record := filepath.Join(w.dir, "bodies")
	if err := os.WriteFile(filepath.Join(w.dir, "mrgate.yaml"), []byte("rules: nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := w.run([]string{"MRGATE_LOCALE=zh", "MRGATE_FEISHU_URL=https://open.feishu.example", "MRGATE_DRY_RUN=true", "MRGATE_NONSENSE=1", "TMPDIR=" + t.TempDir()},
		"sandbox", "--script", "--record", record)
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("exit %d, %s\n%s", o.code, o.stderr, o.stdout)
	}
	for _, want := range []string{
		"Bob opens a merge request", "Dave presses “Approve and merge”", "You are not an approver", "merges !1 at commit", "Merged · acme/payments !1",
		"Bob reads why", "Retry", "kill -9", "as mrgate wrote it", "Every promise was kept",
	} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("the story does not tell %q", want)
		}
	}
	if t.Failed() {
		t.Logf("the story:\n%s", o.stdout)
	}
	if strings.Contains(o.stdout, "\x1b") {
		t.Error("it is coloured although nobody looks at it")
	}
	if n := len(w.gitlab.Calls()) + len(w.feishu.Calls()); n != 0 {
		t.Errorf("%d calls went to what the environment names", n)
	}
	bodies, err := filepath.Glob(filepath.Join(record, "*.json"))
	if err != nil || len(bodies) < 100 {
		t.Fatalf("%d bodies were recorded, %v", len(bodies), err)
	}
	secret := regexp.MustCompile(`glpat-|hook-[0-9a-f]{24}|app-[0-9a-f]{24}|verification-[0-9a-f]{24}|"token":"c-|"tenant_access_token":"t-`)
	for _, name := range append(bodies, filepath.Join(record, "index.txt")) {
		body, err := os.ReadFile(name)
		if err != nil || len(body) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		}
		if found := secret.Find(body); found != nil {
			t.Errorf("%s holds a secret, %s…", name, found)
		}
	}
}
