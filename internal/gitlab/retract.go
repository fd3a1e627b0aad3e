package gitlab

import (
	"context"
	"fmt"
	"net/http"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// Retract implements gate.Forge: unapprove, look, and cancel the auto-merge if
// there is one. ErrNotFound: there is no such merge request any more.
//
// The look is needed anyway. Unapprove's 404 says that there was no approval, or
// no merge request. And cancelling blindly would also take back an auto-merge
// that a person has set; a push and a retarget have cancelled ours already.
func (f *Forge) Retract(ctx context.Context, mr gate.Ref) error {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	project, number := ids(mr)
	resp, err := f.api.MergeRequestApprovals.UnapproveMergeRequest(project, number, gogitlab.WithContext(ctx))
	err = f.trouble(resp, err)
	refused := err
	switch status(err) {
	case http.StatusNotFound:
		refused = nil
	case http.StatusUnauthorized, http.StatusForbidden:
		// The role is gone. If there was no approval, there is nothing to mend.
	default:
		if err != nil {
			return f.fail("take the approval back of", mr, err)
		}
	}
	now, err := f.read(ctx, mr)
	if err != nil {
		return f.fail("take the approval back of", mr, err)
	}
	if refused != nil {
		has, err := f.approved(ctx, mr)
		if err != nil {
			return f.fail("take the approval back of", mr, err)
		}
		if has {
			return fmt.Errorf("take the approval back of %s: %w: %w", mr, gate.ErrNotPermitted, refused)
		}
	}
	return f.fail("cancel the auto-merge of", mr, f.cancel(ctx, mr, now))
}

// cancel takes back the auto-merge that the token's user has set.
//
// POST cancel_merge_when_pipeline_succeeds answers 201 with a status of its own,
// "success" or "error", also where it refused (gitlab-org/gitlab!255702), and
// 401 to whom may not merge; newer servers have cancel_auto_merge beside it.
func (f *Forge) cancel(ctx context.Context, mr gate.Ref, now *mergeRequest) error {
	if !waits(now) {
		return nil
	}
	if now.MergeUser != nil {
		me, err := f.me(ctx)
		if err != nil {
			return err
		}
		if now.MergeUser.ID != me {
			return nil
		}
	}
	var answer struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	_, err := f.call(ctx, http.MethodPost, path(mr, "/cancel_merge_when_pipeline_succeeds"), nil, &answer)
	code := status(err)
	if err != nil && code == 0 || err == nil && answer.Status != "error" {
		return err
	}
	// Refused: was it over by then?
	now, again := f.read(ctx, mr)
	switch {
	case again != nil:
		return again
	case !waits(now):
		return nil
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%w: the user of gitlab_token may not merge into %q any more", gate.ErrNotPermitted, now.TargetBranch)
	case err != nil:
		return err
	}
	return fmt.Errorf("GitLab refused: %s", f.clean(answer.Message))
}

// waits says that GitLab would still merge by itself.
func waits(mr *mergeRequest) bool {
	return mr.AutoMerge && mr.State != "merged" && mr.State != "closed"
}
