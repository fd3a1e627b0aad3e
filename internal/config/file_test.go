package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mrgate/internal/policy"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got: %s\nwant: %s", name, got, want)
	}
}

// sentinel stands in the fixtures wherever a secret would.
const sentinel = "SENTINEL"

func TestBadFilesAreRefusedOnOneLine(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) < 60 {
		t.Fatalf("%d fixtures, %v", len(names), err)
	}
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".yaml")
		t.Run(base, func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := parseFile(base+".yaml", data, false)
			if len(problems) == 0 {
				t.Fatal("accepted")
			}
			got := wrong(problems).Error()
			if lines := strings.Split(got, "\n"); len(lines) != len(problems) {
				t.Errorf("%d problems on %d lines: %q", len(problems), len(lines), got)
			}
			for i, p := range problems {
				if p.Line < 1 || p.Line > strings.Count(string(data), "\n")+1 || p.Column < 1 {
					t.Errorf("problem %d stands at %d:%d", i, p.Line, p.Column)
				}
			}
			if strings.Contains(got, sentinel) {
				t.Errorf("the secret is shown: %s", got)
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".golden", got+"\n")
		})
	}
}

func TestGoodFilesAreRead(t *testing.T) {
	yes, no := true, false
	full := policy.New()
	full.Rules = []policy.Rule{
		{
			Name:           "production",
			Projects:       []string{"payments/*", "47778247"},
			TargetBranches: []string{"main", "release/*"},
			Approvers: []policy.Identity{
				{Kind: policy.KindEmail, Value: "alice@example.com"},
				{Kind: policy.KindID, Value: "ou_7d8a6e6df7621556ce0d21922b676706"},
				{Kind: policy.KindMobile, Value: "+8613800138000"},
			},
			CardsTo:           []policy.Identity{{Kind: policy.KindGroup, Value: "oc_a0553eda9014c201e6969b478895c230"}},
			Required:          2,
			AllowSelfApproval: true,
			OnApprove:         policy.OnApproveApprove,
			OnReject:          policy.OnRejectComment,
			Merge:             policy.MergeOptions{Squash: &yes, RemoveSourceBranch: &no, WhenPipelineSucceeds: &yes},
			RequireReason:     true, Forks: true,
			CommitStatus: true,
			RemindAfter:  4 * time.Hour,
			ExpireAfter:  10 * 24 * time.Hour,
		},
		{
			Name:           "rule 2",
			Projects:       []string{"**"},
			TargetBranches: []string{"main"},
			Approvers:      []policy.Identity{{Kind: policy.KindEmail, Value: "carol@example.com"}},
			Required:       1,
			OnApprove:      policy.OnApproveMerge,
			OnReject:       policy.OnRejectClose,
			ExpireAfter:    policy.DefaultExpire,
		},
	}
	full.Users = map[string]policy.Identity{
		"bob":   {Kind: policy.KindEmail, Value: "bob@example.com"},
		"0123x": {Kind: policy.KindMobile, Value: "+8613800138001"},
		"47":    {Kind: policy.KindID, Value: "ou_1"},
	}
	full.UserEmail, full.AdoptCards, full.Note = "{username}@example.com", policy.AdoptTrust, policy.NoteOff
	full.OperatorDecisions, full.Locale = policy.OperatorDeny, policy.LocaleEN

	least := policy.New()
	r := policy.NewRule(1)
	r.Projects, r.TargetBranches = []string{"a/b"}, []string{"main"}
	r.Approvers = []policy.Identity{{Kind: policy.KindEmail, Value: "alice@example.com"}}
	least.Rules = []policy.Rule{r}
	windows := *least
	windows.Locale = policy.LocaleEN

	for name, want := range map[string]*policy.Policy{
		"full": full, "least": least, "windows": &windows, "empty": policy.New(), "comment": policy.New(),
	} {
		f, problems := readFile("testdata/good/"+name+".yaml", false)
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, wrong(problems))
			continue
		}
		if !reflect.DeepEqual(f.Policy, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, f.Policy.Text(), want.Text())
		}
	}
}

