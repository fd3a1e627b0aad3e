package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/story"
)

func TestTable(t *testing.T) {
	rows := [][]string{
		{"1", "short", "支付接口", "x"},
		{"22", "a title that is rather long", "支", "y"},
		{"333", "café e\u0301", "🚀 go", "z"},
	}
	for _, width := range []int{0, 30, 20} {
		var out bytes.Buffer
		table := &table{
			out: &out, width: width, heads: []string{"N", "TITLE", "BRANCH", "X"},
			least: []int{0, 6, 4, 0}, right: []bool{true, false, false, false},
		}
		for _, row := range rows {
			table.add(row...)
		}
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for _, line := range lines {
			if width > 0 && columns(line) > width || columns(line) != columns(lines[0]) {
				t.Errorf("in %d columns: %q takes %d, and the heading %d", width, line, columns(line), columns(lines[0]))
			}
		}
		golden(t, fmt.Sprintf("table-%d.golden", width), out.String())
	}
}

func TestTableLeavesOutWhatIsSpare(t *testing.T) {
	var out bytes.Buffer
	table := &table{
		out: &out, width: 21, heads: []string{"N", "TITLE", "COMMIT", "RULE", "AGE"},
		least: []int{0, 6, 0, 0, 0}, right: []bool{true, false, false, false, true}, spare: []int{2, 3},
		paint: func(column int, cell string) string { return fmt.Sprint("<", column, cell, ">") },
	}
	for _, row := range [][]string{{"1", "a long title", "12345678", "main", "5d"}, {"22", "another one, longer", "12345678", "main", "15d"}} {
		table.add(row...)
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
	}
	want := "<0N>  <1TITLE>    <3RULE>  <4AGE>\n<01>  <1a long…>  <3main>   <45d>\n<022>  <1anoth…>  <3main>  <415d>\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTableFarTooNarrow(t *testing.T) {
	var out bytes.Buffer
	table := &table{out: &out, width: 7, heads: []string{"A", "B"}, least: []int{0, 4}, right: []bool{false, false}}
	table.add("支付接口支付", "支付接口")
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if columns(strings.TrimSuffix(line, "\n")) > 7 {
			t.Errorf("%q takes %d columns", line, columns(line))
		}
	}
}

func TestFit(t *testing.T) {
	for in, want := range map[string]string{"abcde": "abcde", "abcdef": "abcd…", "支付接": "支付…", "a支付接": "a支…", "": "", "ab de": "ab de", "abc def": "abc…"} {
		if got := fit(in, 5); got != want {
			t.Errorf("fit(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestFitEnd(t *testing.T) {
	for in, want := range map[string]string{"a/b!7": "a/b!7", "ab/c!17": "…c!17", "支付/接口!7": "…口!7", "": ""} {
		if got := fitEnd(in, 5); got != want {
			t.Errorf("fitEnd(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestCleanAndJSONAreSafe(t *testing.T) {
	const evil = "a\x1b]0;owned\x07b\r\nc\u202Ed\u2066e\u200Bf\u009B31mg\x00h\x7Fi\U000E0041j\xffk"
	got := clean(evil)
	for _, r := range got {
		if r < ' ' || r >= 0x7F && r <= 0x9F || strings.ContainsRune("\u202E\u2066\u200B\U000E0041", r) {
			t.Errorf("clean leaves %U in %q", r, got)
		}
	}
	var out bytes.Buffer
	if err := writeJSON(&out, map[string]string{"x": strings.ToValidUTF8(evil, "")}, false); err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(out.String(), "\n") {
		if r < ' ' || r > 0x7E {
			t.Errorf("JSON has %U in %q", r, out.String())
		}
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["x"] != strings.ToValidUTF8(evil, "") {
		t.Errorf("read back: %q, %v", back["x"], err)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 25 * time.Hour: "25h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for tz, want := range map[string]string{
		"UTC": "12:00 UTC", "Asia/Shanghai": "20:00 CST, UTC+08:00", ":Europe/Berlin": "14:00 CEST, UTC+02:00", "Asia/Kathmandu": "17:45 UTC+05:45", "": "12:00 UTC",
	} {
		zone := (&Environment{Environ: []string{"X=1", "TZ=" + tz}}).zone()
		if got := at.In(zone).Format("15:04 ") + story.ZoneName(at, zone); got != want {
			t.Errorf("TZ=%s: %s, want %s", tz, got, want)
		}
	}
}
