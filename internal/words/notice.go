package words

import (
	"fmt"
	"time"
)

// What the author is told. names are those who approved, or are asked.

// Sent : who was asked; required of them have to approve. sha is given after a
// push, "" otherwise.
func (w *Words) Sent(ref, sha string, names []string, required int) string {
	zh, en := ref+" 已提交审批", ref+" was sent for approval"
	if sha != "" {
		zh, en = ref+" 的新提交 "+Short(sha)+" 已提交审批", "New commit "+Short(sha)+" of "+ref+" was sent for approval"
	}
	who := w.People(names)
	switch {
	case len(names) <= 1 && required <= 1:
		return w.pick(zh+"，审批人："+who, en+" to "+who)
	case required <= 1:
		return w.pick(zh+"，审批人："+who+"（任一人批准即可）", en+" to "+who+" (any one of them)")
	}
	return w.pick(fmt.Sprintf("%s，审批人：%s（需 %d 人批准）", zh, who, required),
		fmt.Sprintf("%s to %s (%d of them)", en, who, required))
}

// Nobody : the chat knows none of the approvers. They are not named: all that is
// known of them are addresses.
func (w *Words) Nobody(ref, rule string) string {
	return w.pick(ref+" 找不到审批人（规则“"+w.rule(rule)+"”中没有人在飞书通讯录里），请联系管理员",
		ref+" has no reachable approver (nobody of rule \""+w.rule(rule)+"\" was found in Feishu); ask an administrator")
}

// ResultMerged : approved and merged.
func (w *Words) ResultMerged(names []string, ref, target string) string {
	who := w.People(names)
	return w.pick(after(who)+"批准了 "+ref+"，已合并到 "+Branch(target),
		sentence(who+" approved "+ref+"; merged into "+Branch(target)))
}

// ResultMerging : approved, not merged yet.
func (w *Words) ResultMerging(names []string, ref, target string) string {
	who := w.People(names)
	return w.pick(after(who)+"批准了 "+ref+"，将合并到 "+Branch(target),
		sentence(who+" approved "+ref+"; it will be merged into "+Branch(target)))
}

// ResultApproved : approved, and the author merges.
func (w *Words) ResultApproved(names []string, ref string) string {
	who := w.People(names)
	return w.pick(after(who)+"批准了 "+ref+"，请在 GitLab 中合并", sentence(who+" approved "+ref+". Merge it in GitLab"))
}

// ResultBlocked : approved, but not merged; the author may have to act.
func (w *Words) ResultBlocked(names []string, ref string, b Block) string {
	who := w.People(names)
	return w.pick(after(who)+"批准了 "+ref+"，但无法合并："+w.Blocked(b),
		sentence(who+" approved "+ref+", but it cannot be merged: "+w.Blocked(b)))
}

// ResultRejected : rejected; closed says that the merge request is closed by now.
func (w *Words) ResultRejected(name, ref, reason string, closed bool) string {
	who, reason := w.name(name), bare(Reason(reason))
	zh, en := "合并请求将被关闭", "It will be closed"
	if closed {
		zh, en = "合并请求已关闭", "It was closed"
	}
	if reason == "" {
		return w.pick(after(who)+"驳回了 "+ref+"，未填写理由。"+zh, sentence(who+" rejected "+ref+" and gave no reason. "+en))
	}
	return w.pick(after(who)+"驳回了 "+ref+"："+reason+"。"+zh, sentence(who+" rejected "+ref+": "+reason+". "+en))
}

// ResultSentBack : rejected and left open.
func (w *Words) ResultSentBack(name, ref, reason string) string {
	who, reason := w.name(name), bare(Reason(reason))
	if reason == "" {
		return w.pick(after(who)+"打回了 "+ref+"，未填写理由。推送新提交后会再次请求审批",
			sentence(who+" sent "+ref+" back and gave no reason. A new push asks again"))
	}
	return w.pick(after(who)+"打回了 "+ref+"："+reason+"。推送新提交后会再次请求审批",
		sentence(who+" sent "+ref+" back: "+reason+". A new push asks again"))
}

// ResultDryRun : what was decided in a dry run, and what would follow otherwise;
// would is made by [Words.WouldNow].
func (w *Words) ResultDryRun(names []string, ref, reason string, approved bool, would string) string {
	who, reason := w.People(names), bare(Reason(reason))
	zh, en := after(who)+either(approved, "批准了 ", "驳回了 ")+ref, sentence(who+either(approved, " approved ", " rejected ")+ref)
	if reason != "" {
		zh, en = zh+"："+reason, en+": "+reason
	}
	return w.pick(zh+"。"+would, en+". "+would)
}

// ResultExpired : nobody decided. A button beside it asks again.
func (w *Words) ResultExpired(ref string, d time.Duration) string {
	return w.pick(ref+" 已 "+w.Duration(d)+"无人审批",
		"Nobody decided on "+ref+" in "+w.Duration(d))
}

// ResultExpiredPart : some approved, but not enough.
func (w *Words) ResultExpiredPart(names []string, ref string, required int, d time.Duration) string {
	who := w.People(names)
	return w.pick(fmt.Sprintf("%s批准了 %s，但 %s内未满 %d 人", after(who), ref, w.Duration(d), required),
		sentence(fmt.Sprintf("%s approved %s, but it needed %d approvals within %s", who, ref, required, w.Duration(d))))
}

// ResultExpiredApproved : approved, but not merged in time.
func (w *Words) ResultExpiredApproved(names []string, ref string, d time.Duration) string {
	who := w.People(names)
	return w.pick(after(who)+"批准了 "+ref+"，但 "+w.Duration(d)+"内未能合并",
		sentence(who+" approved "+ref+", but it could not be merged within "+w.Duration(d)))
}

// ResultMergedThere : merged around the gate.
func (w *Words) ResultMergedThere(ref string) string {
	return w.pick(ref+" 已在 GitLab 中合并，未经此处审批", ref+" was merged in GitLab, without approval here")
}

// ResultClosedThere : closed by somebody in GitLab.
func (w *Words) ResultClosedThere(ref string) string {
	return w.pick(ref+" 已在 GitLab 中关闭", ref+" was closed in GitLab")
}

// ResultNoRule : the policy does not cover it any more.
func (w *Words) ResultNoRule(ref, target string) string {
	return w.pick(ref+" 无需审批：没有规则再适用于 "+Branch(target), ref+" needs no approval: no rule covers "+Branch(target)+" any more")
}
