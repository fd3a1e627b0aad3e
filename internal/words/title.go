package words

import "fmt"

// Titles: the state first, since a phone cuts the end. ref is made by [Ref].

func (w *Words) title(zh, en, ref string) string {
	return w.pick(zh+" · "+ref, en+" · "+ref)
}

// TitlePending : nobody has decided yet.
func (w *Words) TitlePending(ref string) string { return w.title("待审批", "Approval needed", ref) }

// TitlePart : n of m have approved.
func (w *Words) TitlePart(n, m int, ref string) string {
	return w.title(fmt.Sprintf("待审批 %d/%d", n, m), fmt.Sprintf("Approved %d of %d", n, m), ref)
}

// TitleUpdated : a push, or another target, changed what this card is about.
func (w *Words) TitleUpdated(ref string) string {
	return w.title("待审批（已更新）", "Approval needed, updated", ref)
}

// TitleChecking : a card that a pipeline sent is being looked up in GitLab.
func (w *Words) TitleChecking(ref string) string { return w.title("正在核对", "Checking", ref) }

// TitleMerging : approved; the merge is under way.
func (w *Words) TitleMerging(ref string) string {
	return w.title("已批准，正在合并", "Approved, merging", ref)
}

// TitlePipeline : approved; GitLab merges when the pipeline passes.
func (w *Words) TitlePipeline(ref string) string {
	return w.title("已批准，等待流水线", "Approved, waiting for the pipeline", ref)
}

// TitleGitLab : approved; GitLab does not answer.
func (w *Words) TitleGitLab(ref string) string {
	return w.title("已批准，等待 GitLab 恢复", "Approved, waiting for GitLab", ref)
}

// TitleApproved : approved, and that is all that the rule wants.
func (w *Words) TitleApproved(ref string) string { return w.title("已批准", "Approved", ref) }

// TitleMerged : merged after the approval.
func (w *Words) TitleMerged(ref string) string { return w.title("已合并", "Merged", ref) }

// TitleBlocked : approved, but a person has to do something in GitLab.
func (w *Words) TitleBlocked(ref string) string {
	return w.title("已批准，无法合并", "Approved, but blocked", ref)
}

// TitleAdmin : approved, but GitLab does not let the bot.
func (w *Words) TitleAdmin(ref string) string {
	return w.title("需要管理员处理", "Needs an administrator", ref)
}

// TitleRejected : rejected and closed.
func (w *Words) TitleRejected(ref string) string { return w.title("已驳回", "Rejected", ref) }

// TitleClosing : rejected, not closed yet.
func (w *Words) TitleClosing(ref string) string {
	return w.title("已驳回，正在关闭", "Rejected, closing", ref)
}

// TitleSentBack : rejected and left open.
func (w *Words) TitleSentBack(ref string) string { return w.title("已打回", "Sent back", ref) }

// TitleExpired : not decided, or not carried out, in time. Never called a rejection.
func (w *Words) TitleExpired(ref string) string { return w.title("已过期", "Expired", ref) }

// TitleOutdated : a push made this card void; there is another one.
func (w *Words) TitleOutdated(ref string) string { return w.title("已有新提交", "Outdated", ref) }

// TitleRetargeted : it goes into another branch now.
func (w *Words) TitleRetargeted(ref string) string {
	return w.title("目标分支已改", "Target changed", ref)
}

// TitleDraft : its author turned it into a draft.
func (w *Words) TitleDraft(ref string) string { return w.title("已转为草稿", "Now a draft", ref) }

// TitleReopened : it was closed, or a draft, and is open again.
func (w *Words) TitleReopened(ref string) string { return w.title("已重新打开", "Reopened", ref) }

// TitleClosed : somebody closed it in GitLab.
func (w *Words) TitleClosed(ref string) string { return w.title("已关闭", "Closed", ref) }

// TitleMergedThere : somebody merged it in GitLab without this approval.
func (w *Words) TitleMergedThere(ref string) string {
	return w.title("已在 GitLab 中合并", "Merged in GitLab", ref)
}

// TitleNoRule : the policy covers it no more.
func (w *Words) TitleNoRule(ref string) string {
	return w.title("无需审批", "No longer needed", ref)
}

// TitleDryRunOver : the dry run that it belongs to is over.
func (w *Words) TitleDryRunOver(ref string) string {
	return w.title("演练已结束", "Dry run over", ref)
}

// TitleSent : to the author, that somebody was asked.
func (w *Words) TitleSent(ref string) string {
	return w.title("已提交审批", "Sent for approval", ref)
}

// TitleNobody : to the author, that nobody could be asked.
func (w *Words) TitleNobody(ref string) string {
	return w.title("找不到审批人", "No approver found", ref)
}
