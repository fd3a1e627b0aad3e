package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/policy"
	"mrgate/internal/sqlite"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve-callback" || os.Args[1] == "log") { // a sandbox started it as mrgate
		os.Exit(Run(context.Background(), os.Args[1:], OS()))
	}
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

// past is a database that a gate has worked on, in a bubble where time takes no
// time: it begins at midnight, UTC, before 2000-01-01.
type past struct {
	*testing.T
	dir    string
	forge  *gatetest.FakeForge
	chat   *gatetest.FakeChat
	policy *policy.Policy
	gate   *gate.Gate
	store  *sqlite.Store
}

// inPast runs f with a gate at work. What f changes in the policy before the first
// look counts.
func inPast(t *testing.T, f func(p *past)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &past{T: t, dir: dir, forge: gatetest.NewForge(), chat: gatetest.NewChat(), policy: policy.New()}
		p.policy.Locale = policy.LocaleEN
		r := policy.NewRule(1)
		r.Name, r.Projects, r.TargetBranches = "production", []string{"**"}, []string{"**"}
		r.AllowSelfApproval = true // the authors are nobody's
		r.ExpireAfter = 100 * 24 * time.Hour
		r.Approvers = []policy.Identity{email("alice"), email("zhang")}
		r.CardsTo = []policy.Identity{email("alice")} // one message at a time: the log's order is then always the same
		p.policy.Rules = []policy.Rule{r}
		p.chat.AddPerson("Alice", "alice@example.com", "")
		p.chat.AddPerson("张伟", "zhang@example.com", "")
		f(p)
	})
}

func email(name string) policy.Identity {
	return policy.Identity{Kind: policy.KindEmail, Value: name + "@example.com"}
}

func (p *past) start() (stop func()) {
	p.Helper()
	var err error
	if p.store, err = sqlite.Open(p.Context(), filepath.Join(p.dir, "mrgate.db"), sqlite.Options{}); err != nil {
		p.Fatal(err)
	}
	p.gate = gate.New(gate.Parts{
		Forge: p.forge, Chat: p.chat, Store: p.store, Policy: p.policy, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.gate.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			p.Error(err)
		}
		if err := p.store.Close(); err != nil {
			p.Error(err)
		}
	}
}

func (p *past) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// open opens a merge request in GitLab and has the gate look at it.
func (p *past) open(s gate.Snapshot) gate.Ref {
	p.Helper()
	ref := p.forge.Open(s)
	p.look(ref)
	return ref
}

func (p *past) look(ref gate.Ref) {
	p.Helper()
	if _, err := p.gate.Look(p.Context(), gate.Hint{Ref: ref, Path: "payments/api"}); err != nil {
		p.Fatal(err)
	}
	p.wait(time.Minute)
}

// click presses a button of the newest card at Alice.
func (p *past) click(action gate.ActionID, text string) {
	p.Helper()
	all := p.chat.Messages()
	m := all[len(all)-1]
	by := gate.Person{ID: m.To.ID, Name: "Alice"}
	if a := p.gate.Click(p.Context(), m.Click(action, by, text)); a.Kind != gate.AnswerOK {
		p.Fatalf("answer: %+v", a)
	}
	p.wait(time.Minute)
}

// story has something of every kind happen.
func (p *past) story() {
	stop := p.start()
	defer stop()
	p.open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
	p.click(gate.ActionApprove, "well done")
	p.wait(3 * time.Hour)

	p.open(gate.Snapshot{Path: "payments/api", Title: "为支付接口添加重试", Author: gate.User{ID: 12, Username: "lilei", Name: "李雷"}})
	p.click(gate.ActionReject, "周五不要")
	p.wait(50 * time.Minute)

	ref := p.open(gate.Snapshot{Path: "web/shop", Title: "Cart\x1b[31m\u202Egnp\n2nd line", Source: "cart", Target: "release/2.0"})
	p.wait(10 * time.Minute)
	p.forge.Push(ref)
	p.look(ref)
	p.forge.SetConflict(ref, true)
	p.click(gate.ActionApprove, "")

	p.open(gate.Snapshot{Path: "web/shop", Title: "等待审批 (still waiting)", Target: "main"})
}

// run runs a command in the database's directory.
func (p *past) run(args ...string) (code int, stdout, stderr string) {
	return runIn(p.dir, []string{"TZ=UTC"}, args...)
}

func runIn(dir string, environ []string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(context.Background(), args, &Environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Environ: environ, Dir: dir})
	return code, out.String(), errs.String()
}

