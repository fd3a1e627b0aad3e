package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mattn/go-sqlite3"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/policy"
)

func TestStore(t *testing.T) {
	gatetest.Store(t, func(t *testing.T) gate.Store {
		t.Helper()
		return openStore(t, newPath(t))
	})
}

func TestStorePair(t *testing.T) {
	gatetest.StorePair(t, func(t *testing.T) (a, b gate.Store) {
		t.Helper()
		path := newPath(t)
		return openStore(t, path), openStore(t, path)
	})
}

func newPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "mrgate.db")
}

// openStore opens a database that has to open; it is closed with the test.
func openStore(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), path, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func byRef(number int64) gate.By {
	return gate.By{Ref: &gate.Ref{Forge: "gitlab", Project: 1, Number: number}}
}

// wake makes the smallest change.
func wake(mr *gate.MergeRequest) error { mr.Wake++; return nil }

func change(tb testing.TB, s *Store, by gate.By, f func(mr *gate.MergeRequest) error) {
	tb.Helper()
	if err := s.Change(tb.Context(), by, f); err != nil {
		tb.Fatal(err)
	}
}

// opened is a change that opens a request with a card.
func opened(key string) func(mr *gate.MergeRequest) error {
	return func(mr *gate.MergeRequest) error {
		r := &gate.Request{
			ID: mr.NextRequest, Seq: 1, State: gate.Pending, Head: "c0ffee", Target: "main", PolicyHash: "hash",
			Messages: []*gate.Message{{Key: key, Kind: gate.KindCard, To: gate.Recipient{ID: "ou_alice"}}},
		}
		if cur := mr.Current(); cur != nil {
			r.Seq = cur.Seq + 1
			cur.State, cur.Settled = gate.Superseded, true
		}
		mr.Requests = append(mr.Requests, r)
		mr.Snapshot = &gate.Snapshot{Path: "payments/api", Title: "A title", State: gate.ForgeOpen, Head: "c0ffee", Target: "main"}
		mr.Entries = append(mr.Entries, &gate.Entry{Kind: gate.EntryOpened, Request: r.ID, Data: []byte("{}")})
		return nil
	}
}

// decided is a change that does what a click does.
func decided(mr *gate.MergeRequest) error {
	r := mr.Current()
	e := &gate.Entry{Kind: gate.EntryDecided, Request: r.ID, Data: []byte(`{"verdict":"approve"}`)}
	mr.Entries = append(mr.Entries, e)
	r.Decisions = append(r.Decisions, &gate.Decision{Person: "ou_alice", Verdict: gate.Approve, At: mr.Now, Entry: e})
	r.Messages[0].NotBefore = mr.Now.Add(time.Second)
	r.State = gate.Approved
	mr.Wake++
	mr.DueAt = gate.DueFirst()
	return nil
}

// waits is a change that opens a request with a card of which somebody is to be
// reminded at once.
func waits(mr *gate.MergeRequest) error {
	if err := opened("waits")(mr); err != nil {
		return err
	}
	r := mr.Current()
	r.Rule.RemindAfter, r.Rule.AllowSelfApproval, r.ExpiresAt = 1, true, mr.Now.Add(time.Hour)
	r.Panel.Approvers = []gate.Member{{Person: gate.Person{ID: "ou_alice"}}}
	r.Messages[0].AskedAt = mr.Now.Add(-time.Minute)
	return nil
}

