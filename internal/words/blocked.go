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

// Blocked says why, and who has to do what. A reason that is not known is shown
// as it came: the list grows with every release of GitLab.
//
// Not GitLab's words: not_permitted, may_not_approve, merge_error, locked,
// auto_merge_cancelled, no_pipeline; and "unchecked" once it has lasted.
func (w *Words) Blocked(b Block) string {
	target, author := Branch(b.Target), b.author(w)
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
	case "no_pipeline":
		return w.pick("规则要求流水线通过，但此提交没有流水线，需"+around(author)+"运行一条",
			"The rule waits for a pipeline, and this commit has none; "+author+" has to run one")
	case "ci_still_running":
		return w.pick("流水线仍在运行", "The pipeline is still running")
	case "auto_merge_cancelled":
		return w.pick("GitLab 中的自动合并已取消，如仍要合并，需审批人或"+around(author)+"点“重试”",
			"Auto-merge was cancelled in GitLab; if it is still to be merged, an approver or "+author+" has to press Retry")
	case "not_approved":
		return w.pick("GitLab 还要求其他人批准，需他们在 GitLab 中批准", "GitLab requires further approvals, which others have to give in GitLab")
	case "requested_changes":
		return w.pick("有评审人要求修改，需该评审人在 GitLab 中重新评审", "A reviewer requested changes, and has to review it again in GitLab")
	case "not_permitted":
		return w.notPermitted(b)
	case "may_not_approve":
		return w.mayNotApprove(b)
	case "commits_status":
		return w.pick("源分支不存在或没有提交，需"+around(author)+"重新推送",
			"The source branch is missing or has no commits; "+author+" has to push it again")
	case "merge_request_blocked", "blocked_status":
		return w.pick("被另一个合并请求阻塞，需先合并那一个", "Blocked by another merge request, which has to be merged first")
	case "merge_time":
		return w.pick("设定的合并时间未到，无需操作", "Its scheduled merge time has not come; nobody has to do anything")
	case "status_checks_must_pass":
		return w.pick("外部状态检查未通过，需"+around(author)+"查看哪项未通过",
			"External status checks have not passed; "+author+" has to see which")
	case "security_policy_violations", "security_policy_evaluation", "policies_denied":
		return w.pick("违反安全策略，需"+around(author)+"修复，或由安全策略指定的人批准",
			"Violates a security policy; "+author+" has to fix that, or the policy's approvers have to approve it")
	case "security_policy_pipeline_check":
		return w.pick("安全策略要求的流水线未通过，需"+around(author)+"查看",
			"The pipelines that a security policy demands have not passed; "+author+" has to see why")
	case "jira_association_missing":
		return w.pick("标题和描述中没有 Jira 工单，需"+around(author)+"补上", "Names no Jira issue in title or description; "+author+" has to add one")
	case "title_regex":
		return w.pick("标题不符合项目要求，需"+around(author)+"修改", "The title does not meet the project's rule; "+author+" has to change it")
	case "locked_paths", "locked_lfs_files":
		return w.pick("文件被锁定，需锁定者解锁", "Locked files; whoever locked them has to unlock them")
	case "locked":
		return w.pick("GitLab 合并中断，需"+around(author)+"关闭后重新打开（之后重新审批）",
			"GitLab got stuck while merging; "+author+" has to close and reopen it (needs a new approval afterwards)")
	case "unchecked":
		return w.pick("GitLab 一直没有算出能否合并，需"+around(author)+"在 GitLab 中打开查看",
			"GitLab does not find out whether it can be merged; "+author+" has to open it in GitLab and see")
	case "merge_error":
		return w.mergeError(b)
	case "":
		return w.pick("GitLab 没有给出原因，需"+around(author)+"在 GitLab 中查看", "GitLab gave no reason; "+author+" has to look in GitLab")
	}
	zh, en := "GitLab 返回“"+Line(b.Reason, maxRule)+"”", "GitLab says \""+Line(b.Reason, maxRule)+"\""
	if said := bare(prose(b.Detail, maxDetail)); said != "" {
		zh, en = zh+"："+said, en+": "+said
	}
	return w.pick(zh+"，需"+around(author)+"在 GitLab 中查看", en+"; "+author+" has to look in GitLab")
}

