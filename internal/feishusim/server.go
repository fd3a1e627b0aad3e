// Package feishusim is Feishu's open platform on this machine: the server that
// sends and updates cards and finds people, and the client in which a person
// presses a card's button. It is as strict as the real one, and where the
// documentation leaves a choice it takes the stricter reading, so that a
// program which gets along with it gets along with Feishu.
//
// A program under test is pointed at the server's address and told nothing
// else:
//
//	sim := feishusim.New(feishusim.Options{AppID: "cli_1", AppSecret: "s", VerificationToken: "v"})
//	api := httptest.NewServer(sim)
//	alice := sim.AddUser(feishusim.User{Name: "Alice", Email: "alice@example.com"})
//	// … the program fetches a token, looks Alice up, sends her a card …
//	card := sim.MessagesTo(alice.OpenID)[0]
//	answer, err := sim.Click(ctx, callbackURL, card.ID, alice.OpenID, feishusim.ClickOptions{Button: "approve"})
//
// A card lives as a [Message]: what is shown now, and every version that ever
// was ([Message.History]). It is refused when it is sent or updated if it
// breaks a rule of card JSON 2.0 ([CheckCard]). Whom it pings is recorded
// ([Message.Mentions]), for an "<at id=all>" in somebody's title would ring a
// whole company. [PlainText] and [Links] say what a person reads and can press.
//
// [Server.Click] is the other direction: it builds the callback, signs and
// encrypts it, posts it, and is as hard on the answer as the client: 200 only,
// within three seconds, in exactly the documented shape; anything else is a
// [ClientError] with the code that the person would see. While a callback is
// under way its message is locked, and an update of it fails. Hostile callers
// are played by changing the body before or after it is signed.
// [Server.ClickLong] does the same over the long connection that the program has
// opened, in the frames of Feishu's own SDK; [Server.CutLinks] and
// [Server.SilenceLinks] are what goes wrong there. (To refuse one, order a
// [Fault].)
//
// What can go wrong outside is ordered with [Server.Inject]: rate limits, slow
// or lost answers, cut connections. [Server.Hook] stops time between an effect
// and its answer, which is where a test kills the program.
//
// # Sources
//
// Rules come from the pages of open.feishu.cn that are named beside them. These
// behaviours are inferred, because no page states them:
//
//   - the HTTP status of gateway errors (code 9999xxxx): 400, but 429 for
//     99991400 and 99991403; the texts of messages beyond the documented ones;
//   - the sub-codes of refused cards other than 11310, 100290, 200570, 200621
//     and 200861; how unknown properties are reported inside of components;
//   - "30 KB" means 30×1024 bytes of the request's body;
//   - one uuid is one message for the whole app, whoever the receiver is;
//   - every object that has a tag counts as one of the 200 elements;
//   - a nameless component in a form is refused when the card is sent (200530 is
//     documented for the click), and a button outside of a form has no name;
//   - properties that only JSON 1.0 describes are refused, though examples on the
//     pages of 2.0 still have some (value and url of a button, action_type);
//   - a mention inside of code or behind a backslash counts as a mention;
//   - <at id=all> works in a chat of two and, in a group, only if it is allowed;
//   - an updated card must say update_multi itself, also in JSON 2.0;
//   - an input that was left empty arrives as an empty string;
//   - which code a wrongly shaped toast gives (200672), and that unknown names
//     in an answer are refused;
//   - e-mail addresses are found whatever their case;
//   - of the long connection: the texts of refusals and the code of a used ticket,
//     that an address can be used once, and which code the person sees when no
//     program is connected (200340) or the connection is cut before the answer
//     (200080), and that no click is delivered a second time.
//
// Deliberately simpler than the real thing: one app, one tenant, one bot; no
// templates, uploads, tables, charts, pickers (refused as unknown components)
// nor delayed updates by token; cards in JSON 1.0 are kept without being looked
// at; the whole-API limits of 50 a second and 1,000 a minute come only as
// ordered faults; over the long connection no frames of type "card", which only
// old-style callbacks would be.
package feishusim

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options describe the one app that the server knows. What is left empty is
// given a plausible value, but for EncryptKey: empty means that callbacks are
// neither encrypted nor signed.
type Options struct {
	Now               func() time.Time // default time.Now; the clock of everything but waiting
	AppID             string
	AppSecret         string
	AppName           string
	TenantKey         string
	VerificationToken string
	EncryptKey        string

	TokenLife      time.Duration // of tenant access tokens; default and maximum on Feishu: 2 h
	CallbackLimit  time.Duration // for the answer to a click; default 3 s, as on Feishu
	ChallengeLimit time.Duration // for the answer to a challenge; default 1 s, as on Feishu

	// ContactsReadable grants contact:contact.base:readonly, without which
	// GET contact/v3/users/:id is refused; NamesReadable grants it together with
	// contact:user.base:readonly, without which the answer has no name.
	ContactsReadable bool
	NamesReadable    bool
	// Without are scopes that the app lacks, of im:message:send_as_bot and
	// contact:user.id:readonly, which it otherwise has.
	Without []string

	// NoBot is an app without the bot ability, or whose version with it was never
	// published.
	NoBot bool
	// BotStatus is the app's, as bot/v3/info calls it; default 2: in use.
	BotStatus int

	ClientConfig ClientConfig // of the long connection
	MaxLinks     int          // how many long connections there can be; default and maximum on Feishu: 50

	Unlimited bool // switches off five sends a second to one chat and five updates of one message
	DLP       bool // refuses cards that show an e-mail address or a phone number (230028)
}

