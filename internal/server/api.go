package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/strictjson"
)

// API answers /api/v1, as docs/openapi.yaml describes it. On the public address
// callers open requests and wait; only the admin address takes decisions.
//
// Whoever is not let in learns nothing: no database and no forge is asked before
// the caller is known, and what a job may not see is answered like what is not
// there.
type API struct {
	Gate *gate.Gate
	Code Code

	Tokens    []Token // may open and wait, on the public address
	Operators []Token // may decide and read, on the admin address
	// Job says whose token a job's ID token is; nil: jobs are not let in.
	// ErrUnverified: it cannot be said now. Any other error: it is not good.
	Job func(ctx context.Context, token string) (Job, error)

	// Ending ends every wait, so that the process can end; nil: never.
	Ending <-chan struct{}
	Log    *slog.Logger

	limits *limits // nil: there are none
}

// limits are those of the public address.
type limits struct {
	waits     waits
	verifying chan struct{} // a place for each ID token that is looked at
	forkLooks allowance
	refusals  allowance // those that the log tells of
}

// Code finds merge requests on the code host.
type Code interface {
	// Find gives the lasting name of a merge request that is named by its
	// project's path or numeric ID.
	Find(ctx context.Context, project string, number int64) (gate.Ref, gate.Snapshot, error)
	// Get reads it.
	Get(ctx context.Context, ref gate.Ref) (gate.Snapshot, error)
	// ByURL takes an address apart; false: it is none of a merge request.
	ByURL(raw string) (project string, number int64, ok bool)
	// Ref is the lasting name of a merge request of the project with this ID.
	Ref(project, number int64) gate.Ref
}

// Job is a job of the code host that has shown its ID token.
type Job struct {
	Project int64  // the ID of the project that it runs for
	Path    string // the project's path
}

// ErrUnverified says that nobody can say now whether a job's token is good.
var ErrUnverified = errors.New("the token cannot be verified now")

const (
	maxAsk     = 16 << 10 // bytes of a body
	maxAskDeep = 4        // levels of JSON in it
	maxWait    = time.Minute
	askWait    = 5 * time.Second // for GitLab to be read, where the caller says nothing
	// answerWithin is what writing the answer after a wait may take.
	answerWithin = 10 * time.Second
)

// Public gives the routes of the public address; none if nobody could use them.
func (a *API) Public() map[string]http.Handler {
	if len(a.Tokens) == 0 && a.Job == nil {
		return nil
	}
	public := *a
	public.Operators = nil
	public.limits = &limits{
		verifying: make(chan struct{}, maxVerifying),
		forkLooks: allowance{most: maxForkLooks, every: time.Minute}, refusals: allowance{most: 1, every: refusedEvery},
	}
	return map[string]http.Handler{
		"POST /api/v1/requests":     public.handle(public.open),
		"GET /api/v1/requests/{id}": public.handle(public.get),
	}
}

// Admin gives the routes of the admin address; none if nobody could use them.
func (a *API) Admin() map[string]http.Handler {
	if len(a.Operators) == 0 {
		return nil
	}
	admin := *a
	admin.Tokens, admin.Job = nil, nil
	return map[string]http.Handler{
		"GET /api/v1/requests/{id}":            admin.handle(admin.get),
		"POST /api/v1/requests/{id}/decisions": admin.handle(admin.decide),
	}
}

// caller is who asks: the holder of a token, or a job, which is bound to its
// project.
type caller struct {
	name     string
	job      *Job
	operator bool
}

// handle lets a known caller in, and bounds the wait.
func (a *API) handle(do func(ctx context.Context, w http.ResponseWriter, r *http.Request, by caller) *Problem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, p := a.caller(r)
		if p == nil {
			p = a.within(w, r, by, do)
		}
		if p != nil {
			p.write(w)
		}
	})
}

func (a *API) within(w http.ResponseWriter, r *http.Request, by caller, do func(context.Context, http.ResponseWriter, *http.Request, caller) *Problem) *Problem {
	wait := time.Duration(0)
	if r.Method == http.MethodPost {
		wait = askWait
	}
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return refuse(http.StatusBadRequest, "wait is a time like 30s or 1m")
		}
		wait = min(d, maxWait)
	}
	if a.limits != nil && wait > 0 {
		end, ok := a.limits.waits.begin(by)
		if !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(waitAgain.Seconds())))
			return refuse(http.StatusServiceUnavailable, "too many wait already; ask again in some seconds")
		}
		defer end()
	}
	// The server's own limits are for senders that are slow, not for answers
	// that have to be waited for.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(wait + answerWithin))
	_ = control.SetWriteDeadline(time.Now().Add(wait + answerWithin))
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-a.Ending:
			cancel()
		case <-stop:
		}
	}()
	return do(ctx, w, r, by)
}