// raw runs SQL on the writer's connection while nothing else does.
func raw(tb testing.TB, s *Store, query string) error {
	tb.Helper()
	_, err := s.writer.session.conn.ExecContext(tb.Context(), query)
	return err
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name, query string) string {
		path := filepath.Join(dir, name)
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := raw(t, s, query); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := database("damaged.db", `SELECT 1`)
	b, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[100:], slices.Repeat([]byte{0xff}, 3000))
	file("damaged.db", string(b))

	missing := filepath.Join(dir, "missing.db")
	for _, test := range []struct {
		name, path string
		opts       Options
		want       string
	}{
		{"no directory", filepath.Join(dir, "no", "mrgate.db"), Options{}, "the directory " + filepath.Join(dir, "no") + " does not exist"},
		{"a directory", dir, Options{}, "it is a directory"},
		{"text", file("text.db", strings.Repeat("no database\n", 1000)), Options{}, "it is not an SQLite database"},
		{"damaged", damaged, Options{}, "it is damaged, restore it from a backup"},
		{"missing", missing, Options{MustExist: true}, "there is none"},
		{"missing, to be read", missing, Options{ReadOnly: true}, "there is none"},
		{"newer", database("newer.db", `PRAGMA user_version = 99`), Options{}, "it has version 99, and this mrgate knows versions up to 1: use the mrgate that wrote it, or a newer one"},
		{"newer, to be read", filepath.Join(dir, "newer.db"), Options{ReadOnly: true}, "it has version 99"},
		{"older, to be read", database("older.db", `PRAGMA user_version = 0`), Options{ReadOnly: true}, "it has version 0, and this mrgate reads version 1: start its listener once"},
		{"another program's", database("other.db", `PRAGMA application_id = 7`), Options{}, "it is a database of another program"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(t.Context(), test.path, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
				t.Errorf("error is %v, should name %s and say %q", err, test.path, test.want)
			}
			if none := errors.Is(err, fs.ErrNotExist); none != (test.path == missing) {
				t.Errorf("error says that there is no file: %t", none)
			}
		})
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a database was created that had to exist")
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "mrgate.db"))
	change(t, s, byRef(1), wake)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	if want := []string{"mrgate.db", "mrgate.db-shm", "mrgate.db-wal"}; !slices.Equal(names, want) {
		t.Errorf("files are %q, should be %q", names, want)
	}
}

