package gitlab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mrgate/internal/gate"
)

// FromCI reads the merge request of a merge request pipeline from the variables
// that GitLab gives its jobs, as os.Environ has them. ok says that this is a job
// of such a pipeline; where it is not, the error says what to do, and where it
// is, the error names the variable that is missing or malformed.
//
// docs.gitlab.com/ci/variables/predefined_variables, "Predefined variables for
// merge request pipelines". GitLab sets them only while the merge request is
// open. They do not tell its author: Author is empty, and Actor is who started
// the pipeline (who pushed, or pressed Run), who may be anybody. Titles,
// descriptions and names of branches are free text.
func FromCI(environ []string) (e Event, ok bool, err error) {
	v := readVariables(environ)
	if v.err != nil {
		return Event{}, false, v.err
	}
	if source := v.of["CI_PIPELINE_SOURCE"]; source != "merge_request_event" {
		return Event{}, false, v.elsewhere(source)
	}

	e.Ref = gate.Ref{
		Forge: Name,
		// CI_PROJECT_ID is the fork's where the pipeline runs in the fork.
		Project: v.id("CI_MERGE_REQUEST_PROJECT_ID"),
		Number:  v.id("CI_MERGE_REQUEST_IID"),
	}
	s := &e.Snapshot
	s.State = gate.ForgeOpen
	s.Path = v.must("CI_MERGE_REQUEST_PROJECT_PATH", "a path like group/project", isProjectPath)
	s.URL = v.must("CI_MERGE_REQUEST_PROJECT_URL", "a web address", func(text string) bool {
		return isWebAddress(text) && !strings.ContainsAny(text, "?#")
	})
	s.URL = fmt.Sprintf("%s/-/merge_requests/%d", strings.TrimRight(s.URL, "/"), e.Ref.Number)
	s.Title = v.must("CI_MERGE_REQUEST_TITLE", "", nil)
	s.Description = v.of["CI_MERGE_REQUEST_DESCRIPTION"] // since 16.7
	e.Cut = v.flag("CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED", false)
	s.Target = v.must("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "", nil)
	s.Head = v.head()
	s.Draft = v.flag("CI_MERGE_REQUEST_DRAFT", draftTitle(s.Title)) // since 17.10

	// These two are missing where the source project is gone
	// (app/models/merge_request.rb, source_project_variables).
	s.Source = v.of["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"]
	s.Fork = true
	if v.of["CI_MERGE_REQUEST_SOURCE_PROJECT_ID"] != "" {
		s.Fork = v.id("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != e.Ref.Project
	}

	e.Actor = gate.User{Username: v.of["GITLAB_USER_LOGIN"], Name: v.of["GITLAB_USER_NAME"]}
	if v.of["GITLAB_USER_ID"] != "" {
		e.Actor.ID = v.id("GITLAB_USER_ID")
	}
	if v.err != nil {
		return Event{}, true, v.err
	}
	return e, true, nil
}

// variables are GitLab's, and the first trouble with one.
type variables struct {
	of  map[string]string
	err error
}

// ciVariables are those that are read. Of the others nothing is asked.
func ciVariables() []string {
	return []string{
		"CI_COMMIT_SHA",
		"CI_MERGE_REQUEST_DESCRIPTION",
		"CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED",
		"CI_MERGE_REQUEST_DRAFT",
		"CI_MERGE_REQUEST_EVENT_TYPE",
		"CI_MERGE_REQUEST_IID",
		"CI_MERGE_REQUEST_PROJECT_ID",
		"CI_MERGE_REQUEST_PROJECT_PATH",
		"CI_MERGE_REQUEST_PROJECT_URL",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA",
		"CI_MERGE_REQUEST_SOURCE_PROJECT_ID",
		"CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
		"CI_MERGE_REQUEST_TITLE",
		"CI_OPEN_MERGE_REQUESTS",
		"CI_PIPELINE_SOURCE",
		"GITLAB_USER_ID",
		"GITLAB_USER_LOGIN",
		"GITLAB_USER_NAME",
	}
}

// readVariables takes out what this package reads. An empty one is a missing
// one. One that stands there twice, with different values, is refused: others
// would read the other one.
func readVariables(environ []string) *variables {
	v := &variables{of: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !slices.Contains(ciVariables(), name) {
			continue
		}
		if other, twice := v.of[name]; twice && other != value {
			v.wrong(name, "stands in the environment twice, with different values")
		}
		if !utf8.ValidString(value) {
			v.wrong(name, "is not valid UTF-8")
		}
		v.of[name] = value
	}
	return v
}

// wrong remembers the first trouble. Values are shown, but never whole texts.
func (v *variables) wrong(name, why string) {
	if v.err == nil {
		v.err = fmt.Errorf("%s %s", oneLine(name, 80), why)
	}
}

// must is a variable that GitLab always sets.
func (v *variables) must(name, want string, good func(string) bool) string {
	text := v.of[name]
	switch {
	case text == "":
		v.wrong(name, "is missing, which GitLab sets for the jobs of merge request pipelines while the merge request is open; pass it on to where mrgate runs")
	case good != nil && !good(text):
		v.wrong(name, fmt.Sprintf("is %q, which is not %s", oneLine(text, 100), want))
	}
	return text
}

func (v *variables) id(name string) int64 {
	n, _ := parseID(v.must(name, "a number as GitLab writes it", func(text string) bool {
		_, ok := parseID(text)
		return ok
	}))
	return n
}

func (v *variables) flag(name string, otherwise bool) bool {
	switch text := v.of[name]; text {
	case "":
		return otherwise
	case "true", "false":
		return text == "true"
	default:
		v.wrong(name, fmt.Sprintf("is %q, which is neither true nor false", oneLine(text, 100)))
		return otherwise
	}
}

// head is the merge request's head commit. In a merged-results pipeline or a
// merge train CI_COMMIT_SHA is a commit that GitLab has made for it, and the head
// has a variable of its own, which is empty in all others (Gitlab::Ci::Variables::
// Builder::Pipeline; gitlab-org/gitlab!26272).
func (v *variables) head() gate.CommitID {
	const want = "the full ID of a commit"
	good := func(text string) bool { return isCommitID(gate.CommitID(text)) }
	name := "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"
	if kind := v.of["CI_MERGE_REQUEST_EVENT_TYPE"]; v.of[name] == "" && kind != "merged_result" && kind != "merge_train" {
		name = "CI_COMMIT_SHA"
	}
	return gate.CommitID(v.must(name, want, good))
}

// elsewhere says what to do where this is no merge request pipeline.
func (v *variables) elsewhere(source string) error {
	if source == "" {
		return errors.New("this is no job of a GitLab pipeline, whose variables would name the merge request: name it with --event FILE, or with --project P --mr IID")
	}
	project, iid := v.of["CI_MERGE_REQUEST_PROJECT_PATH"], v.of["CI_MERGE_REQUEST_IID"] // a child of one has them
	if open := v.of["CI_OPEN_MERGE_REQUESTS"]; open != "" {                             // group/project!7,group/project!8
		project, iid, _ = strings.Cut(strings.Split(open, ",")[0], "!")
	}
	if _, ok := parseID(iid); !ok || !isProjectPath(project) {
		project, iid = "P", "IID"
	}
	return fmt.Errorf(`this is a pipeline of kind %q, and only the variables of a merge request pipeline name the merge request: give the job rules: [{if: '$CI_PIPELINE_SOURCE == "merge_request_event"'}], or name it with --project %s --mr %s`,
		oneLine(source, 40), project, iid)
}
