package words

import (
	"fmt"
	"time"
)

// Reminders: what still waits for the reader.

// Remind : one request waits for the reader; for the lock screen.
func (w *Words) Remind(ref, title string, d time.Duration) string {
	return w.pick("等你审批："+ref+" "+Title(title)+"，已等 "+w.Duration(d),
		"Waiting for you: "+ref+" "+Title(title)+", "+w.Duration(d)+" so far")
}

// TitleReminder : the same, as a title.
func (w *Words) TitleReminder(ref string) string {
	return w.title("等你审批", "Waiting for you", ref)
}

// RemindMany : n requests wait for the reader; d: the oldest of them.
func (w *Words) RemindMany(n int, d time.Duration) string {
	return w.pick(fmt.Sprintf("你有 %d 个合并请求待审批，最久的已等 %s", n, w.Duration(d)),
		fmt.Sprintf("%d merge requests wait for you, the oldest for %s", n, w.Duration(d)))
}

// RemindLine is one of what waits, for so long by now; the reference leads to url.
// expires: when it does, where that is near; zero: left out.
func (w *Words) RemindLine(ref, url, title string, d time.Duration, expires time.Time) Text {
	title, waited := Title(title), w.Duration(d)
	text := w.pick(title+"，已等 "+waited, title+", "+waited+" so far")
	if !expires.IsZero() {
		text = w.pick(text+"，"+w.Time(expires)+" 过期", text+", expires on "+w.Time(expires))
	}
	if ref = Line(ref, maxSentence); ref == "" {
		return Plain(text)
	}
	return Text{{Text: ref, Link: url}, {Text: " " + text}}
}

// RemindMore : n wait besides those that are listed.
func (w *Words) RemindMore(n int) string {
	return w.pick(fmt.Sprintf("另有 %d 个", n), fmt.Sprintf("and %d more", n))
}

// RemindFoot says where to decide: a reminder has no buttons.
func (w *Words) RemindFoot() string {
	return w.pick("请在此前收到的卡片上决定", "Decide on the cards that you already have")
}