// caller says who asks. All who are not let in are told the same.
func (a *API) caller(r *http.Request) (caller, *Problem) {
	value := bearer(r)
	if t := match(a.Operators, value); t != nil {
		return caller{name: t.Name, operator: true}, nil
	}
	if t := match(a.Tokens, value); t != nil {
		return caller{name: t.Name}, nil
	}
	if a.Job != nil && strings.Count(value, ".") == 2 { // the form of a JWT
		job, err := a.verify(r.Context(), value)
		if err == nil {
			return caller{name: "job of " + job.Path, job: &job}, nil
		}
		if unsaid, due := a.limits.refusals.take(); due {
			a.Log.WarnContext(r.Context(), "an ID token was refused", "err", err, "from", r.RemoteAddr, "not_mentioned_before", unsaid)
		}
		if errors.Is(err, ErrUnverified) {
			return caller{}, refuse(http.StatusServiceUnavailable, "the ID token cannot be verified now; try again in a minute")
		}
	}
	return caller{}, refuse(http.StatusUnauthorized, "show an API token or a job's ID token that this listener accepts, as a bearer token")
}

// verify says whose the ID token is, as Job does.
func (a *API) verify(ctx context.Context, token string) (Job, error) {
	select {
	case a.limits.verifying <- struct{}{}:
		defer func() { <-a.limits.verifying }()
		return a.Job(ctx, token)
	default:
		return Job{}, fmt.Errorf("%w: %d others are being verified", ErrUnverified, maxVerifying)
	}
}

// Ask is the body that opens a request.
type Ask struct {
	Project any    `json:"project"`        // a path, or an ID as a number or digits
	Path    string `json:"path,omitempty"` // the project's path, where Project is its ID
	MR      int64  `json:"mr"`
	Again   bool   `json:"again,omitempty"`
}

func (a *API) open(ctx context.Context, w http.ResponseWriter, r *http.Request, by caller) *Problem {
	var body Ask
	if p := parse(w, r, &body); p != nil {
		return p
	}
	id, path := projectOf(body.Project)
	if body.MR <= 0 || id == 0 && !strings.Contains(path, "/") {
		return refuse(http.StatusBadRequest, "project is the project's path or numeric ID, and mr the merge request's number in it")
	}
	if path == "" {
		path = body.Path
	}
	hint, p := a.mayOpen(ctx, by, id, path, body.MR)
	if p != nil {
		return p
	}
	hint.Again = body.Again
	mr, err := a.Gate.Ask(ctx, hint)
	switch {
	case errors.Is(err, gate.ErrNoRow), err == nil && by.job == nil && !a.maySee(by, mr):
		writeJSON(w, http.StatusOK, "application/json", Status{
			MergeRequest: MergeRequest{ProjectID: hint.Ref.Project, IID: hint.Ref.Number, Path: path},
			Outcome:      gate.StandingNoRule, Why: gate.WhyNoRule + " covers this project, or it was over before anybody asked",
		})
		return nil
	case err != nil:
		return a.failed(r, err)
	}
	st, code := statusOf(mr, 0), http.StatusOK
	if st.Outcome == gate.StandingUnknown {
		code = http.StatusAccepted
		w.Header().Set("Location", "/api/v1/requests/"+url.PathEscape(fmt.Sprintf("%d!%d", mr.Ref.Project, mr.Ref.Number)))
	}
	writeJSON(w, code, "application/json", st)
	return nil
}

