// Package sqlite keeps what mrgate knows in one SQLite file: it is a
// [gate.Store].
//
// # One writer
//
// An fsync costs as much as a hundred changes, so nobody pays for one alone. All
// writes of a process go to one goroutine with one connection (writer.go). It
// takes whatever waits, runs it in one transaction, each change in a savepoint
// of its own, commits, and only then answers everybody: what was answered is on
// disk (WAL, synchronous=FULL). What fails is rolled back alone; if the commit
// fails, all of them are told so and nothing is written.
//
// A change reads its merge request with all that belongs to it (load.go), hands
// it to a pure function of package gate, and writes the rows that differ from
// what was read (save.go). How a Go value becomes a row, and how a row becomes a
// Go value, stands once for each type (row.go, field.go).
//
// # Several processes
//
// They may work on one file: BEGIN IMMEDIATE makes them take turns, leases say
// who works on which merge request (lease.go), and unique indexes stand behind
// "one open request", "one decision a person", and "one message to a recipient".
//
// # A million past requests
//
// A change reads the latest request and those that are not settled, by indexes
// that hold nothing else. A test asks SQLite for the plan of every statement.
package sqlite