func TestPathsAreTakenLiterally(t *testing.T) {
	for _, name := range []string{":memory:", "a?mode=memory", "50% #1 & more.db", "审批.db"} {
		path := filepath.Join(t.TempDir(), name)
		change(t, openStore(t, path), byRef(1), wake)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestSeveralOpenANewDatabaseAtOnce(t *testing.T) {
	for range 5 {
		path := newPath(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				s, err := Open(t.Context(), path, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Change(t.Context(), byRef(int64(i)), wake); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		s := openStore(t, path)
		for i := range 8 {
			if _, err := s.Peek(t.Context(), byRef(int64(i))); err != nil {
				t.Errorf("what store %d wrote: %v", i, err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".mrgate*")); len(left) > 0 {
			t.Errorf("files are left: %q", left)
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path)
	change(t, s, byRef(1), wake)
	read := func() {
		t.Helper()
		r, err := Open(t.Context(), path, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if mr, err := r.Peek(t.Context(), byRef(1)); err != nil || mr.Wake != 1 {
			t.Errorf("read: %+v, %v", mr, err)
		}
		if err := r.Change(t.Context(), byRef(1), wake); !errors.Is(err, ErrReadOnly) {
			t.Errorf("change: error is %v, should be %v", err, ErrReadOnly)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	read() // beside the one that writes
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read() // alone
}

// TestKilled kills a process that writes, and looks for all that it was told is written.
func TestKilled(t *testing.T) {
	const variable = "MRGATE_TEST_WRITE_UNTIL_KILLED"
	if path := os.Getenv(variable); path != "" {
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var print sync.Mutex
		for i := range int64(8) {
			all.Go(func() {
				for n := 1; ; n++ {
					if err := s.Change(t.Context(), byRef(i), wake); err != nil {
						t.Error(err)
						return
					}
					print.Lock()
					fmt.Printf("\nwritten %d %d\n", i, n)
					print.Unlock()
				}
			})
		}
		all.Wait()
		return
	}

	path := newPath(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(map[int64]int64)
	lines := bufio.NewScanner(out)
	for read := 0; lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != "written" {
			continue
		}
		i, _ := strconv.ParseInt(fields[1], 10, 64)
		acknowledged[i], _ = strconv.ParseInt(fields[2], 10, 64)
		if read++; read == 300 {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL; what is in the pipe is still read
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if len(acknowledged) != 8 {
		t.Fatalf("%d of 8 writers wrote", len(acknowledged))
	}
	s := openStore(t, path)
	for i, want := range acknowledged {
		mr, err := s.Peek(t.Context(), byRef(i))
		if err != nil {
			t.Fatal(err)
		}
		if mr.Wake < want {
			t.Errorf("merge request %d: %d changes were acknowledged, %d are there", i, want, mr.Wake)
		}
	}
}

func TestLogIsOnlyAppendedTo(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), opened("key"))
	change(t, s, byRef(1), decided)
	for _, query := range []string{
		`UPDATE log SET data = '{}' WHERE number = 1`,
		`DELETE FROM log WHERE number = 2`,
		`DELETE FROM log`,
		`INSERT OR REPLACE INTO log (number, at, merge_request, kind, data, hash) VALUES (1, 0, 1, 'state', '{}', '')`,
		`INSERT INTO log (number, at, merge_request, kind, data, hash) VALUES (2, 0, 1, 'state', '{}', '')`,
	} {
		if err := raw(t, s, query); err == nil || !strings.Contains(err.Error(), "the log is") {
			t.Errorf("%s: error is %v", query, err)
		}
	}
}

// TestIndexesStandBehind goes around the Go code, as another version might.
func TestIndexesStandBehind(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), opened("old"))
	change(t, s, byRef(1), opened("new"))
	change(t, s, byRef(1), decided)
	for _, query := range []string{
		`UPDATE request SET state = 'pending' WHERE seq = 1`,
		`INSERT INTO decision (request, person, name, verdict, reason, via, shown, void) SELECT request, person, '', 'reject', '', '', '', 0 FROM decision`,
		`UPDATE message SET request = 2 WHERE key = 'old'`,
		`INSERT INTO merge_request SELECT 2, forge, project, number, path, author, merge_commit, opening, why, wake, due_at, lease, look_at, reading_at, again_at, forge_at, tries, chat_at, chat_tries, error, told FROM merge_request`,
	} {
		if err := raw(t, s, query); err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed") {
			t.Errorf("%s: error is %v", query, err)
		}
	}
}

// commits counts the transactions that s commits from now on.
func commits(tb testing.TB, s *Store) *atomic.Int64 {
	tb.Helper()
	var n atomic.Int64
	err := s.writer.session.conn.Raw(func(c any) error {
		c.(*sqlite3.SQLiteConn).RegisterCommitHook(func() int { n.Add(1); return 0 })
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return &n
}

func TestChangesThatWaitAreCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, newPath(t))
		n := commits(t, s)
		var all sync.WaitGroup
		release := make(chan struct{})
		all.Go(func() {
			change(t, s, byRef(0), func(mr *gate.MergeRequest) error { <-release; return wake(mr) })
		})
		synctest.Wait()
		for i := range 100 {
			all.Go(func() { change(t, s, byRef(int64(i)), wake) })
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if n.Load() != 1 {
			t.Errorf("101 changes took %d commits, should be 1", n.Load())
		}
	})
}

func TestWhoWaitsForAnAnswerGoesBeforeWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, newPath(t))
		n := commits(t, s)
		var all sync.WaitGroup
		release := make(chan struct{})
		done, beside := 0, 0 // changes of workers; those of them that were committed with the clicks
		worker := func(ctx context.Context, tx *transaction) error {
			done++
			if n.Load() == 0 {
				beside++
			}
			return tx.write(ctx, `INSERT INTO meta (key, value) VALUES (?1, '')`, fmt.Sprint("worker ", done))
		}
		all.Go(func() {
			change(t, s, byRef(0), func(mr *gate.MergeRequest) error { <-release; return wake(mr) })
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() {
				if err := s.write(t.Context(), false, worker); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for i := range int64(3) {
			all.Go(func() {
				change(t, s, byRef(i+1), func(mr *gate.MergeRequest) error {
					if done > 0 {
						t.Errorf("%d changes of workers came before a click", done)
					}
					return wake(mr)
				})
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if done != 100 || beside > besideUrgent || n.Load() != 2 {
			t.Errorf("%d changes of workers, %d of them beside the clicks, %d commits", done, beside, n.Load())
		}
	})
}

func TestNoChangeIsNotWritten(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), opened("key"))
	n := commits(t, s)
	change(t, s, byRef(1), func(*gate.MergeRequest) error { return nil })
	change(t, s, byRef(2), func(*gate.MergeRequest) error { return nil })
	if _, err := s.Claim(t.Context(), "token", 1, time.Minute); err != nil {
		t.Error(err)
	}
	if err := s.Learn(t.Context(), nil, time.Minute); err != nil {
		t.Error(err)
	}
	if n.Load() != 0 {
		t.Errorf("%d commits for nothing", n.Load())
	}
	change(t, s, byRef(1), decided)
	if n.Load() != 1 {
		t.Errorf("%d commits for a change", n.Load())
	}
}

// TestLostTransaction has SQLite's own rollback happen, as after an I/O error:
// whoever is in the transaction is told, and nothing is committed alone.
func TestLostTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, newPath(t))
		release := make(chan struct{})
		go func() {
			_ = s.Change(t.Context(), byRef(9), func(*gate.MergeRequest) error { <-release; return nil })
		}()
		synctest.Wait()
		errs := make(chan error, 3)
		go func() { errs <- s.Change(t.Context(), byRef(1), wake) }()
		synctest.Wait()
		lost := errors.New("lost")
		go func() {
			errs <- s.write(t.Context(), true, func(ctx context.Context, tx *transaction) error {
				err := tx.exec(ctx, `ROLLBACK`)
				return errors.Join(lost, err)
			})
		}()
		synctest.Wait()
		go func() { errs <- s.Change(t.Context(), byRef(2), wake) }()
		synctest.Wait()
		close(release)
		for range 3 {
			if err := <-errs; !errors.Is(err, lost) {
				t.Errorf("error is %v, should be %v", err, lost)
			}
		}
		for i := range int64(3) {
			if _, err := s.Peek(t.Context(), byRef(i)); !errors.Is(err, gate.ErrNoRow) {
				t.Errorf("merge request %d: error is %v, should be %v", i, err, gate.ErrNoRow)
			}
		}
		change(t, s, byRef(1), wake)
	})
}

// TestGoexit is about tests: one that ends itself inside a change must not hang.
func TestGoexit(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), wake)
	for _, f := range []func(mr *gate.MergeRequest) error{
		func(mr *gate.MergeRequest) error { mr.Wake++; runtime.Goexit(); return nil },
		wake,
	} {
		if err := s.Change(t.Context(), byRef(1), f); !errors.Is(err, ErrClosed) {
			t.Errorf("error is %v, should be %v", err, ErrClosed)
		}
	}
	if mr, err := s.Peek(t.Context(), byRef(1)); err != nil || mr.Wake != 1 {
		t.Errorf("read: %+v, %v", mr, err)
	}
}