func (b *Block) author(w *Words) string {
	if b.Author == "" {
		return w.Author("", "")
	}
	return b.Author
}

func (w *Words) blockedByPipeline(b Block) string {
	author := b.author(w)
	if b.Pipeline == 0 {
		return w.pick("项目要求流水线通过，但此提交没有流水线，需"+around(author)+"运行一条",
			"The project requires a pipeline, and this commit has none; "+author+" has to run one")
	}
	zh, en := "未通过，需"+around(author)+"查看", "has not passed; "+author+" has to see why"
	switch b.Status {
	case "failed":
		zh, en = "失败，需"+around(author)+"修复或重试", "failed; "+author+" has to fix or retry it"
	case "skipped":
		zh, en = "被跳过，需"+around(author)+"重新运行", "was skipped; "+author+" has to run it"
	case "canceled", "canceling":
		zh, en = "已取消，需"+around(author)+"重新运行", "was cancelled; "+author+" has to run it again"
	case "manual":
		zh, en = "有手动任务未运行，需"+around(author)+"运行", "waits for a manual job, which "+author+" has to run"
	}
	return w.pick(fmt.Sprintf("流水线 #%d %s", b.Pipeline, zh), fmt.Sprintf("Pipeline #%d %s", b.Pipeline, en))
}

func (w *Words) mergeError(b Block) string {
	author := b.author(w)
	if said := bare(prose(b.Detail, maxDetail)); said != "" {
		return w.pick("GitLab："+said+"。需"+around(author)+"或管理员处理",
			"GitLab: "+said+". "+sentence(author+" or an administrator has to fix that"))
	}
	return w.pick("GitLab 合并失败，没有给出原因，需"+around(author)+"在 GitLab 中查看",
		"GitLab failed to merge it and gave no reason; "+author+" has to look in GitLab")
}

// bot is whom the token belongs to.
func (b *Block) bot() (zh, en string) {
	if bot := Line(b.Bot, maxName); bot != "" {
		return after("机器人 " + bot), "The bot " + bot
	}
	return "机器人账号", "The bot"
}

func (w *Words) notPermitted(b Block) string {
	zh, en := b.bot()
	target := Branch(b.Target)
	return w.pick(zh+"无权合并到 "+target+"，请管理员在受保护分支中授权",
		en+" may not merge into "+target+"; an administrator must allow it in Protected branches")
}

func (w *Words) mayNotApprove(b Block) string {
	zh, en := b.bot()
	return w.pick(zh+"无权批准此合并请求（角色过低，或在其中有提交），请管理员处理",
		en+" may not approve this merge request: its role is too low, or it has commits in it; an administrator must fix that")
}

// BlockedHow is the line on a card: why, and what follows. Where only a new commit
// or a new request helps, which has to be approved anew, nothing is promised.
func (w *Words) BlockedHow(b Block) string {
	why := w.Blocked(b)
	switch b.Reason {
	case "conflict", "broken_status", "cannot_be_merged", "need_rebase", "commits_status", "locked", "auto_merge_cancelled":
		return why
	case "merge_time":
		return w.pick(why+"。到时会自动合并", why+". It merges by itself then")
	}
	// A reason may end in a bracket or a quote; a stop is added all the same.
	return w.pick(bare(why)+"。处理后会自动合并，也可点“重试”", bare(why)+". It merges by itself once fixed, or press Retry")
}

// Refused : the approval stands, but GitLab does not let the bot carry it out.
func (w *Words) Refused(b Block) string {
	said := bare(prose(b.Detail, maxDetail))
	switch {
	case b.Reason == "may_not_approve":
		return w.pick("批准已保存，但"+w.mayNotApprove(b)+"后点“重试”",
			"The approval is saved, but "+lower(w.mayNotApprove(b))+", then press Retry")
	case said == "":
		return w.pick("批准已保存，但"+w.notPermitted(b)+"后点“重试”",
			"The approval is saved, but "+lower(w.notPermitted(b))+", then press Retry")
	}
	return w.pick("批准已保存，但 GitLab 拒绝："+said+"。请管理员处理后点“重试”",
		"The approval is saved, but GitLab refuses: "+said+". Once an administrator has fixed that, press Retry")
}

// lower is an English sentence inside another one.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }
