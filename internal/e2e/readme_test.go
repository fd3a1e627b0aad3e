package e2e

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"mrgate/internal/feishusim"
)

func readPage(t testing.TB, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are the README and the docs, with Chinese ones or without.
func pages(t testing.TB, chinese bool) []string {
	t.Helper()
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(docs) == 0 {
		t.Fatalf("%d docs: %v", len(docs), err)
	}
	list := []string{"README.md", "README.zh-CN.md"}
	for _, path := range docs {
		list = append(list, "docs/"+filepath.Base(path))
	}
	return slices.DeleteFunc(list, func(p string) bool { return !chinese && strings.HasSuffix(p, ".zh-CN.md") })
}

// block is a fenced block of a page.
type block struct {
	language string
	text     string
	mark     string // the comment right before it
}

func blocks(text string) []block {
	var list []block
	var open *block
	mark, indent := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		switch {
		case open != nil && fence:
			list, open, mark = append(list, *open), nil, ""
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case fence:
			open = &block{language: strings.TrimPrefix(trimmed, "```"), mark: mark}
			indent = line[:len(line)-len(strings.TrimLeft(line, " "))]
		default:
			mark = ""
			if m := regexp.MustCompile(`^<!-- (.*) -->$`).FindStringSubmatch(trimmed); m != nil {
				mark = m[1]
			}
		}
	}
	return list
}

// commands are the lines of a page's sh blocks, with their block's mark.
func commands(text string) [][2]string {
	var list [][2]string
	for _, b := range blocks(text) {
		if b.language != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				list = append(list, [2]string{line, b.mark})
			}
		}
	}
	return list
}

// reader follows the pages: the settings are those that they have set, the policy is
// theirs, and the names of the example stand for the world's.
type reader struct {
	*world
	env map[string]string
	ran map[string]int
}

func (r *reader) environ() []string {
	env := []string{
		"PATH=" + filepath.Dir(binary(r.t)) + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "TZ=UTC", atOnce,
		"MRGATE_GITLAB_URL=" + r.gitlabURL, "MRGATE_FEISHU_URL=" + r.feishuURL, "MRGATE_DB=" + r.db,
	}
	for _, name := range slices.Sorted(maps.Keys(r.env)) {
		env = append(env, name+"="+r.env[name])
	}
	return env
}

// set takes an export as it is, but for what stands for something in the world.
func (r *reader) set(line string) {
	r.t.Helper()
	secret := map[string]string{
		"MRGATE_GITLAB_TOKEN_FILE": gitlabToken, "MRGATE_FEISHU_APP_SECRET_FILE": appSecret, "MRGATE_GITLAB_WEBHOOK_SECRET_FILE": webhookSecret,
		"MRGATE_FEISHU_VERIFICATION_TOKEN_FILE": verification, "MRGATE_FEISHU_ENCRYPT_KEY_FILE": "an encrypt key",
	}
	for _, word := range words(line)[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			r.t.Errorf("%s sets nothing", line)
		}
		if text, ok := secret[name]; ok {
			value = filepath.Join(r.dir, filepath.Base(value))
			if err := os.WriteFile(value, []byte(text+"\n"), 0o600); err != nil {
				r.t.Fatal(err)
			}
		} else if name == "MRGATE_FEISHU_APP_ID" {
			value = appID
		}
		r.env[name] = value
	}
}

// serve starts the listener that a line starts, sees that it does what the page says,
// and ends it.
func (r *reader) serve(line string) {
	r.t.Helper()
	args := words(strings.Replace(line, ":8080", ":0", 1))[2:]
	l := r.launch(r.environ(), append(args, "--sweep", "1s")...) // nobody should have to wait for a minute
	if slices.Contains(args, "--long-connection=false") {
		l.logs(`msg=listening for=public addr=(\S+)`)
	} else {
		l.logs("connected to Feishu: clicks arrive over the long connection")
	}
	dry := slices.Contains(args, "--dry-run")
	if dry {
		l.logs("the sweep finds what changes from now on") // what was open before is not asked about
		r.open()
	}
	if len(r.gitlab.Calls()) > 0 && r.mr(1).State == "opened" {
		r.eventually("Alice is asked as the page says", func() bool {
			return r.asks(r.alice, "approve") && strings.Contains(feishusim.PlainText(r.newest(r.alice).Card), dryLine) == dry
		})
	}
	l.stop()
}

