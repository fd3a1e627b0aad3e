package words

import (
	"fmt"
	"strings"
	"time"
)

// Asks is the first line of a card; the branch that it would go into is what is
// at risk, and stands out. author is made by [Words.Author], or "": not known. over
// says that nothing is asked any more.
func (w *Words) Asks(author, source, target string, over bool) Text {
	author, source, target = Line(author, 2*maxName+4), Branch(source), Branch(target)
	switch {
	case w.english && author == "":
		return Text{{Text: "Merge " + source + " into "}, {Text: target, Strong: true}}
	case w.english:
		return Text{{Text: sentence(author+either(over, " asked to merge ", " wants to merge ")) + source + " into "}, {Text: target, Strong: true}}
	case author == "":
		return Text{{Text: "请求合并 " + source + " → "}, {Text: target, Strong: true}}
	}
	return Text{{Text: after(author) + "请求合并 " + source + " → "}, {Text: target, Strong: true}}
}

// Started stands on a card that a pipeline sent, which does not know the author.
func (w *Words) Started(starter string) string {
	starter = w.somebody(starter)
	return w.pick(after(starter)+"启动了流水线", sentence(starter+" started the pipeline"))
}

// Size is how much changes; commits 0: not known.
func (w *Words) Size(files, added, deleted, commits int) string {
	zh := fmt.Sprintf("%d 个文件 · +%d −%d", files, added, deleted)
	en := fmt.Sprintf("%s · +%d −%d", count(files, "file"), added, deleted)
	if commits > 0 {
		zh += fmt.Sprintf(" · %d 个提交", commits)
		en += " · " + count(commits, "commit")
	}
	return w.pick(zh, en)
}

// Fork warns that the commits come from outside the project.
func (w *Words) Fork() string {
	return w.pick("源分支来自派生项目", "The source branch is in a fork")
}

// Pipeline is how the pipeline stood at a time; status is GitLab's word.
func (w *Words) Pipeline(id int64, status string, at time.Time) Text {
	var mood Mood
	zh, en := "状态 "+Line(status, maxName), "is "+Line(status, maxName)
	switch status {
	case "success":
		zh, en, mood = "通过", "passed", Good
	case "failed":
		zh, en, mood = "失败", "failed", Bad
	case "running":
		zh, en = "运行中", "is running"
	case "created", "pending", "preparing", "waiting_for_resource", "scheduled":
		zh, en = "等待运行", "is waiting to run"
	case "canceled", "canceling":
		zh, en, mood = "已取消", "was cancelled", Bad
	case "skipped":
		zh, en = "被跳过", "was skipped"
	case "manual":
		zh, en = "有手动任务未运行", "waits for a manual job"
	}
	text := Text{{Text: either(w.english, "Pipeline", "流水线") + fmt.Sprintf(" #%d ", id)}, {Text: w.pick(zh, en), Mood: mood}}
	if !at.IsZero() {
		text = append(text, Run{Text: either(w.english, " ("+w.Time(at)+")", "（"+w.Time(at)+"）")})
	}
	return text
}

// Files heads the folded list of files; how many they are says [Words.Size].
func (w *Words) Files() string { return w.pick("文件", "Files") }

// File is one of them.
func File(path string, added, deleted int) string {
	return fmt.Sprintf("%s +%d −%d", tail(Line(path, 4*maxPath), maxPath), added, deleted)
}

// MoreFiles ends a list that was cut; n counts all.
func (w *Words) MoreFiles(n int) string {
	return w.pick(fmt.Sprintf("等 %d 个文件", n), fmt.Sprintf("… of %d files", n))
}

// Commits heads the folded list of commits.
func (w *Words) Commits() string { return w.pick("提交", "Commits") }

// Commit is one of them.
func Commit(sha, title string) string { return strings.TrimSpace(Short(sha) + " " + Title(title)) }

// MoreCommits ends a list that was cut; n counts all.
func (w *Words) MoreCommits(n int) string {
	return w.pick(fmt.Sprintf("等 %d 个提交", n), fmt.Sprintf("… of %d commits", n))
}

// Foot says under which rule, of which commit, and until when (zero: left out).
func (w *Words) Foot(rule, sha string, expires time.Time) string {
	rule, sha = w.rule(rule), Short(sha)
	zh, en := fmt.Sprintf("规则 %s · 提交 %s", rule, sha), fmt.Sprintf("Rule %s · commit %s", rule, sha)
	if !expires.IsZero() {
		zh, en = zh+" · "+w.Time(expires)+" 过期", en+" · expires "+w.Time(expires)
	}
	return w.pick(zh, en)
}

// SummaryPending is for the lock screen. author is made by [Words.Author], size
// by [Words.SummarySize]; "": not known.
func (w *Words) SummaryPending(ref, title, author, size string) string {
	zh, en := "待你审批 "+ref+"："+Title(title), "Approval needed, "+ref+": "+Title(title)
	switch {
	case author != "" && size != "":
		zh, en = zh+"（"+author+"，"+size+"）", en+" ("+author+", "+size+")"
	case author != "" || size != "":
		zh, en = zh+"（"+author+size+"）", en+" ("+author+size+")"
	}
	return w.pick(zh, en)
}

// SummarySize is the size for the lock screen.
func (w *Words) SummarySize(files, added, deleted int) string {
	return w.pick(fmt.Sprintf("%d 文件 +%d −%d", files, added, deleted),
		fmt.Sprintf("%s +%d −%d", count(files, "file"), added, deleted))
}

// SummaryDryRun is a text for the lock screen, in a dry run.
func (w *Words) SummaryDryRun(summary string) string {
	return w.pick("演练 · "+summary, "Dry run · "+summary)
}

// Summary is for the lock screen, once somebody has decided: a card's title and
// the merge request's.
func (w *Words) Summary(cardTitle, title string) string {
	return w.pick(cardTitle+"："+Title(title), cardTitle+": "+Title(title))
}
