package feishu_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/feishusim"
	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

const lookUp = "POST contact/v3/users/batch_get_id"

func email(s string) policy.Identity { return policy.Identity{Kind: policy.KindEmail, Value: s} }

func TestResolveAsksForFiftyAtATime(t *testing.T) {
	w := newWorld(t, feishusim.Options{})
	var ids []policy.Identity
	want := map[policy.Identity]string{}
	for i := range 120 {
		id := email(fmt.Sprintf("dev%d@example.com", i))
		ids = append(ids, id)
		if i%2 == 0 {
			want[id] = w.AddPerson(fmt.Sprint("Dev ", i), id.Value, "").ID
		}
	}
	for i := range 60 {
		id := policy.Identity{Kind: policy.KindMobile, Value: fmt.Sprintf("+86138001380%02d", i)}
		ids = append(ids, id)
		want[id] = w.AddPerson(fmt.Sprint("Phone ", i), "", id.Value[3:]).ID
	}
	group := policy.Identity{Kind: policy.KindGroup, Value: "oc_1"}
	ids = append(ids, group, ids[0]) // twice the same is one question
	// Names are not asked for: one refusal is enough.
	people, err := w.chat.Resolve(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if len(people) != 181 {
		t.Errorf("%d answers", len(people))
	}
	for _, id := range ids {
		if p, ok := people[id]; !ok || p.ID != want[id] {
			t.Errorf("%s: %+v (%v), want %q", id, p, ok, want[id])
		}
	}
	calls := w.paths()
	if len(calls) != 5 || calls[1] != lookUp || calls[2] != lookUp || calls[3] != lookUp {
		t.Errorf("calls %v", calls)
	}
}

func TestNamesThatMayNotBeRead(t *testing.T) {
	for name, opts := range map[string]feishusim.Options{
		"no scope for the call": {},
		"no scope for the name": {ContactsReadable: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, opts)
			alice := w.AddPerson("Alice", "alice@example.com", "")
			w.AddPerson("Bob", "bob@example.com", "")
			ask := func() {
				t.Helper()
				people, err := w.chat.Resolve(t.Context(), []policy.Identity{email("alice@example.com"), email("bob@example.com")})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := people[email("alice@example.com")], (gate.Person{ID: alice.ID}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			asked := func() (n int) {
				for _, c := range w.Calls() {
					if c.Method == http.MethodGet {
						n++
					}
				}
				return n
			}
			ask()
			ask()
			if n := asked(); n != 1 {
				t.Errorf("asked for names %d times", n)
			}
			w.clock.Add(time.Hour)
			ask()
			if n := asked(); n != 2 {
				t.Errorf("asked for names %d times after an hour", n)
			}
		})
	}
}

func TestOneNameThatFailsIsLeftOut(t *testing.T) {
	w := newWorld(t, feishusim.Options{NamesReadable: true})
	alice := w.AddPerson("Alice", "alice@example.com", "")
	bob := w.AddPerson("Bob", "bob@example.com", "")
	w.Inject(feishusim.Fault{Method: http.MethodGet, PathSuffix: bob.ID, Status: http.StatusBadGateway})
	people, err := w.chat.Resolve(t.Context(), []policy.Identity{email("bob@example.com"), email("alice@example.com")})
	if err != nil || people[email("alice@example.com")] != alice || people[email("bob@example.com")] != (gate.Person{ID: bob.ID}) {
		t.Errorf("got %+v, %v", people, err)
	}
}

func TestMissingScopeNamesItself(t *testing.T) {
	w := newWorld(t, feishusim.Options{NamesReadable: true})
	w.AddPerson("Alice", "alice@example.com", "")
	fault := w.WithoutScope("contact:user.id:readonly")
	fault.PathSuffix = "/batch_get_id"
	w.Inject(fault)
	_, err := w.chat.Resolve(t.Context(), []policy.Identity{email("alice@example.com")})
	var refused *feishu.APIError
	if !errors.Is(err, gate.ErrNotPermitted) || !errors.As(err, &refused) {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(refused.Scopes, []string{"contact:user.id:readonly"}) || !strings.HasPrefix(refused.HelpURL, "https://open.feishu.cn/app/"+appID) {
		t.Errorf("got %+v", refused)
	}
	if !strings.Contains(err.Error(), refused.HelpURL) {
		t.Errorf("the error does not say where to ask: %v", err)
	}
}
