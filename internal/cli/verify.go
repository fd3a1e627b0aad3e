package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/sqlite"
	"mrgate/internal/story"
	"mrgate/internal/words"
)

// readNotes is of how many merge requests the notes are read where nobody says
// of how many.
const readNotes = 200

// notes is where mrgate's own notes are read; see [gitlab.Forge].
type notes interface {
	OwnNotes(ctx context.Context, mr gate.Ref) ([]gitlab.OwnNote, error)
}

// verified is what mrgate log --verify --json prints. Fields may be added; those
// that are there keep their names and meanings.
type verified struct {
	OK       bool        `json:"ok"`
	Database string      `json:"database"`
	Entries  int64       `json:"entries"`
	FirstAt  story.Stamp `json:"first_at,omitzero"`
	LastAt   story.Stamp `json:"last_at,omitzero"`
	Anchor   string      `json:"anchor,omitempty"` // of the last entry: keep it elsewhere
	Flaws    []gate.Flaw `json:"flaws"`            // the first ones
	Unsaid   int         `json:"more_flaws"`
	Remarks  []string    `json:"remarks"`
	Anchors  anchoring   `json:"anchors"`
	// NotProven says what even a log without flaws does not show.
	NotProven string `json:"not_proven"`
}

// anchoring is what was known from elsewhere.
type anchoring struct {
	Given         int   `json:"given"`          // by --anchor
	Notes         int   `json:"notes"`          // mrgate's own, that were read
	MergeRequests int   `json:"merge_requests"` // whose notes were read
	Unread        int   `json:"unread"`         // merge requests that GitLab does not show (any more)
	All           bool  `json:"all"`            // these are all that the database knows
	UpTo          int64 `json:"up_to"`          // the newest entry that is as an anchor says; 0: none
}

// checkVerify says what is wrong in how log --verify was called.
func checkVerify(cfg *config.Config, args []string) error {
	switch {
	case !cfg.Verify && (len(cfg.Anchors) > 0 || cfg.FromGitLab):
		return usage("log: --anchor and --from-gitlab go with --verify")
	case !cfg.Verify:
		return nil
	case len(args) > 0:
		return usage("log: --verify checks the whole log, not that of %s alone; leave it out", args[0])
	case !cfg.FromGitLab && (cfg.Given("since") || cfg.Given("limit")):
		return usage("log: --verify checks the whole log; --since and --limit only say how many notes --from-gitlab reads")
	case cfg.FromGitLab && cfg.GitLabToken.Reveal() == "":
		return usage("log: --from-gitlab needs gitlab-token; set MRGATE_GITLAB_TOKEN or MRGATE_GITLAB_TOKEN_FILE")
	}
	return nil
}

// verify checks the log. An error: there is a flaw, or not all could be read.
func (env *Environment) verify(ctx context.Context, cfg *config.Config) error {
	var anchors []gate.Anchor
	for _, text := range cfg.Anchors {
		a, err := gate.ParseAnchor(text)
		if err != nil {
			return usage("log: %w", err)
		}
		a.From = "the anchor " + text
		anchors = append(anchors, a)
	}
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	report := verified{Database: env.path(cfg.DB), Flaws: []gate.Flaw{}, Remarks: []string{}}
	report.Anchors.Given = len(anchors)

	// What notes say is in the log before they are written: they are read first.
	var known []noted
	if cfg.FromGitLab {
		forge, err := newForge(cfg)
		if err != nil {
			return err
		}
		if known, err = readOwnNotes(ctx, store, forge, cfg, &report); err != nil {
			return err
		}
	}
	for _, n := range known {
		anchors = append(anchors, n.anchors...)
	}
	v := gate.NewVerification(anchors...)
	for _, n := range known {
		if n.request != 0 {
			v.Noted(n.request, n.where)
		}
	}
	if err := store.Audit(ctx, v); err != nil {
		return err
	}
	report.take(v)
	if cfg.JSON {
		err = writeJSON(env.Stdout, report, true)
	} else {
		err = report.print(env)
	}
	if flaw := v.Err(); err == nil && flaw != nil {
		err = fmt.Errorf("the log of %s is not as mrgate wrote it: %s", report.Database, clean(flaw.Error()))
	}
	return err
}

// noted is a note of mrgate's, in GitLab.
type noted struct {
	where   string
	request int64 // that it is about; 0: it does not say
	anchors []gate.Anchor
}