// prints runs a command that has to succeed and say nothing on stderr.
func (p *past) prints(args ...string) string {
	p.Helper()
	code, stdout, stderr := p.run(args...)
	if code != ExitDone || stderr != "" {
		p.Errorf("mrgate %s: exit %d, %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

func TestList(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		golden(t, "list.golden", p.prints("list"))
		golden(t, "list.json", p.prints("list", "--json"))
		for _, c := range []struct {
			args []string
			want string // the numbers
		}{
			{[]string{"--state", "pending"}, "5"},
			{[]string{"--state", "merged", "--state", "CLOSED"}, "2 1"},
			{[]string{"--state", "merged,blocked"}, "4 1"},
			{[]string{"--project", "payments/api"}, "2 1"},
			{[]string{"--project", "web/*", "--limit", "1", "--state", "blocked,superseded"}, "4"},
			{[]string{"--since", "2h"}, "5 4 3 2"},
			{[]string{"--older-than", "3h"}, "1"},
			{[]string{"--approver", "张伟"}, "5 4 3 2 1"},
			{[]string{"--approver", "Alice@example.com", "--limit", "0"}, "5 4 3 2 1"},
			{[]string{"--approver", "nobody"}, ""},
		} {
			code, stdout, stderr := p.run(append(append([]string{"list"}, c.args...), "--json")...)
			var items []item
			if err := json.Unmarshal([]byte(stdout), &items); err != nil || code != ExitDone {
				t.Fatalf("%v: exit %d, %v, %s", c.args, code, err, stdout)
			}
			var got []string
			for _, i := range items {
				got = append(got, fmt.Sprint(i.Request))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v: %v, want %s", c.args, got, c.want)
			}
			if c.want == "" && (stdout != "[]\n" || !strings.Contains(stderr, "no such request in "+p.dir)) {
				t.Errorf("%v: prints %q and says %q", c.args, stdout, stderr)
			}
		}
		if code, stdout, stderr := p.run("list", "--limit", "2"); code != ExitDone || strings.Count(stdout, "\n") != 3 || !strings.Contains(stderr, "--limit 0") {
			t.Errorf("two of five: exit %d, %q, %q", code, stdout, stderr)
		}
		if code, _, stderr := p.run("list", "--limit", "5"); code != ExitDone || stderr != "" {
			t.Errorf("five of five: exit %d, %q", code, stderr)
		}
	})
}

func TestReadersRefuse(t *testing.T) {
	dir := t.TempDir()
	notADatabase := filepath.Join(dir, "mrgate.yaml.db")
	if err := os.WriteFile(notADatabase, []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "mrgate.db")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"list"}, ExitFailed, "mrgate: there is no database at " + db + "; name the listener's by --db or MRGATE_DB\n"},
		{[]string{"show", "1"}, ExitFailed, "mrgate: there is no database at " + db + "; name the listener's by --db or MRGATE_DB\n"},
		{[]string{"log"}, ExitFailed, "mrgate: there is no database at " + db + "; name the listener's by --db or MRGATE_DB\n"},
		{[]string{"list", "--db", "mrgate.yaml.db"}, ExitFailed, "it is not an SQLite database"},
		{[]string{"list", "--state", "open"}, ExitUsage, `there is no state "open"; the states are pending, approved, blocked, merged, `},
		{[]string{"list", "--since", "yesterday"}, ExitUsage, `--since: "yesterday" is not a duration`},
		{[]string{"list", "--limit", "-1"}, ExitUsage, `--limit: "-1" is not a number`},
		{[]string{"list", "--project", "pay*/api"}, ExitUsage, `--project "pay*/api" is no project`},
		{[]string{"list", "payments/api"}, ExitUsage, `list: "payments/api" is one argument too many; write it as 'mrgate list [flags]', see 'mrgate list --help'`},
		{[]string{"show"}, ExitUsage, "show: REF is missing; write it as 'mrgate show REF [flags]', see 'mrgate show --help'"},
		{[]string{"decide", "--approve", "payments/api"}, ExitUsage, `"payments/api" names no merge request`},
		{[]string{"decide", "--approve"}, ExitUsage, "no merge request is named"},
		{[]string{"show", "1a2b3c"}, ExitUsage, `"1a2b3c" names no request; give its number, group/project!7, a merge request's URL, or 8 or more digits of a commit`},
		{[]string{"show", "https://gitlab.example.com/payments/api"}, ExitFailed, "there is no database"},
		{[]string{"log", "1a2b3c4d"}, ExitUsage, `names no merge request`},
	} {
		code, stdout, stderr := runIn(dir, nil, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("mrgate %s: exit %d, stdout %q, stderr %q; want %d and %q", strings.Join(c.args, " "), code, stdout, stderr, c.code, c.says)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReadersNeedNoWriting(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		before, err := os.ReadFile(filepath.Join(p.dir, "mrgate.db"))
		if err != nil {
			t.Fatal(err)
		}
		p.prints("list")
		p.prints("show", "1")
		p.prints("log")
		after, err := os.ReadFile(filepath.Join(p.dir, "mrgate.db"))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("the database was changed: %v", err)
		}
	})
}

func TestListWhileAListenerRuns(t *testing.T) {
	inPast(t, func(p *past) {
		stop := p.start()
		defer stop()
		p.open(gate.Snapshot{Title: "Add retries"})
		if got := p.prints("list", "--state", "pending"); !strings.Contains(got, "Add retries") {
			t.Errorf("prints %q", got)
		}
		p.click(gate.ActionApprove, "")
		if got := p.prints("list", "--state", "merged"); !strings.Contains(got, "Add retries") {
			t.Errorf("prints %q", got)
		}
	})
}

func TestStateNamesAreAll(t *testing.T) {
	for _, m := range gate.Moves() {
		for _, s := range []gate.State{m.From, m.To} {
			if !slices.Contains(stateNames(), string(s)) {
				t.Errorf("%s is missing", s)
			}
		}
	}
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"list", "show", "log"} {
		code, stdout, _ := runIn(t.TempDir(), nil, name, "--help")
		if code != ExitDone || !strings.Contains(stdout, "Examples:\n  mrgate "+name) || !strings.Contains(stdout, "--db file") {
			t.Errorf("mrgate %s --help: exit %d\n%s", name, code, stdout)
		}
		for line := range strings.Lines(stdout) {
			if strings.Contains(line, "--limit number") && name == "list" && !strings.Contains(line, "default 50") {
				t.Errorf("help: %s", line)
			}
		}
	}
}