// mayOpen says where the gate has to look, if the caller may ask for that.
func (a *API) mayOpen(ctx context.Context, by caller, id int64, path string, number int64) (gate.Hint, *Problem) {
	switch {
	case by.job == nil && id != 0 && path != "":
		return gate.Hint{Ref: a.Code.Ref(id, number), Path: path}, nil
	case by.job == nil:
		project := path
		if id != 0 {
			project = strconv.FormatInt(id, 10)
		}
		ref, s, err := a.Code.Find(ctx, project, number)
		if err != nil {
			return gate.Hint{}, a.notFound(ctx, err)
		}
		return gate.Hint{Ref: ref, Path: s.Path}, nil
	case id == by.job.Project || id == 0 && strings.EqualFold(path, by.job.Path):
		return gate.Hint{Ref: a.Code.Ref(by.job.Project, number), Path: by.job.Path}, nil
	case id != 0 && a.Gate.CoversForks(id, path):
		// A fork's job asks about a merge request of the project that it was
		// forked from.
		if _, ok := a.limits.forkLooks.take(); !ok {
			return gate.Hint{}, refuse(http.StatusServiceUnavailable, "jobs of other projects have asked too often within a minute; try again")
		}
		ref := a.Code.Ref(id, number)
		s, err := a.Code.Get(ctx, ref)
		if err == nil && a.Gate.OpenToFork(ref, &s, by.job.Project) {
			return gate.Hint{Ref: ref, Path: s.Path}, nil
		}
		if err != nil && !errors.Is(err, gate.ErrNotFound) {
			return gate.Hint{}, a.notFound(ctx, err)
		}
	}
	return gate.Hint{}, forbidden()
}

// forbidden is all that a job is told of what is not its project's, be it there
// or not.
func forbidden() *Problem {
	return refuse(http.StatusForbidden, "a job's ID token asks for merge requests of its own project; of another, only from a fork and under a rule with forks: true")
}

func (a *API) get(ctx context.Context, w http.ResponseWriter, r *http.Request, by caller) *Problem {
	target, p := a.target(ctx, r, by)
	if p != nil {
		return p
	}
	first := gate.Standing("")
	var request int64
	mr, err := a.Gate.Await(ctx, target.by, func(mr *gate.MergeRequest) bool {
		if !a.maySee(by, mr) {
			return true
		}
		standing, now := mr.Standing(target.request), int64(0)
		if r := mr.Current(); r != nil {
			now = r.ID
		}
		if first == "" {
			first, request = standing, now
		}
		return standing.Final() || standing != first || now != request
	})
	switch {
	case errors.Is(err, gate.ErrNoRow), err == nil && !a.maySee(by, mr):
		return a.unknown(by)
	case err != nil:
		return a.failed(r, err)
	}
	writeJSON(w, http.StatusOK, "application/json", statusOf(mr, target.request))
	return nil
}

// maySee says that the caller may see what becomes of the merge request. The holder
// of an API token has said which path the project has: only GitLab knows.
func (a *API) maySee(by caller, mr *gate.MergeRequest) bool {
	if by.job == nil {
		return by.operator || mr.Current() != nil || mr.Snapshot == nil || a.Gate.Covers(mr.Ref.Project, mr.Snapshot.Path)
	}
	return mr.Ref.Project == by.job.Project ||
		mr.Snapshot != nil && a.Gate.OpenToFork(mr.Ref, mr.Snapshot, by.job.Project)
}

// target is a merge request, or one request of it.
type target struct {
	by      gate.By
	ref     *gate.Ref
	request int64
}

// target reads the {id} of the path.
func (a *API) target(ctx context.Context, r *http.Request, by caller) (target, *Problem) {
	id := r.PathValue("id")
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
		return target{by: gate.By{Request: n}, request: n}, nil
	}
	project, number, ok := a.Code.ByURL(id)
	if !ok {
		var text string
		var err error
		if project, text, ok = strings.Cut(id, "!"); ok {
			number, err = strconv.ParseInt(text, 10, 64)
		}
		if _, digits := strconv.ParseInt(project, 10, 64); !ok || err != nil || number <= 0 || digits != nil && !strings.Contains(project, "/") {
			return target{}, refuse(http.StatusBadRequest, "the request is named by its number, or by group/project!7 or the merge request's URL, percent-encoded")
		}
	}
	ref, p := a.ref(ctx, by, project, number)
	return target{by: gate.By{Ref: &ref}, ref: &ref}, p
}

// ref is the lasting name of a merge request. Of a path only the code host can
// tell whose it is by now.
func (a *API) ref(ctx context.Context, by caller, project string, number int64) (gate.Ref, *Problem) {
	if id, err := strconv.ParseInt(project, 10, 64); err == nil && id > 0 {
		return a.Code.Ref(id, number), nil
	}
	if by.job != nil {
		if !strings.EqualFold(project, by.job.Path) {
			return gate.Ref{}, a.unknown(by)
		}
		return a.Code.Ref(by.job.Project, number), nil
	}
	// The caller's wait is for people; this is answered at once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	ref, _, err := a.Code.Find(ctx, project, number)
	if err != nil {
		return gate.Ref{}, a.notFound(ctx, err)
	}
	return ref, nil
}

// Order is the body of an operator's decision.
type Order struct {
	Verdict gate.Verdict `json:"verdict"`
	Reason  string       `json:"reason,omitempty"`
	By      string       `json:"by,omitempty"`
}

