package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// Another application of the chat knows the same people by other IDs: whoever an
// identity was to the one says nothing about whom it is to the other.
func TestEachDirectoryHasItsOwnPeople(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.db")
	alice := policy.Identity{Kind: policy.KindEmail, Value: "alice@example.com"}
	for _, app := range []string{"cli_one", "cli_two", "cli_one"} {
		s, err := Open(t.Context(), path, Options{Directory: app})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Learn(t.Context(), map[policy.Identity]gate.Person{alice: {ID: "ou_of_" + app}}, time.Hour); err != nil {
			t.Error(err)
		}
		people, err := s.People(t.Context(), []policy.Identity{alice})
		if p := people[alice]; err != nil || p.ID != "ou_of_"+app || p.First != p.ID {
			t.Errorf("to %s she is %+v, %v", app, p, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
