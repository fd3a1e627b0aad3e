package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/server"
)

// askedFor is the merge request that a listener is to ask about.
type askedFor struct {
	server.Ask
	name string
	head gate.CommitID // that the job runs for; "": none is known
}

// notifyServer has a listener ask, and, with --wait, waits for the decision.
func (env *Environment) notifyServer(ctx context.Context, cfg *config.Config) error {
	token := cfg.IDToken
	if !token.IsSet() {
		token = cfg.APIToken.First()
	}
	switch {
	case !token.IsSet():
		return usage("notify: --server takes a job's ID token or an API token; set MRGATE_ID_TOKEN (id_tokens: in the job, with the listener's public-url as aud) or MRGATE_API_TOKEN")
	case len(cfg.Approvers) > 0:
		return usage("notify: --approver does not go with --server: who may approve says the listener's policy")
	case cfg.DryRun:
		return usage("notify: --dry-run does not go with --server; leave --server out to see what would be sent")
	}
	asked, err := env.askedFor(cfg)
	if err != nil {
		return err
	}
	r, err := newRemote(cfg, token)
	if err != nil {
		return err
	}
	limit := cfg.Wait
	if limit == 0 {
		limit = time.Minute // for a listener that is just being started
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var st server.Status
	if err := r.persist(ctx, http.MethodPost, "/api/v1/requests", 0, asked.Ask, &st); err != nil {
		if cfg.Wait > 0 && ctx.Err() != nil {
			return &exitError{ExitTimeout, fmt.Errorf("notify: %s was not decided within %s: %w", asked.name, cfg.Wait, err)}
		}
		return fmt.Errorf("notify: ask for %s: %w", asked.name, err)
	}
	if cfg.Wait == 0 {
		return env.askedOnly(cfg, asked, st)
	}
	w := &waiting{env: env, cfg: cfg, remote: r, asked: asked, began: began, status: st}
	return w.run(ctx)
}

// askedFor names the merge request, from the first source that is given.
func (env *Environment) askedFor(cfg *config.Config) (askedFor, error) {
	of := func(e gitlab.Event) askedFor {
		return askedFor{
			Ask:  server.Ask{Project: e.Ref.Project, Path: e.Snapshot.Path, MR: e.Ref.Number, Again: cfg.Again},
			name: fmt.Sprintf("%s!%d", e.Snapshot.Path, e.Ref.Number), head: e.Snapshot.Head,
		}
	}
	switch {
	case cfg.Event != "":
		body, err := env.readEvent(cfg.Event)
		if err != nil {
			return askedFor{}, err
		}
		event, err := gitlab.ParseEvent(body)
		if err != nil {
			return askedFor{}, fmt.Errorf("notify: --event %s: %w; it takes the body of a merge request webhook as GitLab sends it", cfg.Event, err)
		}
		return of(event), nil
	case cfg.Project != "" || cfg.MR != 0:
		if cfg.Project == "" || cfg.MR == 0 {
			return askedFor{}, usage("notify: --project and --mr go together; give both, as in --project payments/api --mr 7")
		}
		a := askedFor{Ask: server.Ask{Project: cfg.Project, MR: cfg.MR, Again: cfg.Again}, name: fmt.Sprintf("%s!%d", cfg.Project, cfg.MR)}
		if id, err := strconv.ParseInt(cfg.Project, 10, 64); err == nil {
			a.Project = id
		}
		return a, nil
	}
	event, ok, err := gitlab.FromCI(env.Environ)
	switch {
	case err != nil:
		return askedFor{}, usage("notify: %w", err)
	case !ok:
		return askedFor{}, usage("notify: no merge request is named; add --event FILE, or --project and --mr, or run it in a merge request pipeline")
	}
	return of(event), nil
}

// askedOnly says what came of the asking; that nobody is asked is no failure.
func (env *Environment) askedOnly(cfg *config.Config, asked askedFor, st server.Status) error {
	if cfg.JSON {
		return env.printJSON(st)
	}
	switch r := st.Request; {
	case st.Outcome == gate.StandingNoRule, st.Outcome == gate.StandingDraft, r == nil && st.Outcome == gate.StandingOvertaken:
		_, err := fmt.Fprintf(env.Stderr, "mrgate: nothing to ask for %s: %s\n", asked.name, st.Why)
		return err
	case r == nil:
		_, err := fmt.Fprintf(env.Stdout, "the listener will ask for %s\n", asked.name)
		return err
	default:
		_, err := fmt.Fprintf(env.Stdout, "asked for %s\n", standing(asked.name, st))
		return err
	}
}

// standing is a line on how it stands.
func standing(name string, st server.Status) string {
	r := st.Request
	if r == nil {
		return fmt.Sprintf("%s: %s", name, st.Outcome)
	}
	text := fmt.Sprintf("%s: request %d, %s", name, r.ID, r.State)
	if r.State == gate.Pending {
		if r.Required > 1 {
			text += fmt.Sprintf(", %d of %d approved", r.Approvals, r.Required)
		}
		if len(r.Awaited) > 0 {
			text += ", awaiting " + strings.Join(r.Awaited, ", ")
		}
	}
	return clean(text)
}

// waiting is a job that waits for people.
type waiting struct {
	env    *Environment
	cfg    *config.Config
	remote *remote
	asked  askedFor
	began  time.Time
	told   time.Time // when the job's log last got a line
	status server.Status
	behind int // how often in a row GitLab was seen to be at another commit than the job
}

// aMinute is how often the job's log gets a line, so that it lives.
const aMinute = time.Minute

// run waits until it is decided, whatever happens to the listener, and says so by
// the exit code.
func (w *waiting) run(ctx context.Context) error {
	for {
		if done, err := w.judge(ctx); done {
			return err
		}
		if now := time.Now(); now.Sub(w.told) >= aMinute {
			w.told = now
			_, _ = fmt.Fprintf(w.env.Stderr, "mrgate: waiting, %s of %s: %s\n", now.Sub(w.began).Round(time.Second), w.cfg.Wait, standing(w.asked.name, w.status))
		}
		left := w.cfg.Wait - time.Since(w.began)
		if left <= 0 || ctx.Err() != nil {
			return w.end(ExitTimeout, "was not decided within %s", w.cfg.Wait)
		}
		if err := w.ask(ctx, min(pollFor, left)); err != nil {
			return err
		}
	}
}

// ask asks again. Trouble on the way, also a listener that does not run, is
// waited out.
func (w *waiting) ask(ctx context.Context, wait time.Duration) error {
	m := w.status.MergeRequest
	id := fmt.Sprintf("%d!%d", m.ProjectID, m.IID)
	// A long silence must not silence the job's log too.
	minute, cancel := context.WithTimeout(ctx, max(wait, aMinute-time.Since(w.told)))
	defer cancel()
	var st server.Status
	err := w.remote.persist(minute, http.MethodGet, requestPath(id), wait, nil, &st)
	var refused *problemError
	switch {
	case err == nil:
		w.status = st
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return fmt.Errorf("notify: wait for %s: %w (an ID token lives as long as the job's time-out; set a longer timeout: for the job)", w.asked.name, err)
	case errors.As(err, &refused) && !refused.passes():
		return fmt.Errorf("notify: wait for %s: %w", w.asked.name, err)
	case ctx.Err() == nil:
		_, _ = fmt.Fprintf(w.env.Stderr, "mrgate: waiting, %s of %s: %v\n", time.Since(w.began).Round(time.Second), w.cfg.Wait, err)
		w.told = time.Now()
	}
	return nil
}

// judge says whether the wait is over, and with what.
func (w *waiting) judge(ctx context.Context) (bool, error) {
	st := w.status
	if w.asked.head != "" && st.MergeRequest.Head != "" && st.MergeRequest.Head != w.asked.head && st.Outcome != gate.StandingNoRule {
		// GitLab's own readings may be seconds apart: it is looked at again first.
		if w.behind++; w.behind < 4 {
			timer := time.NewTimer(2 * time.Second)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			if err := w.remote.persist(ctx, http.MethodPost, "/api/v1/requests", 0, w.asked.Ask, &w.status); err != nil && ctx.Err() == nil {
				return true, fmt.Errorf("notify: ask for %s: %w", w.asked.name, err)
			}
			return w.judge(ctx)
		}
		return true, w.end(ExitOvertook, "is about another commit by now: %s, and this job runs for %s", st.MergeRequest.Head.Short(), w.asked.head.Short())
	}
	w.behind = 0
	switch st.Outcome {
	case gate.StandingApproved:
		return true, w.end(ExitDone, "is approved%s", by(st, gate.Approve))
	case gate.StandingRejected:
		return true, w.end(ExitRejected, "was rejected%s", by(st, gate.Reject))
	case gate.StandingExpired:
		return true, w.end(ExitTimeout, "has expired: nobody decided")
	case gate.StandingOvertaken:
		return true, w.end(ExitOvertook, "was overtaken: the merge request is %s", st.MergeRequest.State)
	case gate.StandingNoRule:
		if w.cfg.IfNoRule == "pass" {
			return true, w.end(ExitDone, "needs no approval: no rule covers it")
		}
		return true, w.end(ExitUsage, "is covered by no rule of the listener; add one, or --if-no-rule pass")
	case gate.StandingPending, gate.StandingDraft, gate.StandingUnknown:
	}
	return false, nil
}

// by names who gave the verdict, and why.
func by(st server.Status, v gate.Verdict) string {
	if st.Request == nil {
		return ""
	}
	var names []string
	reason := ""
	for _, d := range st.Request.Decisions {
		if d.Verdict == v && !d.Void {
			names = append(names, d.Name)
			reason = d.Reason
		}
	}
	text := ""
	if len(names) > 0 {
		text = " by " + strings.Join(names, ", ")
	}
	if v == gate.Reject && reason != "" {
		text += ": " + reason
	}
	return text
}

// end says how it ended: on stdout where that is the result, as an error where
// it is not what the job waited for.
func (w *waiting) end(code int, format string, args ...any) error {
	text := clean(w.asked.name + " " + fmt.Sprintf(format, args...))
	if w.cfg.JSON {
		if err := w.env.printJSON(w.status); err != nil {
			return err
		}
	}
	if code != ExitDone {
		return &exitError{code, fmt.Errorf("notify: %s", text)}
	}
	if w.cfg.JSON {
		return nil
	}
	_, err := fmt.Fprintln(w.env.Stdout, text)
	return err
}
