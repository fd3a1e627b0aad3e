package words_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mrgate/internal/words"
)

const hostile = "<at id=all></at> [x](https://evil.example) **b** \u202Ea\u200Bb\u2066\r\n/merge\n@all\u2028x\x00y\x1b[31m"

// samples are arguments of one type, as different as the sentences should bear.
func samples(t reflect.Type) []any {
	at := time.Date(2026, 10, 9, 10, 0, 0, 0, time.UTC)
	switch t {
	case reflect.TypeFor[string]():
		return []any{"approve", "", hostile, strings.Repeat("x", 300)}
	case reflect.TypeFor[[]string]():
		return []any{[]string{"Alice"}, []string(nil), []string{"Alice", "", "Bob"}, []string{"", ""}, []string{hostile, "a", "b", "c", "d", "e", "f"}}
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		return []any{1, 0, 12}
	case reflect.TypeFor[bool]():
		return []any{true, false}
	case reflect.TypeFor[time.Time]():
		return []any{at, time.Time{}}
	case reflect.TypeFor[time.Duration]():
		return []any{13 * 24 * time.Hour, time.Hour, time.Minute, time.Duration(0)}
	case reflect.TypeFor[words.Block]():
		var list []any
		for _, reason := range reasons() {
			list = append(list, words.Block{Reason: reason, Target: "main", Author: "Bob", Detail: "no"}, words.Block{Reason: reason, Bot: "mrgate"})
		}
		for _, status := range []string{"failed", "skipped", "canceled", "manual", "success", ""} {
			list = append(list, words.Block{Reason: "ci_must_pass", Pipeline: 7, Status: status})
		}
		return list
	case reflect.TypeFor[words.Record]():
		return []any{
			words.Record{Name: "Alice", Approved: true, Commit: "856c10e9aa", Rule: "production", At: at, Entry: 7, Hash: strings.Repeat("ab", 32)},
			words.Record{Name: hostile, Reason: hostile, Operator: true},
			words.Record{},
		}
	}
	return nil
}

func reasons() []string {
	return []string{
		"conflict", "need_rebase", "draft_status", "discussions_not_resolved", "ci_must_pass", "ci_still_running",
		"auto_merge_cancelled", "not_approved", "requested_changes", "not_permitted", "commits_status",
		"merge_request_blocked", "merge_time", "status_checks_must_pass", "security_policy_violations",
		"jira_association_missing", "title_regex", "locked_paths", "locked_lfs_files", "locked", "merge_error",
		"brand_new", "",
	}
}

// TestEverySentenceInBothLanguages calls every method with every sample in every
// place: a sentence is never missing, nor the same in both languages, nor Chinese
// in the English words.
func TestEverySentenceInBothLanguages(t *testing.T) {
	zh, en := words.For("zh"), words.For("en")
	typ := reflect.TypeFor[*words.Words]()
	sentences := 0
	for method := range typ.Methods() {
		if method.Name == "Near" {
			continue
		}
		sentences++
		var first []reflect.Value
		var all [][]reflect.Value
		for i := 1; i < method.Type.NumIn(); i++ {
			in := method.Type.In(i)
			if samples(in) == nil {
				t.Fatalf("%s: no samples of %v", method.Name, in)
			}
			first = append(first, reflect.ValueOf(samples(in)[0]).Convert(in))
		}
		all = append(all, first)
		for i := range first {
			in := first[i].Type()
			for _, sample := range samples(in) {
				args := append([]reflect.Value(nil), first...)
				args[i] = reflect.ValueOf(sample).Convert(in)
				all = append(all, args)
			}
		}
		for _, args := range all {
			z, e := call(t, zh, method.Name, args), call(t, en, method.Name, args)
			name := fmt.Sprintf("%s(%.80v)", method.Name, args)
			check(t, name, z)
			check(t, name, e)
			switch method.Name {
			case "Author": // is somebody's own name
			case "SummarySize", "OperatorName", "People", "Said", "RejectedClosing", "Summary", "Blocked":
				// may be names and numbers alone
			default:
				if z == e {
					t.Errorf("%s is the same in both languages: %.300q", name, z)
				}
				if !han(z) {
					t.Errorf("%s in Chinese: %.300q", name, z)
				}
			}
			if han(e) || strings.ContainsAny(e, "，。：；（）“”、？") {
				t.Errorf("%s in English: %.300q", name, e)
			}
		}
	}
	if sentences < 90 {
		t.Errorf("only %d sentences were found", sentences)
	}
}

