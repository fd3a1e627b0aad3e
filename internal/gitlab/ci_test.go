package gitlab_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
)

const (
	ciHead   = "856c10e99992733286ea5d2cb053ccb0a5eb789b"
	ciMerged = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd" // what GitLab makes of head and target
)

// job is what a job of a detached merge request pipeline finds, as
// docs.gitlab.com/ci/variables/predefined_variables describes it.
func job(change map[string]string) []string {
	all := map[string]string{
		"CI": "true", "GITLAB_CI": "true", "PATH": "/usr/bin", "CI_SERVER_URL": "https://gitlab.example.com",
		"CI_PIPELINE_SOURCE": "merge_request_event", "CI_PROJECT_ID": "47778247", "CI_PROJECT_PATH": "acme/webhook",
		"CI_COMMIT_SHA": ciHead, "CI_COMMIT_REF_NAME": "new", "CI_MERGE_REQUEST_ID": "900000007",
		"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "47778247", "CI_MERGE_REQUEST_PROJECT_PATH": "acme/webhook",
		"CI_MERGE_REQUEST_PROJECT_URL":        "https://gitlab.example.com/acme/webhook",
		"CI_MERGE_REQUEST_SOURCE_PROJECT_ID":  "47778247",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "new", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "", "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
		"CI_MERGE_REQUEST_TITLE": "add some random text", "CI_MERGE_REQUEST_DESCRIPTION": "goal",
		"CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED": "false", "CI_MERGE_REQUEST_DRAFT": "false",
		"GITLAB_USER_ID": "1091276", "GITLAB_USER_LOGIN": "bob", "GITLAB_USER_NAME": "Bob Chen", "GITLAB_USER_EMAIL": "bob@example.com",
	}
	maps.Copy(all, change)
	environ := []string{}
	for name, value := range all {
		environ = append(environ, name+"="+value)
	}
	slices.Sort(environ)
	return environ
}

