package words

import (
	"fmt"
	"strings"
	"time"
)

// What a card says about where its request stands. names are those who approved.

// Needs : required approvals of several, n of them given.
func (w *Words) Needs(required, n int, names []string) string {
	if n == 0 {
		return w.pick(fmt.Sprintf("需 %d 人批准", required), fmt.Sprintf("%d approvals needed", required))
	}
	who := w.People(names)
	return w.pick(fmt.Sprintf("需 %d 人批准，已 %d：%s", required, n, who),
		fmt.Sprintf("%d approvals needed, %d given: %s", required, n, who))
}

// Part : some approved, more are awaited.
func (w *Words) Part(names []string, more int) string {
	who := w.People(names)
	return w.pick(fmt.Sprintf("%s已批准，还需 %d 人", after(who), more),
		sentence(fmt.Sprintf("%s approved; %d more needed", who, more)))
}

// RejectedBefore : the request before this one was rejected.
func (w *Words) RejectedBefore(name, reason string) string {
	who, reason := w.name(name), Reason(reason)
	if reason == "" {
		return w.pick("此前被"+around(who)+"驳回，未填写理由", "Rejected before by "+who+", no reason given")
	}
	return w.pick("此前被"+around(who)+"驳回："+reason, "Rejected before by "+who+": "+reason)
}

// Updated : this card is about another commit or target than it was. Which of
// the two has changed is not said: what came before may not be known any more.
func (w *Words) Updated(sha, target string) string {
	return w.pick("内容已更新，现为提交 "+Short(sha)+" → "+Branch(target),
		"Updated: this is now commit "+Short(sha)+" into "+Branch(target))
}

// Lapsed : an approval does not count any more, since the policy changed.
func (w *Words) Lapsed(name string) string {
	who := w.name(name)
	return w.pick(after(who)+"已不能审批，其批准不再有效",
		sentence(who+" may no longer decide; that approval no longer counts"))
}

// LapsedRole : an approval does not count, since its giver lacks a role in GitLab.
func (w *Words) LapsedRole(name, role string) string {
	who, is := w.name(name), Line(role, maxName)
	return w.pick(after(who)+"在 GitLab 中已没有 "+is+" 权限，其批准不再有效",
		sentence(who+" is not "+is+" in GitLab any more; that approval no longer counts"))
}

// BarredAuthor stands on the card of an approver who is the author.
func (w *Words) BarredAuthor() string {
	return w.pick("这是你的合并请求，需由其他审批人批准", "This is your own merge request; another approver has to approve it")
}

// BarredCommitter stands on the card of an approver who has commits in it.
func (w *Words) BarredCommitter() string {
	return w.pick("你在此分支上有提交，需由其他审批人批准", "You have commits on this branch; another approver has to approve it")
}

// Unsure : nobody knows who these GitLab users are in the chat, so that an approval
// would be refused: it might be their own.
func (w *Words) Unsure(usernames []string) string {
	var list []string
	for _, u := range usernames {
		if u = Line(u, maxName); u != "" {
			list = append(list, "@"+u)
		}
	}
	if len(list) == 0 {
		list = []string{w.Author("", "")}
	}
	if len(list) > 5 {
		list = append(list[:5], "…")
	}
	who := strings.Join(list, w.pick("、", ", "))
	return w.pick("还不能批准：无法确认审批人是否就是"+before(who)+"，请管理员在 users 中添加",
		"Cannot be approved yet: an approver might be "+who+"; ask an administrator to add them to users")
}

// Approved : by whom, which commit, when.
func (w *Words) Approved(names []string, sha string, at time.Time) string {
	who := w.People(names)
	return w.pick(after(who)+w.on(at)+"批准了提交 "+Short(sha),
		sentence(who+" approved commit "+Short(sha)+w.when(at)))
}

// Said : what somebody wrote with an approval.
func (w *Words) Said(name, comment string) string {
	return w.pick(w.name(name)+"："+Reason(comment), sentence(w.name(name)+": "+Reason(comment)))
}

// Merging : what follows an approval.
func (w *Words) Merging() string {
	return w.pick("正在 GitLab 中合并，无需再操作", "GitLab is merging it. Nothing more to do")
}

