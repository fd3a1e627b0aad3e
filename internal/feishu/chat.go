// Package feishu is a gate.Chat on Feishu, and on Lark, which is Feishu under
// another address.
//
// # Out
//
// A [gate.Card] becomes a message of card JSON 2.0 ([Render]). It is sent once
// for each of its keys (Feishu remembers one for an hour) and can be changed in
// place for 14 days, after which its buttons are dead too. Whatever people wrote
// is shown as they wrote it: an `<at id=all></at>` in somebody's title would ring
// a whole company, and keep the card from being sent where that is forbidden.
//
// Every call goes through the official SDK, but with a token of our own
// ([tokens]), on a transport of our own ([wire]), and it is judged by what came
// over the wire, not by the SDK's reading of it: success is HTTP 2xx and code 0;
// what kind of failure it is says the body's code (codes.go), and the HTTP status
// only where there is none. A rate limit holds up every call, at once and without
// the network, until Feishu said it is over ([hold]).
//
// # In
//
// A click comes as a POST ([Callback]), or over a WebSocket that was opened from here
// ([Connection]). A posted body is verified and parsed here, from the raw bytes and
// once; the SDK's own handler accepts forged clicks. The answer is what [gate.ClickFunc] says, with the changed card in it: Feishu waits for it
// no longer than three seconds, and does not ask again.
package feishu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkcontact "github.com/larksuite/oapi-sdk-go/v3/service/contact/v3"
	larkim "github.com/larksuite/oapi-sdk-go/v3/service/im/v1"

	"mrgate/internal/gate"
)

// DefaultURL is where Feishu is. Lark is at https://open.larksuite.com; neither
// knows the other's apps.
const DefaultURL = "https://open.feishu.cn"

// callTime is how long a call of the port takes at most, tokens and second
// attempts included.
const callTime = 10 * time.Second

// updatable is how long after it was sent a card can be changed, and clicked:
// 14 days for both in JSON 2.0, less an hour because clocks differ
// (https://open.larkoffice.com/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-breaking-changes-release-notes.md).
const updatable = 14*24*time.Hour - time.Hour

// Config is what a Chat or a Connection needs. AppID and AppSecret are required.
type Config struct {
	BaseURL   string // "": DefaultURL
	AppID     string
	AppSecret string
	Transport http.RoundTripper // nil: a plain one, with the proxies of the environment
	Log       *slog.Logger      // nil: none
	Now       func() time.Time  // nil: time.Now
	UserAgent string            // "": mrgate
}

// String keeps the secret out of whatever prints a Config.
func (c Config) String() string { return "feishu app " + c.AppID + " at " + c.BaseURL }

// GoString is for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue is for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Chat is Feishu.
type Chat struct {
	appID   string
	log     *slog.Logger
	now     func() time.Time
	hide    *strings.Replacer // of the app secret
	core    *larkcore.Config
	im      *larkim.V1
	contact *larkcontact.V3
	tokens  *tokens
	hold    hold
	names   names
}

var _ gate.Chat = (*Chat)(nil)

