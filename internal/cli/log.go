package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/story"
)

// logRows is how many rows of the log are aligned and printed at a time.
const logRows = 200

func newLogCmd(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log [REF]",
		Short: "Print the audit log, the oldest entry first, or verify it",
		Long: `Print the audit log, the oldest entry first: requests that were opened, clicks,
decisions and what they rested on, what was done in GitLab and what it answered,
messages that were sent, changed or let go, and changes of the policy.

REF is a request's number, or names a merge request: group/project!7, or its URL.
Without one, all is printed. --limit N prints the last N entries of these.

With --json each line is an object: number, at (RFC 3339, in UTC), project, iid,
request (its number), kind, data (as it was recorded), merge_request (the row of the
database) and hash, which covers the entry and the hash before it.

With --verify it prints no entries but checks them all: that each follows on from
the one before by its hash, that none is missing between them or at the end, and that
requests, their states, decisions (and whether they count), merges around mrgate and
policies in the database are those that the log tells of; messages, people and what is
still to be done are not compared. Anything that is not as mrgate wrote it is named, and the
exit code is 1; so it is where the log is empty.

Whoever can write the whole file can write all of it anew, with hashes that fit.
--anchor 12:0123… says what hash entry 12 had, as the note under a merge request
shows it (log #12 0123…) or an earlier --verify printed it: at least 32 digits.
--from-gitlab reads such notes of mrgate's own from GitLab, which is all that needs
a token: of the 200 newest merge requests in the database, or as --limit and --since
say. It also misses requests that notes are about. Notes can be changed by GitLab's
administrators and by whoever has mrgate's token.

It reads the listener's database, also while the listener runs, and needs neither a
token nor the network, but for --from-gitlab. On a terminal long lines are cut to
its width.`,
		Example: `  mrgate log --since 1d
  mrgate log 'payments/api!7'
  mrgate log --limit 20
  mrgate log --json | jq 'select(.kind == "decided")'
  mrgate log --verify --anchor 12:0123456789abcdef0123456789abcdef
  mrgate log --verify --from-gitlab --since 30d`,
		Args: cobra.MaximumNArgs(1),
	}
	config.Define(cmd.Flags(), "config", "db", "json", "since", "limit",
		"verify", "anchor", "from_gitlab", "gitlab_url", "gitlab_token", "gitlab_ca_file")
	reword(cmd, "since", "only entries from within this time, as in 7d; with --from-gitlab: requests")
	reword(cmd, "limit", "at most this many, the last ones; 0: all; with --from-gitlab: merge requests")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := env.load(cmd)
		if err != nil {
			return err
		}
		if err := checkVerify(cfg, args); err != nil {
			return err
		}
		if cfg.Verify {
			return env.verify(cmd.Context(), cfg)
		}
		return env.log(cmd.Context(), cfg, args)
	}
	return cmd
}

// line is an entry in the output of mrgate log --json, one a line. Fields may be
// added; those that are there keep their names and meanings.
type line struct {
	Number       int64           `json:"number"` // 1, 2, 3, without gaps
	At           story.Stamp     `json:"at"`
	Project      string          `json:"project,omitempty"` // path, as it was when the request was opened
	IID          int64           `json:"iid,omitempty"`
	Request      int64           `json:"request,omitempty"`
	Kind         gate.EntryKind  `json:"kind"` // see docs/log.md
	Data         json.RawMessage `json:"data"` // an object, whose fields the kind says
	MergeRequest int64           `json:"merge_request,omitempty"`
	Hash         string          `json:"hash"` // see gate.Entry.Chain
}

func (env *Environment) log(ctx context.Context, cfg *config.Config, args []string) error {
	var named *reference
	if len(args) > 0 {
		r, err := parseReference(&config.Config{}, args)
		if err != nil {
			return err
		}
		named = &r
	}
	store, err := env.openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	teller := story.NewTeller(store)
	printed, put, flush := 0, func(gate.Entry) error { return nil }, func() error { return nil }
	if cfg.JSON {
		put = func(e gate.Entry) error {
			at := teller.About(ctx, e)
			return writeJSON(env.Stdout, line{
				e.Number, story.Stamp(e.At), at.Path, at.Number, e.Request, e.Kind, e.Data, e.MergeRequest, e.Hash,
			}, false)
		}
	} else {
		zone := env.zone()
		t := &table{
			out: env.Stdout, width: widthOf(env.Stdout),
			least: []int{0, 0, 0, 12, 0, 40}, right: []bool{true, false, true, false, false, false},
			spare: []int{4, 2}, // KIND, REQUEST
		}
		put = func(e gate.Entry) error {
			if t.heads == nil {
				t.heads = []string{"ENTRY", "TIME (" + story.ZoneName(e.At, zone) + ")", "REQUEST", mergeRequestHead, "KIND", "WHAT"}
			}
			request := "-"
			if e.Request != 0 {
				request = fmt.Sprint(e.Request)
			}
			what := teller.Tell(ctx, e) // first: an entry may itself say what it is about
			t.add(fmt.Sprint(e.Number), local(e.At, zone), request, teller.About(ctx, e).String(), clean(string(e.Kind)), what)
			if len(t.rows) < logRows {
				return nil
			}
			return t.flush()
		}
		flush = t.flush
	}
	err = chosen(ctx, store, cfg, named, func(e gate.Entry) error {
		printed++
		return put(e)
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if printed == 0 {
		_, _ = fmt.Fprintf(env.Stderr, "mrgate: there is no such entry in the log of %s\n", env.path(cfg.DB))
	}
	return nil
}

// chosen gives the entries that were asked for, the oldest first.
func chosen(ctx context.Context, archive gate.Archive, cfg *config.Config, named *reference, do func(gate.Entry) error) error {
	f := gate.LogFilter{Since: cfg.Since}
	if named == nil {
		if cfg.Limit > 0 {
			last, err := lastEntry(ctx, archive)
			if err != nil {
				return err
			}
			f.After = max(0, last-cfg.Limit)
		}
		for e, err := range archive.Log(ctx, f) {
			if err != nil {
				return err
			}
			if err := do(e); err != nil {
				return err
			}
		}
		return nil
	}
	requests, err := named.requests(ctx, archive)
	if err != nil {
		return err
	}
	var all []gate.Entry
	for _, f.Request = range requests {
		for e, err := range archive.Log(ctx, f) {
			if err != nil {
				return err
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b gate.Entry) int { return cmp.Compare(a.Number, b.Number) })
	if n := int(cfg.Limit); n > 0 && len(all) > n {
		all = all[len(all)-n:]
	}
	for _, e := range all {
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// lastEntry is the number of the last one; 0: there is none. Entries have no
// gaps, so it is found by halving.
func lastEntry(ctx context.Context, archive gate.Archive) (int64, error) {
	isAfter := func(n int64) (bool, error) {
		for _, err := range archive.Log(ctx, gate.LogFilter{After: n, Limit: 1}) {
			return err == nil, err
		}
		return false, nil
	}
	low, high := int64(0), int64(1) // the last one is not below low
	for {
		more, err := isAfter(high - 1)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		low, high = high, 2*high
	}
	for low < high-1 {
		middle := low + (high-low)/2
		more, err := isAfter(middle - 1)
		if err != nil {
			return 0, err
		}
		if more {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}
