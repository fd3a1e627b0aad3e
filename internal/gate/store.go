package gate

import (
	"context"
	"math"
	"time"

	"mrgate/internal/policy"
)

// Store keeps everything. What Change returned nil for is on disk.
type Store interface {
	// Change hands the merge request that by names to f and writes what f
	// changed in it, in one locked transaction: two changes of one merge request
	// follow each other. f is pure (no I/O, no clock but mr.Now) and may run more
	// than once. If f fails, nothing is written and its error comes back.
	//
	// What the row was read from may be read again for others: f replaces what is
	// behind pointers and slices of the values in it (a Snapshot's pipeline, a
	// Panel's approvers), and writes nothing into them.
	//
	// ErrNoRow: by names nothing (a Ref creates its row). ErrLeaseLost: by is a
	// lease that is no longer held. With a lease, the write renews it: mr.DueAt
	// is set to mr.Now plus the lease's duration before f runs; f lets go of it
	// by clearing mr.Lease.
	//
	// A context that ends before the change was begun ends the wait; once begun,
	// it is waited for, so that an error means: not written.
	Change(ctx context.Context, by By, f func(mr *MergeRequest) error) error

	// Peek reads the merge request as Change would give it, without a lock.
	// ErrNoRow: there is none.
	Peek(ctx context.Context, by By) (*MergeRequest, error)

	// Claim leases up to n merge requests that are due, the longest due first,
	// to token for d.
	Claim(ctx context.Context, token string, n int, d time.Duration) ([]*MergeRequest, error)

	// ClaimRow is Claim for one row, due or not. ErrBusy: somebody else holds it.
	// ErrNoRow: by names nothing.
	ClaimRow(ctx context.Context, by By, token string, d time.Duration) (*MergeRequest, error)

	// NextDue says in how long the next row and the next reminder, of what is dry or
	// of what is real, are due (0: now; Never).
	NextDue(ctx context.Context, dry bool) (row, reminder time.Duration, err error)

	// Remind takes a reminder that is due, of what is dry or of what is real, for d:
	// before that, and until it is written down what became of it, nobody else gets
	// it. It lists at most the given number of requests. nil: none is due.
	//
	// One that was begun is taken first. Else one is made for a person whom a card
	// reached whose [Request.RemindAt] has come; with it all that waits for them
	// counts as reminded. A person has one at a time. What does not wait any more
	// when it is taken is left out, perhaps all of it.
	Remind(ctx context.Context, dry bool, d time.Duration, lines int) (*Reminder, error)
	// Reminded writes down what became of a reminder that was taken: it is to be
	// tried again after a while, or (0) is over. The entries, each about a request,
	// go into the log, unless somebody else had written down before that it is over.
	Reminded(ctx context.Context, r *Reminder, again time.Duration, entries ...*Entry) error

	// Policy notes that the policy with this hash and text is in force from now
	// on, as a dry run or for real, with a [PolicyEntry] in the log if either is
	// not as before. It makes every merge request due, with a look, that has a
	// followed request which is under another policy, or of a dry run that is
	// over; a dry run leaves real requests alone. If either is not as before, so is
	// each whose Why begins with WhyNoRule; and after a dry run, each with a
	// decided or ended request that is not settled.
	Policy(ctx context.Context, hash, text string, dry bool) error

	// Moved notes that a project has this path now: each of its merge requests
	// that is known by another gets it, in its URL too, and those with a followed
	// request are made due, with a look.
	Moved(ctx context.Context, forge string, project int64, path string) error

	// InForce is the hash of the policy that Policy noted last, and whether that
	// was for a dry run; "": none was.
	InForce(ctx context.Context) (hash string, dry bool, err error)

	// PolicyAt is the policy that was in force at the time; the zero Noted: none
	// was yet.
	PolicyAt(ctx context.Context, at time.Time) (Noted, error)

	// Followed names the merge requests with a followed request that was opened at
	// least that long ago.
	Followed(ctx context.Context, opened time.Duration) ([]Ref, error)

	// Mark is how far the list was read, as SetMark stored it last; "": never.
	Mark(ctx context.Context, list string) (Mark, error)
	// SetMark stores to in the place of from; false: something else stands there
	// by now, and stays.
	SetMark(ctx context.Context, list string, from, to Mark) (bool, error)

	// People gives what is known of the identities; what is unknown is missing.
	People(ctx context.Context, ids []policy.Identity) (map[policy.Identity]Known, error)
	// Learn stores answers of the directory, also that somebody is not in it, to be
	// believed for keep.
	Learn(ctx context.Context, people map[policy.Identity]Person, keep time.Duration) error

	Close() error
}

// Noted is a policy as Store.Policy noted it.
type Noted struct {
	Hash  string
	Text  string    // as policy.Policy.Text gives it
	Since time.Time // when it came into force
	Until time.Time // when another one did; zero: it still is in force
}

// Known is what the directory said of an identity.
type Known struct {
	Person
	First string        // the ID that was learnt first of all, which stays; "": none was
	Fresh time.Duration // for so long it is believed; 0 or less: it is to be asked again
}

// Never is when nothing is due.
const Never = time.Duration(math.MaxInt64)

// By names a merge request, by exactly one of its fields.
type By struct {
	Ref     *Ref   // creates the row if there is none
	Message string // the key of one of its messages
	Request int64  // the number of one of its requests
	Lease   *Lease // held by a worker
}

// Lease is a worker's right to write: the row, and the token of its claim.
type Lease struct {
	Row   int64
	Token string
	For   time.Duration // what each write renews it to
}
