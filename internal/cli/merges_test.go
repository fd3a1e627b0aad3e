package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

func TestMergesAsCSV(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		stop := p.start()
		p.wait(time.Minute)
		around := p.open(gate.Snapshot{Path: "web/shop", Title: `=HYPERLINK("https://evil.example";"click, me")`, Author: gate.User{ID: 13, Username: "-eve"}, Target: "release/3"})
		p.forge.MergeByHand(around)
		p.look(around)
		unasked := p.forge.Open(gate.Snapshot{Path: "web/shop", Title: "@SUM(A1)\nover two lines"})
		p.forge.MergeByHand(unasked)
		p.look(unasked)
		stop()

		code, stdout, stderr := p.run("list", "--format", "csv")
		if code != ExitDone || stderr != "mrgate: merges: 3, of these around the gate: 2\n" {
			t.Errorf("exit %d, %q", code, stderr)
		}
		golden(t, "merges.csv", stdout)
		for line := range strings.SplitAfterSeq(strings.TrimSuffix(stdout, "\r\n"), "\n") {
			if !strings.HasSuffix(line, "\r\n") && strings.Contains(line, "\n") {
				t.Errorf("a line does not end as RFC 4180 says: %q", line)
			}
		}
		rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
		if err != nil || len(rows) != 4 || len(rows[0]) != len(mergeColumns()) {
			t.Fatalf("%v, %q", err, rows)
		}
		for _, row := range rows {
			for i, cell := range row {
				if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r") {
					t.Errorf("%s: a spreadsheet runs %q", rows[0][i], cell)
				}
			}
		}

		// The entries are those of the log.
		hashes := map[string]string{}
		for line := range strings.Lines(p.prints("log", "--json")) {
			var e struct {
				Number int64
				Kind   string
				Hash   string
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			hashes[fmt.Sprint(e.Number)] = e.Kind + " " + e.Hash
		}
		column := func(row []string, name string) string {
			for i, head := range rows[0] {
				if head == name {
					return row[i]
				}
			}
			t.Fatalf("no column %s", name)
			return ""
		}
		for _, row := range rows[1:] {
			kind := map[string]string{"through": "decided", "around": "bypassed"}[column(row, "gate")]
			if got := hashes[column(row, "log_entries")]; got != kind+" "+column(row, "log_hashes") {
				t.Errorf("%s names entry %s, which is %q", column(row, "url"), column(row, "log_entries"), got)
			}
		}

		for _, c := range []struct {
			args []string
			rows int
		}{
			{[]string{"--project", "payments/*"}, 1},
			{[]string{"--project", "web/shop", "--limit", "1"}, 1},
			{[]string{"--since", "30m"}, 2},
			{[]string{"--older-than", "30m"}, 1},
			{[]string{"--project", "nobody/nothing"}, 0},
		} {
			_, stdout, _ := p.run(append([]string{"list", "--format", "csv"}, c.args...)...)
			if got, err := csv.NewReader(strings.NewReader(stdout)).ReadAll(); err != nil || len(got) != c.rows+1 {
				t.Errorf("%v: %v, %q", c.args, err, got)
			}
		}
		if a, b := p.prints("list", "--format", "json"), p.prints("list", "--json"); a != b {
			t.Errorf("--format json prints %s", a)
		}
		for _, c := range []struct {
			args []string
			says string
		}{
			{[]string{"--json", "--format", "csv"}, "--json and --format csv contradict"},
			{[]string{"--format", "csv", "--state", "merged"}, "not with --state"},
			{[]string{"--format", "csv", "--approver", "alice"}, "not with --state or --approver"},
			{[]string{"--format", "xlsx"}, `--format: "xlsx" is unknown; write table or json or csv`},
		} {
			if code, stdout, stderr := p.run(append([]string{"list"}, c.args...)...); code != ExitUsage || stdout != "" || !strings.Contains(stderr, c.says) {
				t.Errorf("%v: exit %d, %q, %q", c.args, code, stdout, stderr)
			}
		}
	})
}

func TestInertCells(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"Add retries":               "Add retries",
		"a = b; c-d; e@example.com": "a = b; c-d; e@example.com",
		"=1+1":                      "'=1+1",
		"+cmd|' /C calc'!A0":        "'+cmd|' /C calc'!A0",
		"-2+3":                      "'-2+3",
		"@SUM(1)":                   "'@SUM(1)",
		"\t=1":                      "'=1",
		"\r\n=1":                    "'=1",
		" \u200b=1":                 "'=1",
		"＝1+1":                      "'＝1+1",
		"＠x":                        "'＠x",
		"fine;=1+1":                 "fine;'=1+1",
		"fine; \t@x":                "fine; '@x",
		"two\nlines":                "two lines",
		`"=1"`:                      `"=1"`,
		"'=1":                       "'=1",
		strings.Repeat("长", 1<<20):  strings.Repeat("长", longestCell-1) + "…",
	} {
		if got := inert(text); got != want {
			t.Errorf("%.40q: %.60q, want %.60q", text, got, want)
		}
	}
}
