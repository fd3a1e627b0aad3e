package words

import (
	"fmt"
	"time"
)

// Record is a decision for the note under the merge request: GitLab itself shows
// only the bot. It has to stand for years, so its time has a year and no zone.
type Record struct {
	Name     string
	Operator bool // decided from the command line
	Approved bool
	Reason   string
	Commit   string
	Rule     string
	At       time.Time
	Entry    int64  // of the log; 0: not known
	Hash     string // its; 32 digits are shown
}

// Note is one line of the note.
func (w *Words) Note(r Record) string {
	reason := Reason(r.Reason)
	var zh, en string
	if r.Operator {
		who := w.OperatorName(r.Name)
		zh = "由" + after(who) + "从命令行" + either(r.Approved, "批准", "驳回") + "（未经审批人）"
		en = either(r.Approved, "Approved", "Rejected") + " by " + who + " from the command line, not by the approvers"
	} else {
		who := w.name(r.Name)
		zh = "由" + around(who) + "在飞书" + either(r.Approved, "批准", "驳回")
		en = either(r.Approved, "Approved", "Rejected") + " by " + who + " in Feishu"
	}
	switch {
	case reason != "":
		zh, en = zh+"："+reason, en+": "+reason
	case !r.Approved:
		zh, en = zh+"，未填写理由", en+", no reason given"
	}
	sha, rule, at := Short(r.Commit), w.rule(r.Rule), UTC(r.At)
	zh += fmt.Sprintf(" · 提交 %s · 规则 %s · %s", sha, rule, at)
	en += fmt.Sprintf(" · commit %s · rule %s · %s", sha, rule, at)
	if r.Entry > 0 {
		zh += fmt.Sprintf(" · 记录 #%d %s", r.Entry, head(r.Hash, 32))
		en += fmt.Sprintf(" · log #%d %s", r.Entry, head(r.Hash, 32))
	}
	return w.pick(zh, en)
}
