package sqlite

import (
	"context"
	"fmt"
)

// Moved notes that a project has this path now: each of its merge requests that
// is known by another gets it, in its URL too, and those with a followed request
// are made due, with a look.
func (s *Store) Moved(ctx context.Context, forge string, project int64, path string) error {
	// The case of a path counts for nothing where one is looked for, but it is shown.
	const known = `
		SELECT id FROM merge_request
		WHERE forge = CAST(?2 AS TEXT) AND project = CAST(?3 AS INTEGER) AND path COLLATE BINARY <> ?4`
	err := s.write(ctx, false, func(ctx context.Context, tx *transaction) error {
		for _, query := range []string{
			`UPDATE seen SET snapshot = json_set(snapshot, '$.path', ?4,
				'$.url', replace(snapshot ->> 'url', '/' || (snapshot ->> 'path') || '/', '/' || ?4 || '/'))
			WHERE snapshot IS NOT NULL AND merge_request IN (` + known + `)`,
			lookNow + `
			WHERE id IN (
				SELECT merge_request FROM request AS latest
				WHERE merge_request IN (` + known + `)
					AND state IN ('pending', 'approved', 'blocked', 'rejected')
					AND seq = (SELECT MAX(later.seq) FROM request AS later WHERE later.merge_request = latest.merge_request))`,
			`UPDATE merge_request SET path = ?4 WHERE id IN (` + known + `)`,
		} {
			if err := tx.write(ctx, query, tx.now.UnixMilli(), forge, project, path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note a project's path: %w", err)
	}
	return nil
}
