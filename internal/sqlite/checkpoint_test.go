package sqlite

import (
	"os"
	"testing"
	"time"
)

// What is committed gets from the write-ahead log to the database without the
// writer, for whose commits somebody waits.
func TestCheckpointsAreMadeBesideTheWriter(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path)
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	empty := size()
	if err := raw(t, s, `PRAGMA wal_autocheckpoint = 0`); err != nil { // the writer's own
		t.Fatal(err)
	}
	for n := range int64(checkpointEvery) {
		if now := size(); now != empty {
			t.Fatalf("after %d commits the database has %d bytes, before them %d", n, now, empty)
		}
		change(t, s, byRef(n+1), wake)
	}
	for end := time.Now().Add(10 * time.Second); size() == empty; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d commits are still in the log alone", checkpointEvery)
		}
	}
}
