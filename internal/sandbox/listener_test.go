package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// silent is a listener that never says that it listens.
func silent(t *testing.T) *listener {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mrgate")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := &listener{binary: binary, dir: dir, listens: func(string) {}, over: make(chan struct{})}
	t.Cleanup(l.kill)
	return l
}

// Whoever gives up waiting for it must not leave one behind that nothing knows the
// address of.
func TestListenerThatDoesNotComeUpIsEnded(t *testing.T) {
	l := silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.start(ctx); err == nil {
		t.Error("it came up")
	}
	if l.alive() {
		t.Error("it still runs")
	}
}

// A visitor may press Start in the moment in which the sandbox ends.
func TestListenerStaysDeadAtTheEnd(t *testing.T) {
	l := silent(t)
	l.end()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.start(ctx); err == nil || ctx.Err() != nil || l.alive() {
		t.Errorf("it was started again: %v", err)
	}
}
