package gate

import (
	"errors"
	"time"
)

// What adapters answer, besides success. The core knows no status code. An
// error that is none of these means: try again.
var (
	// ErrNotFound: the merge request does not exist, or its project may not be seen.
	ErrNotFound = errors.New("not found")
	// ErrHeadMoved: the head is another commit by now.
	ErrHeadMoved = errors.New("the head commit has moved")
	// ErrNotPermitted: a person must act (a role, a scope, a setting). Its text
	// is the other side's own and may be shown.
	ErrNotPermitted = errors.New("not permitted")
	// ErrPublic: everybody could read what was to be internal, so it is not written.
	ErrPublic = errors.New("would be public")
	// ErrGone: the message can never be sent or changed again.
	ErrGone = errors.New("message is gone")
	// ErrLeaseLost: somebody else works on the row; drop what you hold.
	ErrLeaseLost = errors.New("lease lost")
	// ErrBusy: somebody else works on the row now.
	ErrBusy = errors.New("somebody else is at work on it")
	// ErrNoRow: there is no such merge request, request or message.
	ErrNoRow = errors.New("no such row")
)

// RetryAfter is trouble for which the other side said how long to wait.
type RetryAfter struct {
	After time.Duration
	Err   error
}

func (e *RetryAfter) Error() string { return e.Err.Error() }

// Unwrap gives the trouble itself.
func (e *RetryAfter) Unwrap() error { return e.Err }