// Decided is the answer to one.
type Decided struct {
	Result gate.Outcome `json:"result"`
	Status Status       `json:"status"`
}

const (
	maxReason = 4000
	maxBy     = 200
)

func (a *API) decide(ctx context.Context, w http.ResponseWriter, r *http.Request, by caller) *Problem {
	var body Order
	if p := parse(w, r, &body); p != nil {
		return p
	}
	switch {
	case body.Verdict != gate.Approve && body.Verdict != gate.Reject:
		return refuse(http.StatusBadRequest, "verdict is approve or reject")
	case len(body.Reason) > maxReason, len(body.By) > maxBy:
		return refuse(http.StatusBadRequest, fmt.Sprintf("reason takes %d bytes and by takes %d", maxReason, maxBy))
	}
	target, p := a.target(ctx, r, by)
	if p != nil {
		return p
	}
	if target.ref == nil {
		mr, err := a.Gate.Await(ctx, target.by, func(*gate.MergeRequest) bool { return true })
		switch {
		case errors.Is(err, gate.ErrNoRow):
			return a.unknown(by)
		case err != nil:
			return a.failed(r, err)
		}
		target.ref = &mr.Ref
	}
	operator := "an operator token"
	if by.name != "" {
		operator = "token " + by.name
	}
	outcome, mr, err := a.Gate.Decide(ctx, *target.ref, target.request, gate.Order{
		Verdict: body.Verdict, Reason: body.Reason, By: body.By, Operator: operator, Way: "API",
	})
	switch {
	case errors.Is(err, gate.ErrDenied):
		return refuse(http.StatusForbidden, "the policy says operator_decisions: deny").of(ProblemDenied, "Operators may not decide")
	case errors.Is(err, gate.ErrDryRun):
		return refuse(http.StatusConflict, err.Error()).of(ProblemDryRun, "A dry run")
	case errors.Is(err, gate.ErrNoRule):
		return refuse(http.StatusUnprocessableEntity, err.Error()).of(ProblemNoRule, "No rule covers it")
	case errors.Is(err, gate.ErrDecided):
		return refuse(http.StatusConflict, err.Error()).of(ProblemDecided, "Decided otherwise before")
	case err != nil && outcome == "":
		return a.failed(r, err)
	}
	if mr == nil {
		return refuse(http.StatusConflict, "it was merged or closed, or is about another commit by now").of(ProblemOvertaken, "Overtaken")
	}
	writeJSON(w, http.StatusOK, "application/json", Decided{outcome, statusOf(mr, target.request)})
	return nil
}

// unknown is the answer to a name that names nothing that the caller may see.
func (a *API) unknown(by caller) *Problem {
	if by.job != nil {
		return forbidden()
	}
	return refuse(http.StatusNotFound, "there is no such request")
}

// notFound is the answer where the code host does not give a merge request.
func (a *API) notFound(ctx context.Context, err error) *Problem {
	if errors.Is(err, gate.ErrNotFound) {
		return refuse(http.StatusNotFound, "GitLab knows no such merge request, or does not show it to mrgate's account")
	}
	a.Log.WarnContext(ctx, "a merge request could not be looked for", "err", err)
	return refuse(http.StatusServiceUnavailable, "GitLab cannot be asked now; try again")
}

// failed is the answer where nothing is known to have been done.
func (a *API) failed(r *http.Request, err error) *Problem {
	a.Log.WarnContext(r.Context(), "an API call failed", "route", r.Pattern, "err", err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return refuse(http.StatusGatewayTimeout, "GitLab was not read in time; ask again")
	}
	return refuse(http.StatusServiceUnavailable, "not done: "+err.Error())
}

// parse reads the body strictly.
func parse(w http.ResponseWriter, r *http.Request, into any) *Problem {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return refuse(http.StatusUnsupportedMediaType, "send application/json")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
	if err != nil {
		return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body takes %d bytes", maxAsk))
	}
	if err := strictjson.Check(data, maxAskDeep); err != nil {
		return refuse(http.StatusBadRequest, "the body is not strict JSON: "+err.Error())
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "the body is not as docs/openapi.yaml has it")
	}
	return nil
}

// projectOf reads a project's ID or path; neither: it is none.
func projectOf(v any) (id int64, path string) {
	text := fmt.Sprint(v)
	switch v.(type) {
	case json.Number, string:
	default:
		return 0, ""
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return max(n, 0), ""
	}
	return 0, text
}
