package feishusim

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The long connection: the app's program asks the endpoint for an address, dials
// it, and gets its callbacks as frames (see frame), each to be answered by a
// frame. Sources: ws/*.go of github.com/larksuite/oapi-sdk-go/v3 v3.12.0, and
// "使用长连接接收回调"
// (https://open.feishu.cn/document/event-subscription-guide/callback-subscription/step-1-choose-a-subscription-mode/configure-callback-request-address).
const (
	endpointPath = "/callback/ws/endpoint"
	socketPath   = "/ws/v2"
	// maxLinks is how many connections an app can have.
	maxLinks = 50
	// What the handshake is refused with. Source: AuthFailed and ExceedConnLimit in ws/const.go.
	authFailed  = 514
	exceedLinks = 1000040350
	serviceID   = 33554678
)

// ClientConfig is what Feishu tells the program about its long connection, with
// the address and again with every pong; in seconds. Defaults: as seen of the live
// one (https://github.com/eastreams/loong/issues/376 for the count).
type ClientConfig struct {
	ReconnectCount    int // default -1: without end
	ReconnectInterval int // default 120
	ReconnectNonce    int // default 30
	PingInterval      int // default 120
}

// link is one long connection.
type link struct {
	*socket
	silent  bool                  // half-open: nothing that comes is heard, nothing is sent
	waiting map[string]chan frame // the answers that are awaited, by message_id
	gone    chan struct{}
}

