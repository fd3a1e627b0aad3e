package words

import (
	"fmt"
	"strings"
)

// Block is why GitLab does not merge what was approved.
type Block struct {
	Reason   string // GitLab's detailed_merge_status, or one of mrgate's own: see [Words.Blocked]
	Detail   string // what GitLab says besides
	Target   string
	Author   string // made by [Words.Author]
	Pipeline int64  // of this commit; 0: none
	Status   string // its
	Bot      string // whom the token belongs to; "": not known
}

// Blocked says why, and who has to act. A reason that is not known is shown as it
// came: the list grows with every release of GitLab.
//
// Not GitLab's words: not_permitted, merge_error, locked, auto_merge_cancelled.
func (w *Words) Blocked(b Block) string {
	target := Branch(b.Target)
	author := b.Author
	if author == "" {
		author = w.Author("", "")
	}
	switch b.Reason {
	case "conflict", "broken_status", "cannot_be_merged":
		return w.pick("与 "+target+" 有冲突，需"+around(author)+"解决（会产生新提交并重新审批）",
			"Conflicts with "+target+"; "+author+" has to resolve them (the new commit needs a new approval)")
	case "need_rebase":
		return w.pick("需要变基到最新的 "+target+"，由"+around(author)+"操作（变基后重新审批）",
			"Must be rebased onto "+target+" by "+author+" (needs a new approval afterwards)")
	case "draft_status":
		return w.pick("仍是草稿，需"+around(author)+"标记为就绪", "Still a draft; "+author+" has to mark it ready")
	case "discussions_not_resolved":
		return w.pick("有未解决的主题，需"+around(author)+"或评审人解决", "Unresolved threads; "+author+" or a reviewer has to resolve them")
	case "ci_must_pass":
		return w.blockedByPipeline(b)
	case "ci_still_running":
		return w.pick("流水线仍在运行", "The pipeline is still running")
	case "auto_merge_cancelled", "auto_merge_canceled":
		return w.pick("GitLab 中的自动合并已取消", "Auto-merge was cancelled in GitLab")
	case "not_approved":
		return w.pick("GitLab 还要求其他人批准", "GitLab requires further approvals")
	case "requested_changes":
		return w.pick("有评审人要求修改", "A reviewer requested changes")
	case "not_permitted":
		return w.notPermitted(b)
	case "commits_status":
		return w.pick("源分支不存在或没有提交", "The source branch is missing or has no commits")
	case "merge_request_blocked", "blocked_status":
		return w.pick("被另一个合并请求阻塞，需先合并那一个", "Blocked by another merge request, which has to be merged first")
	case "merge_time":
		return w.pick("设定的合并时间未到", "Its scheduled merge time has not come")
	case "status_checks_must_pass":
		return w.pick("外部状态检查未通过", "External status checks have not passed")
	case "security_policy_violations", "security_policy_evaluation", "policies_denied":
		return w.pick("违反安全策略", "Violates a security policy")
	case "jira_association_missing", "title_regex":
		return w.pick("标题不符合项目要求，需"+around(author)+"修改", "The title does not meet the project's rule; "+author+" has to change it")
	case "locked_paths", "locked_lfs_files":
		return w.pick("文件被锁定", "Locked files")
	case "locked":
		return w.pick("GitLab 合并中断，请关闭后重新打开", "GitLab got stuck while merging; close and reopen it")
	case "merge_error":
		if said := bare(prose(b.Detail, maxDetail)); said != "" {
			return w.pick("GitLab："+said, "GitLab: "+said)
		}
		return w.pick("GitLab 合并出错，没有给出原因", "GitLab failed to merge it and gave no reason")
	case "":
		return w.pick("GitLab 没有给出原因", "GitLab gave no reason")
	}
	zh, en := "GitLab 返回“"+Line(b.Reason, maxRule)+"”", "GitLab says \""+Line(b.Reason, maxRule)+"\""
	if said := bare(prose(b.Detail, maxDetail)); said != "" {
		zh, en = zh+"："+said, en+": "+said
	}
	return w.pick(zh, en)
}

func (w *Words) blockedByPipeline(b Block) string {
	if b.Pipeline == 0 {
		return w.pick("项目要求流水线通过，但此提交没有流水线", "The project requires a pipeline, and this commit has none")
	}
	zh, en := "未通过", "has not passed"
	switch b.Status {
	case "failed":
		zh, en = "失败", "failed"
	case "skipped":
		zh, en = "被跳过", "was skipped"
	case "canceled", "canceling":
		zh, en = "已取消", "was cancelled"
	case "manual":
		zh, en = "有手动任务未运行", "waits for a manual job"
	}
	return w.pick(fmt.Sprintf("流水线 #%d %s", b.Pipeline, zh), fmt.Sprintf("Pipeline #%d %s", b.Pipeline, en))
}

func (w *Words) notPermitted(b Block) string {
	bot := Line(b.Bot, maxName)
	zh, en := "机器人账号", "The bot"
	if bot != "" {
		zh, en = "机器人 "+bot, "The bot "+bot
	}
	target := Branch(b.Target)
	return w.pick(after(zh)+"无权合并到 "+target+"，请管理员在受保护分支中授权",
		en+" may not merge into "+target+"; an administrator must allow it in Protected branches")
}

// BlockedHow is the line on a card: why, and what follows. Where only a new commit
// helps, which has to be approved anew, nothing is promised.
func (w *Words) BlockedHow(b Block) string {
	why := w.Blocked(b)
	switch b.Reason {
	case "conflict", "broken_status", "cannot_be_merged", "need_rebase", "commits_status", "locked":
		return why
	}
	// A reason may end in a bracket or a quote; a stop is added all the same.
	return w.pick(bare(why)+"。处理后会自动合并，也可点“重试”", bare(why)+". It merges by itself once fixed, or press Retry")
}

// Refused : the approval stands, but GitLab does not let the bot carry it out.
func (w *Words) Refused(b Block) string {
	said := bare(prose(b.Detail, maxDetail))
	if said == "" || strings.EqualFold(said, "not permitted") {
		return w.pick("批准已保存，但"+w.notPermitted(b)+"后点“重试”",
			"The approval is saved, but GitLab refuses: "+w.notPermitted(b)+", then press Retry")
	}
	return w.pick("批准已保存，但 GitLab 拒绝："+said+"。请管理员处理后点“重试”",
		"The approval is saved, but GitLab refuses: "+said+". Once an administrator has fixed that, press Retry")
}
