package cli

import (
	"strings"
	"testing"
)

func TestListenerNamesAllThatIsMissing(t *testing.T) {
	code, stdout, stderr := runIn(t.TempDir(), nil, "serve", "--long-connection")
	for _, says := range []string{"gitlab-token is missing; ", "feishu-app-id is missing; ", "feishu-app-secret is missing; ", "there is no policy"} {
		if !strings.Contains(stderr, "mrgate: serve-callback: "+says) {
			t.Errorf("it does not say that %s:\n%s", says, stderr)
		}
	}
	if code != ExitUsage || stdout != "" || strings.Count(stderr, "\n") != 4 {
		t.Errorf("exit %d, stdout %q, stderr:\n%s", code, stdout, stderr)
	}
}