// findEndpoint answers the request for an address. HTTP 200 also when it refuses:
// the Go SDK's users see these codes, which it reads of a 200 only, e.g.
// https://github.com/chenhg5/cc-connect/issues/312 for 1000040346.
func (s *Server) findEndpoint(r *http.Request, body []byte) answer {
	no := func(code int, msg string) answer {
		return ok200(map[string]any{"code": code, "msg": msg, "data": nil})
	}
	var ask struct {
		AppID     string
		AppSecret string
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err := json.Unmarshal(body, &ask); {
	case err != nil, ask.AppID == "", ask.AppSecret == "":
		return no(1000040344, "app_id or app_secret is missing")
	case ask.AppID != s.opts.AppID:
		return no(1000040346, "app_id is invalid")
	case ask.AppSecret != s.opts.AppSecret:
		return no(1000040345, "app_id or app_secret is invalid")
	}
	ticket := randomHex(16)
	s.tickets[ticket] = true
	scheme := "ws"
	if r.TLS != nil {
		scheme = "wss"
	}
	address := url.URL{Scheme: scheme, Host: r.Host, Path: socketPath, RawQuery: url.Values{
		"device_id": {strconv.FormatUint(rand.Uint64()>>1, 10)}, "service_id": {strconv.Itoa(serviceID)}, //nolint:gosec // a name, no secret
		"ticket": {ticket}, "access_key": {randomHex(16)}, "fpid": {"493"}, "aid": {"552564"},
	}.Encode()}
	return ok200(map[string]any{"code": 0, "msg": "", "data": map[string]any{
		"URL": address.String(), "ClientConfig": s.opts.ClientConfig,
	}})
}

// openLink answers the handshake of a long connection; nil: the answer is a
// refusal, with the headers that the SDK reads (parseHandshakeError in
// ws/client_transport.go).
func (s *Server) openLink(w http.ResponseWriter, r *http.Request) (*link, answer) {
	no := func(status, authCode int, msg string) (*link, answer) {
		a := answer{status: http.StatusForbidden, header: http.Header{}, body: []byte(msg)}
		a.header.Set("Handshake-Status", strconv.Itoa(status))
		a.header.Set("Handshake-Msg", msg)
		if authCode != 0 {
			a.header.Set("Handshake-Autherrcode", strconv.Itoa(authCode))
		}
		return nil, a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ticket := r.URL.Query().Get("ticket")
	if !s.tickets[ticket] {
		return no(authFailed, 0, "the ticket is invalid, or was used")
	}
	delete(s.tickets, ticket)
	if len(s.links) >= s.opts.MaxLinks {
		return no(authFailed, exceedLinks, "the number of connections exceeded the limit")
	}
	socket, err := upgrade(w, r)
	if err != nil {
		return no(http.StatusForbidden, 0, err.Error())
	}
	l := &link{socket: socket, waiting: map[string]chan frame{}, gone: make(chan struct{})}
	s.links = append(s.links, l)
	return l, answer{status: http.StatusSwitchingProtocols}
}

// keepLink is a long connection from its handshake to its end.
func (s *Server) keepLink(l *link) {
	for {
		message, err := l.read()
		if err != nil {
			break
		}
		f, err := decodeFrame(message)
		if err != nil {
			break
		}
		s.hear(l, f)
	}
	_ = l.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
	close(l.gone)
}

// hear takes what the program sends: pings and answers.
func (s *Server) hear(l *link, f frame) {
	s.mu.Lock()
	silent := l.silent
	waits := l.waiting[f.header("message_id")]
	s.mu.Unlock()
	switch {
	case silent:
	case f.method == methodControl && f.header("type") == "ping":
		_ = l.write(opBinary, frame{
			service: f.service, method: methodControl, headers: []frameHeader{{"type", "pong"}}, payload: mustJSON(s.opts.ClientConfig),
		}.encode())
	case f.method == methodData && waits != nil:
		select {
		case waits <- f:
		default: // it was answered
		}
	}
}

// Push sends a body to one of the connections, any of them, as an event, in so
// many parts, and gives what the program answers: the code as Status, the data as
// Body. Its error is a *ClientError with the code for what kept the answer away,
// or the context's own error.
func (s *Server) Push(ctx context.Context, body []byte, parts int) (Answer, error) {
	p, err := s.push(ctx, body, parts)
	return Answer{Status: p.status, Body: string(p.body), Took: p.took, Sent: string(body)}, err
}

// pause is between the parts of a message. The SDK loses a message whose parts
// come all at once: handleMessageTask runs for each in parallel, and combine (in
// ws/client_message.go) looks up and stores without a lock.
const pause = 20 * time.Millisecond

func (s *Server) push(ctx context.Context, body []byte, parts int) (posted, error) {
	limited, cancel := context.WithTimeout(ctx, s.opts.CallbackLimit)
	defer cancel()
	id := randomHex(16)
	answered := make(chan frame, 1)
	s.mu.Lock()
	if len(s.links) == 0 {
		s.mu.Unlock()
		return posted{}, &ClientError{Code: 200340, Why: "no program is connected"}
	}
	l := s.links[rand.IntN(len(s.links))] //nolint:gosec // a choice, no secret
	l.waiting[id] = answered
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(l.waiting, id)
	}()

	began := time.Now()
	sent := frame{
		seqID: rand.Uint64(), logID: rand.Uint64(), service: serviceID, method: methodData, //nolint:gosec // numbers, no secrets
	}
	parts = max(parts, 1)
	size := (len(body) + parts - 1) / parts
	for i := range parts {
		part := sent
		part.payload = body[min(i*size, len(body)):min((i+1)*size, len(body))]
		part.headers = []frameHeader{
			{"timestamp", millis(began)},
			{"type", "event"},
			{"message_id", id},
			{"sum", strconv.Itoa(parts)},
			{"seq", strconv.Itoa(i)},
			{"trace_id", randomHex(16)},
			{"instance_id", randomHex(8)},
		}
		if i > 0 {
			time.Sleep(pause)
		}
		if s.isSilent(l) {
			break
		}
		if err := l.write(opBinary, part.encode()); err != nil {
			return posted{took: time.Since(began)}, &ClientError{Code: 200080, Why: err.Error()}
		}
	}
	p := posted{}
	select {
	case f := <-answered:
		p.took = time.Since(began)
		return readAnswer(p, sent, f)
	case <-l.gone:
		return posted{took: time.Since(began)}, &ClientError{Code: 200080, Why: "the connection was cut"}
	case <-limited.Done():
		p.took = time.Since(began)
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		return p, &ClientError{Code: 200341, Why: "no answer within " + s.opts.CallbackLimit.String()}
	}
}

// readAnswer reads a frame that answers sent: the same frame with the time that it
// took, and {"code", "headers", "data"} as its payload, the data in base64. Source:
// writeEventResponse in ws/client_message.go, Response in ws/model.go.
func readAnswer(p posted, sent, f frame) (posted, error) {
	if _, err := strconv.ParseUint(f.header("biz_rt"), 10, 32); err != nil {
		return p, &ClientError{Code: 200080, Why: "the answer does not say how long it took (biz_rt)"}
	}
	if f.seqID != sent.seqID || f.logID != sent.logID || f.service != sent.service || f.header("type") != "event" || f.header("instance_id") == "" {
		return p, &ClientError{Code: 200080, Why: "the answer's frame is not the one that is answered"}
	}
	var said struct {
		Code *int    `json:"code"`
		Data *string `json:"data"`
	}
	if err := json.Unmarshal(f.payload, &said); err != nil || said.Code == nil {
		return p, &ClientError{Code: 200080, Why: fmt.Sprintf("the answer is not {code, headers, data}: %.200s", f.payload)}
	}
	p.status = *said.Code
	if said.Data != nil {
		data, err := base64.StdEncoding.DecodeString(*said.Data)
		if err != nil {
			return p, &ClientError{Code: 200080, Why: "the answer's data is not base64"}
		}
		p.body = data
	}
	return p, nil
}

// ClickLong is Click over the long connection: the body comes as it is, neither
// encrypted nor signed, to one of the connections. Its errors are Click's; a click
// that is answered without data is client code 108002
// (https://github.com/larksuite/cli/pull/2456).
func (s *Server) ClickLong(ctx context.Context, messageID, openID string, c ClickOptions) (Answer, error) {
	if c.Style == OldStyle {
		return Answer{}, &ClientError{Code: 200340, Why: "old-style callbacks do not come over the long connection"}
	}
	c.Plain = true
	return s.click(messageID, openID, c, func(_ http.Header, body []byte) (posted, error) {
		p, err := s.push(ctx, body, c.Parts)
		if err == nil && p.status == http.StatusOK && p.body == nil {
			err = &ClientError{Code: 108002, Why: "the click was answered without data"}
		}
		return p, err
	})
}

// Links says how many long connections there are, those that are silent included.
func (s *Server) Links() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

// CutLinks cuts all long connections without a word. With a code of RFC 6455,
// section 7.4, it says goodbye first.
func (s *Server) CutLinks(code uint16) {
	for _, l := range s.allLinks() {
		if code == 0 {
			l.cut()
			continue
		}
		_ = l.write(opClose, binary.BigEndian.AppendUint16(nil, code))
		_ = l.conn.Close()
	}
}

// SilenceLinks has all long connections be half-open from now on: they stay, but
// nothing is heard or said any more, as after a peer has vanished from the network.
func (s *Server) SilenceLinks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.silent = true
	}
}

func (s *Server) isSilent(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.silent
}

func (s *Server) allLinks() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.links)
}
