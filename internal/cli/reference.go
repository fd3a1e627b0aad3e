package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
)

// reference is a REF of the command line: a request's number, group/project!7,
// a merge request's URL, or --project with --mr.
type reference struct {
	text    string
	request int64  // a request's number; 0: not given
	project string // path or numeric ID, with mr
	mr      int64
	url     string
}

func (r reference) String() string { return r.text }

// id is the reference as the API takes it.
func (r reference) id() string {
	if r.request != 0 {
		return strconv.FormatInt(r.request, 10)
	}
	return r.text
}

// parseReference reads the one REF, or --project and --mr.
func parseReference(cfg *config.Config, args []string) (reference, error) {
	byFlags := cfg.Project != "" || cfg.MR != 0
	switch {
	case byFlags && len(args) > 0:
		return reference{}, usage("name the merge request once: by %s, or by --project and --mr", args[0])
	case byFlags && (cfg.Project == "" || cfg.MR == 0):
		return reference{}, usage("--project and --mr go together; give both, as in --project payments/api --mr 7")
	case byFlags:
		return reference{text: fmt.Sprintf("%s!%d", cfg.Project, cfg.MR), project: cfg.Project, mr: cfg.MR}, nil
	case len(args) == 0:
		return reference{}, usage("no merge request is named; give a request's number, group/project!7, its URL, or --project and --mr")
	}
	text := args[0]
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return reference{text: "request " + text, request: n}, nil
	}
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
		return reference{text: text, url: text}, nil
	}
	if project, number, ok := strings.Cut(text, "!"); ok && project != "" {
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n > 0 {
			return reference{text: text, project: project, mr: n}, nil
		}
	}
	return reference{}, usage("%q names no merge request; give a request's number, group/project!7, or its URL", text)
}

// find gives the merge request's lasting name: of a request's number from the
// store, which may be nil for the other forms, else from GitLab.
func (r *reference) find(ctx context.Context, store gate.Store, forge *gitlab.Forge) (gate.Ref, error) {
	if r.request != 0 {
		mr, err := store.Peek(ctx, gate.By{Request: r.request})
		if errors.Is(err, gate.ErrNoRow) {
			return gate.Ref{}, fmt.Errorf("there is no request %d in this database", r.request)
		} else if err != nil {
			return gate.Ref{}, err
		}
		return mr.Ref, nil
	}
	if r.url != "" {
		var ok bool
		if r.project, r.mr, ok = forge.ByURL(r.url); !ok {
			return gate.Ref{}, usage("%s is not a merge request of the GitLab at gitlab-url", r.url)
		}
	}
	ref, _, err := forge.Find(ctx, r.project, r.mr)
	return ref, err
}
