package cli

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lineByLine keeps what is written, and shows what a terminal would.
type lineByLine struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lineByLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lineByLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *lineByLine) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Reset()
}

func (l *lineByLine) shown() string {
	all := l.String()
	if i := strings.LastIndex(all, "\r\x1b[K"); i >= 0 {
		all = all[i+len("\r\x1b[K"):]
	}
	return all
}

func TestProgress(t *testing.T) {
	for _, live := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var out lineByLine
			p := &progress{out: &out, live: live, name: "a/b!7", limit: time.Minute}
			var awaited atomic.Value
			awaited.Store("")
			stop := p.watch(func() string { return awaited.Load().(string) })
			after := func(d time.Duration) {
				time.Sleep(d)
				synctest.Wait()
			}
			want := func(when, inPlace, lines string) {
				t.Helper()
				if live && out.shown() != inPlace || !live && out.String() != lines {
					t.Errorf("live %t, %s: %q", live, when, out.String())
				}
			}
			after(1500 * time.Millisecond)
			want("while nobody knows", "", "")
			awaited.Store("Alice")
			after(time.Second)
			want("for Alice", "a/b!7: 2s of 1m, waiting for Alice", "mrgate: a/b!7: 2s of 1m, waiting for Alice\n")
			after(time.Second)
			want("a second later", "a/b!7: 3s of 1m, waiting for Alice", "mrgate: a/b!7: 2s of 1m, waiting for Alice\n")
			if _, err := p.Write([]byte("warning\n")); err != nil {
				t.Error(err)
			}
			if live && !strings.HasSuffix(out.String(), "3s of 1m, waiting for Alice\r\x1b[Kwarning\n") {
				t.Errorf("a warning in between: %q", out.String())
			}
			out.Reset()
			awaited.Store("Bob")
			after(time.Second)
			want("for Bob", "a/b!7: 4s of 1m, waiting for Bob", "mrgate: a/b!7: 4s of 1m, waiting for Bob\n")
			stop()
			stop()
			want("in the end", "", "mrgate: a/b!7: 4s of 1m, waiting for Bob\n")
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestProgressOnABrokenPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := (&progress{out: broken{}, name: "a/b!7", limit: time.Minute}).watch(func() string { return "Alice" })
		time.Sleep(3 * time.Second)
		stop()
	})
}
