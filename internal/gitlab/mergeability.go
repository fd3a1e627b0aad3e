package gitlab

import "mrgate/internal/gate"

// class sorts GitLab's detailed_merge_status, and merge_status of servers before
// 15.6, by what follows. The value is the first obstacle in GitLab's own order,
// and more may hide behind it.
//
// docs.gitlab.com/api/merge_requests, "Merge status"; the list grows with every
// few releases, so a value that is not here blocks and is shown as it came.
func class(status string) gate.MergeClass {
	switch status {
	case "mergeable",
		"can_be_merged": // old; GitLab's documentation also shows it as a new one
		return gate.MergeGo

	case "preparing", // the diff is being created
		"checking",                    // git tries the merge
		"unchecked",                   // nobody has asked yet: reading the merge request does
		"cannot_be_merged_recheck",    // old
		"cannot_be_merged_rechecking", // old
		"not_open",                    // being merged, or not as it was a moment ago: the state says what it is
		"approvals_syncing":           // approvals were reset by a push and are being counted again
		return gate.MergeSoon

	case "ci_still_running":
		return gate.MergeCI

	case "ci_must_pass", // failed, skipped, missing, or not created yet
		"broken_status",    // old
		"cannot_be_merged", // old: a conflict
		"commits_status",   // the source branch is gone, or has no commits
		"conflict",
		"discussions_not_resolved",
		"draft_status",
		"jira_association_missing",
		"locked_lfs_files",
		"locked_paths",
		"merge_request_blocked", // by another merge request
		"merge_time",            // not before a date that somebody set
		"need_rebase",           // a rebase makes another head, which nobody has approved
		"not_approved",
		"policies_denied", // old
		"requested_changes",
		"security_policy_pipeline_check", // since 18.x; ee/app/graphql/ee/types/merge_requests/detailed_merge_status_enum.rb
		"security_policy_violations",
		"status_checks_must_pass",
		"title_regex":
		return gate.MergeBlocked

	default:
		return gate.MergeBlocked
	}
}
