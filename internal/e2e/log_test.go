package e2e

import (
	"crypto/sha256"
	"database/sql"
	endian "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// entry is a line of mrgate log --json.
type entry struct {
	Number  int64  `json:"number"`
	Request int64  `json:"request"`
	Kind    string `json:"kind"`
	Hash    string `json:"hash"`
	Data    struct {
		Person any    `json:"person"`
		Became string `json:"became"`
		Why    string `json:"why"`
		Way    string `json:"way"`
		Event  string `json:"event"`
		Ref    string `json:"ref"`
		Chat   string `json:"chat"`
		Head   string `json:"head"`
		Effect string `json:"effect"`
		Answer string `json:"answer"`
		Did    string `json:"did"`
		Showed *struct {
			Title   string   `json:"title"`
			Facts   []string `json:"facts"`
			Buttons []string `json:"buttons"`
		} `json:"showed"`
	} `json:"data"`
}

func (w *world) entries(kind string) (all []entry) {
	w.t.Helper()
	o := mrgate(w.t, w.dir, nil, "", "log", "--json", "--db", w.db)
	for line := range strings.Lines(o.stdout) {
		if e := decode[entry](w.t, []byte(line)); kind == "" || e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// verify runs mrgate log --verify on a database.
func (w *world) verify(db string, args ...string) outcome {
	w.t.Helper()
	return mrgate(w.t, w.dir, w.environ(), "", append([]string{"log", "--verify", "--db", db}, args...)...)
}

// copyDB gives a copy of the database that a stopped listener left.
func (w *world) copyDB(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// tampered gives a copy of the database that somebody has changed who can write
// the file: the guards are taken down and put up again.
func (w *world) tampered(change func(db *sql.DB)) string {
	w.t.Helper()
	path := w.copyDB("tampered.db")
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	guards := map[string]string{}
	rows, err := db.QueryContext(w.t.Context(), `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			w.t.Fatal(err)
		}
		guards[name] = text
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	for name := range guards {
		w.exec(db, `DROP TRIGGER `+name)
	}
	change(db)
	for _, text := range guards {
		w.exec(db, text)
	}
	return path
}

func (w *world) exec(db *sql.DB, query string, args ...any) {
	w.t.Helper()
	if _, err := db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// rewrite gives every entry of the log a hash that fits, and notes the last one
// as the head: what docs/log.md says, done anew.
func (w *world) rewrite(db *sql.DB) {
	w.t.Helper()
	type row struct {
		number, at, mergeRequest, request int64
		kind, data                        string
	}
	var all []row
	rows, err := db.QueryContext(w.t.Context(), `SELECT number, at, COALESCE(merge_request, 0), COALESCE(request, 0), kind, data FROM log ORDER BY number`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.number, &r.at, &r.mergeRequest, &r.request, &r.kind, &r.data); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	before := ""
	for _, r := range all {
		h := sha256.New()
		for _, field := range []string{
			"mrgate log 1", before, fmt.Sprint(r.number), fmt.Sprint(r.at), fmt.Sprint(r.mergeRequest), fmt.Sprint(r.request), r.kind, r.data,
		} {
			_ = endian.Write(h, endian.BigEndian, uint64(len(field)))
			h.Write([]byte(field))
		}
		before = hex.EncodeToString(h.Sum(nil))
		w.exec(db, `UPDATE log SET hash = ? WHERE number = ?`, before, r.number)
	}
	w.exec(db, `UPDATE meta SET value = ? WHERE key = 'log_head'`, fmt.Sprintf("%d:%s", len(all), before))
}

func TestLogExplainsAndVerifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	mr := w.begin(l, w.alice, w.carol)
	card := w.card(w.alice)
	for range 5 {
		says(t, w.postClick(l, w.pressed(w.dave, card.ID, feishusim.ClickOptions{Button: "approve", Anyone: true})).Toast,
			"error", `You are not an approver under rule "production". Nothing changed`)
	}
	if o := w.verify(w.db); o.code != 0 || o.stderr != "" {
		t.Errorf("while a listener is at it: exit %d, %s%s", o.code, o.stdout, o.stderr)
	}
	w.click(l, w.alice, "approve", "looks fine")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	other := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = "feature/other" })
	w.webhook(l, other.IID, "open")
	w.eventually("Carol is asked again", func() bool { return len(w.cards(w.carol)) == 2 })
	if _, err := w.tryClick(l, w.carol, w.cards(w.carol)[1].ID, "reject", "not now"); err != nil {
		t.Fatal(err)
	}
	w.eventually("there is a note on the other", func() bool { return len(w.mr(other.IID).Notes) == 1 })
	w.eventually("the log tells that it was closed", func() bool {
		return slices.ContainsFunc(w.entries("message"), func(e entry) bool { return e.Request == 2 && e.Data.Did == "changed" })
	})
	l.stop()

	// It explains.
	clicks := w.entries("click")
	if len(clicks) != 1 || clicks[0].Data.Why != "outsider" || clicks[0].Data.Became != "refused" {
		t.Errorf("clicks: %+v", clicks)
	}
	decided := w.entries("decided")
	if len(decided) != 2 {
		t.Fatalf("decisions: %+v", decided)
	}
	d := decided[0].Data
	if d.Person != w.alice.OpenID || d.Way != "new-style callback" || d.Event == "" || d.Ref != card.ID || d.Chat == "" || d.Head != mr.Head {
		t.Errorf("decision: %+v", decided[0])
	}
	if d.Showed == nil || !strings.HasPrefix(d.Showed.Title, "Approval needed") || !slices.Contains(d.Showed.Buttons, "Approve and merge") ||
		!strings.Contains(strings.Join(d.Showed.Facts, "\n"), "main") {
		t.Errorf("the card showed: %+v", d.Showed)
	}
	if !slices.ContainsFunc(w.entries("effect"), func(e entry) bool { return e.Data.Effect == "merge" && e.Data.Answer == "merged" }) {
		t.Errorf("effects: %+v", w.entries("effect"))
	}
	if p := w.entries("policy"); len(p) != 1 || p[0].Number != 1 || p[0].Request != 0 {
		t.Errorf("policies: %+v", p)
	}

	// It verifies, with what a note and an earlier run say.
	all := w.entries("")
	last := all[len(all)-1]
	note := regexp.MustCompile(`log #(\d+) ([0-9a-f]{32})`).FindStringSubmatch(w.mr(mr.IID).Notes[0].Body)
	if note == nil {
		t.Fatalf("no entry in the note %q", w.mr(mr.IID).Notes[0].Body)
	}
	fromNote, fromRun := note[1]+":"+note[2], fmt.Sprintf("%d:%s", last.Number, last.Hash)
	for _, args := range [][]string{nil, {"--anchor", fromNote}, {"--anchor", fromRun, "--anchor", fromNote}, {"--from-gitlab"}, {"--from-gitlab", "--limit", "1"}} {
		o := w.verify(w.db, args...)
		if o.code != 0 || o.stderr != "" || !strings.Contains(o.stdout, fmt.Sprintf("%d entries", len(all))) || !strings.Contains(o.stdout, fromRun) ||
			!strings.Contains(o.stdout, "Not proven: ") {
			t.Errorf("%v: exit %d, %s%s", args, o.code, o.stdout, o.stderr)
		}
	}
	o := w.verify(w.db, "--from-gitlab", "--json")
	if v := decode[struct {
		OK      bool
		Anchors struct {
			Notes int
			UpTo  int64 `json:"up_to"`
		}
	}](t, []byte(o.stdout)); !v.OK || v.Anchors.Notes != 2 || v.Anchors.UpTo != decided[1].Number {
		t.Errorf("from GitLab: %s", o.stdout)
	}

	// Whatever was changed is named.
	middle := decided[0].Number
	for name, c := range map[string]struct {
		change func(db *sql.DB)
		names  int64
		args   []string
	}{
		"a byte": {func(db *sql.DB) {
			w.exec(db, `UPDATE log SET data = replace(data, 'looks fine', 'looks vine') WHERE number = ?`, middle)
		}, middle, nil},
		"one in the middle gone": {func(db *sql.DB) { w.exec(db, `DELETE FROM log WHERE number = ?`, middle) }, middle, nil},
		"the last gone":          {func(db *sql.DB) { w.exec(db, `DELETE FROM log WHERE number = ?`, last.Number) }, last.Number, nil},
		"two swapped": {func(db *sql.DB) {
			w.exec(db, `UPDATE log SET number = -1 WHERE number = ?`, middle)
			w.exec(db, `UPDATE log SET number = ? WHERE number = ?`, middle, middle+1)
			w.exec(db, `UPDATE log SET number = ? WHERE number = -1`, middle+1)
		}, middle, nil},
		"a decision alone": {func(db *sql.DB) { w.exec(db, `UPDATE decision SET verdict = 'reject' WHERE entry = ?`, middle) }, middle, nil},
		"all of it, with an anchor from a note": {func(db *sql.DB) {
			w.exec(db, `UPDATE log SET data = replace(data, 'looks fine', 'looks vine') WHERE number = ?`, middle)
			w.exec(db, `UPDATE decision SET reason = 'looks vine' WHERE entry = ?`, middle)
			w.rewrite(db)
		}, middle, []string{"--anchor", fromNote}},
		"all of it, with the last entry of an earlier run": {func(db *sql.DB) {
			w.exec(db, `UPDATE log SET at = at - 1 WHERE number = 1`)
			w.exec(db, `UPDATE policy SET since = since`)
			w.rewrite(db)
		}, last.Number, []string{"--anchor", fromRun}},
		"all of it, with the notes in GitLab": {func(db *sql.DB) {
			w.exec(db, `UPDATE log SET data = replace(data, 'looks fine', 'looks vine') WHERE number = ?`, middle)
			w.exec(db, `UPDATE decision SET reason = 'looks vine' WHERE entry = ?`, middle)
			w.rewrite(db)
		}, middle, []string{"--from-gitlab"}},
		"a request that a note is about": {func(db *sql.DB) {
			w.exec(db, `PRAGMA foreign_keys = OFF`)
			w.exec(db, `DELETE FROM message WHERE request = 1`)
			w.exec(db, `DELETE FROM decision WHERE request = 1`)
			w.exec(db, `UPDATE request SET id = 9 WHERE id = 1`)
			w.exec(db, `UPDATE log SET request = 9 WHERE request = 1`)
			w.exec(db, `UPDATE log SET kind = 'message', data = '{}' WHERE number = ?`, middle)
			w.rewrite(db)
		}, middle, []string{"--from-gitlab"}},
	} {
		path := w.tampered(c.change)
		if len(c.args) > 0 && name != "a request that a note is about" {
			if o := w.verify(path); o.code != 0 {
				t.Errorf(name+": without an anchor, what fits is no flaw: exit %d, %s", o.code, o.stdout)
			}
		}
		o := w.verify(path, c.args...)
		if o.code != 1 || !strings.Contains(o.stdout, fmt.Sprintf("entry %d: ", c.names)) {
			t.Errorf(name+": exit %d, want 1 and entry %d: %s", o.code, c.names, o.stdout)
		}
		if !strings.Contains(o.stderr, path) || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf(name+": stderr: %q", o.stderr)
		}
		if name == "a request that a note is about" && !strings.Contains(o.stdout, "request 1: the database does not have it, and note ") {
			t.Errorf(name+": the request is not missed: %s", o.stdout)
		}
		if j := w.verify(path, append(c.args, "--json")...); j.code != 1 || !json.Valid([]byte(j.stdout)) {
			t.Errorf(name+": --json: exit %d, %s", j.code, j.stdout)
		}
	}

	empty := filepath.Join(w.dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.verify(empty).refuses(t, 1, empty, "it is empty")
	w.verify(filepath.Join(w.dir, "nowhere.db")).refuses(t, 1, "nowhere.db", "no database")
}
