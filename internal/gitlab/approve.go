package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// Approve implements gate.Forge.
//
// GitLab looks first whether the user may (403), then at the commit (409), and
// then at the rest, for which there is one answer: a 401 says that the user has
// approved already, or wrote the change, or is no eligible approver, or that the
// merge request is over, or that the token is no good
// (lib/api/merge_request_approvals.rb, app/models/concerns/approvable.rb).
func (f *Forge) Approve(ctx context.Context, mr gate.Ref, head gate.CommitID) error {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	project, number := ids(mr)
	_, resp, err := f.api.MergeRequestApprovals.ApproveMergeRequest(project, number,
		&gogitlab.ApproveMergeRequestOptions{SHA: new(string(head))}, gogitlab.WithContext(ctx))
	if resp != nil && resp.StatusCode == http.StatusCreated {
		return nil // also with a body that cannot be read
	}
	if err = f.trouble(resp, err); err == nil {
		err = fmt.Errorf("GitLab answered %d, which is not what it answers to an approval", resp.StatusCode)
	}
	switch status(err) {
	case http.StatusConflict:
		return fmt.Errorf("approve %s: %w", mr, gate.ErrHeadMoved)
	case http.StatusUnauthorized:
		return f.notApproved(ctx, mr, head)
	}
	return f.fail("approve", mr, err)
}

// notApproved finds out what the 401 meant. nil: it is approved.
func (f *Forge) notApproved(ctx context.Context, mr gate.Ref, head gate.CommitID) error {
	has, err := f.approved(ctx, mr)
	if has || err != nil {
		return f.fail("approve", mr, err)
	}
	now, err := f.read(ctx, mr)
	if err != nil {
		return f.fail("approve", mr, err)
	}
	if now.SHA != string(head) {
		return fmt.Errorf("approve %s: %w", mr, gate.ErrHeadMoved)
	}
	if now.State != "opened" { // also locked: it may be open again in a moment
		return fmt.Errorf("approve %s: it is %s by now", mr, now.State)
	}
	return fmt.Errorf("approve %s: %w: GitLab does not let the user of gitlab_token approve this merge request: "+
		"its role is too low, it has commits in it, or it is not an eligible approver", mr, gate.ErrNotPermitted)
}

// approved says whether the token's user has approved.
func (f *Forge) approved(ctx context.Context, mr gate.Ref) (bool, error) {
	project, number := ids(mr)
	a, resp, err := f.api.MergeRequestApprovals.GetConfiguration(project, number, gogitlab.WithContext(ctx))
	if err := f.trouble(resp, err); err != nil {
		return false, err
	}
	return a.UserHasApproved, nil
}

// ids names a merge request as go-gitlab's typed calls take it.
func ids(mr gate.Ref) (project string, number int) {
	return strconv.FormatInt(mr.Project, 10), int(mr.Number)
}