// Server is the simulated platform. Its methods may be called at any time, by
// anyone, also while requests are being served.
type Server struct {
	opts Options

	mu       sync.Mutex
	tokens   []token
	users    []*User
	groups   []*Group
	messages []*message
	uuids    map[string]*message // the latest message of each uuid
	sends    map[string][]time.Time
	calls    []*Call
	faults   []*fault
	tickets  map[string]bool // for long connections, not used yet
	links    []*link
	hooks    []func(*http.Request, Phase)
	botID    string
	seq      int
}

// New returns a server without users, groups or messages.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&opts.AppID, "cli_"+randomHex(8))
	fill(&opts.AppSecret, randomHex(16))
	fill(&opts.AppName, "bot")
	fill(&opts.TenantKey, randomHex(8))
	fill(&opts.VerificationToken, randomHex(16))
	if opts.BotStatus == 0 {
		opts.BotStatus = 2
	}
	if opts.TokenLife == 0 {
		opts.TokenLife = 2 * time.Hour
	}
	if opts.CallbackLimit == 0 {
		opts.CallbackLimit = 3 * time.Second
	}
	if opts.ChallengeLimit == 0 {
		opts.ChallengeLimit = time.Second
	}
	if opts.ClientConfig == (ClientConfig{}) {
		opts.ClientConfig = ClientConfig{ReconnectCount: -1, ReconnectInterval: 120, ReconnectNonce: 30, PingInterval: 120}
	}
	if opts.MaxLinks == 0 {
		opts.MaxLinks = maxLinks
	}
	return &Server{
		opts:    opts,
		uuids:   map[string]*message{},
		sends:   map[string][]time.Time{},
		tickets: map[string]bool{},
		botID:   "ou_" + randomHex(16),
	}
}

// Options returns what the server was made with, its own choices filled in.
func (s *Server) Options() Options { return s.opts }

