package words

import (
	"fmt"
	"time"
)

// Time is a moment: "10月9日 18:00", "Oct 9, 18:00"; with the year where that is
// another than that of [Words.Near].
func (w *Words) Time(t time.Time) string {
	t = t.In(w.Zone)
	if w.near.IsZero() || w.near.In(w.Zone).Year() == t.Year() {
		return t.Format(w.pick("1月2日 15:04", "Jan 2, 15:04"))
	}
	return t.Format(w.pick("2006年1月2日 15:04", "Jan 2 2006, 15:04"))
}

// when is " on …" behind an English sentence; nothing for a time that is not known.
func (w *Words) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " on " + w.Time(t)
}

// on is "于 … " in a Chinese sentence; nothing for a time that is not known.
func (w *Words) on(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "于 " + w.Time(t) + " "
}

// UTC is a moment for the record, the same in every language and zone.
func UTC(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// Duration is a length of time in its largest unit, rounded.
func (w *Words) Duration(d time.Duration) string {
	const day = 24 * time.Hour
	n, zh, en := max(1, d.Round(time.Minute)/time.Minute), "分钟", "minute"
	switch {
	case d >= 2*day || d.Round(time.Hour) == day:
		n, zh, en = d.Round(day)/day, "天", "day"
	case d >= 2*time.Hour || d.Round(time.Minute) == time.Hour:
		n, zh, en = d.Round(time.Hour)/time.Hour, "小时", "hour"
	}
	return w.pick(fmt.Sprintf("%d %s", n, zh), count(int(n), en))
}

// count is an English number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
