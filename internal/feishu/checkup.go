package feishu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkws "github.com/larksuite/oapi-sdk-go/v3/ws"
)

// What follows is for who checks a set-up. It only reads, and gives facts: what
// they are worth, others say.

// Credentials fetches a token with the app's ID and secret, and says how far Feishu's
// clock is ahead of this machine's, to a second or so; dated: it said what its clock
// shows. An error is an [APIError], or of the network.
func (c *Chat) Credentials(ctx context.Context) (clock time.Duration, dated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var x exchange
	asked := c.now()
	_, err = c.tokens.get(context.WithValue(ctx, exchangeKey{}, &x))
	if at, err := http.ParseTime(x.header.Get("Date")); err == nil {
		// It is cut to the second, and was said between asking and hearing.
		clock, dated = at.Add(time.Second/2).Sub(asked.Add(c.now().Sub(asked)/2)), true
	}
	return clock, dated, err
}

// Bot is what people see the app as.
type Bot struct {
	Name   string
	Status BotStatus
}

// BotStatus is what becomes of the app in the company.
type BotStatus int

// BotInUse is the one with which it works.
const BotInUse BotStatus = 2

// String says what it means ("获取机器人信息",
// https://open.larkoffice.com/document/ukTMukTMukTM/uAjMxEjLwITMx4CMyETM.md).
func (s BotStatus) String() string {
	switch s {
	case 0:
		return "not installed yet"
	case 1:
		return "switched off by the company"
	case BotInUse:
		return "in use"
	case 3:
		return "installed, and not switched on yet"
	case 4:
		return "waiting for its new version to be approved"
	case 5:
		return "switched off, because its licence has expired"
	case 6:
		return "switched off, because the company's plan has expired"
	}
	return fmt.Sprintf("in a state that is not known (%d)", int(s))
}

// Bot reads it. An [APIError] with code 11205: the app has no bot.
func (c *Chat) Bot(ctx context.Context) (Bot, error) {
	var answer struct {
		Bot struct {
			Name   string    `json:"app_name"`
			Status BotStatus `json:"activate_status"`
		} `json:"bot"`
	}
	err := c.read(ctx, "read what the bot is", "/open-apis/bot/v3/info", &answer)
	return Bot{literal(answer.Bot.Name, 100), answer.Bot.Status}, err
}

// Scopes reads those that the company has granted the app.
// https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/application-v6/scope/list.md
func (c *Chat) Scopes(ctx context.Context) ([]string, error) {
	const granted = 1
	var answer struct {
		Data struct {
			Scopes []struct {
				Name   string `json:"scope_name"`
				Status int    `json:"grant_status"`
			} `json:"scopes"`
		} `json:"data"`
	}
	err := c.read(ctx, "read the app's scopes", "/open-apis/application/v6/scopes", &answer)
	var names []string
	for _, s := range answer.Data.Scopes {
		if s.Status == granted {
			names = append(names, s.Name)
		}
	}
	return names, err
}

// read makes a call that needs no scope, and that the SDK has no method for.
func (c *Chat) read(ctx context.Context, what, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.call(ctx, what, func(ctx context.Context, token larkcore.RequestOptionFunc) error {
		resp, err := larkcore.Request(ctx, &larkcore.ApiReq{
			HttpMethod: http.MethodGet, ApiPath: path,
			SupportedAccessTokenTypes: []larkcore.AccessTokenType{larkcore.AccessTokenTypeTenant},
		}, c.core, token)
		if err != nil {
			return err
		}
		return json.Unmarshal(resp.RawBody, into)
	})
}

// MaySend says that one of the scopes is there with which cards are sent and changed
// ("发送消息", https://open.feishu.cn/document/server-docs/im-v1/message/create).
func MaySend(scopes []string) bool {
	return slices.Contains(scopes, "im:message:send_as_bot") || slices.Contains(scopes, "im:message")
}

// ScopeURL is where a scope can be asked for, as Feishu's own refusals name it.
func (c *Chat) ScopeURL(scopes ...string) string {
	return fmt.Sprintf("%s/app/%s/auth?q=%s", c.core.BaseUrl, url.PathEscape(c.appID), url.QueryEscape(strings.Join(scopes, ",")))
}

// Name reads a person's name; "": the app may see that there is such a person, and
// not the name. An [APIError] says why there is no answer: 99992351 that there is no
// such person for this app, 99991672 that a scope is missing.
func (c *Chat) Name(ctx context.Context, openID string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.readName(ctx, openID)
}

// MayConnect asks whether the app may have a long connection, and opens none. An
// [APIError] says why not.
func (c *Chat) MayConnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.exchange(ctx, "", func(ctx context.Context) error {
		_, err := larkcore.Request(ctx, &larkcore.ApiReq{
			HttpMethod: http.MethodPost, ApiPath: larkws.GenEndpointUri,
			Body:                      map[string]string{"AppID": c.core.AppId, "AppSecret": c.core.AppSecret},
			SupportedAccessTokenTypes: []larkcore.AccessTokenType{larkcore.AccessTokenTypeNone},
		}, c.core)
		return err
	})
}

// CodeOf is Feishu's code of a refusal; 0: it is none.
func CodeOf(err error) int {
	if refused, ok := errors.AsType[*APIError](err); ok {
		return refused.Code
	}
	return 0
}