// ServeHTTP answers one call of the open API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The whole body is read before anything else: only then does net/http
	// notice that the client has gone, which ends an ordered delay.
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		http.Error(w, "reading the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	rewind(r, body)

	call := s.begin(r, body)
	s.reach(r, body, Arrived)

	f := s.takeFault(r, body)
	if f != nil {
		s.mu.Lock()
		call.Fault = f.String()
		s.mu.Unlock()
	}
	if f != nil && !f.LoseAnswer && !sleep(r, f.Delay) {
		panic(http.ErrAbortHandler) // the client hung up while it waited: nothing was done
	}
	if f != nil && f.Drop {
		panic(http.ErrAbortHandler)
	}

	var a answer
	var l *link
	switch {
	case f != nil && f.answers():
		a = f.answer()
	case r.URL.Path == socketPath:
		l, a = s.openLink(w, r)
	default:
		rewind(r, body)
		a = s.route(r, body)
	}
	s.end(call, a)
	if l != nil {
		s.keepLink(l)
		return
	}
	s.reach(r, body, Done)

	if f != nil && f.LoseAnswer {
		sleep(r, f.Delay)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone; nothing is left to be done about it
}

// route finds the endpoint. Everything needs a token, but the token itself and the
// long connection's address.
func (s *Server) route(r *http.Request, body []byte) answer {
	if r.Method == http.MethodPost && r.URL.Path == endpointPath {
		return s.findEndpoint(r, body)
	}
	path, found := strings.CutPrefix(r.URL.Path, "/open-apis/")
	if !found {
		return notFound()
	}
	parts := strings.Split(path, "/")
	at := func(method, pattern string) bool {
		want := strings.Split(pattern, "/")
		if r.Method != method || len(want) != len(parts) {
			return false
		}
		for i := range want {
			if want[i] != "*" && want[i] != parts[i] || parts[i] == "" {
				return false
			}
		}
		return true
	}

	if at(http.MethodPost, "auth/v3/tenant_access_token/internal") {
		return s.issueToken(body)
	}
	var serve func() (any, *refusal)
	switch {
	case at(http.MethodPost, "im/v1/messages"):
		serve = func() (any, *refusal) { return s.send(r.URL.Query().Get("receive_id_type"), body) }
	case at(http.MethodPost, "im/v1/messages/*/reply"):
		serve = func() (any, *refusal) { return s.reply(parts[3], body) }
	case at(http.MethodPatch, "im/v1/messages/*"):
		serve = func() (any, *refusal) { return s.update(parts[3], body) }
	case at(http.MethodPost, "contact/v3/users/batch_get_id"):
		serve = func() (any, *refusal) { return s.lookUp(r.URL.Query().Get("user_id_type"), body) }
	case at(http.MethodGet, "contact/v3/users/*"):
		serve = func() (any, *refusal) { return s.readUser(r.URL.Query().Get("user_id_type"), parts[3]) }
	case at(http.MethodGet, "bot/v3/info"):
		serve = s.readBot
	case at(http.MethodGet, "application/v6/scopes"):
		serve = s.listScopes
	default:
		return notFound()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.authorize(r); refused != nil {
		return refused.answer()
	}
	if r.Method != http.MethodGet && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return refuse(9499, "Bad Request: Content-Type must be application/json").answer()
	}
	data, refused := serve()
	if refused != nil {
		return refused.answer()
	}
	if top, ok := data.(topLevel); ok {
		return ok200(top)
	}
	return ok200(map[string]any{"code": 0, "msg": "success", "data": data})
}

// topLevel is an answer that is not wrapped into "data".
type topLevel map[string]any

// answer is what goes back over the wire.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func ok200(v any) answer { return jsonAnswer(http.StatusOK, v) }

func jsonAnswer(status int, v any) answer {
	header := http.Header{}
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("X-Tt-Logid", randomHex(17))
	return answer{status: status, header: header, body: mustJSON(v)}
}

func notFound() answer {
	header := http.Header{}
	header.Set("Content-Type", "text/plain")
	return answer{status: http.StatusNotFound, header: header, body: []byte("404 page not found")}
}

// refusal is a call that was understood and turned down. Feishu's errors are
// HTTP 400 with a code in the body; programs must decide by the code.
type refusal struct {
	status int
	code   int
	msg    string
	detail map[string]any // the body's "error"
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{status: statusOf(code), code: code, msg: fmt.Sprintf(format, args...)}
}

// with adds to the body's "error" object.
func (r *refusal) with(name string, value any) *refusal {
	if r.detail == nil {
		r.detail = map[string]any{}
	}
	r.detail[name] = value
	return r
}

func (r *refusal) answer() answer {
	body := map[string]any{"code": r.code, "msg": r.msg}
	if r.detail != nil {
		body["error"] = r.detail
	}
	return jsonAnswer(r.status, body)
}

// invalid says which field of a request is wrong: "field validation failed".
func invalid(field, value, why string) *refusal {
	return refuse(99992402, "field validation failed").with("field_violations", []map[string]any{
		{"field": field, "value": value, "description": why},
	})
}

// badParameter is im/v1's own complaint. Source: "如何解决 230001 错误".
func badParameter(ext string) *refusal {
	return refuse(230001, "Your request contains an invalid request parameter, ext=%s.", ext).
		with("log_id", randomHex(17))
}

func statusOf(code int) int {
	switch code {
	case 99991400, 99991403:
		return http.StatusTooManyRequests
	default:
		return http.StatusBadRequest
	}
}

// readBody reads a request's JSON object. A member of another type is refused
// as the gateway does it: code 9499 naming the member.
func readBody(body []byte, into any) *refusal {
	err := json.Unmarshal(body, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return refuse(9499, "Invalid parameter type in json: %s. Invalid parameter value: %s. Please check and modify accordingly.",
			wrongType.Field, wrongType.Value)
	default:
		return refuse(9499, "Bad Request: %v", err)
	}
}

func mustJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only values of this package's own making come here
	}
	return bytes.TrimSpace(b.Bytes())
}

func rewind(r *http.Request, body []byte) { r.Body = io.NopCloser(bytes.NewReader(body)) }

// sleep waits and says whether the client is still there afterwards.
func sleep(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // crypto/rand never fails
	return hex.EncodeToString(b)
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