func TestExampleInTestdataIsGood(t *testing.T) {
	file, err := Check("../../testdata/mrgate.yaml")
	if err != nil || len(file.Warnings) > 0 {
		t.Fatal(err, file)
	}
	p := file.Policy
	rule := p.Match(policy.ProjectRef{ID: 1, Path: "acme/webhook"}, "main")
	if rule == nil || rule.Name != "production" || len(rule.Approvers) != 2 || p.Locale != policy.LocaleEN {
		t.Errorf("rule %+v of\n%s", rule, p.Text())
	}
	if who, ok := p.PersonOf(policy.GitLabUser{ID: 2, Username: "bob"}); !ok || who.Value != "bob@example.com" {
		t.Errorf("bob is %v, %v", who, ok)
	}
	if _, problems := readFile("../../testdata/mrgate.yaml", true); len(problems) > 0 {
		t.Errorf("it may not be found: %v", problems)
	}
}

func TestDigitsStayAsWritten(t *testing.T) {
	root, problems := parseTree("x.yaml", []byte("a: [+8613800138000, 0123, 0x1F, 1_000, 1.50, 12345678901234567890123, 1e3]\n007: x\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []string{"+8613800138000", "0123", "0x1F", "1_000", "1.50", "12345678901234567890123", "1e3"}
	for i, item := range root.get("a").items {
		if item.text != want[i] {
			t.Errorf("%q was read as %q", want[i], item.text)
		}
	}
	if root.get("007") == nil {
		t.Error("the key 007 is lost")
	}
}

func TestPolicyTextReadsBackAsTheSamePolicy(t *testing.T) {
	for _, name := range []string{"testdata/good/full.yaml", "testdata/good/least.yaml", "../../testdata/mrgate.yaml"} {
		f, err := Check(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePolicy(f.Policy.Text())
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, f.Policy.Text())
		}
		if p.Hash() != f.Policy.Hash() || !reflect.DeepEqual(p, f.Policy) {
			t.Errorf("%s: reads back as\n%s", name, p.Text())
		}
	}
	if _, err := ParsePolicy("rules: 7"); err == nil {
		t.Error("a text that is no policy's is one")
	}
}

func TestCheckWantsRules(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		"none.yaml":    "cannot be read: no such file or directory; check the name and who may read it",
		"no-rule.yaml": "holds no rules; add rules: with at least one",
		"large.yaml":   "is larger than 256 KiB; no policy is, so check the name",
		"long.yaml":    "the file goes on after 30000 keys and values; no policy needs more, so use globs or user_email instead of long lists",
		"wrong.yaml":   "980 more problems; mend these first",
	} {
		path := filepath.Join(dir, name)
		switch name {
		case "no-rule.yaml":
			write(t, path, "locale: en\n")
		case "large.yaml":
			write(t, path, strings.Repeat("# much\n", maxFile/7+1))
		case "long.yaml":
			write(t, path, strings.Repeat("a:\n", maxTokens/2+1))
		case "wrong.yaml":
			write(t, path, strings.Repeat("a:\n", 1001))
		}
		_, err := Check(path)
		var bad *Error
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), path+":") || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzConfig holds that no file makes the parser fall over, that whatever is
// refused is refused on lines of their own within the file, and that whatever
// is accepted is a policy that reads back from its own text.
func FuzzConfig(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "../../testdata/mrgate.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, problems := parseFile("f.yaml", data, false)
		for _, p := range problems {
			if s := p.String(); strings.ContainsAny(s, "\n\r\x1b") {
				t.Fatalf("not a line: %q", s)
			}
			if lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2; p.Line > lines {
				t.Fatalf("line %d of %d: %s", p.Line, lines, p)
			}
		}
		if len(problems) > 0 {
			return
		}
		again, problems := parseFile("text.yaml", []byte(got.Policy.Text()), true)
		if len(problems) > 0 {
			t.Fatalf("its text is refused: %v\n%s", problems, got.Policy.Text())
		}
		if a, b := fmt.Sprint(again.Policy.Text()), fmt.Sprint(got.Policy.Text()); a != b {
			t.Fatalf("its text reads back differently:\n%s\n%s", a, b)
		}
	})
}
