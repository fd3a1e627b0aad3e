package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

func TestLog(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		golden(t, "log.golden", p.prints("log"))
		golden(t, "log.jsonl", p.prints("log", "--json"))
		_, stdout, _ := runIn(p.dir, []string{"TZ=America/New_York"}, "log", "payments/api!2")
		golden(t, "log-newyork.golden", stdout)

		all := entries(t, p.prints("log", "--json"))
		var number []string
		for i, e := range all {
			about := e.Project != "" && e.IID != 0 && e.MergeRequest != 0
			if e.Number != int64(i+1) || len(e.Hash) != 64 || about == (e.Kind == gate.EntryPolicy) {
				t.Errorf("line %d: %+v", i+1, e)
			}
			number = append(number, fmt.Sprint(e.Number))
		}
		for _, c := range []struct {
			args []string
			want []string
		}{
			{[]string{"--limit", "3"}, number[len(number)-3:]},
			{[]string{"--limit", "0"}, number},
			{[]string{"--limit", "1000"}, number},
			{[]string{"web/shop!1", "--limit", "1"}, number[len(number)-3 : len(number)-2]},
			{[]string{"5"}, number[len(number)-2:]},
			{[]string{"--since", "90s"}, number[len(number)-2:]},
			{[]string{"--since", "0s"}, number},
			{[]string{"https://gitlab.example.com/web/shop/-/merge_requests/2"}, number[len(number)-2:]},
		} {
			var got []string
			for _, e := range entries(t, p.prints(append([]string{"log", "--json"}, c.args...)...)) {
				got = append(got, fmt.Sprint(e.Number))
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("%v: %v, want %v", c.args, got, c.want)
			}
		}
		time.Sleep(time.Hour)
		if code, stdout, stderr := p.run("log", "--since", "1m"); code != ExitDone || stdout != "" || !strings.Contains(stderr, "no such entry in the log of "+p.dir) {
			t.Errorf("nothing: exit %d, %q, %q", code, stdout, stderr)
		}
		if code, _, stderr := p.run("log", "99"); code != ExitFailed || !strings.Contains(stderr, "there is no request 99") {
			t.Errorf("no request: exit %d, %q", code, stderr)
		}
	})
}

func entries(t *testing.T, printed string) (all []line) {
	t.Helper()
	for text := range strings.Lines(printed) {
		var e line
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}
