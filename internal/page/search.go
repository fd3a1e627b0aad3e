package page

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

const (
	// searchStep is how many requests a search reads at once.
	searchStep = 200
	// searchMost is through how many it goes for one page, so that no search holds
	// up a listener, however many requests there ever were.
	searchMost = 2000
)

// named gives the number of the request that a text names: by its number, as
// group/project!7, by a merge request's address, or by 8 or more digits of a commit;
// of several the newest. 0: it names none.
func (l *listenerPage) named(ctx context.Context, text string) (int64, error) {
	if n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64); err == nil {
		if _, err := l.Archive.Story(ctx, n); err == nil {
			return n, nil
		} else if !errors.Is(err, gate.ErrNoRow) {
			return 0, err
		}
	}
	var found []int64
	var err error
	project, number, _ := strings.Cut(text, "!")
	iid, noNumber := strconv.ParseInt(number, 10, 64)
	switch {
	case strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://"):
		if found, err = story.FindURL(ctx, l.Archive, text); errors.Is(err, story.ErrAddress) {
			return 0, nil
		}
	case project != "" && noNumber == nil:
		found, err = l.Archive.Find(ctx, gate.Sought{Path: project, Number: iid})
	case regexp.MustCompile(`^[0-9A-Fa-f]{8,64}$`).MatchString(text):
		found, err = l.Archive.Find(ctx, gate.Sought{Commit: text})
	}
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// search gives the newest requests that the filter lets through and that have all
// words of the text in them; and where it did not go through all there are, through
// how many it went, and at which number it goes on (0: all were gone through).
func (l *listenerPage) search(ctx context.Context, f gate.Filter, text string) (list []row, looked int, next int64, err error) {
	words := strings.Fields(strings.ToLower(text))
	now := time.Now()
	if f.Limit = searchStep; f.Project != "" {
		f.Limit = searchMost // a project's are all found, however few are read of them: once is enough
	}
	for looked < searchMost {
		found, err := l.Archive.List(ctx, f)
		if err != nil {
			return nil, 0, 0, err
		}
		for _, item := range found {
			looked++
			f.Before = item.Number
			if !matches(item, words) {
				continue
			}
			if list = append(list, rowOf(item, now)); len(list) == rows {
				return list, looked, f.Before, nil
			}
		}
		if len(found) < f.Limit {
			return list, looked, 0, nil
		}
	}
	return list, looked, f.Before, nil
}

// matches says that each word is somewhere in what a list shows of the request.
func matches(l gate.Listed, words []string) bool {
	texts := []string{
		l.Title, story.Name(l.Path, l.Ref), l.Author.Username, l.Author.Name, l.Source, l.Target, l.Rule,
		string(l.Head), string(l.MergedAs), string(l.State),
	}
	texts = append(texts, l.Awaited...)
	for _, d := range l.Decided {
		texts = append(texts, d.Name, d.Reason)
	}
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, word := range words {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}