// AwaitsPipeline : what follows an approval while the pipeline runs.
func (w *Words) AwaitsPipeline() string {
	return w.pick("流水线通过后自动合并，无需再操作", "It will be merged when the pipeline passes. Nothing more to do")
}

// AwaitsGitLab : what follows an approval while GitLab does not answer; merge
// says that it will then be merged.
func (w *Words) AwaitsGitLab(merge bool) string {
	if merge {
		return w.pick("批准已保存，GitLab 恢复后自动合并", "The approval is saved; merging resumes when GitLab answers")
	}
	return w.pick("批准已保存，GitLab 恢复后写入", "The approval is saved, and goes to GitLab when it answers")
}

// MergeThere : the rule ends with the approval.
func (w *Words) MergeThere(names []string) string {
	who := w.People(names)
	return w.pick(after(who)+"已批准，请在 GitLab 中合并", sentence(who+" approved. Merge it in GitLab"))
}

// Merged : by whom it was approved, into what, when.
func (w *Words) Merged(names []string, target string, at time.Time) string {
	who, target := w.People(names), Branch(target)
	zh := after(who) + "批准，"
	if !at.IsZero() {
		zh += w.Time(at) + " "
	}
	return w.pick(zh+"合并到 "+target, "Approved by "+who+", merged into "+target+w.when(at))
}

// RejectedClosed : who rejected, and why; the merge request is closed.
func (w *Words) RejectedClosed(name, reason string) string {
	return w.pick(w.rejected(name, reason)+"（合并请求已关闭）", w.rejected(name, reason)+" (merge request closed)")
}

// RejectedClosing : the merge request is going to be closed.
func (w *Words) RejectedClosing(name, reason string) string { return w.rejected(name, reason) }

// RejectedOpen : the merge request stays open.
func (w *Words) RejectedOpen(name, reason string) string {
	return w.pick(w.rejected(name, reason)+"（推送新提交后会再次请求审批）",
		w.rejected(name, reason)+" (a new push asks for approval again)")
}

func (w *Words) rejected(name, reason string) string {
	who, reason := w.name(name), Reason(reason)
	if reason == "" {
		return w.pick(after(who)+"驳回，未填写理由", "Rejected by "+who+", no reason given")
	}
	return w.pick(who+"："+reason, sentence(who+": "+reason))
}

// Expired : nobody decided. d: how long it waited.
func (w *Words) Expired(d time.Duration) string {
	return w.pick(w.Duration(d)+"内无人处理。合并请求仍打开，可由作者再次发起",
		"Nobody decided in "+w.Duration(d)+". The merge request is still open; its author can ask again")
}

// ExpiredPart : some approved, but not enough.
func (w *Words) ExpiredPart(names []string, required int, d time.Duration) string {
	who := w.People(names)
	return w.pick(fmt.Sprintf("%s已批准，但 %s内未满 %d 人。合并请求仍打开，可由作者再次发起", after(who), w.Duration(d), required),
		sentence(fmt.Sprintf("%s approved, but it needed %d approvals within %s. The merge request is still open; its author can ask again",
			who, required, w.Duration(d))))
}

// ExpiredApproved : approved, but not merged in time. d: since the approval.
func (w *Words) ExpiredApproved(names []string, d time.Duration) string {
	who := w.People(names)
	return w.pick(after(who)+"批准后 "+w.Duration(d)+"内未能合并，可由作者再次发起",
		"Approved by "+who+", but it could not be merged within "+w.Duration(d)+"; its author can ask again")
}

// NoRule : the policy does not cover it any more.
func (w *Words) NoRule(target string) string {
	return w.pick("没有规则再适用于 "+Branch(target), "No rule covers "+Branch(target)+" any more")
}

// Outdated : there is another card for a newer commit; asked says that it was sent.
func (w *Words) Outdated(sha string, asked bool) string {
	if asked {
		return w.pick("有新提交 "+Short(sha)+"，请在新卡片中审批", "New commit "+Short(sha)+". Please decide on the new card")
	}
	return w.pick("有新提交 "+Short(sha)+"，本次审批作废", "New commit "+Short(sha)+"; this request no longer counts")
}

