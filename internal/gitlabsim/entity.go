package gitlabsim

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// mergeRequestJSON is APIEntitiesMergeRequest: what a list shows, and more.
func (s *Server) mergeRequestJSON(mr *mergeRequest) object {
	o := s.basicJSON(mr)
	more := object{
		"subscribed": false, "changes_count": nil, "latest_build_started_at": stamp(mr.builtAt), "latest_build_finished_at": nil,
		"first_deployed_to_production_at": nil, "pipeline": nil, "head_pipeline": nil, "diff_refs": nil,
		"merge_error": orNil(mr.mergeError), "rebase_in_progress": false, "first_contribution": false,
		"user": object{"can_merge": s.canMerge(mr)},
	}
	if mr.check.prepared() {
		more["changes_count"] = strconv.Itoa(len(mr.files)) // a string, in all seriousness
		more["diff_refs"] = object{"base_sha": strings.Repeat("b", 40), "head_sha": mr.head(), "start_sha": strings.Repeat("b", 40)}
	}
	if p := mr.pipeline; p != nil {
		basic := object{
			"id": p.ID, "iid": 1, "project_id": mr.project.ID, "sha": p.SHA, "ref": p.Ref, "status": p.Status, "source": p.Source,
			"created_at": stamp(mr.createdAt), "updated_at": stamp(mr.updatedAt),
			"web_url": fmt.Sprintf("%s/%s/-/pipelines/%d", s.url, mr.project.Path, p.ID),
		}
		more["pipeline"] = basic
		full := maps.Clone(basic)
		maps.Copy(full, object{
			"before_sha": strings.Repeat("0", 40), "tag": false, "yaml_errors": nil, "user": s.userJSON(mr.author), "started_at": nil,
			"finished_at": nil, "committed_at": nil, "duration": nil, "queued_duration": nil, "coverage": nil,
			"detailed_status": object{"icon": "status_" + p.Status, "text": p.Status, "label": p.Status, "group": p.Status},
		})
		more["head_pipeline"] = full
	}
	maps.Copy(o, more)
	return o
}

func (s *Server) basicJSON(mr *mergeRequest) object {
	author := s.userJSON(mr.author)
	author["bot"] = mr.author.Bot
	assignee := any(nil)
	if len(mr.assignees) > 0 {
		assignee = s.userJSON(mr.assignees[0])
	}
	mergeUser := mr.mergedBy
	if mergeUser == nil {
		mergeUser = mr.autoMergeBy // who set the auto-merge, while it waits
	}
	web := s.webURL(mr)
	short := fmt.Sprintf("!%d", mr.iid)
	labels := append([]string{}, mr.labels...)
	draft := isDraft(mr.title)
	return object{
		"id": mr.id, "iid": mr.iid, "project_id": mr.project.ID, "title": mr.title, "description": mr.description,
		"state": mr.state, "created_at": stamp(mr.createdAt), "updated_at": stamp(mr.updatedAt),
		"merged_by": s.userOrNull(mr.mergedBy), "merge_user": s.userOrNull(mergeUser), "merged_at": stamp(mr.mergedAt),
		"closed_by": s.userOrNull(mr.closedBy), "closed_at": stamp(mr.closedAt),
		"target_branch": mr.target, "source_branch": mr.source, "user_notes_count": len(s.snapshot(mr).Notes),
		"upvotes": 0, "downvotes": 0, "author": author, "assignees": s.usersJSON(mr.assignees), "assignee": assignee,
		"reviewers": s.usersJSON(mr.reviewers), "source_project_id": mr.sourceProject, "target_project_id": mr.project.ID,
		"labels": labels, "draft": draft, "imported": false, "imported_from": "none", "work_in_progress": draft,
		"milestone": nil, "merge_when_pipeline_succeeds": mr.autoMergeBy != nil,
		"merge_status": mr.check.public(mr), "detailed_merge_status": mr.status(), "merge_after": nil, "sha": mr.head(),
		"merge_commit_sha": orNil(mr.mergeCommit), "squash_commit_sha": orNil(mr.squashCommit), "discussion_locked": nil,
		"should_remove_source_branch": mr.params.removeSource, "force_remove_source_branch": mr.removeSource,
		"prepared_at": stamp(mr.preparedAt()), "reference": short,
		"references": object{"short": short, "relative": short, "full": mr.project.Path + short}, "web_url": web,
		"time_stats": object{"time_estimate": 0, "total_time_spent": 0, "human_time_estimate": nil, "human_total_time_spent": nil},
		"squash":     mr.squash, "squash_on_merge": mr.squash,
		"task_completion_status": object{"count": 0, "completed_count": 0}, "has_conflicts": mr.check.status(mr) == "cannot_be_merged",
		"blocking_discussions_resolved": mr.discussionsResolved(),
	}
}

func (s *Server) webURL(mr *mergeRequest) string {
	return fmt.Sprintf("%s/%s/-/merge_requests/%d", s.url, mr.project.Path, mr.iid)
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}