func call(t *testing.T, w *words.Words, name string, args []reflect.Value) string {
	t.Helper()
	switch s := reflect.ValueOf(w).MethodByName(name).Call(args)[0].Interface().(type) {
	case string:
		return s
	case words.Text:
		return s.String()
	default:
		t.Fatalf("%s gives a %T", name, s)
		return ""
	}
}

func check(t *testing.T, name, s string) {
	t.Helper()
	switch {
	case strings.TrimSpace(s) == "":
		t.Errorf("%s is empty", name)
	case strings.Contains(s, "%!"):
		t.Errorf("%s: %.300q", name, s)
	case strings.Contains(s, "  ") || s != strings.TrimSpace(s):
		t.Errorf("%s has too much space: %.300q", name, s)
	case strings.ContainsAny(s, "！!") && !strings.Contains(s, " !"), strings.Contains(s, "您"), strings.Contains(s, "成功"), strings.Contains(s, "successful"):
		t.Errorf("%s: not our tone: %.300q", name, s)
	case strings.Contains(s, "0001"):
		t.Errorf("%s shows a time that is not known: %.300q", name, s)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' {
			t.Errorf("%s: %U in %.300q", name, r, s)
		}
	}
	if n := utf8.RuneCountInString(s); n > 1000 {
		t.Errorf("%s has %d runes", name, n)
	}
}

