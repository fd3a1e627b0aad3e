package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMergeRequestThatCannotBeReadNamesTheRemedy(t *testing.T) {
	knowsNone := httptest.NewServer(http.NotFoundHandler())
	defer knowsNone.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	dir := t.TempDir()
	policy := "rules:\n  - projects: [payments/*]\n    target_branches: [main]\n    approvers: [alice@example.com]\n"
	if err := os.WriteFile(filepath.Join(dir, "mrgate.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"notify", "--dry-run", "--project", "payments/api", "--mr", "7"},
		{"decide", "--dry-run", "--approve", "payments/api!7"},
	} {
		for address, says := range map[string]string{
			knowsNone.URL: ": find payments/api!7: not found; check the project and the number, and that the token's account is a member of the project\n",
			gone.URL:      ": GitLab cannot be read: nobody listens at " + strings.TrimPrefix(gone.URL, "http://") + "; check gitlab-url, and that the firewall",
		} {
			code, stdout, stderr := runIn(dir, []string{"MRGATE_GITLAB_URL=" + address, "MRGATE_GITLAB_TOKEN=glpat-1"}, command...)
			if code != ExitFailed || stdout != "" || !strings.HasPrefix(stderr, "mrgate: "+command[0]+says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("mrgate %s: exit %d, stdout %q, stderr %q; want %q", command[0], code, stdout, stderr, says)
			}
		}
	}
}
