package words

import "fmt"

// Buttons name what follows from them.

// ButtonApprove : merge says that this approval is followed by the merge.
func (w *Words) ButtonApprove(merge bool) string {
	if merge {
		return w.pick("批准并合并", "Approve and merge")
	}
	return w.pick("批准", "Approve")
}

// ButtonReject : closes says that the rejection closes the merge request.
func (w *Words) ButtonReject(closes bool) string {
	if closes {
		return w.pick("驳回并关闭", "Reject and close")
	}
	return w.pick("打回修改", "Send back")
}

// ButtonRetry has GitLab asked again.
func (w *Words) ButtonRetry() string { return w.pick("重试", "Retry") }

// ButtonAgain asks again for what expired or was sent back.
func (w *Words) ButtonAgain() string { return w.pick("再次发起", "Ask again") }

// ButtonView opens the changes.
func (w *Words) ButtonView() string { return w.pick("查看改动", "View changes") }

// ButtonPipeline opens the pipeline that is in the way.
func (w *Words) ButtonPipeline(id int64) string {
	return w.pick(fmt.Sprintf("查看流水线 #%d", id), fmt.Sprintf("View pipeline #%d", id))
}

// ButtonOpen opens the merge request, for its author.
func (w *Words) ButtonOpen() string { return w.pick("打开合并请求", "Open the merge request") }

// Comment labels the field that all buttons share; required: a rejection needs it.
func (w *Words) Comment(required bool) string {
	if required {
		return w.pick("驳回请写明理由（批准可不填）", "Say why when rejecting (optional when approving)")
	}
	return w.pick("给作者的话（可不填）", "Comment for the author (optional)")
}

// ConfirmApprove is the question before an approval.
func (w *Words) ConfirmApprove(merge bool, ref string) string {
	if merge {
		return w.pick("批准并合并 "+ref+"？", "Approve and merge "+ref+"?")
	}
	return w.pick("批准 "+ref+"？", "Approve "+ref+"?")
}

// ConfirmMerge : this approval merges.
func (w *Words) ConfirmMerge(sha, target string) string {
	return w.pick(fmt.Sprintf("提交 %s 将合并到 %s。", Short(sha), Branch(target)),
		fmt.Sprintf("Commit %s will be merged into %s.", Short(sha), Branch(target)))
}

// ConfirmPart : after this approval, more others have to approve before the merge.
func (w *Words) ConfirmPart(sha string, more int) string {
	return w.pick(fmt.Sprintf("你将批准提交 %s，之后还需 %d 人批准。", Short(sha), more),
		fmt.Sprintf("You approve commit %s; %d more must approve after you.", Short(sha), more))
}

// ConfirmOnly : the approval is recorded in GitLab, and people merge there.
func (w *Words) ConfirmOnly(sha string) string {
	return w.pick(fmt.Sprintf("提交 %s 将在 GitLab 中标记为已批准，由作者合并。", Short(sha)),
		fmt.Sprintf("Commit %s will be approved in GitLab; the author merges it there.", Short(sha)))
}

// ConfirmReject is the question before a rejection.
func (w *Words) ConfirmReject(closes bool, ref string) string {
	if closes {
		return w.pick("驳回并关闭 "+ref+"？", "Reject and close "+ref+"?")
	}
	return w.pick("打回 "+ref+"？", "Send "+ref+" back?")
}

// ConfirmRejected says what follows. author: made by [Words.Author]; "": the chat
// does not know the author, so nothing is promised about telling.
func (w *Words) ConfirmRejected(closes bool, author string) string {
	told := author != ""
	switch {
	case closes && told:
		return w.pick("合并请求将被关闭，理由会发给"+before(author)+"。",
			"The merge request will be closed and "+author+" told why.")
	case closes:
		return w.pick("合并请求将被关闭。", "The merge request will be closed.")
	case told:
		return w.pick("合并请求保持打开，理由会发给"+before(author)+"；推送新提交后会再次请求审批。",
			"The merge request stays open and "+author+" is told why; a new push asks for approval again.")
	}
	return w.pick("合并请求保持打开；推送新提交后会再次请求审批。",
		"The merge request stays open; a new push asks for approval again.")
}
