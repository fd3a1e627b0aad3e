// Package gitlabsim is GitLab, as far as a merge bot can see it, and as strict
// as the real one.
//
// A test opens a merge request, lets the program under test call the API, and
// then reads what became of the merge request:
//
//	gl := gitlabsim.New(gitlabsim.Options{Token: "glpat-bot"})
//	web := httptest.NewServer(gl)
//	gl.AddProject(gitlabsim.Project{ID: 7, Path: "acme/webhook", BotAccess: gitlabsim.Maintainer})
//	gl.Open(gitlabsim.MergeRequest{ProjectID: 7, Title: "add a line", Author: "bob"})
//	... the program runs against web.URL ...
//	gl.MR(7, 1).State // "merged"
//
// It has two sides. One is the API (ServeHTTP): what a program does, with the
// one token there is, in GitLab's order of checks and with its status codes.
// The other are the things people do in GitLab's pages: Open, Push, Retarget,
// SetDraft, Close, MergeByHand, SetPipeline and so on. Both sides change the
// same merge requests, and both make webhooks fire.
//
// What hurts in the real one hurts here: mergeability is computed late and only
// when somebody asks (merge answers 405 until then, and a 405 tells no reason);
// a second approval by the same user is a 401, and so is "may not"; approvals
// survive a push; squash:false is ignored; an auto-merge is refused where
// nothing is running, dropped by a push, and done later by somebody else's
// process; the pipeline of an old commit stays the head pipeline; lines in a
// note that begin with a slash are obeyed; webhooks are sent once or never.
//
// What can go wrong on the way is ordered by Inject: errors, time-outs, cut
// connections, and answers lost after the effect. Hook stops the world just
// before and after an effect. Calls is the record of everything that arrived.
//
// The rules come from GitLab's source and documentation, 17.x to 19.5; the
// places are named beside each rule. It imports nothing of mrgate, so that a
// misunderstanding cannot be shared by both sides.
package gitlabsim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// AtOnce as Options.MergeabilityDelay makes a merge request mergeable without
// any delay and without anybody asking.
const AtOnce time.Duration = -1

// Options of a simulated GitLab. The zero value works.
type Options struct {
	// Now is the clock of all timestamps, and of the Date header; default
	// time.Now. Delays are real time.
	Now func() time.Time
	// BotUser is whom Token belongs to; default mrgate-bot.
	BotUser User
	// Token is the one access token; default "glpat-simulated".
	Token string
	// TokenScopes are its scopes; default api.
	TokenScopes []string
	// TokenExpires is its last day; default a year from now.
	TokenExpires time.Time
	// URL is the instance's own address, for links and X-Gitlab-Instance;
	// default https://gitlab.example.com. SetURL changes it.
	URL string
	// Version is the server's; default 19.5.0.
	Version string
	// MergeabilityDelay is how long a merge request is being prepared after it
	// was opened, and how long a mergeability check takes once a GET of the
	// merge request has started it; default 50 ms. AtOnce switches both off.
	MergeabilityDelay time.Duration
	// ChecksOnMerge has a GET start no check: "unchecked" stays for as long as
	// nobody tries to merge, and only the attempt finds out (seen on gitlab.com
	// in October 2026, on a merge request that nothing else happened to).
	ChecksOnMerge bool
	// OldAutoMerge merges at once where an auto-merge is asked for and no pipeline
	// is active: also with one that failed, was skipped or cancelled, and although
	// the project demands one (gitlab-org/gitlab#26293; lib/api/merge_requests.rb
	// before 12.0).
	OldAutoMerge bool
}

// Phase says where in a call Hook's function is called.
type Phase int

const (
	// Arrived is before any effect, also before any fault.
	Arrived Phase = iota
	// Done is after the effect, before a byte of the answer is written.
	Done
)

// Server is a GitLab. Make one with New; its methods may be called from anywhere.
type Server struct {
	opts   Options
	routes []route
	client *http.Client
	keys   keys

	mu         sync.Mutex
	idle       *sync.Cond // of mu: nothing is under way any more
	busy       int        // webhook deliveries and asynchronous merges under way
	url        string
	told       bool // url
	bot        *User
	token      token
	users      []*User
	projects   []*Project
	moved      map[string]*Project // by the old path, in lower case
	groups     map[string]int64    // by path, in lower case
	rendered   map[string]rendered // what lists of projects show, as it was made before
	mrs        []*mergeRequest
	pipelines  []*Pipeline // oldest first
	lastID     int64
	faults     []*fault
	hook       func(*http.Request, Phase)
	webhooks   []webhook
	signingKey []byte
	calls      []*Call
	callSeq    int
	deliveries []Delivery
}