// Retargeted : from one branch to another.
func (w *Words) Retargeted(was, now string) string {
	return w.pick("目标分支由 "+Branch(was)+" 改为 "+Branch(now)+"，本次审批作废",
		"Now targets "+Branch(now)+" instead of "+Branch(was)+"; this request no longer counts")
}

// Draft : it was turned into a draft.
func (w *Words) Draft() string {
	return w.pick("标记为就绪后会再次请求审批", "You will be asked again when it is ready")
}

// Reopened : it was closed or a draft in between, so this request is over.
func (w *Words) Reopened() string {
	return w.pick("合并请求曾被关闭或转为草稿，请在新卡片中审批",
		"It was closed or a draft in between. Please decide on the new card")
}

// ClosedThere : by whom, in GitLab.
func (w *Words) ClosedThere(name string) string {
	who := w.somebody(name)
	return w.pick(after(who)+"在 GitLab 中关闭了合并请求", sentence(who+" closed it in GitLab"))
}

// MergedThere : by whom, around the gate.
func (w *Words) MergedThere(name string) string {
	who := w.somebody(name)
	return w.pick(after(who)+"直接合并，未经此处审批", "Merged directly by "+who+", without approval here")
}

// MergedThereAs : by whom, around the gate: another commit than was asked about.
func (w *Words) MergedThereAs(name, sha string) string {
	who := w.somebody(name)
	return w.pick(after(who)+"直接合并了提交 "+Short(sha)+"，该提交未经此处审批",
		"Merged directly by "+who+" with commit "+Short(sha)+", which was not approved here")
}

// MergedThereInto : by whom, around the gate: into another branch than was asked about.
func (w *Words) MergedThereInto(name, target string) string {
	who := w.somebody(name)
	return w.pick(after(who)+"直接合并到 "+Branch(target)+"，未经此处审批",
		"Merged directly by "+who+" into "+Branch(target)+", without approval for it here")
}

// MergedThereBefore : by whom, before somebody approved it.
func (w *Words) MergedThereBefore(name string) string {
	who := w.somebody(name)
	return w.pick("在此处批准之前，"+after(who)+"已直接合并", "Merged directly by "+who+" before it was approved here")
}

// DryRun stands first on everything that a dry run sends.
func (w *Words) DryRun() string {
	return w.pick("演练：不会改动 GitLab，以后也不会", "Dry run: nothing is changed in GitLab, now or later")
}

// WouldNow : what would follow a decision if it were no dry run; acts says that
// the rule merges on an approval, or closes on a rejection.
func (w *Words) WouldNow(approved, acts bool, target string) string {
	zh, en := "写入评论，合并请求保持打开", "get a note in GitLab and stay open"
	switch {
	case approved && acts:
		zh, en = "合并到 "+Branch(target), "be merged into "+Branch(target)
	case approved:
		zh, en = "在 GitLab 中批准", "be approved in GitLab"
	case acts:
		zh, en = "关闭合并请求", "be closed"
	}
	return w.pick("演练：正式运行时，现在会"+zh, "Dry run: it would now "+en)
}

// DryRunOver : the dry run that the card belongs to is over.
func (w *Words) DryRunOver() string {
	return w.pick("演练中的决定不生效；如仍需审批，会发新卡片", "Nothing decided in it counts. If approval is still needed, a new card asks for it")
}

// Checking : GitLab is being asked about a card that a pipeline sent.
func (w *Words) Checking() string {
	return w.pick("正在与 GitLab 核对，稍后请在此卡片上决定", "Checking with GitLab; please decide on this card in a moment")
}

// Operator : who decided from the command line.
func (w *Words) Operator(name string, approved bool, reason string) string {
	who, reason := prose(name, 2*maxName), Reason(reason)
	if who == "" {
		who = w.pick("一位管理员", "an administrator")
	}
	zh := after(who) + "以运维身份从命令行" + either(approved, "批准", "驳回")
	en := either(approved, "Approved", "Rejected") + " by operator " + who + " from the command line"
	if reason != "" {
		zh, en = zh+"："+reason, en+": "+reason
	}
	return w.pick(zh, en)
}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
