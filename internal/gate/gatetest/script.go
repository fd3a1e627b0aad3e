package gatetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// script is what both fakes have for tests: the calls in their order, and what
// is to go wrong. Methods are named in small letters: "get", "merge", "send" ….
type script struct {
	mu     sync.Mutex // also for what the fake itself holds
	calls  []string
	before func(method string) error
	after  func(method string) error
	delay  func(method string) time.Duration
}

// Fail has before decide about every call before it does anything; nil: none fails.
func (s *script) Fail(before func(method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// FailNext has the next calls of the method fail with these errors, one each.
func (s *script) FailNext(method string, errs ...error) {
	var mu sync.Mutex
	s.Fail(func(m string) error {
		mu.Lock()
		defer mu.Unlock()
		if m != method || len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	})
}

// Lose is like Fail, but what was called for is done: only the answer is lost.
func (s *script) Lose(after func(method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

// Delay says how long each call takes before it does anything.
func (s *script) Delay(d func(method string) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Calls lists the calls so far, failed ones too.
func (s *script) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Forget empties the list of calls.
func (s *script) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// call is one call of a port: record, wait, fail, do under the lock, lose. about
// stands before every error.
func (s *script) call(ctx context.Context, method, recorded, about string, do func() error) error {
	s.mu.Lock()
	s.calls = append(s.calls, recorded)
	before, after, delay := s.before, s.after, s.delay
	s.mu.Unlock()

	if delay != nil {
		timer := time.NewTimer(delay(method))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	err := ctx.Err()
	if err == nil && before != nil {
		err = before(method)
	}
	if err == nil {
		s.mu.Lock()
		err = do()
		s.mu.Unlock()
	}
	if err == nil && after != nil {
		err = after(method)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", about, err)
	}
	return nil
}
