package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// BenchmarkChange is a click, from the key of its message to the disk, beside a
// bare handler that makes one small durable transaction a click. p99 is of one
// click; with 32 clients it holds the wait for the others.
func BenchmarkChange(b *testing.B) {
	for _, clients := range []int{1, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkClicks(b, clients, 0) })
		b.Run(fmt.Sprintf("bare/clients=%d", clients), func(b *testing.B) { benchmarkBare(b, clients) })
	}
}

// BenchmarkChangeWithMillionRequests is the same in a database with as many past
// requests. It takes half a minute to make, so it has to be asked for.
func BenchmarkChangeWithMillionRequests(b *testing.B) {
	if os.Getenv("MRGATE_BENCH_MILLION") == "" {
		b.Skip("set MRGATE_BENCH_MILLION")
	}
	for _, past := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("past=%d", past), func(b *testing.B) { benchmarkClicks(b, 1, past) })
	}
}

func benchmarkClicks(b *testing.B, clients, past int) {
	b.Helper()
	s := openStore(b, newPath(b))
	if past > 0 {
		fillPast(b, s, past)
	}
	// A request with a card for every click to come.
	var all sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				change(b, s, byRef(n), opened(fmt.Sprint("bench ", n)))
			}
		})
	}
	all.Wait()
	measure(b, clients, func(ctx context.Context, n int) error {
		return s.Change(ctx, gate.By{Message: fmt.Sprint("bench ", n)}, decided)
	})
}

func benchmarkBare(b *testing.B, clients int) {
	b.Helper()
	db, err := sql.Open("sqlite3", newPath(b)+"?_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(b.Context(), `CREATE TABLE click (id INTEGER PRIMARY KEY, message TEXT UNIQUE, verdict TEXT)`); err != nil {
		b.Fatal(err)
	}
	insert, err := db.PrepareContext(b.Context(), `INSERT INTO click (message, verdict) VALUES (?, 'approve')`)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = insert.Close() }()
	measure(b, clients, func(ctx context.Context, n int) error {
		_, err := insert.ExecContext(ctx, fmt.Sprint("bench ", n))
		return err
	})
}

// measure has the clients make b.N clicks.
func measure(b *testing.B, clients int, click func(ctx context.Context, n int) error) {
	b.Helper()
	took := make([]time.Duration, b.N)
	var all sync.WaitGroup
	var next atomic.Int64
	ctx := context.WithoutCancel(b.Context())
	b.ResetTimer()
	for range clients {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				began := time.Now()
				if err := click(ctx, int(n)); err != nil {
					b.Error(err)
				}
				took[n-1] = time.Since(began)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "clicks/s")
}

// BenchmarkAudit verifies a log of a million entries, ten about each of 100,000
// requests. It takes minutes to make, so it has to be asked for; run it with
// -benchtime 1x.
func BenchmarkAudit(b *testing.B) {
	if os.Getenv("MRGATE_BENCH_MILLION") == "" {
		b.Skip("set MRGATE_BENCH_MILLION")
	}
	const requests = 100_000
	path := newPath(b)
	s := openStore(b, path)
	var all sync.WaitGroup
	var next atomic.Int64
	for range 128 {
		all.Go(func() {
			for n := next.Add(1); n <= requests; n = next.Add(1) {
				change(b, s, byRef(n), decidedAndMerged)
			}
		})
	}
	all.Wait()
	b.ResetTimer()
	for range b.N {
		v := gate.NewVerification()
		if err := s.Audit(b.Context(), v); err != nil || v.Err() != nil || v.Entries != 10*requests {
			b.Fatalf("%d entries, %v, %v", v.Entries, err, v.Err())
		}
	}
	b.StopTimer()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size()>>20), "MiB")
}

