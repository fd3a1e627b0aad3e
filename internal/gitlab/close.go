package gitlab

import (
	"context"
	"fmt"
	"net/http"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// Close implements gate.Forge.
//
// GitLab's close takes no commit, so the merge request is read right before it:
// ErrHeadMoved. Closing what cannot be closed is no error to GitLab, it answers
// 200 with the merge request as it was (app/services/merge_requests/close_service.rb),
// so the answer's state decides.
func (f *Forge) Close(ctx context.Context, mr gate.Ref, head gate.CommitID) error {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	now, err := f.read(ctx, mr)
	if err != nil {
		return f.fail("close", mr, err)
	}
	if now.State == "closed" {
		return nil
	}
	if now.SHA != string(head) {
		return fmt.Errorf("close %s: %w", mr, gate.ErrHeadMoved)
	}
	if now.State == "opened" {
		now = new(mergeRequest)
		opt := &gogitlab.UpdateMergeRequestOptions{StateEvent: new("close")}
		if _, err := f.call(ctx, http.MethodPut, path(mr, ""), opt, now); err != nil {
			return f.fail("close", mr, err)
		}
	}
	if now.State != "closed" {
		return fmt.Errorf("close %s: it is %s", mr, oneLine(now.State, 50))
	}
	return nil
}
