package story

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mrgate/internal/gate"
)

// ErrAddress : what was to be found is no merge request's address.
var ErrAddress = errors.New("not the address of a merge request")

// FindURL finds the requests of the merge request that has this address, with
// any page of it, a query or a fragment behind. What stands before the project's
// path in it (where GitLab is not at the root of its host) is not known. None
// found is no error; ErrAddress: it is no such address.
func FindURL(ctx context.Context, archive gate.Archive, raw string) ([]int64, error) {
	sought, path, number := mergeRequestURL(raw)
	if path == "" {
		return nil, fmt.Errorf("%s is %w; it looks like https://gitlab.example.com/group/project/-/merge_requests/7", raw, ErrAddress)
	}
	for strings.Contains(path, "/") {
		found, err := archive.Find(ctx, gate.Sought{Path: path, Number: number})
		if err != nil {
			return nil, err
		}
		var same []int64 // of one merge request; a path may have been another's before
		for _, n := range found {
			mr, err := archive.Story(ctx, n)
			if err != nil {
				return nil, err
			}
			if mr.Snapshot == nil {
				continue
			}
			if known, _, _ := mergeRequestURL(mr.Snapshot.URL); strings.EqualFold(known, sought) {
				same = append(same, n)
			}
		}
		if len(same) > 0 {
			return same, nil
		}
		_, path, _ = strings.Cut(path, "/")
	}
	return nil, nil
}

// mergeRequestURL takes an address apart: what names the merge request, without
// its scheme; all of the path before that; and the number. path is "" where it
// is none of a merge request.
func mergeRequestURL(raw string) (name, path string, number int64) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", 0
	}
	path, page, ok := strings.Cut(strings.Trim(u.Path, "/"), "/-/merge_requests/")
	digits, _, _ := strings.Cut(page, "/")
	if _, err := fmt.Sscanf(digits, "%d", &number); !ok || err != nil || fmt.Sprint(number) != digits {
		return "", "", 0
	}
	return fmt.Sprintf("%s/%s!%d", u.Host, path, number), path, number
}