// readOwnNotes reads mrgate's notes on the merge requests that the database knows,
// the newest first.
func readOwnNotes(ctx context.Context, store *sqlite.Store, from notes, cfg *config.Config, report *verified) ([]noted, error) {
	limit := readNotes
	if cfg.Given("limit") {
		limit = int(cfg.Limit)
	}
	newest, all, err := newestOf(ctx, store, cfg.Since, limit)
	if err != nil {
		return nil, err
	}
	report.Anchors.All = all && cfg.Since == 0
	var found []noted
	for _, r := range newest {
		own, err := from.OwnNotes(ctx, r.Ref)
		if errors.Is(err, gate.ErrNotFound) {
			report.Anchors.Unread++
			report.Remarks = append(report.Remarks, fmt.Sprintf("GitLab does not show %s (any more), so its notes were not read", story.Name(r.Path, r.Ref)))
			continue
		}
		if err != nil {
			return nil, err
		}
		report.Anchors.MergeRequests++
		for _, n := range own {
			found = append(found, notedBy(n, story.Name(r.Path, r.Ref)))
			report.Anchors.Notes++
		}
		if r.Note != "" && !slices.ContainsFunc(own, func(n gitlab.OwnNote) bool { return fmt.Sprint(n.ID) == r.Note }) {
			report.Remarks = append(report.Remarks, fmt.Sprintf("note %s on %s, about request %d, is not in GitLab any more", r.Note, story.Name(r.Path, r.Ref), r.Number))
		}
	}
	return found, nil
}

// newestOf gives the newest request of each merge request, the newest of at most
// so many (0: of all), and whether these are all.
func newestOf(ctx context.Context, store *sqlite.Store, since time.Duration, limit int) (newest []gate.Listed, all bool, err error) {
	for most := 2 * limit; ; most *= 4 { // a merge request has several requests, but few have many
		list, err := store.List(ctx, gate.Filter{Since: since, Limit: most})
		if err != nil {
			return nil, false, err
		}
		newest = newest[:0]
		seen := make(map[gate.Ref]bool)
		for _, r := range list {
			switch {
			case seen[r.Ref]:
			case limit > 0 && len(newest) == limit:
				return newest, false, nil
			default:
				seen[r.Ref] = true
				newest = append(newest, r)
			}
		}
		if most == 0 || len(list) < most {
			return newest, true, nil
		}
	}
}

func notedBy(n gitlab.OwnNote, name string) noted {
	said := noted{where: fmt.Sprintf("note %d on %s", n.ID, name)}
	said.request, _ = gate.RequestOfNote(n.Key)
	for _, m := range words.Marks(n.Body) {
		said.anchors = append(said.anchors, gate.Anchor{Number: m.Entry, Hash: m.Hash, From: said.where})
	}
	return said
}

func (r *verified) take(v *gate.Verification) {
	r.OK, r.Entries = v.Err() == nil, v.Entries
	r.FirstAt, r.LastAt = story.Stamp(v.First.At), story.Stamp(v.Last.At)
	if v.Entries > 0 {
		r.Anchor = fmt.Sprintf("%d:%s", v.Last.Number, v.Last.Hash)
	}
	r.Flaws, r.Unsaid = append(r.Flaws, v.Flaws...), v.Unsaid
	r.Remarks = append(r.Remarks, v.Remarks...)
	r.Anchors.UpTo = v.Anchored
	switch {
	case !r.OK:
		r.NotProven = "What else was changed is not known: whoever changed this may have changed more, with hashes that fit."
	case v.Anchored == 0:
		r.NotProven = "Somebody who can write the whole file can also write all of it anew, with hashes that fit; " +
			"that shows only beside what is known elsewhere: give --anchor, or --from-gitlab."
	case v.Anchored < v.Last.Number:
		r.NotProven = fmt.Sprintf("Somebody who can write the whole file can write anew what came after entry %d, the newest with an anchor.", v.Anchored)
	default:
		r.NotProven = "That the anchors themselves were kept where whoever can write the file cannot change them, is for you to know."
	}
}

// print says it to people.
func (r *verified) print(env *Environment) error {
	var b strings.Builder
	zone := env.zone()
	if r.OK {
		fmt.Fprintf(&b, "The log of %s is as mrgate wrote it: %d entries, from %s to %s (%s).\n", r.Database, r.Entries,
			local(time.Time(r.FirstAt), zone), local(time.Time(r.LastAt), zone), story.ZoneName(time.Time(r.LastAt), zone))
	}
	for _, f := range r.Flaws {
		fmt.Fprintf(&b, "%s\n", clean(f.String()))
	}
	if r.Unsaid > 0 {
		fmt.Fprintf(&b, "and %d more\n", r.Unsaid)
	}
	for _, text := range r.Remarks {
		fmt.Fprintf(&b, "Remark: %s\n", clean(text))
	}
	if a := r.Anchors; a.MergeRequests+a.Unread > 0 {
		which := "all that the database knows"
		if !a.All {
			which = "the newest; see --since and --limit"
		}
		fmt.Fprintf(&b, "Read %d of mrgate's notes on %d merge requests in GitLab (%s).\n", a.Notes, a.MergeRequests, which)
	}
	if r.OK && r.Anchors.UpTo > 0 {
		fmt.Fprintf(&b, "Up to entry %d it is what it was when the anchors were noted.\n", r.Anchors.UpTo)
	}
	if r.OK {
		fmt.Fprintf(&b, "Last entry, to be kept elsewhere as an anchor: %s\n", r.Anchor)
	}
	fmt.Fprintf(&b, "Not proven: %s\n", r.NotProven)
	_, err := fmt.Fprint(env.Stdout, b.String())
	return err
}
