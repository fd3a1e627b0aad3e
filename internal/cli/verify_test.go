package cli

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/sqlite"
)

func TestVerify(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		same := func(printed string) string { // whatever the log exactly holds
			printed = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(printed, "HASH")
			printed = regexp.MustCompile(`\b[34][0-9]\b`).ReplaceAllString(printed, "N")
			return strings.ReplaceAll(printed, p.dir, "DIR")
		}
		golden(t, "verify.golden", same(p.prints("log", "--verify")))
		golden(t, "verify.json", same(p.prints("log", "--verify", "--json")))

		var v verified
		if err := json.Unmarshal([]byte(p.prints("log", "--verify", "--json")), &v); err != nil {
			t.Fatal(err)
		}
		_, hash, _ := strings.Cut(v.Anchor, ":")
		golden(t, "verify-anchored.golden", same(p.prints("log", "--verify", "--anchor", v.Anchor)))
		for _, c := range []struct {
			anchor string
			code   int
			says   string
		}{
			{fmt.Sprintf("%d:%s", v.Entries, hash[:32]), ExitDone, "Up to entry "},
			{fmt.Sprintf("#%d:%s", v.Entries, strings.ToUpper(hash)), ExitDone, "Up to entry "},
			{fmt.Sprintf("%d:%s", v.Entries-1, hash), ExitFailed, fmt.Sprintf("entry %d: its hash is ", v.Entries-1)},
			{fmt.Sprintf("%d:%s", v.Entries+1, hash), ExitFailed, fmt.Sprintf("entry %d: it is not there, and the anchor %d:", v.Entries+1, v.Entries+1)},
			{"5:" + hash[:31], ExitUsage, "at least 32"},
			{"5:" + strings.Repeat("x", 32), ExitUsage, "has no hash"},
			{hash, ExitUsage, "is no anchor"},
			{"0:" + hash, ExitUsage, "is no anchor"},
			{"5:" + hash + "0", ExitUsage, "has no hash"},
		} {
			code, stdout, stderr := p.run("log", "--verify", "--anchor", c.anchor)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("%s: exit %d, want %d and %q: %s%s", c.anchor, code, c.code, c.says, stdout, stderr)
			}
		}
		for _, args := range [][]string{
			{"--anchor", v.Anchor},
			{"--from-gitlab"},
			{"--verify", "5"},
			{"--verify", "--since", "1d"},
			{"--verify", "--limit", "5"},
			{"--verify", "--from-gitlab"}, // without a token
		} {
			if code, _, stderr := p.run(append([]string{"log"}, args...)...); code != ExitUsage || !strings.Contains(stderr, "log: ") {
				t.Errorf("%v: exit %d, %s", args, code, stderr)
			}
		}
	})
}

func TestVerifyWithoutALog(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string){
		"there is no database": func(string) {},
		"it is empty": func(path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"the log is empty": func(path string) {
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"it is not an SQLite database": func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".db")
		make(path)
		code, stdout, stderr := runIn(dir, nil, "log", "--verify", "--db", path)
		if code != ExitFailed || !strings.Contains(stderr, name) || !strings.Contains(stderr, path) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %q, %q", name, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "there-is-no-database.db")); err == nil {
		t.Error("it made a database")
	}
}