// New makes an empty GitLab with one user, the bot.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.BotUser.Username == "" {
		opts.BotUser = User{ID: opts.BotUser.ID, Username: "mrgate-bot", Name: "mrgate", Bot: true}
	}
	if opts.Token == "" {
		opts.Token = "glpat-simulated"
	}
	if opts.TokenScopes == nil {
		opts.TokenScopes = []string{"api"}
	}
	if opts.TokenExpires.IsZero() {
		opts.TokenExpires = opts.Now().AddDate(1, 0, 0)
	}
	told := opts.URL != ""
	if !told {
		opts.URL = "https://gitlab.example.com"
	}
	if opts.Version == "" {
		opts.Version = "19.5.0"
	}
	switch {
	case opts.MergeabilityDelay == 0:
		opts.MergeabilityDelay = 50 * time.Millisecond
	case opts.MergeabilityDelay < 0:
		opts.MergeabilityDelay = AtOnce
	}
	s := &Server{
		opts:   opts,
		url:    strings.TrimSuffix(opts.URL, "/"),
		told:   told,
		token:  token{value: opts.Token, scopes: opts.TokenScopes, expires: opts.TokenExpires},
		moved:  map[string]*Project{},
		groups: map[string]int64{}, rendered: map[string]rendered{},
		lastID: 1000,
	}
	s.idle = sync.NewCond(&s.mu)
	s.routes = s.allRoutes()
	s.client = newWebhookClient()
	s.bot = s.addUser(opts.BotUser)
	return s
}

// SetURL tells the instance its own address, once a test server knows it.
func (s *Server) SetURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url, s.told = strings.TrimSuffix(url, "/"), true
}

// Hook has fn called twice in every call: as it arrives, and when its effect
// is done. Nothing is locked meanwhile. nil takes it away.
func (s *Server) Hook(fn func(*http.Request, Phase)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = fn
}

// Wait waits for the webhook deliveries and asynchronous merges under way.
func (s *Server) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy > 0 {
		s.idle.Wait()
	}
}

// async does fn elsewhere, as GitLab's workers do. Call it with the lock held.
func (s *Server) async(fn func()) {
	s.busy++
	go func() {
		fn()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
		s.idle.Broadcast()
	}()
}

// ServeHTTP answers one call to the API. To cut a connection it panics with
// http.ErrAbortHandler, which net/http's server understands.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Date", s.now().Format(http.TimeFormat))
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := s.record(r, body)
	s.pause(r, Arrived)

	f := s.faultFor(r)
	s.finish(call, answer{}, f.String())
	if !wait(r.Context(), f.Delay) {
		s.finish(call, answer{}, "client left before the effect")
		panic(http.ErrAbortHandler)
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	if f.RevokeToken {
		s.RevokeToken()
	}
	a := f.answer()
	if a.status == 0 {
		a = s.serve(r, body)
	}
	s.pause(r, Done)
	s.finish(call, a, f.String())
	if f.LoseAnswer || !wait(r.Context(), f.AnswerDelay) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Date", s.now().Format(http.TimeFormat))
	a.write(w)
}

func (s *Server) pause(r *http.Request, p Phase) {
	s.mu.Lock()
	fn := s.hook
	s.mu.Unlock()
	if fn != nil {
		fn(r, p)
	}
}

// wait waits for d and says whether the client is still there.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// now is GitLab's clock, as fine as its database keeps it.
func (s *Server) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }

// id gives out numbers that rise over all kinds of things, as in a database.
func (s *Server) id() int64 {
	s.lastID++
	return s.lastID
}

// sha makes up a commit ID.
func (s *Server) sha(about string) string {
	sum := sha256.Sum256([]byte(about + strconv.FormatInt(s.id(), 10)))
	return fmt.Sprintf("%x", sum[:20])
}