// decidedAndMerged opens a request and has the log tell its whole story.
func decidedAndMerged(mr *gate.MergeRequest) error {
	r := &gate.Request{ID: mr.NextRequest, Seq: 1, Head: "0f98b1f7eda33a4e9cfaab09506aa8094044085f", Target: "main", State: gate.MergedHere, Settled: true}
	tell := func(kind gate.EntryKind, data any) *gate.Entry {
		text, err := json.Marshal(data)
		if err != nil {
			panic(err)
		}
		e := &gate.Entry{Request: r.ID, Kind: kind, Data: text}
		mr.Entries = append(mr.Entries, e)
		return e
	}
	message := gate.MessageData{
		Did: gate.MessageSent, Kind: gate.KindCard, To: gate.Recipient{ID: "ou_7d8a6e6df7621556ce0d21922b676706"},
		Key: strings.Repeat("ab", 24), Ref: "om_c7e7277dad0bdd38b32baa631ec52e0d", Shows: "pending 0/1", Shown: strings.Repeat("cd", 16),
	}
	tell(gate.EntryOpened, gate.OpenedData{Path: "group/project", Number: 7, Title: "A title", Head: r.Head, Source: "feature", Target: r.Target, Rule: "rule"})
	for range 3 {
		tell(gate.EntryMessage, message)
	}
	d := &gate.Decision{Person: "ou_alice", Name: "Alice", Verdict: gate.Approve, Via: "card", At: mr.Now}
	d.Entry = tell(gate.EntryDecided, gate.DecidedData{
		Person: d.Person, Name: d.Name, Verdict: d.Verdict, Via: d.Via, At: d.At, Head: r.Head, Target: r.Target,
		Evidence: gate.Evidence{Way: "new-style callback", Showed: &gate.Showed{
			Title: "Approval needed · group/project !7", Subtitle: "A title", Facts: []string{"Bob wants to merge feature into main", "6 files · +142 −38 · 3 commits"},
			Buttons: []string{"Approve and merge", "Reject and close", "View changes"}, Foot: "Rule rule · commit 0f98b1f7",
		}},
	})
	r.Decisions = []*gate.Decision{d}
	tell(gate.EntryState, gate.StateData{From: gate.Pending, To: gate.Approved, On: gate.EventApproved})
	tell(gate.EntryEffect, gate.EffectData{Effect: "approve", Head: r.Head, Answer: gate.AnswerDone})
	tell(gate.EntryEffect, gate.EffectData{Effect: "merge", Head: r.Head, Answer: string(gate.Merged), Commit: r.Head})
	tell(gate.EntryState, gate.StateData{From: gate.Approved, To: gate.MergedHere, On: gate.EventMerged})
	tell(gate.EntryMessage, message)
	mr.Requests = []*gate.Request{r}
	return nil
}

// fillPast writes merge requests with one merged request each, as clicks and
// cards of years leave them.
func fillPast(b *testing.B, s *Store, n int) {
	b.Helper()
	numbers := fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
	for _, query := range []string{
		`BEGIN`,
		`INSERT INTO merge_request (id, forge, project, number, path, author, merge_commit, opening, why, wake, lease, tries, chat_tries, error)
			` + numbers + `SELECT i, 'gitlab', 2 + i % 500, i, 'group/project-' || (i % 500), 'bob', printf('%040x', i), 1, '', 3, '', 0, 0, '' FROM n`,
		`INSERT INTO seen (merge_request, snapshot)
			` + numbers + `SELECT i, '{"path":"group/project","title":"A title"}' FROM n`,
		`INSERT INTO request (id, merge_request, seq, opening, head, target, state, cause, settled, dry, rule, terms, policy_hash, panel, opened_at, ended_at, note_ref, note_shown, status_shown, scheduled, blocked, answered)
			` + numbers + `SELECT i, i, 1, 1, printf('%040x', i), 'main', 'merged', '', 1, 0, 'rule 1', '{}', 'hash', '{}', i, i, '', '', '', 0, '{}', '' FROM n`,
		`INSERT INTO log (number, at, merge_request, request, kind, data, hash)
			` + numbers + `SELECT i, i, i, i, 'decided', '{}', printf('%064x', i) FROM n`,
		`INSERT INTO decision (request, person, name, verdict, reason, via, shown, void, at, entry)
			` + numbers + `SELECT i, 'ou_alice', 'Alice', 'approve', '', 'card', '', 0, i, i FROM n`,
		`INSERT INTO message (key, request, kind, recipient, sent_as, shown, face, dry, awaited, tries, told, said, gone)
			` + numbers + `SELECT printf('%048x', i * 7919 % 1000003), i, 'card', 'person:ou_alice', '', '', '', 0, 0, 0, '', '', '' FROM n`,
		`COMMIT`,
		`PRAGMA wal_checkpoint(TRUNCATE)`, // or the clicks would pay for it
	} {
		if err := raw(b, s, query); err != nil {
			b.Fatal(err)
		}
	}
}