func TestFromCI(t *testing.T) {
	got, ok, err := gitlab.FromCI(job(nil))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := gitlab.Event{
		Ref: gate.Ref{Forge: "gitlab", Project: 47778247, Number: 7}, Actor: gate.User{ID: 1091276, Username: "bob", Name: "Bob Chen"},
		Snapshot: gate.Snapshot{ // no author: who started the pipeline is not him
			Path: "acme/webhook", URL: "https://gitlab.example.com/acme/webhook/-/merge_requests/7", Title: "add some random text",
			Description: "goal", State: gate.ForgeOpen, Head: ciHead, Source: "new", Target: "main",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
}

// Every kind of merge request pipeline, old servers, and texts as people write them.
func TestFromCIOfEveryKind(t *testing.T) {
	sha256 := strings.Repeat("0f", 32)
	for name, c := range map[string]struct {
		change map[string]string
		good   func(e gitlab.Event) bool
	}{
		"merged results": {
			map[string]string{"CI_MERGE_REQUEST_EVENT_TYPE": "merged_result", "CI_COMMIT_SHA": ciMerged, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": ciHead},
			func(e gitlab.Event) bool { return e.Snapshot.Head == ciHead },
		},
		"merge train": {
			map[string]string{"CI_MERGE_REQUEST_EVENT_TYPE": "merge_train", "CI_COMMIT_SHA": ciMerged, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": ciHead},
			func(e gitlab.Event) bool { return e.Snapshot.Head == ciHead },
		},
		"SHA-256": {
			map[string]string{"CI_COMMIT_SHA": sha256},
			func(e gitlab.Event) bool { return string(e.Snapshot.Head) == sha256 },
		},
		"in the fork": {
			map[string]string{"CI_PROJECT_ID": "99", "CI_PROJECT_PATH": "bob/webhook", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "99"},
			func(e gitlab.Event) bool {
				return e.Snapshot.Fork && e.Ref.Project == 47778247 && e.Snapshot.Path == "acme/webhook"
			},
		},
		"of a fork that is gone": {
			map[string]string{"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": ""},
			func(e gitlab.Event) bool { return e.Snapshot.Fork },
		},
		"draft": {
			map[string]string{"CI_MERGE_REQUEST_DRAFT": "true"},
			func(e gitlab.Event) bool { return e.Snapshot.Draft },
		},
		"no draft by its title": {
			map[string]string{"CI_MERGE_REQUEST_TITLE": "Drafts: x"},
			func(e gitlab.Event) bool { return !e.Snapshot.Draft },
		},
		"draft of an old server": {
			map[string]string{"CI_MERGE_REQUEST_DRAFT": "", "CI_MERGE_REQUEST_TITLE": "Draft: x"},
			func(e gitlab.Event) bool { return e.Snapshot.Draft },
		},
		"cut": {
			map[string]string{"CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED": "true", "CI_MERGE_REQUEST_DESCRIPTION": "a\n\nb\n"},
			func(e gitlab.Event) bool { return e.Cut && e.Snapshot.Description == "a\n\nb\n" },
		},
		"no description": {
			map[string]string{"CI_MERGE_REQUEST_DESCRIPTION": "", "CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED": ""},
			func(e gitlab.Event) bool { return !e.Cut && e.Snapshot.Description == "" },
		},
		"below a path": {
			map[string]string{"CI_MERGE_REQUEST_PROJECT_URL": "https://example.com/git/lab/acme/webhook/"},
			func(e gitlab.Event) bool {
				return e.Snapshot.URL == "https://example.com/git/lab/acme/webhook/-/merge_requests/7"
			},
		},
		"free text": {
			map[string]string{
				"CI_MERGE_REQUEST_TITLE": `a=b "$(rm -rf /)" <at id=all></at> 🎉 {"x":1}`, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "a=b/$x",
				"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "release/ü;=", "GITLAB_USER_NAME": "Bob\n=Chen",
			},
			func(e gitlab.Event) bool {
				s := e.Snapshot
				return s.Title == `a=b "$(rm -rf /)" <at id=all></at> 🎉 {"x":1}` && s.Source == "a=b/$x" && s.Target == "release/ü;=" && e.Actor.Name == "Bob\n=Chen"
			},
		},
		"nobody started it": {
			map[string]string{"GITLAB_USER_ID": "", "GITLAB_USER_LOGIN": "", "GITLAB_USER_NAME": ""},
			func(e gitlab.Event) bool { return e.Actor == gate.User{} },
		},
	} {
		e, ok, err := gitlab.FromCI(job(c.change))
		if err != nil || !ok || !c.good(e) || e.Snapshot.Author != (gate.User{}) || e.Check() != nil {
			t.Errorf("%s: %v, %v, %+v", name, ok, err, e)
		}
	}
}

// An error names the variable, and fits in one line.
func TestFromCIWithBadValues(t *testing.T) {
	long := strings.Repeat("x\n\x1b[31m", 10_000)
	for _, c := range []struct {
		name   string
		values []string
	}{
		{"CI_MERGE_REQUEST_PROJECT_ID", []string{"", "0", "-1", "+1", "007", "1.0", "1e3", " 7", "7\n", "99999999999999999999", "acme/webhook", "٧", long}},
		{"CI_MERGE_REQUEST_IID", []string{"", "0", "-7", "!7", "0x7", "7 ", long}},
		{"CI_MERGE_REQUEST_SOURCE_PROJECT_ID", []string{"0", "-1", "x", long}},
		{"GITLAB_USER_ID", []string{"0", "-1", "bob", long}},
		{"CI_MERGE_REQUEST_PROJECT_PATH", []string{"", "webhook", "/acme/webhook", "acme/webhook/", "acme//webhook", "acme/../webhook", "acme/web hook", "acme/-/webhook", "acme/webhook!7", "acme/*", long}},
		{"CI_MERGE_REQUEST_PROJECT_URL", []string{"", "gitlab.example.com/acme/webhook", "javascript:alert(1)//x/acme", "ftp://x/y", "https://", "https://a:b@x/y", "https://x/y?z", "https://x/y#z", "https://x y/", long}},
		{"CI_MERGE_REQUEST_TITLE", []string{""}},
		{"CI_MERGE_REQUEST_TARGET_BRANCH_NAME", []string{"", "\xff"}},
		{"CI_COMMIT_SHA", []string{"", ciHead[:8], ciHead + "0", strings.ToUpper(ciHead), strings.Repeat("g", 40), "HEAD", " " + ciHead[1:], strings.Repeat("0", 64)[1:], long}},
		{"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", []string{ciHead[:8], "HEAD", long}},
		{"CI_MERGE_REQUEST_DRAFT", []string{"True", "1", "yes", long}},
		{"CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED", []string{"1", long}},
	} {
		for _, value := range c.values {
			e, _, err := gitlab.FromCI(job(map[string]string{c.name: value}))
			switch {
			case err == nil || !strings.HasPrefix(err.Error(), c.name+" "):
				t.Errorf("%s=%.40q: %v, %+v", c.name, value, err, e)
			case strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400:
				t.Errorf("%s=%.40q: %.500q", c.name, value, err)
			case cmp.Diff(gitlab.Event{}, e) != "":
				t.Errorf("%s: an error and an event", c.name)
			}
		}
	}
	// A commit that GitLab made is nobody's head.
	for _, kind := range []string{"merged_result", "merge_train"} {
		if _, ok, err := gitlab.FromCI(job(map[string]string{"CI_MERGE_REQUEST_EVENT_TYPE": kind})); !ok || err == nil || !strings.HasPrefix(err.Error(), "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA is missing") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	twice := append(job(nil), "CI_MERGE_REQUEST_IID=8")
	if _, _, err := gitlab.FromCI(twice); err == nil || !strings.HasPrefix(err.Error(), "CI_MERGE_REQUEST_IID stands") {
		t.Errorf("twice: %v", err)
	}
	if _, ok, err := gitlab.FromCI(append(job(nil), "CI_MERGE_REQUEST_IID=7", "X=\xff", "=C:=C:\\", "nothing", "")); err != nil || !ok {
		t.Errorf("twice the same: %v", err)
	}
}

// What to do where the variables name no merge request.
func TestFromCIElsewhere(t *testing.T) {
	const rule = `if: '$CI_PIPELINE_SOURCE == "merge_request_event"'`
	for name, c := range map[string]struct {
		environ []string
		says    []string
	}{
		"no environment": {nil, []string{"--event FILE", "--project P --mr IID"}},
		"no CI":          {[]string{"HOME=/root", "CI_MERGE_REQUEST_IID=7"}, []string{"no job"}},
		"a branch": {
			[]string{"GITLAB_CI=true", "CI_PIPELINE_SOURCE=push"},
			[]string{`"push"`, rule, "--project P --mr IID"},
		},
		"a branch with merge requests": {
			[]string{"CI_PIPELINE_SOURCE=push", "CI_OPEN_MERGE_REQUESTS=acme/sub/webhook!17,acme/webhook!8"},
			[]string{rule, "--project acme/sub/webhook --mr 17"},
		},
		"a branch with rubbish": {
			[]string{"CI_PIPELINE_SOURCE=web", "CI_OPEN_MERGE_REQUESTS=a/b!7; rm -rf /"},
			[]string{rule, "--project P --mr IID"},
		},
		"a child pipeline": {job(map[string]string{"CI_PIPELINE_SOURCE": "parent_pipeline"}), []string{`"parent_pipeline"`, "--project acme/webhook --mr 7"}},
		"another case":     {job(map[string]string{"CI_PIPELINE_SOURCE": "Merge_Request_Event"}), []string{rule}},
		"endless":          {[]string{"CI_PIPELINE_SOURCE=" + strings.Repeat("\n\x1b", 10_000)}, []string{rule}},
	} {
		e, ok, err := gitlab.FromCI(c.environ)
		if ok || err == nil || e.Ref != (gate.Ref{}) {
			t.Errorf("%s: %v, %v, %+v", name, ok, err, e)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in %v", name, text, err)
			}
		}
		if len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: %.600q", name, err)
		}
	}
}

func FuzzCI(f *testing.F) {
	names := []string{
		"CI_PIPELINE_SOURCE", "CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_PATH", "CI_MERGE_REQUEST_PROJECT_URL",
		"CI_MERGE_REQUEST_TITLE", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CI_COMMIT_SHA", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "CI_MERGE_REQUEST_EVENT_TYPE",
		"CI_MERGE_REQUEST_DRAFT", "GITLAB_USER_ID", "CI_OPEN_MERGE_REQUESTS",
	}
	f.Add(uint(0), "push", uint(12), "a/b!7")
	f.Add(uint(1), "-7", uint(2), "7")
	f.Add(uint(7), ciMerged, uint(9), "merge_train")
	f.Add(uint(3), "a/..", uint(4), "https://x\n")
	f.Add(uint(5), "Draft: \xff", uint(10), "")
	f.Fuzz(func(t *testing.T, one uint, a string, two uint, b string) {
		change := map[string]string{names[one%uint(len(names))]: a, names[two%uint(len(names))]: b}
		e, ok, err := gitlab.FromCI(job(change))
		switch {
		case err != nil:
			if e.Ref != (gate.Ref{}) || strings.ContainsAny(err.Error(), "\r\n\x1b") || len(err.Error()) > 2000 {
				t.Errorf("%+v, %q", e, err)
			}
		case !ok:
			t.Errorf("no reason: %q", change)
		default:
			if err := e.Check(); err != nil || e.Snapshot.Author.ID != 0 {
				t.Errorf("%v: %+v", err, e)
			}
			if want := fmt.Sprintf("/-/merge_requests/%d", e.Ref.Number); !strings.HasSuffix(e.Snapshot.URL, want) {
				t.Errorf("address %q", e.Snapshot.URL)
			}
		}
	})
}
