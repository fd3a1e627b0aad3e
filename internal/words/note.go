package words

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Record is a decision for the note under the merge request: GitLab itself shows
// only the bot. It has to stand for years, so its time has a year and no zone.
type Record struct {
	Name     string
	Operator bool // decided from the command line
	Approved bool
	Void     bool // who gave it may no longer decide
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
	if r.Void {
		zh, en = zh+"（不再有效）", en+" (no longer counts)"
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

// What became of what was decided, as the note's last line.

// NoteMerged : as which commit, into what.
func (w *Words) NoteMerged(target, sha string) string {
	return w.pick("→ 已合并到 "+Branch(target)+w.as(sha), "→ Merged into "+Branch(target)+w.as(sha))
}

// NoteMergedThere : around the gate, by whom, as which commit.
func (w *Words) NoteMergedThere(name, sha string) string {
	who := w.somebody(name)
	return w.pick("→ "+after(who)+"绕过审批直接合并"+w.as(sha), "→ Merged directly by "+who+", bypassing approval"+w.as(sha))
}

func (w *Words) as(sha string) string {
	if sha == "" {
		return ""
	}
	return " · " + w.pick("提交 "+Short(sha), "commit "+Short(sha))
}

// NoteLapsed : approvals stopped counting.
func (w *Words) NoteLapsed() string {
	return w.pick("→ 批准不再有效，需重新审批", "→ Approvals no longer count; approval is needed again")
}

// NoteOutdated : there is another commit.
func (w *Words) NoteOutdated() string {
	return w.pick("→ 不再有效：有新提交", "→ No longer counts: there is another commit")
}

// NoteRetargeted : it has another target branch.
func (w *Words) NoteRetargeted() string {
	return w.pick("→ 不再有效：目标分支已改", "→ No longer counts: it has another target branch")
}

// NoteDraft : it was turned into a draft.
func (w *Words) NoteDraft() string {
	return w.pick("→ 不再有效：已转为草稿", "→ No longer counts: it was turned into a draft")
}

// NoteReopened : it was closed or a draft in between.
func (w *Words) NoteReopened() string {
	return w.pick("→ 不再有效：合并请求曾被关闭或转为草稿", "→ No longer counts: it was closed or a draft in between")
}

// NoteNoRule : the policy does not cover it any more.
func (w *Words) NoteNoRule() string {
	return w.pick("→ 不再有效：没有规则再适用", "→ No longer counts: no rule covers it any more")
}

// NoteExpired : it was not merged in time.
func (w *Words) NoteExpired() string {
	return w.pick("→ 不再有效：已过期，未能合并", "→ No longer counts: it expired before it was merged")
}

// NoteClosed : closed by whom, in GitLab.
func (w *Words) NoteClosed(name string) string {
	who := w.somebody(name)
	return w.pick("→ 不再有效："+after(who)+"在 GitLab 中关闭了合并请求", "→ No longer counts: "+who+" closed it in GitLab")
}

// Mark is an entry of the log as a note names it.
type Mark struct {
	Entry int64
	Hash  string // its beginning
}

// Marks gives the entries that the lines of a note name, in either language. Only
// the end of a line counts: before it stands what people wrote.
func Marks(note string) []Mark {
	mark := regexp.MustCompile(` · (?:log|记录) #([1-9][0-9]{0,17}) ([0-9a-f]{32})$`)
	var marks []Mark
	for line := range strings.Lines(note) {
		if m := mark.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			number, _ := strconv.ParseInt(m[1], 10, 64) // 18 digits always fit
			marks = append(marks, Mark{number, m[2]})
		}
	}
	return marks
}
