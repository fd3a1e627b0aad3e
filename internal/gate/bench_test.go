package gate_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/policy"
	"mrgate/internal/sqlite"
)

// bench is a gate with everything around it, on a clock of its own: it runs in a
// synctest bubble, where waiting takes no time.
type bench struct {
	*testing.T
	forge  *gatetest.FakeForge
	chat   *gatetest.FakeChat
	path   string
	policy *policy.Policy
	log    *lockedBuffer

	alice, carol, bob, dave gate.Person
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// inBubble runs a test on a bench without a gate.
func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.db")
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, forge: gatetest.NewForge(), chat: gatetest.NewChat(), path: path, log: &lockedBuffer{}}
		b.alice = b.chat.AddPerson("Alice", "alice@example.com", "")
		b.carol = b.chat.AddPerson("Carol", "carol@example.com", "")
		b.bob = b.chat.AddPerson("Bob", "bob@example.com", "")
		b.dave = b.chat.AddPerson("Dave", "dave@example.com", "")
		b.policy = usualPolicy()
		f(b)
	})
}

func usualPolicy() *policy.Policy {
	p := policy.New()
	p.Locale = policy.LocaleEN
	r := policy.NewRule(1)
	r.Name = "production"
	r.Projects, r.TargetBranches = []string{"payments/*"}, []string{"main"}
	r.Approvers = []policy.Identity{email("alice"), email("carol")}
	p.Rules = []policy.Rule{r}
	p.Users = map[string]policy.Identity{"bob": email("bob")}
	return p
}

func email(name string) policy.Identity {
	return policy.Identity{Kind: policy.KindEmail, Value: name + "@example.com"}
}

// running is a gate at work.
type running struct {
	*gate.Gate
	store  *sqlite.Store
	cancel context.CancelFunc
	ended  chan error
}

// start starts a gate on the bench's database, as a process of its own would.
func (b *bench) start(change ...func(*gate.Parts)) *running {
	b.Helper()
	store, err := sqlite.Open(context.Background(), b.path, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	parts := gate.Parts{
		Forge: b.forge, Chat: b.chat, Store: store, Policy: b.policy,
		Log: slog.New(slog.NewTextHandler(io.Writer(b.log), nil)),
	}
	for _, f := range change {
		f(&parts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Gate: gate.New(parts), store: store, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- r.Run(ctx) }()
	return r
}

// stop ends the gate gracefully.
func (b *bench) stop(r *running) {
	b.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		b.Errorf("run: %v", err)
	}
	if err := r.store.Close(); err != nil {
		b.Errorf("close: %v", err)
	}
}

// wait lets the bench's clock run.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// look tells the gate where to look.
func (b *bench) look(r *running, ref gate.Ref) {
	b.Helper()
	if _, err := r.Look(context.Background(), gate.Hint{Ref: ref, Path: "payments/api"}); err != nil {
		b.Fatal(err)
	}
}

// opened opens a merge request and waits until everybody was asked.
func (b *bench) opened(r *running) gate.Ref {
	b.Helper()
	ref := b.forge.Open(gate.Snapshot{Path: "payments/api", Title: "Add retries"})
	b.look(r, ref)
	wait(time.Second)
	if n := len(b.cards(b.alice)); n != 1 {
		b.Fatalf("Alice has %d cards, want 1; the log:\n%s", n, b.log)
	}
	return ref
}

func (b *bench) cards(who gate.Person) []gatetest.ChatMessage {
	var cards []gatetest.ChatMessage
	for _, m := range b.chat.MessagesTo(gate.Recipient{ID: who.ID}) {
		if len(m.History[0].Actions) > 1 {
			cards = append(cards, m)
		}
	}
	return cards
}

// click presses a button on the person's newest card, which then shows the card
// of the answer.
func (b *bench) click(r *running, who gate.Person, action gate.ActionID, text string) gate.Answer {
	b.Helper()
	cards := b.cards(who)
	if len(cards) == 0 {
		b.Fatalf("%s has no card to click", who.Name)
	}
	m := cards[len(cards)-1]
	a := r.Click(context.Background(), m.Click(action, who, text))
	if a.Card != nil {
		b.chat.Answered(m.Ref, *a.Card)
	}
	return a
}

// title is the title of the person's newest card.
func (b *bench) title(who gate.Person) string {
	cards := b.cards(who)
	if len(cards) == 0 {
		return "(none)"
	}
	return cards[len(cards)-1].Card.Title
}

// calls counts the forge's calls that begin with what.
func (b *bench) calls(what string) int {
	n := 0
	for _, c := range b.forge.Calls() {
		if strings.HasPrefix(c, what) {
			n++
		}
	}
	return n
}

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
