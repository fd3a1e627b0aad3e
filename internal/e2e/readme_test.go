package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shellLines are the commands of a page's sh blocks.
func shellLines(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(string(block[1])), "\n")...)
	}
	return lines
}

// TestReadmesCommandsDoWhatTheySay runs every command of the README, with the
// example's names put in place of a user's own. Its first two are .ci/run's.
func TestReadmesCommandsDoWhatTheySay(t *testing.T) {
	lines := shellLines(t, "README.md")
	if chinese := shellLines(t, "README.zh-CN.md"); !slices.Equal(lines, chinese) {
		t.Errorf("the two READMEs show other commands:\n%q\n%q", lines, chinese)
	}
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "mrgate.yaml"), []byte(policyText), 0o600); err != nil {
		t.Fatal(err)
	}
	mr := w.open()
	w.eventually("GitLab has prepared it", func() bool { return w.mr(mr.IID).Status != "preparing" })
	ran := map[string]bool{}
	for _, line := range lines {
		if !strings.HasPrefix(line, "mrgate ") {
			continue // go run, go test, export: see .ci/run and world.environ
		}
		line = strings.NewReplacer("payments/api!7", projectPath+"!1", " --gitlab-url https://gitlab.example.com", "").Replace(line)
		args := words(line)[1:]
		ran[args[0]] = true
		if args[0] == "serve-callback" {
			l := w.start()
			l.stop()
			continue
		}
		r := w.run(w.pipeline(mr, "detached"), args...)
		if r.code != 0 || r.stdout == "" && args[0] != "list" {
			t.Errorf("%s: %+v", line, r)
		}
	}
	for _, command := range []string{"serve-callback", "notify", "decide", "list", "show", "log", "doctor"} {
		if !ran[command] {
			t.Errorf("the README does not show mrgate %s", command)
		}
	}
	if w.mr(mr.IID).State != "merged" {
		t.Errorf("after decide --approve it is %s", w.mr(mr.IID).State)
	}
}

// words splits a command line at blanks outside quotes.
func words(line string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		list = append(list, m[1]+m[2]+m[3])
	}
	return list
}
