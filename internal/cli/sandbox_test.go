package cli

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
	"mrgate/internal/sandbox"
)

// TestStoryFailsWhereAPromiseIsBroken: the story is no film. Where the outcome is
// another than was promised, it ends there, says which promise it was, and exits 1.
func TestStoryFailsWhereAPromiseIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*gitlabsim.Server, *feishusim.Server)
		says   []string
	}{
		"GitLab says that it merged, and did not": {
			func(gl *gitlabsim.Server, _ *feishusim.Server) {
				gl.Inject(gitlabsim.Fault{
					Method: http.MethodPut, PathSuffix: "/merge", Status: http.StatusOK,
					Body: `{"id":1,"iid":1,"project_id":47,"state":"merged","merge_commit_sha":"5c3e19a95c3e19a95c3e19a95c3e19a95c3e19a9"}`,
				})
			},
			[]string{"promise 5 is broken", "what was acknowledged will be done, once", "!1 was merged"},
		},
		"Feishu takes updates of cards, and forgets them": {
			func(_ *gitlabsim.Server, fs *feishusim.Server) {
				fs.Inject(feishusim.Fault{Method: http.MethodPatch, Body: `{"code":0,"msg":"success","data":{}}`})
			},
			[]string{"promise 6 is broken", "every card tells the truth", "the card of", "Approved, merging"},
		},
		"somebody merges another commit past mrgate": {
			func(gl *gitlabsim.Server, _ *feishusim.Server) {
				pushed := false
				gl.Hook(func(r *http.Request, p gitlabsim.Phase) {
					if p == gitlabsim.Arrived && strings.HasSuffix(r.URL.Path, "/approve") && !pushed {
						pushed = true
						gl.ForcePush(47, 1, gitlabsim.Commit{Title: "Something else"})
						gl.MergeByHand(47, 1, "bob")
					}
				})
			},
			[]string{"promise 2 is broken", "what was approved is what is merged"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := Run(context.Background(), []string{"sandbox", "--script"}, &Environment{
				Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Environ: os.Environ(),
				sandbox: func(o *sandbox.Options) { o.Break, o.Patience = c.breaks, 4*time.Second },
			})
			if code != ExitFailed {
				t.Errorf("exit code %d, want %d", code, ExitFailed)
			}
			for _, want := range c.says {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("it does not say %q but: %s", want, errs.String())
				}
			}
			if !strings.Contains(out.String(), "✗ promise") || strings.Contains(out.String(), "Every promise was kept") {
				t.Errorf("the story does not say so:\n%s", out.String())
			}
		})
	}
}

func TestSandboxRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"--locale", "fr"}, {"--scrpit"}, {"now"}} {
		code, stdout, stderr := runIn(t.TempDir(), nil, append([]string{"sandbox", "--script"}, args...)...)
		if code != ExitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, args[len(args)-1]) {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