func TestFullDisk(t *testing.T) {
	s := openStore(t, newPath(t))
	change(t, s, byRef(1), wake)
	if err := raw(t, s, `PRAGMA max_page_count = 60`); err != nil {
		t.Fatal(err)
	}
	full := false
	for i := range int64(100) {
		err := s.Change(t.Context(), byRef(i), func(mr *gate.MergeRequest) error {
			mr.Why = strings.Repeat("x", 20000)
			return nil
		})
		if err == nil {
			continue
		}
		full = true
		if !isCode(err, sqlite3.ErrFull) {
			t.Fatalf("error is %v, should be that the disk is full", err)
		}
		if mr, err := s.Peek(t.Context(), byRef(i)); err == nil && mr.Why != "" {
			t.Errorf("merge request %d was written", i)
		}
		break
	}
	if !full {
		t.Fatal("the disk never was full")
	}
	if err := raw(t, s, `PRAGMA max_page_count = 10000`); err != nil {
		t.Fatal(err)
	}
	change(t, s, byRef(1000), wake)
}

func TestLockedByAnother(t *testing.T) {
	path := newPath(t)
	s, other := openStore(t, path), openStore(t, path)
	change(t, s, byRef(1), wake)
	if err := raw(t, other, `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.Change(t.Context(), byRef(1), wake); !isCode(err, sqlite3.ErrBusy) {
		t.Errorf("error is %v, should be that the database is locked", err)
	}
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("waited for the other only %s", waited)
	}
	if mr, err := s.Peek(t.Context(), byRef(1)); err != nil || mr.Wake != 1 {
		t.Errorf("read while another writes: %+v, %v", mr, err)
	}
	if err := raw(t, other, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	change(t, s, byRef(1), wake)
}

func TestUnreadableRowKeepsNobodyFromWork(t *testing.T) {
	s := openStore(t, newPath(t))
	for i := range int64(3) {
		change(t, s, byRef(i), func(mr *gate.MergeRequest) error {
			mr.DueAt = mr.Now.Add(time.Duration(i) * time.Microsecond)
			mr.Snapshot = &gate.Snapshot{}
			return nil
		})
	}
	if err := raw(t, s, `UPDATE seen SET snapshot = 'no JSON' WHERE merge_request = 1`); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), "token", 3, time.Hour)
	if err == nil || !strings.Contains(err.Error(), "gitlab 1!0") {
		t.Errorf("error is %v, should name the merge request", err)
	}
	if len(claimed) != 2 {
		t.Errorf("%d were claimed, should be 2", len(claimed))
	}
	if claimed, err = s.Claim(t.Context(), "token", 3, time.Hour); len(claimed) != 0 || err != nil {
		t.Errorf("claimed again: %d, %v", len(claimed), err)
	}
}

// TestPlans asks SQLite how it finds the rows of every statement that the store
// has: always by an index, never by going through a table.
func TestPlans(t *testing.T) {
	s := openStore(t, newPath(t))
	ctx := t.Context()
	change(t, s, byRef(1), opened("old"))
	change(t, s, byRef(1), opened("new"))
	change(t, s, gate.By{Message: "new"}, decided)
	change(t, s, gate.By{Message: "old"}, func(mr *gate.MergeRequest) error {
		mr.Requests[0].Messages = nil
		mr.Claims = []*gate.Claim{{Message: "new"}}
		return nil
	})
	change(t, s, byRef(1), func(mr *gate.MergeRequest) error { mr.Claims = nil; mr.Snapshot.Title = "Another"; return nil })
	change(t, s, byRef(1), func(mr *gate.MergeRequest) error { mr.Current().Decisions[0].Void = true; return nil })
	id := policy.Identity{Kind: policy.KindEmail, Value: "alice@example.com"}
	_, peekErr := s.Peek(ctx, gate.By{Message: "new"})
	_, claimErr := s.Claim(ctx, "token", 1, time.Minute)
	_, _, dueErr := s.NextDue(ctx, false)
	change(t, s, byRef(1), waits)
	reminder, remindErr := s.Remind(ctx, false, time.Minute, 10)
	if reminder == nil || len(reminder.Listed) != 1 {
		t.Fatalf("reminder %+v, %v", reminder, remindErr)
	}
	againErr := s.Reminded(ctx, reminder, time.Hour)
	overErr := s.Reminded(ctx, reminder, 0, &gate.Entry{Kind: gate.EntryReminder, Request: reminder.Requests[0], Data: []byte("{}")})
	_, peopleErr := s.People(ctx, []policy.Identity{id})
	_, policyErr := s.PolicyAt(ctx, time.Now())
	_, markErr := s.Mark(ctx, "changed in groups/acme")
	_, followedErr := s.Followed(ctx, time.Minute)
	_, setErr := s.SetMark(ctx, "changed in groups/acme", "", "1")
	if err := errors.Join(peekErr, claimErr, dueErr, peopleErr, remindErr, againErr, overErr, policyErr, markErr, setErr, followedErr,
		s.Policy(ctx, "rehearsed", "text", true), s.Moved(ctx, "gitlab", 1, "other/path"), s.Policy(ctx, "other", "text", false), s.Learn(ctx, map[policy.Identity]gate.Person{id: {}}, time.Hour)); err != nil {
		t.Fatal(err)
	}

	sessions := []*session{s.writer.session}
	for range readers {
		r := <-s.readers
		defer func() { s.readers <- r }()
		sessions = append(sessions, r)
	}
	queries := make(map[string]bool)
	for _, r := range sessions {
		for _, query := range queriesOf(r) {
			if verb := strings.Fields(query)[0]; slices.Contains([]string{"SELECT", "UPDATE", "DELETE", "INSERT"}, verb) {
				queries[query] = true
			}
		}
	}
	if len(queries) < 25 {
		t.Errorf("only %d statements were seen", len(queries))
	}
	scan := regexp.MustCompile(`SCAN (merge_request|seen|request|later|log|decision|claim|message|person|policy|landing|meta)\b`)
	for query := range queries {
		marks := 0
		for i, mark := range regexp.MustCompile(`\?\d*`).FindAllString(query, -1) {
			number, err := strconv.Atoi(mark[1:]) // some are numbered, some of these twice, or left out
			if err != nil {
				number = i + 1
			}
			marks = max(marks, number)
		}
		args := make([]any, marks)
		plan, err := s.writer.session.rows(ctx, "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		for _, step := range plan {
			detail := step[3].(string)
			if detail == "SCAN request USING INDEX request_followed" || detail == "SCAN request USING INDEX request_unsettled" {
				continue // indexes of those that are still at work, and of nothing else
			}
			if scan.MatchString(detail) {
				t.Errorf("%s\nin %s", detail, query)
			}
		}
	}
}

// queriesOf are the statements that the session has prepared.
func queriesOf(r *session) []string {
	return slices.AppendSeq(slices.Collect(maps.Keys(r.prepared)), maps.Keys(r.direct))
}