func han(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func TestNoOneIsNamedByAnAddress(t *testing.T) {
	for _, locale := range []string{"zh", "en"} {
		w := words.For(locale)
		for _, name := range []string{"alice@example.com", "ou_7d8a6e6df7621556ce0d21922b676706", "Alice <alice@example.com>", ""} {
			for _, s := range []string{
				w.Part([]string{name}, 1), w.RejectedBefore(name, "x"), w.Author(name, "bob"), w.ClosedThere(name), w.ToastSomebodyFirst(name, "reject", time.Time{}),
			} {
				if strings.Contains(s, "example.com") || strings.Contains(s, "ou_") {
					t.Errorf("%.300q", s)
				}
			}
		}
	}
	if got, want := words.For("en").Part(nil, 1), "An approver approved; 1 more needed"; got != want {
		t.Errorf("got %q, want %.300q", got, want)
	}
	if got, want := words.For("zh").Part([]string{""}, 1), "一位审批人已批准，还需 1 人"; got != want {
		t.Errorf("got %q, want %.300q", got, want)
	}
}

func TestPeople(t *testing.T) {
	for _, c := range []struct {
		names  []string
		zh, en string
	}{
		{[]string{"Alice"}, "Alice", "Alice"},
		{[]string{"Alice", "李雷", "Bob"}, "Alice、李雷、Bob", "Alice, 李雷 and Bob"},
		{[]string{"Alice", ""}, "Alice 和另外 1 人", "Alice and one other"},
		{[]string{"", "", ""}, "3 位审批人", "3 approvers"},
		{[]string{"a", "b", "c", "d", "e", "f", "g"}, "a、b、c、d、e 和另外 2 人", "a, b, c, d, e and 2 others"},
	} {
		if got := words.For("zh").People(c.names); got != c.zh {
			t.Errorf("got %q, want %.300q", got, c.zh)
		}
		if got := words.For("en").People(c.names); got != c.en {
			t.Errorf("got %q, want %.300q", got, c.en)
		}
	}
}

func TestAuthor(t *testing.T) {
	w := words.For("en")
	for _, c := range [][3]string{
		{"Bob Chen", "bob", "Bob Chen (@bob)"}, {"Bob", "bob", "@bob"}, {"", "bob", "@bob"}, {"Bob", "", "Bob"}, {"", "", "the author"},
	} {
		if got := w.Author(c[0], c[1]); got != c[2] {
			t.Errorf("Author(%q, %q) = %q, want %.300q", c[0], c[1], got, c[2])
		}
	}
}

func TestTime(t *testing.T) {
	at := time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		locale string
		near   time.Time
		want   string
	}{
		{"zh", time.Time{}, "1月1日 01:00"},
		{"zh", at, "1月1日 01:00"}, // in Shanghai it is the new year already
		{"zh", at.Add(-24 * time.Hour), "2027年1月1日 01:00"},
		{"en", at, "Jan 1, 01:00"},
		{"en", at.Add(-24 * time.Hour), "Jan 1 2027, 01:00"},
	} {
		w := words.For(c.locale)
		w.Zone = time.FixedZone("CST", 8*3600)
		if got := w.Near(c.near).Time(at); got != c.want {
			t.Errorf("%s near %v: got %q, want %.300q", c.locale, c.near, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                        {"1 分钟", "1 minute"},
		90 * time.Second:         {"2 分钟", "2 minutes"},
		time.Hour:                {"1 小时", "1 hour"},
		4 * time.Hour:            {"4 小时", "4 hours"},
		24 * time.Hour:           {"1 天", "1 day"},
		36 * time.Hour:           {"36 小时", "36 hours"},
		13*24*time.Hour - 1:      {"13 天", "13 days"},
		47*time.Hour + time.Hour: {"2 天", "2 days"},
	} {
		for i, locale := range []string{"zh", "en"} {
			if got := words.For(locale).Duration(d); got != want[i] {
				t.Errorf("%v: got %q, want %.300q", d, got, want[i])
			}
		}
	}
}

func TestReasonsDoNotDoubleTheStop(t *testing.T) {
	if got, want := words.For("zh").ResultRejected("Alice", "a !7", "缺少测试。", true), "Alice 驳回了 a !7：缺少测试。合并请求已关闭"; got != want {
		t.Errorf("got %q, want %.300q", got, want)
	}
	if got, want := words.For("en").ResultRejected("Alice", "a !7", "No tests.", true), "Alice rejected a !7: No tests. It was closed"; got != want {
		t.Errorf("got %q, want %.300q", got, want)
	}
}

func TestMarksOfANote(t *testing.T) {
	at := time.Date(2026, 10, 9, 18, 0, 0, 0, time.UTC)
	for _, locale := range []string{"en", "zh"} {
		w := words.For(locale)
		var lines []string
		for i, r := range []words.Record{
			{Name: "Alice", Approved: true},
			{Name: "Carol", Reason: "see · log #9 " + strings.Repeat("0", 32)},
			{Name: "root@build", Operator: true, Reason: "· 记录 #9 " + strings.Repeat("0", 32)},
		} {
			r.Commit, r.Rule, r.At, r.Entry, r.Hash = "856c10e9aa", "main · log #8", at, int64(i+3), strings.Repeat(fmt.Sprint(i, "b"), 32)
			lines = append(lines, w.Note(r))
		}
		lines = append(lines, w.Note(words.Record{Name: "Dave", Reason: "· log #9 " + strings.Repeat("0", 32), At: at}))
		got := words.Marks(strings.Join(lines, "\n"))
		if len(got) != 3 {
			t.Fatalf("%s: %+v", locale, got)
		}
		for i, m := range got {
			if m.Entry != int64(i+3) || m.Hash != strings.Repeat(fmt.Sprint(i, "b"), 16) {
				t.Errorf("%s: line %d: %+v", locale, i, m)
			}
		}
	}
}

// The pieces of a sentence make a sentence.
func TestPiecesStandApart(t *testing.T) {
	at := time.Date(2026, 10, 8, 18, 0, 0, 0, time.Local)
	for locale, want := range map[string]string{"en": "Pipeline #7 failed (Oct 8, 18:00)", "zh": "流水线 #7 失败（10月8日 18:00）"} {
		w := words.For(locale)
		if got := w.Pipeline(7, "failed", at).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
