package gate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
)

// verify demands that the log of what happened has no flaw.
func verify(b *bench, g *running) {
	b.Helper()
	v := gate.NewVerification()
	if err := g.store.Audit(context.Background(), v); err != nil {
		b.Fatal(err)
	}
	for _, f := range v.Flaws {
		b.Errorf("verification: %s", f)
	}
}

func TestOperatorsReasonOfAnyBytesVerifies(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		_, _, err := g.Decide(context.Background(), ref, 0, gate.Order{
			Verdict: gate.Approve, Reason: "not \xff\xfe UTF-8 <&>\u2028", Operator: "root@\xc3", By: "\xe5",
		})
		if err != nil {
			t.Fatal(err)
		}
		verify(b, g)
	})
}

// chain gives a log of n entries, one a second, of which change may change the
// time before they are chained.
func chain(n int, change func(e *gate.Entry)) []gate.Entry {
	var log []gate.Entry
	before := ""
	for i := range n {
		e := gate.Entry{
			Number: int64(i + 1), At: time.Unix(1_700_000_000+int64(i), 0).UTC(), MergeRequest: 1, Request: 1,
			Kind: gate.EntryMessage, Data: fmt.Appendf(nil, `{"n":%d}`, i),
		}
		if change != nil {
			change(&e)
		}
		e.Hash = e.Chain(before)
		before = e.Hash
		log = append(log, e)
	}
	return log
}

func TestClockThatWasSetBackIsSaidAndNoFlaw(t *testing.T) {
	v := gate.NewVerification()
	log := chain(30, func(e *gate.Entry) {
		if e.Number%10 == 0 {
			e.At = e.At.Add(-time.Hour)
		}
	})
	for i := range log {
		v.Entry(&log[i])
	}
	v.Head(30, log[29].Hash)
	v.Finish()
	if err := v.Err(); err != nil {
		t.Error(err)
	}
	said := strings.Join(v.Remarks, "\n")
	if len(v.Remarks) != 3 || !strings.Contains(said, "entry 10 after it of 2023-11-14T21:13:29Z: the clock was set back") {
		t.Errorf("remarks: %s", said)
	}
}

func TestVerificationOfALogThatIsAllWrongIsBounded(t *testing.T) {
	v := gate.NewVerification()
	log := chain(1000, nil)
	for i := range log {
		if i%2 == 0 {
			log[i].Data = []byte(`{}`)
		}
		log[i].At = time.Unix(int64(-i), 0)
		v.Entry(&log[i])
	}
	v.Finish()
	if len(v.Flaws) != 20 || v.Unsaid < 900 || len(v.Remarks) > 21 {
		t.Errorf("%d flaws, %d more, %d remarks", len(v.Flaws), v.Unsaid, len(v.Remarks))
	}
	if err := v.Err(); err == nil || !strings.Contains(err.Error(), "entry 1: its hash") || !strings.Contains(err.Error(), "more)") {
		t.Errorf("error: %v", err)
	}
}

// TestOnlyTheChangedEntryIsNamed changes entries in ways that each leave one trace.
func TestOnlyTheChangedEntryIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(log []gate.Entry) []gate.Entry
		want   int64
	}{
		"what it says": {func(log []gate.Entry) []gate.Entry { log[4].Data = []byte("{}"); return log }, 5},
		"its hash":     {func(log []gate.Entry) []gate.Entry { log[4].Hash = strings.Repeat("0", 64); return log }, 5},
		"what it says and its hash": {func(log []gate.Entry) []gate.Entry {
			log[4].Data = []byte("{}")
			log[4].Hash = log[4].Chain(log[3].Hash)
			return log
		}, 6},
		"one gone": {func(log []gate.Entry) []gate.Entry { return append(log[:4:4], log[5:]...) }, 5},
	} {
		v := gate.NewVerification()
		log := c.change(chain(10, nil))
		for i := range log {
			v.Entry(&log[i])
		}
		v.Head(10, log[len(log)-1].Hash)
		v.Finish()
		if len(v.Flaws) != 1 || v.Flaws[0].Entry != c.want {
			t.Errorf("%s: %v, want entry %d alone", name, v.Flaws, c.want)
		}
	}
}

func TestMergeAroundTheGateIsHeldAgainstTheLog(t *testing.T) {
	inBubble(t, func(b *bench) {
		g := b.start()
		defer b.stop(g)
		ref := b.opened(g)
		b.forge.MergeByHand(ref)
		b.look(g, ref)
		wait(2 * time.Second)
		verify(b, g)
		var told gate.Entry
		for e, err := range g.store.Log(context.Background(), gate.LogFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == gate.EntryBypassed {
				told = e
			}
		}
		landed := row(b, g, ref).Landing
		if told.Number == 0 || landed == nil || landed.Around == "" {
			t.Fatalf("entry %+v, landing %+v", told, landed)
		}
		through, other := *landed, *landed
		through.Around, other.Rule = "", "another"
		for name, c := range map[string]struct {
			landing *gate.Landing
			entries []gate.Entry
			want    string
		}{
			"as it was":              {landed, []gate.Entry{told}, ""},
			"made one through it":    {&through, []gate.Entry{told}, "does not have as one"},
			"removed":                {nil, []gate.Entry{told}, "does not have as one"},
			"changed":                {&other, []gate.Entry{told}, "differs from it"},
			"made up":                {landed, nil, "the log does not tell of it"},
			"a merge as it ought be": {&through, nil, ""},
		} {
			v := gate.NewVerification()
			v.Story(nil, c.landing, c.entries)
			if err := v.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	})
}
