package words

import (
	"fmt"
	"time"
)

// Toasts: what the person who clicked sees at once, for a few seconds.

// ToastApproved : the approval was taken; merge says that the merge follows.
func (w *Words) ToastApproved(merge bool) string {
	if merge {
		return w.pick("已批准，正在合并", "Approved, merging")
	}
	return w.pick("已批准", "Approved")
}

// ToastApprovedMore : the approval was taken, and more are needed.
func (w *Words) ToastApprovedMore(more int) string {
	return w.pick(fmt.Sprintf("已批准，还需 %d 人", more), fmt.Sprintf("Approved, %d more needed", more))
}

// ToastRejected : the rejection was taken; closes says that the close follows.
func (w *Words) ToastRejected(closes bool) string {
	if closes {
		return w.pick("已驳回，将关闭合并请求", "Rejected, closing the merge request")
	}
	return w.pick("已打回，等作者修改", "Sent back to the author")
}

// ToastOutsider : no approver under this rule.
func (w *Words) ToastOutsider(rule string) string {
	return w.pick("你不是规则“"+w.rule(rule)+"”的审批人，未作更改",
		"You are not an approver under rule \""+w.rule(rule)+"\". Nothing changed")
}

// ToastAuthor : one's own merge request.
func (w *Words) ToastAuthor() string {
	return w.pick("不能批准自己的合并请求", "You cannot approve your own merge request")
}

// ToastCommitter : one's own commits.
func (w *Words) ToastCommitter() string {
	return w.pick("你在此分支上有提交，不能批准", "You have commits on this branch and cannot approve it")
}

// ToastAuthorUnknown : nobody can tell whether the clicker is that GitLab user.
func (w *Words) ToastAuthorUnknown(username string) string {
	u := Line(username, maxName)
	return w.pick("无法确认你是否为作者，请管理员在 users 中添加 "+u,
		"Cannot tell whether you are the author; ask an administrator to add "+u+" to users")
}

// ToastRole : the rule wants a role in GitLab.
func (w *Words) ToastRole(role string) string {
	return w.pick("你在 GitLab 中没有 "+Line(role, maxName)+" 权限", "You are not "+Line(role, maxName)+" in GitLab")
}

// ToastRoleLost : the person has approved, and lacks by now the role that the rule
// wants.
func (w *Words) ToastRoleLost(role string) string {
	role = Line(role, maxName)
	return w.pick("你在 GitLab 中已没有 "+role+" 权限，你的批准暂不计入", "You are not "+role+" in GitLab any more; your approval does not count until you are")
}

// ToastAccountUnknown : the rule wants a role in GitLab, and nobody can tell who
// the clicker is there.
func (w *Words) ToastAccountUnknown() string {
	return w.pick("无法确认你的 GitLab 账号，请管理员在 users 中添加你的用户名",
		"Cannot tell who you are in GitLab; ask an administrator to add your username to users")
}

// ToastAgain : the person has decided already, and the first decision stands.
// verdict is that one, "approve" or "reject"; same says that the click was the same.
func (w *Words) ToastAgain(verdict string, same bool) string {
	approved := verdict == "approve"
	switch {
	case approved && same:
		return w.pick("你已批准过，无需再点", "You have already approved this")
	case approved:
		return w.pick("你已批准，不能再改；如需阻止请到 GitLab 关闭", "You approved already and cannot change it; close it in GitLab to stop it")
	case same:
		return w.pick("你已驳回过，无需再点", "You have already rejected this")
	}
	return w.pick("你已驳回，不能再改；作者可再次发起", "You rejected already and cannot change it; the author can ask again")
}

// ToastSomebodyFirst : another's verdict, "approve" or "reject", came before.
func (w *Words) ToastSomebodyFirst(name, verdict string, at time.Time) string {
	who, approved := w.name(name), verdict == "approve"
	return w.pick(after(who)+"已"+w.on(at)+either(approved, "批准", "驳回"),
		sentence(who+" "+either(approved, "approved", "rejected")+" it"+w.when(at)))
}

// ToastExpired : too late.
func (w *Words) ToastExpired() string {
	return w.pick("审批已过期，请作者再次发起", "This request has expired; the author can ask again")
}

// ToastAskedAgain : the author asked again, now or before.
func (w *Words) ToastAskedAgain() string {
	return w.pick("已再次发起审批", "Approval is asked for again")
}

// ToastOnlyAuthor : somebody else pressed that button.
func (w *Words) ToastOnlyAuthor() string {
	return w.pick("只有作者能再次发起", "Only the author can ask again")
}

// ToastNewer : the same commit was asked about again since.
func (w *Words) ToastNewer() string {
	return w.pick("已再次发起，请在新卡片上决定", "It was asked about again; decide on the new card")
}

// ToastSuperseded : the card was about another commit or target branch.
func (w *Words) ToastSuperseded() string {
	return w.pick("提交或目标分支已变，请按更新后的卡片决定", "The commit or target has changed; decide on the updated card")
}

// ToastWithdrawn : merged or closed in GitLab.
func (w *Words) ToastWithdrawn() string {
	return w.pick("合并请求已合并或关闭", "The merge request is already merged or closed")
}

// ToastReasonMissing : a rejection under this rule needs one.
func (w *Words) ToastReasonMissing() string {
	return w.pick("请先写明驳回理由", "Please say why first")
}

// ToastRetry : GitLab is asked again.
func (w *Words) ToastRetry() string { return w.pick("正在重试", "Retrying") }

// ToastRetryNotNeeded : it is at it.
func (w *Words) ToastRetryNotNeeded() string {
	return w.pick("已在合并，无需重试", "Already merging, no need to retry")
}

// ToastNotRecorded : the click was lost.
func (w *Words) ToastNotRecorded() string {
	return w.pick("没有记录下来，请再点一次", "Not recorded. Please try again")
}

// ToastUnavailable : the click was lost, and not for the first time.
func (w *Words) ToastUnavailable() string {
	return w.pick("暂时无法处理，请稍后再试或到 GitLab 操作", "Cannot be handled right now; try later or use GitLab")
}

// ToastNoRule : a card that a pipeline sent, which no rule covers.
func (w *Words) ToastNoRule(target string) string {
	return w.pick("没有规则适用于 "+Branch(target)+"，此卡片无效", "No rule covers "+Branch(target)+"; this card has no effect")
}

// ToastUnknownCard : a card of another app, or one that nobody knows.
func (w *Words) ToastUnknownCard() string {
	return w.pick("此卡片已失效", "This card is no longer valid")
}

// ToastChecking : what can't be judged from the database alone is being looked up.
func (w *Words) ToastChecking() string {
	return w.pick("已记录，正在核对", "Recorded, being checked")
}

// ToastDryRun : a decision in a dry run, an approval or a rejection.
func (w *Words) ToastDryRun(approved bool) string {
	if approved {
		return w.pick("演练模式：已记录，不会合并", "Dry run: recorded, nothing will be merged")
	}
	return w.pick("演练模式：已记录，不会关闭", "Dry run: recorded, nothing will be closed")
}

// ToastPaused : a dry run takes no decision on a real request.
func (w *Words) ToastPaused() string {
	return w.pick("演练期间此卡片暂停，未作更改，请在演练后决定", "Paused during a dry run. Nothing changed; decide when it is over")
}

// ToastDryRunOver : a card of a dry run that is over.
func (w *Words) ToastDryRunOver() string {
	return w.pick("演练已结束，未作更改，请在新卡片上决定", "The dry run is over. Nothing changed; decide on the new card")
}