// TestReadmesCommandsDoWhatTheySay follows README.md from its top to its end, and then
// the docs: each command runs, in this order, with what the page has set before it. One
// that cannot run here says why right before its block.
func TestReadmesCommandsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	readme := readPage(t, "README.md")
	example := strings.NewReplacer("payments/api!7", projectPath+"!1", "payments/api", projectPath, "payments/*", "acme/*")
	var policy, doctor string
	for _, b := range blocks(readme) {
		switch {
		case b.language == "yaml":
			policy = b.text
		case b.mark == "output of: mrgate doctor":
			doctor = b.text
		}
	}
	if n := strings.Count(policy, "\n"); n != 12 {
		t.Errorf("the policy of twelve lines has %d", n)
	}
	r := &reader{world: wellWorld(t, withPolicy(example.Replace(policy))), env: map[string]string{}, ran: map[string]int{}}
	config := filepath.Join(r.dir, "mrgate.yaml")
	if err := os.Rename(r.config, config); err != nil {
		t.Fatal(err)
	}
	r.config = config
	// What is done at the end is done without it.
	t.Cleanup(func() { _ = os.Remove(config) })
	for _, page := range pages(t, false) {
		for _, command := range commands(readPage(t, page)) {
			line, mark := command[0], command[1]
			if why, ok := strings.CutPrefix(mark, "not run: "); ok && len(why) > 10 {
				continue
			}
			line = example.Replace(line)
			switch {
			case mark == "ci: first" || mark == "ci: test":
				if !strings.Contains(readPage(t, ".ci/run"), "readme "+strings.TrimPrefix(mark, "ci: ")) {
					t.Errorf("%s: .ci/run does not run it", line)
				}
			case strings.HasPrefix(line, "export "):
				r.set(line)
			case strings.HasPrefix(line, "mrgate serve"):
				r.serve(line)
				r.ran["serve"]++
			default:
				cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
				var out, errs bytes.Buffer
				cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, r.environ(), &out, &errs
				if err := cmd.Run(); err != nil || out.Len() == 0 && !strings.HasPrefix(line, "mrgate list") {
					t.Errorf("%s: %s: %v\n%s%s", page, line, err, &out, &errs)
				}
				if strings.Contains(errs.String(), "warning") {
					t.Errorf("%s: %s warns:\n%s", page, line, &errs)
				}
				if strings.Contains(line, "--check") && !strings.Contains(readme, "`"+strings.TrimSpace(out.String())+"`") {
					t.Errorf("%s prints %q, and %s shows something else", line, &out, page)
				}
				if line == "mrgate doctor" && r.ran["doctor"] == 0 {
					if got, want := r.asInTheExample(out.String()), r.asInTheExample(doctor); got != want {
						t.Errorf("mrgate doctor prints\n%s\nthe README shows\n%s", got, want)
					}
				}
				r.ran[words(line)[1]]++
			}
		}
	}
	for _, command := range []string{"serve", "decide", "list", "show", "log", "doctor", "rules"} {
		if r.ran[command] == 0 {
			t.Errorf("no page shows mrgate %s", command)
		}
	}
	if state := r.mr(1).State; state != "merged" {
		t.Errorf("after decide --approve it is %s", state)
	}
}

// asInTheExample puts the example's names for the world's, and the same for what is
// different each time.
func (r *reader) asInTheExample(out string) string {
	out = strings.NewReplacer(
		r.gitlabURL, "https://gitlab.example.com", r.feishuURL, "https://open.feishu.cn", projectPath, "payments/api",
		filepath.Dir(r.db), "/var/lib/mrgate", appID, "cli_a1b2c3d4e5f6a7b8",
	).Replace(out)
	for pattern, same := range map[string]string{
		`\bou_[0-9a-f]{32}\b`: "ou_1", `policy [0-9a-f]{12}\b`: "policy 1", `\d+ [GMT]iB`: "1 GiB", `\b\d{4}-\d\d-\d\d\b`: "that day",
	} {
		out = regexp.MustCompile(pattern).ReplaceAllString(out, same)
	}
	return out
}

// words splits a command line at blanks outside quotes.
func words(line string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		list = append(list, m[1]+m[2]+m[3])
	}
	return list
}

// TestChinesePagesSayTheSame: the same sections, tables and blocks, and the same
// commands in them.
func TestChinesePagesSayTheSame(t *testing.T) {
	shape := func(text string) (shape []string) {
		for _, b := range blocks(text) {
			what := b.language + " " + b.mark
			if b.language == "sh" || b.language == "json" {
				what += "\n" + b.text
			}
			shape = append(shape, what)
		}
		inside := false
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inside = !inside
			}
			switch m := regexp.MustCompile(`^(#+) |^\|`).FindStringSubmatch(line); {
			case inside || m == nil:
			case m[1] != "":
				shape = append(shape, "heading "+m[1])
			default:
				shape = append(shape, "row")
			}
		}
		return shape
	}
	marks := regexp.MustCompile(`<!-- ci: .* -->\n`) // .ci/run reads the English page
	twins := 0
	for _, page := range pages(t, true) {
		english, ok := strings.CutSuffix(page, ".zh-CN.md")
		if !ok {
			continue
		}
		twins++
		zh, en := shape(readPage(t, page)), shape(marks.ReplaceAllString(readPage(t, english+".md"), ""))
		if !slices.Equal(zh, en) {
			t.Errorf("%s and %s.md differ:\n%q\n%q", page, english, zh, en)
		}
	}
	if twins < 2 {
		t.Errorf("only %d pages are there in Chinese", twins)
	}
}

// anchors are the fragments that lead to a page's headings, as GitHub and GitLab make
// them.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		found[slug] = true
	}
	return found
}

// TestLinksInsideHold: each link to a file of the root, or to a heading in one,
// leads there.
func TestLinksInsideHold(t *testing.T) {
	links := 0
	for _, page := range pages(t, true) {
		text := readPage(t, page)
		for _, m := range regexp.MustCompile(`(?:\]\(|src=")([^)"\s]+)[)"]`).FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "http") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !anchors(readPage(t, target))[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found", links)
	}
}

// TestPromisesNameTheirTests: each test that stands behind a promise is there, and
// both READMEs name the same.
func TestPromisesNameTheirTests(t *testing.T) {
	named := func(page string) []string {
		return regexp.MustCompile("`Test[A-Za-z]+`").FindAllString(readPage(t, page), -1)
	}
	english := named("README.md")
	if chinese := named("README.zh-CN.md"); !slices.Equal(english, chinese) || len(english) < 9 {
		t.Errorf("the READMEs name\n%q\n%q", english, chinese)
	}
	there := map[string]bool{}
	files, err := filepath.Glob("../*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			there["`"+m[1]+"`"] = true
		}
	}
	for _, name := range english {
		if !there[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}
