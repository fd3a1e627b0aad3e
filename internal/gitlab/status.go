package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"mrgate/internal/gate"
)

const (
	// statusName is what the status is called.
	statusName = "mrgate"
	// maxStatusText is the longest description, address and ref that GitLab takes
	// (docs.gitlab.com/api/commits, "Set commit pipeline status").
	maxStatusText = 255
)

// statusRef is the ref that the status of a merge request is given.
//
// GitLab adds a status to the newest pipeline of the commit and ref, and makes one
// (source: external) where there is none (app/services/ci/create_commit_status_service.rb).
// For the source branch that would be the merge request's own pipeline, or become
// it: CI would not be over before somebody decides, a rejection would turn it red,
// and where it was skipped the approval would make it green, which GitLab's
// "Pipelines must succeed" believes. So it gets a ref that no branch has. The
// pipelines of a merge request are those that were started for it, and those of its
// source branch (app/finders/ci/pipelines_for_merge_request_finder.rb): one of this
// ref is never its head pipeline. It also keeps apart two merge requests with the
// same head, and works for the head of a fork, which is in no branch here (without a
// ref, GitLab answers 404).
func statusRef(mr gate.Ref) string { return fmt.Sprintf("refs/merge-requests/%d/mrgate", mr.Number) }

type commitStatus struct {
	Status      string `json:"status"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Author      user   `json:"author"`
}

type statusOptions struct {
	State       string `json:"state"`
	Ref         string `json:"ref"`
	Name        string `json:"name"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url,omitempty"`
}

// Status implements gate.Forge.
func (f *Forge) Status(ctx context.Context, mr gate.Ref, s gate.CommitStatus) error {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	opt := statusOptions{
		State: string(s.State), Ref: statusRef(mr), Name: statusName, Description: oneLine(s.Text, maxStatusText-1), TargetURL: s.URL,
	}
	if len(opt.TargetURL) > maxStatusText {
		opt.TargetURL = ""
	}
	if s.Again {
		there, err := f.shows(ctx, mr, s.Head, opt)
		if there || err != nil {
			return f.fail("read the commit status of", mr, err)
		}
	}
	_, err := f.call(ctx, http.MethodPost, fmt.Sprintf("projects/%d/statuses/%s", mr.Project, s.Head), opt, nil)
	// A status that is pending cannot become it, though perhaps its text could be
	// another. To any other state there is a way from every one: GitLab makes a new
	// status of the name. 409 is an update by somebody else in the same moment.
	if a, ok := errors.AsType[*answerError](err); ok && status(err) == http.StatusBadRequest && s.State == gate.StatusPending &&
		strings.Contains(a.message, "Cannot transition status via :enqueue from :pending") {
		return nil
	}
	return f.fail("set the commit status of", mr, err)
}

// shows says that the status is there already: posted once more, one that is over
// would be there twice.
func (f *Forge) shows(ctx context.Context, mr gate.Ref, head gate.CommitID, want statusOptions) (bool, error) {
	me, err := f.me(ctx)
	if err != nil {
		return false, err
	}
	var all []commitStatus
	_, err = f.call(ctx, http.MethodGet, fmt.Sprintf("projects/%d/repository/commits/%s/statuses", mr.Project, head), struct {
		Ref  string `url:"ref"`
		Name string `url:"name"`
	}{want.Ref, want.Name}, &all)
	if err != nil {
		return false, err
	}
	for _, s := range all { // the latest of each name
		if s.Name == want.Name && s.Author.ID == me {
			return s.Status == want.State && s.Description == want.Description, nil
		}
	}
	return false, nil
}
