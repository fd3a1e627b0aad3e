package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mrgate/internal/gate"
	"mrgate/internal/sqlite"
)

// How much room a disk has to have: a database of a million requests has a few
// gigabytes.
const (
	roomWarning = 1 << 30
	roomFailure = 100 << 20
)

// database checks the listener's.
func (d *doctor) database(ctx context.Context) {
	const check = "database"
	path := d.env.path(d.cfg.DB)
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		d.fail(check, "", "make it, or name another file by --db or MRGATE_DB", "the directory %s of the database cannot be used: %s", dir, plainPath(err))
		return
	}
	d.room(dir)
	// SQLite makes files beside the database.
	if err := mayWrite(dir); err != nil {
		d.fail(check, "", "give the user that mrgate runs as the right to write there", "the database's directory %s cannot be written to: %s", dir, plainPath(err))
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		d.ok(check, "", "there is none yet at %s; the listener's first start makes it", path)
		return
	}
	if err := mayWrite(path); err != nil {
		d.fail(check, "", "give the user that mrgate runs as the right to write it", "the database %s cannot be written to: %s", path, plainPath(err))
	}
	store, err := d.env.openArchive(ctx, d.cfg)
	if err != nil {
		d.fail(check, "", "name the listener's database by --db or MRGATE_DB; if this is it, restore it from a backup", "%s", err)
		return
	}
	defer func() { _ = store.Close() }()
	d.ok(check, "", "%s can be read", path)
	d.log(ctx, store)
}

// log checks that it is as mrgate wrote it.
func (d *doctor) log(ctx context.Context, store *sqlite.Store) {
	const check = "database.log"
	v := gate.NewVerification()
	if err := store.Audit(ctx, v); err != nil {
		d.fail(check, "", "run it again; if it stays, restore the database from a backup", "it cannot be read to its end: %s", err)
		return
	}
	switch flaw := v.Err(); {
	case v.Entries == 0:
		d.ok(check, "", "it is empty: no listener has worked on this database yet")
	case flaw != nil:
		d.fail(check, "", "run mrgate log --verify, which names all that is wrong, and keep a copy of the file", "it is not as mrgate wrote it: %s", flaw)
	default:
		d.ok(check, "", "it is as mrgate wrote it, %d entries", v.Entries)
	}
}

// room checks how much the disk has.
func (d *doctor) room(dir string) {
	free, err := freeSpace(dir)
	if err != nil {
		d.unchecked("database.space", "", "look yourself", "how much room there is in %s cannot be told: %s", dir, err)
		return
	}
	d.find(roomFor(dir, free))
}

// roomFor judges how much room there is.
func roomFor(dir string, free uint64) finding {
	f := finding{Check: "database.space", Status: conditionOK, What: fmt.Sprintf("%s are free in %s", amount(free), dir)}
	const remedy = "make room; where the disk is full, no click can be recorded"
	switch {
	case free < roomFailure:
		f.Status, f.Remedy = conditionFailure, remedy
	case free < roomWarning:
		f.Status, f.Remedy = conditionWarning, remedy
	}
	return f
}

func amount(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}

// plainPath is the reason without the path before it.
func plainPath(err error) string {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err.Error()
	}
	return err.Error()
}
