package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	// checkpointEvery is after how many commits of one process a checkpoint is
	// made: of a click and what follows from it there are about six, of a dozen
	// pages each.
	checkpointEvery = 64
	// longestLog is how many pages the write-ahead log has, 16 MiB, before the
	// writer itself copies what is left of it: the log begins anew only where all of
	// it has been copied, and in a rush there is a commit during each checkpoint.
	longestLog = `PRAGMA wal_autocheckpoint = 4000`
)

// checkpointer copies to the database what the writer has committed to the
// write-ahead log. Left to SQLite, the writer would do it: one commit in eighty
// would copy a thousand pages and wait for the disk three times, and with it all
// who wait for that commit. A PASSIVE checkpoint keeps nobody from reading or
// writing (https://sqlite.org/wal.html#ckpt).
//
// One that fails loses nothing. What it left, the next one copies.
type checkpointer struct {
	session *session
	commits int           // since the last one was due; the writer's
	due     chan struct{} // one slot
	ended   chan struct{} // closed: run has returned
}

// newCheckpointer needs a database in write-ahead mode.
func newCheckpointer(ctx context.Context, db *sql.DB, t *tables) (*checkpointer, error) {
	s, err := newSession(ctx, db, t)
	if err != nil {
		return nil, err
	}
	// A connection that has read nothing yet knows of no log, and copies nothing.
	if _, err := s.rows(ctx, `SELECT COUNT(*) FROM sqlite_schema`); err != nil {
		return nil, errors.Join(fmt.Errorf("read the schema: %w", err), s.close())
	}
	c := &checkpointer{session: s, due: make(chan struct{}, 1), ended: make(chan struct{})}
	if _, err := s.conn.ExecContext(ctx, durable); err != nil {
		return nil, errors.Join(err, s.close())
	}
	go c.run(context.WithoutCancel(ctx))
	return c, nil
}

// committed counts a commit of the writer.
func (c *checkpointer) committed() {
	if c.commits++; c.commits < checkpointEvery {
		return
	}
	c.commits = 0
	select {
	case c.due <- struct{}{}:
	default: // it is late, and will copy this too
	}
}

func (c *checkpointer) run(ctx context.Context) {
	defer close(c.ended)
	for range c.due {
		_ = c.checkpoint(ctx)
	}
}

func (c *checkpointer) checkpoint(ctx context.Context) error {
	_, err := c.session.rows(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
	return err
}

// close makes the last checkpoint. The writer has ended. nil has nothing to close.
func (c *checkpointer) close() error {
	if c == nil {
		return nil
	}
	close(c.due)
	<-c.ended
	return errors.Join(c.checkpoint(context.Background()), c.session.close())
}