// tamper changes a database behind mrgate's back, as somebody would who can write
// the file; the triggers are put back.
func tamper(t *testing.T, path string, queries ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // for PRAGMAs
	defer func() { _ = db.Close() }()
	var restore []string
	rows, err := db.QueryContext(t.Context(), `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		queries = append([]string{"DROP TRIGGER " + name}, queries...)
		restore = append(restore, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, query := range append(queries, restore...) {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// entryNumbers puts entries' numbers into texts: {approved} is the first decision
// of the story, {last+1} what would come after the last one.
func entryNumbers(t *testing.T, path string) *strings.Replacer {
	t.Helper()
	_, stdout, _ := runIn(filepath.Dir(path), nil, "log", "--json")
	all := entries(t, stdout)
	find := func(request int64, kind gate.EntryKind) int64 {
		return all[slices.IndexFunc(all, func(e line) bool { return e.Request == request && e.Kind == kind })].Number
	}
	blocked := find(4, gate.EntryState)
	for _, e := range all {
		if e.Request == 4 && e.Kind == gate.EntryState {
			blocked = e.Number
		}
	}
	var pairs []string
	for name, number := range map[string]int64{
		"approved": find(1, gate.EntryDecided), "sent": find(1, gate.EntryMessage), "effect": find(1, gate.EntryEffect),
		"rejected": find(2, gate.EntryDecided), "blocked": blocked, "waiting": find(5, gate.EntryOpened), "last": int64(len(all)),
	} {
		pairs = append(pairs, "{"+name+"}", fmt.Sprint(number))
		for more := range int64(4) {
			pairs = append(pairs, fmt.Sprintf("{%s+%d}", name, more), fmt.Sprint(number+more))
		}
	}
	return strings.NewReplacer(pairs...)
}

func TestVerifyNamesWhatWasChanged(t *testing.T) {
	var whole []byte
	inPast(t, func(p *past) {
		p.story()
		var err error
		if whole, err = os.ReadFile(filepath.Join(p.dir, "mrgate.db")); err != nil {
			p.Fatal(err)
		}
	})
	for name, c := range map[string]struct {
		tamper []string
		says   []string
		flaws  int
	}{
		"a byte of the data":       {[]string{`UPDATE log SET data = replace(data, 'well done', 'well dine') WHERE number = {approved}`}, []string{"entry {approved}: its hash"}, 2},
		"the time":                 {[]string{`UPDATE log SET at = at + 1 WHERE number = {approved}`}, []string{"entry {approved}: its hash"}, 1},
		"the kind":                 {[]string{`UPDATE log SET kind = 'effect' WHERE number = {sent}`}, []string{"entry {sent}: its hash"}, 1},
		"the request":              {[]string{`UPDATE log SET request = NULL WHERE number = {effect}`}, []string{"entry {effect}: its hash"}, 1},
		"the merge request":        {[]string{`UPDATE log SET merge_request = 2 WHERE number = {effect}`}, []string{"entry {effect}: its hash"}, 1},
		"the hash":                 {[]string{`UPDATE log SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE number = {effect}`}, []string{"entry {effect}: its hash"}, 1},
		"one in the middle gone":   {[]string{`DELETE FROM log WHERE number = {effect}`}, []string{"entry {effect}: it is missing"}, 1},
		"three in the middle gone": {[]string{`DELETE FROM log WHERE number IN ({effect}, {effect} + 1, {effect} + 3)`}, []string{"entry {effect}: it and those up to entry {effect+1} are missing", "entry {effect+3}: it is missing"}, 2},
		"the first gone":           {[]string{`DELETE FROM log WHERE number = 1`}, []string{"entry 1: it is missing"}, 2},
		"the last gone":            {[]string{`DELETE FROM log WHERE number = {last}`}, []string{"entry {last}: it is missing: the end of the log was cut off"}, 1},
		"all gone":                 {[]string{`DELETE FROM log`}, []string{"entry 1: it and those up to entry {last} are missing", "request 1: it is in the database"}, 7},
		"two swapped": {[]string{
			`UPDATE log SET number = -1 WHERE number = {effect}`, `UPDATE log SET number = {effect} WHERE number = {effect} + 1`, `UPDATE log SET number = {effect} + 1 WHERE number = -1`,
		}, []string{"entry {effect}: its hash", "entry {effect+1}: its hash"}, 3},
		"one added": {[]string{
			`INSERT INTO log SELECT {last} + 1, at, merge_request, request, kind, data, hash FROM log WHERE number = {last}`,
		}, []string{"entry {last+1}: its hash", "entry {last+1}: the database notes entry {last} as the last"}, 2},
		"the head changed": {[]string{`UPDATE meta SET value = '{last}:00' WHERE key = 'log_head'`}, []string{"entry {last}: its hash is"}, 1},
		"the head gone":    {[]string{`DELETE FROM meta WHERE key = 'log_head'`}, []string{"log_head"}, 1},
		"nothing":          {nil, []string{"is as mrgate wrote it: {last} entries"}, 0},

		"a decision turned round": {[]string{`UPDATE decision SET verdict = 'approve' WHERE request = 2`}, []string{"entry {rejected}: the decision of Alice on request 2 that the database has differs from it: verdict"}, 1},
		"a decision's reason":     {[]string{`UPDATE decision SET reason = 'x' WHERE request = 2`}, []string{"entry {rejected}", "reason"}, 1},
		"a decision revived":      {[]string{`UPDATE decision SET void = 1 WHERE request = 2`}, []string{"entry {rejected}", "whether it counts"}, 1},
		"a decision gone":         {[]string{`DELETE FROM decision WHERE request = 2`}, []string{"entry {rejected}: it tells of a decision of Alice on request 2, which the database no longer has"}, 1},
		"a decision made up": {[]string{
			`INSERT INTO decision (request, person, name, verdict, reason, via, shown, void) VALUES (5, 'ou_mallory', 'Mallory', 'approve', '', 'card', '', 0)`,
		}, []string{"request 5: the database has a decision of Mallory"}, 1},
		"a state changed":       {[]string{`UPDATE request SET state = 'merged' WHERE id = 4`}, []string{"request 4: the database has it as merged, and entry {blocked}"}, 1},
		"a rehearsal made real": {[]string{`UPDATE request SET dry = 1 - dry WHERE id = 5`}, []string{"request 5: the database has it as a dry run, and the log as real"}, 1},
		"a commit changed":      {[]string{`UPDATE request SET head = 'c0ffee' WHERE id = 5`}, []string{"request 5: the database has it about commit c0ffee"}, 1},
		"a request gone": {[]string{
			`PRAGMA foreign_keys = OFF`, `DELETE FROM message WHERE request = 5`, `DELETE FROM request WHERE id = 5`,
		}, []string{"entry {waiting}: it tells of request 5, which the database no longer has"}, 1},
		"a request made up": {[]string{
			`CREATE TEMP TABLE made_up AS SELECT * FROM request WHERE id = 1`,
			`UPDATE made_up SET id = 9, merge_request = 4, seq = 2`,
			`INSERT INTO request SELECT * FROM made_up`,
		}, []string{"request 9: it is in the database, and the log does not tell that it was opened"}, 1},
		"a policy's text": {[]string{`UPDATE policy SET text = text || 'x'`}, []string{"the text of policy"}, 1},
		"a policy gone":   {[]string{`DELETE FROM policy`}, []string{"the log tells of more policies that came into force (1) than the database keeps (0)"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "mrgate.db")
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			fill := entryNumbers(t, path)
			var queries []string
			for _, q := range c.tamper {
				queries = append(queries, fill.Replace(q))
			}
			tamper(t, path, queries...)
			code, stdout, stderr := runIn(dir, nil, "log", "--verify", "--json")
			var v verified
			if err := json.Unmarshal([]byte(stdout), &v); err != nil {
				t.Fatal(err)
			}
			if (code == ExitFailed) != (c.flaws > 0) || v.OK != (c.flaws == 0) || len(v.Flaws)+v.Unsaid != c.flaws {
				t.Errorf("exit %d, %+v", code, v)
			}
			_, text, _ := runIn(dir, nil, "log", "--verify")
			for _, says := range c.says {
				if says = fill.Replace(says); !strings.Contains(text, says) {
					t.Errorf("does not say %q:\n%s", says, text)
				}
			}
			if c.flaws > 0 && (!strings.Contains(stderr, clean(v.Flaws[0].String())) || strings.Count(stderr, "\n") != 1) {
				t.Errorf("on stderr: %q", stderr)
			}
		})
	}
}

func TestVerifyMissesTheGuards(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		db, err := sql.Open("sqlite3", "file:"+filepath.Join(p.dir, "mrgate.db"))
		if err != nil {
			p.Fatal(err)
		}
		if _, err := db.Exec(`DROP TRIGGER log_no_update`); err != nil {
			p.Fatal(err)
		}
		if err := db.Close(); err != nil {
			p.Fatal(err)
		}
		if code, stdout, _ := p.run("log", "--verify"); code != ExitFailed || !strings.Contains(stdout, "the trigger log_no_update") {
			p.Errorf("exit %d: %s", code, stdout)
		}
	})
}

// wall is a GitLab that has only notes.
type wall map[gate.Ref][]gitlab.OwnNote

func (w wall) OwnNotes(_ context.Context, mr gate.Ref) ([]gitlab.OwnNote, error) {
	own, ok := w[mr]
	if !ok {
		return nil, fmt.Errorf("%s: %w", mr, gate.ErrNotFound)
	}
	return own, nil
}

func TestNotesOfTheNewestAreRead(t *testing.T) {
	inPast(t, func(p *past) {
		p.story()
		store, err := sqlite.Open(p.Context(), filepath.Join(p.dir, "mrgate.db"), sqlite.Options{ReadOnly: true})
		if err != nil {
			p.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		for _, c := range []struct {
			limit int
			want  string
			all   bool
		}{{1, "5", false}, {2, "5 4", false}, {3, "5 4 2", false}, {4, "5 4 2 1", true}, {0, "5 4 2 1", true}, {100, "5 4 2 1", true}} {
			newest, all, err := newestOf(p.Context(), store, 0, c.limit)
			var got []string
			for _, r := range newest {
				got = append(got, fmt.Sprint(r.Number))
			}
			if err != nil || strings.Join(got, " ") != c.want || all != c.all {
				p.Errorf("limit %d: %v, all %v, %v", c.limit, got, all, err)
			}
		}
		var report verified
		first, _, err := newestOf(p.Context(), store, 0, 0)
		if err != nil {
			p.Fatal(err)
		}
		ref := first[len(first)-1].Ref
		notes := wall{ref: {{ID: 7, Key: "0f98b1f7-1", Body: "Approved by Alice in Feishu: fine · log #1 " + strings.Repeat("0", 32) +
			" · commit 0f98b1f7 · rule production · 2000-01-01 00:01 UTC · log #4 " + strings.Repeat("a", 32)}}}
		found, err := readOwnNotes(p.Context(), store, notes, &config.Config{}, &report)
		if err != nil || len(found) != 1 {
			p.Fatalf("%+v, %v", found, err)
		}
		n := found[0]
		if n.request != 1 || len(n.anchors) != 1 || n.anchors[0].Number != 4 || n.anchors[0].From != "note 7 on payments/api!1" {
			p.Errorf("note: %+v", n)
		}
		if a := report.Anchors; a.Notes != 1 || a.MergeRequests != 1 || a.Unread != 3 || !a.All {
			p.Errorf("report: %+v", a)
		}
		if said := strings.Join(report.Remarks, "\n"); !strings.Contains(said, "note 1 on payments/api!1, about request 1, is not in GitLab any more") {
			p.Errorf("remarks: %s", said)
		}
	})
}