// complete sets what was left out, or says what has to be there.
func (c *Config) complete() error {
	if c.AppID == "" || c.AppSecret == "" {
		return errors.New("feishu: the app ID and the app secret are required")
	}
	if c.BaseURL == "" {
		c.BaseURL = DefaultURL
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return errors.New("feishu: the address must be like " + DefaultURL) // err would quote a password in it
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UserAgent == "" {
		c.UserAgent = "mrgate"
	}
	return nil
}

// New is a Chat that has not yet called anybody.
func New(cfg Config) (*Chat, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	// EnableTokenCache is off: the SDK's cache is one for the whole process, and
	// gives out a dead token until it would have expired.
	core := &larkcore.Config{
		BaseUrl:      cfg.BaseURL,
		AppId:        cfg.AppID,
		AppSecret:    cfg.AppSecret,
		AppType:      larkcore.AppTypeSelfBuilt,
		HttpClient:   newWire(cfg.Transport, cfg.UserAgent),
		Logger:       silence{},
		Serializable: &larkcore.DefaultSerialization{},
	}
	c := &Chat{
		appID:   cfg.AppID,
		log:     cfg.Log,
		now:     cfg.Now,
		hide:    strings.NewReplacer(cfg.AppSecret, "[redacted]"),
		core:    core,
		im:      larkim.New(core),
		contact: larkcontact.New(core),
	}
	c.tokens = newTokens(c.fetchToken, cfg.Now)
	return c, nil
}

// Send is the port's. A card that Feishu refuses to build is ErrNotPermitted: it
// would be refused again, until a person mends it or the program.
func (c *Chat) Send(ctx context.Context, to gate.Recipient, card gate.Card) (gate.CardRef, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()

	idType := "open_id"
	if to.Group {
		idType = "chat_id"
	}
	what := "send a card to " + to.String()
	content, err := Render(card)
	if err != nil {
		return gate.CardRef{}, fmt.Errorf("%s: %w: %w", what, gate.ErrNotPermitted, err)
	}
	req := larkim.NewCreateMessageReqBuilder().
		ReceiveIdType(idType).
		Body(larkim.NewCreateMessageReqBodyBuilder().
			ReceiveId(to.ID).
			MsgType("interactive").
			Content(string(content)).
			Uuid(card.Key).
			Build()).
		Build()
	sent := c.now()
	var id string
	err = c.call(ctx, what, func(ctx context.Context, token larkcore.RequestOptionFunc) error {
		resp, err := c.im.Message.Create(ctx, req, token)
		if err != nil {
			return err
		}
		if resp.Data == nil || resp.Data.MessageId == nil || *resp.Data.MessageId == "" {
			return errors.New("the answer has no message_id")
		}
		id = *resp.Data.MessageId
		// Of a message that had been sent before, this is when that was.
		if ms, err := strconv.ParseInt(larkcore.StringValue(resp.Data.CreateTime), 10, 64); err == nil && ms > 0 {
			sent = time.UnixMilli(ms)
		}
		return nil
	})
	if err != nil {
		return gate.CardRef{}, err
	}
	return gate.CardRef{Data: id, Left: -1, Until: sent.Add(updatable).UTC()}, nil
}

// Update is the port's.
func (c *Chat) Update(ctx context.Context, ref gate.CardRef, card gate.Card) (gate.CardRef, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()

	what := "change card " + ref.Data
	if ref.Data == "" {
		return gate.CardRef{}, fmt.Errorf("%swithout a reference: %w", what, gate.ErrGone)
	}
	content, err := Render(card)
	if err != nil {
		return gate.CardRef{}, fmt.Errorf("%s: %w: %w", what, gate.ErrNotPermitted, err)
	}
	req := larkim.NewPatchMessageReqBuilder().
		MessageId(ref.Data).
		Body(larkim.NewPatchMessageReqBodyBuilder().Content(string(content)).Build()).
		Build()
	err = c.call(ctx, what, func(ctx context.Context, token larkcore.RequestOptionFunc) error {
		_, err := c.im.Message.Patch(ctx, req, token)
		return err
	})
	if err != nil {
		return gate.CardRef{}, err
	}
	ref.Left = -1
	return ref, nil
}

// call makes one API call, and a second one if the token turned out to be dead.
// The error says what was being done, and what to do next by its type.
func (c *Chat) call(ctx context.Context, what string, send func(context.Context, larkcore.RequestOptionFunc) error) error {
	if left := c.hold.left(c.now()); left > 0 {
		err := fmt.Errorf("%s: not tried, Feishu's rate limit is on", what)
		return &gate.RetryAfter{After: left, Err: err}
	}
	for attempt := 1; ; attempt++ {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return wrap(what, err)
		}
		err = c.exchange(ctx, token, func(ctx context.Context) error {
			return send(ctx, larkcore.WithTenantAccessToken(token))
		})
		var refused *APIError
		if errors.As(err, &refused) && remedyOf(refused.Code, refused.Msg).what == renewToken {
			// Also the second time: nothing is to be had with it any more.
			c.tokens.forget(ctx, token)
			if attempt == 1 {
				continue
			}
		}
		if err != nil {
			c.log.DebugContext(ctx, "feishu refused a call", "what", what, "err", err)
			return wrap(what, err)
		}
		c.hold.end()
		return nil
	}
}

// exchange sends one request and judges the response.
func (c *Chat) exchange(ctx context.Context, token string, send func(context.Context) error) error {
	x, noted := ctx.Value(exchangeKey{}).(*exchange) // of who wants to see it
	if !noted {
		x = new(exchange)
	}
	err := send(context.WithValue(ctx, exchangeKey{}, x))
	hide := c.hide.Replace
	if token != "" {
		hide = func(s string) string { return strings.ReplaceAll(c.hide.Replace(s), token, "[redacted]") }
	}
	switch {
	case x.err != nil:
		return x.err // of net/http: it names the address
	case x.status == 0 && err != nil:
		return errors.New(hide(err.Error())) // the SDK did not get as far as sending
	case x.status == 0:
		return errors.New("nothing was sent")
	}
	refused := x.refusal(hide)
	if refused == nil {
		if err != nil {
			// Such an error of the SDK's can quote the whole response.
			return fmt.Errorf("HTTP %d with an answer that makes no sense", x.status)
		}
		return nil
	}
	return c.judge(refused, x.header)
}

// judge gives the refusal the type that says what to do about it.
func (c *Chat) judge(refused *APIError, header http.Header) error {
	switch r := remedyOf(refused.Code, refused.Msg); {
	case r.what == waitForAll, refused.Code == 0 && refused.Status == http.StatusTooManyRequests:
		now := c.now()
		return &gate.RetryAfter{After: c.hold.begin(now, resetAfter(header, now)), Err: refused}
	case r.what == waitForOne:
		return &gate.RetryAfter{After: r.after, Err: refused}
	case r.what == letGo:
		refused.kind = gate.ErrGone
	case r.what == callPerson:
		refused.kind = gate.ErrNotPermitted
	}
	return refused
}

// wrap says what was being done, and keeps a RetryAfter outermost.
func wrap(what string, err error) error {
	if wait, ok := errors.AsType[*gate.RetryAfter](err); ok {
		return &gate.RetryAfter{After: wait.After, Err: fmt.Errorf("%s: %w", what, wait.Err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}
