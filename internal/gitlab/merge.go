package gitlab

import (
	"context"
	"fmt"
	"net/http"

	"mrgate/internal/gate"
)

// mergeOptions are the parameters of a merge. go-gitlab's have no auto_merge.
type mergeOptions struct {
	SHA                      gate.CommitID `json:"sha"`
	Squash                   bool          `json:"squash,omitempty"` // false is ignored by GitLab
	ShouldRemoveSourceBranch *bool         `json:"should_remove_source_branch,omitempty"`
	AutoMerge                bool          `json:"auto_merge,omitempty"`                   // since 17.11
	WhenPipelineSucceeds     bool          `json:"merge_when_pipeline_succeeds,omitempty"` // its old name
}

// Merge implements gate.Forge.
//
// GitLab's order of checks: may the user merge into this branch (401), can it be
// merged (405), still (422), is sha the head (409), and then whether it worked
// (422 again) (lib/api/merge_requests.rb). So only the 409 says what it means.
// With WhenGreen and nothing to wait for it is a 405, too: that is for a running
// pipeline only (app/services/auto_merge/merge_when_checks_pass_service.rb), and
// not for a failed one, on which old servers merged at once (gitlab-org/gitlab#26293).
//
// An answer that was lost is the caller's to look for: called again, it finds
// the merge request merged, and says so.
func (f *Forge) Merge(ctx context.Context, mr gate.Ref, head gate.CommitID, how gate.MergeOptions) (gate.MergeResult, error) {
	ctx, cancel := f.bound(ctx)
	defer cancel()
	now := new(mergeRequest)
	_, err := f.call(ctx, http.MethodPut, path(mr, "/merge"), mergeOptions{
		SHA: head, Squash: how.Squash != nil && *how.Squash, ShouldRemoveSourceBranch: how.RemoveSourceBranch,
		AutoMerge: how.WhenGreen, WhenPipelineSucceeds: how.WhenGreen,
	}, now)
	refused := status(err)
	switch refused {
	case http.StatusConflict:
		return gate.MergeResult{}, fmt.Errorf("merge %s: %w", mr, gate.ErrHeadMoved)
	case http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnprocessableEntity:
		now, err = f.read(ctx, mr)
	}
	if err != nil {
		return gate.MergeResult{}, f.fail("merge", mr, err)
	}
	r := merged(now, head, how, refused)
	if r.Why.Reason == ReasonNotPermitted {
		// For people. Where it cannot be read, they read "the bot".
		if account, err := f.account(ctx); err == nil {
			r.Why.Account = account.Username
		}
	}
	return r, nil
}

// merged says what became of a merge, from what the merge request is now.
func merged(now *mergeRequest, head gate.CommitID, how gate.MergeOptions, refused int) gate.MergeResult {
	r := gate.MergeResult{Why: now.mergeability()}
	switch {
	case now.SHA != string(head):
		r.Status = gate.Moved
	case now.State == "merged":
		by, at := now.merged()
		return gate.MergeResult{Status: gate.Merged, Commit: now.mergeCommit(), By: by, At: at}
	case now.State == "locked":
		r.Status = gate.Computing
	case now.State != "opened" || now.Draft || now.WorkInProgress:
		r.Status = gate.Moved
	case now.AutoMerge && how.WhenGreen:
		r.Status = gate.Scheduled
	case refused == http.StatusUnauthorized && (now.User.CanMerge == nil || !*now.User.CanMerge):
		r.Status = gate.Blocked
		r.Why = gate.Mergeability{Class: gate.MergeBlocked, Reason: ReasonNotPermitted}
	case r.Why.Class == gate.MergeBlocked:
		r.Status = gate.Blocked
	default:
		// soon: of course. ci: GitLab waits for a pipeline, and the caller did not
		// ask for that. go: it is mergeable now and was not a moment ago, as right
		// after a push (gitlab-org/gitlab#28779), or the merge was tried and
		// failed, and Detail may say of what.
		r.Status = gate.Computing
		if refused == http.StatusMethodNotAllowed {
			r.Why.Detail = "" // nothing was tried: an older merge's error
		}
	}
	return r
}

// ReasonNotPermitted is the one reason in a Mergeability that is not GitLab's
// own: the token's user may not merge into the target branch.
const ReasonNotPermitted = "not_permitted"
