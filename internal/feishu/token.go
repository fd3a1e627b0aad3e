package feishu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
)

// tokens keeps the tenant access token. One lives for two hours at most; within
// its last half hour Feishu gives out another, and both work
// (https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal).
// It can be told to forget a token that turned out to be dead before its time,
// which the SDK's own cache can't.
type tokens struct {
	fetch func(ctx context.Context) (token string, life time.Duration, err error)
	now   func() time.Time
	turn  chan struct{} // who holds its element may touch what follows
	token string
	until time.Time
}

func newTokens(fetch func(context.Context) (string, time.Duration, error), now func() time.Time) *tokens {
	return &tokens{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// get gives a token, and fetches one if there is none: one caller does, the
// others wait for it.
func (t *tokens) get(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t.token != "" && t.now().Before(t.until) {
		return t.token, nil
	}
	asked := t.now()
	token, life, err := t.fetch(ctx)
	if err != nil {
		return "", err
	}
	// Three minutes early, as the SDK does it: a call may be under way for a while.
	t.token, t.until = token, asked.Add(life-min(3*time.Minute, life/2))
	return t.token, nil
}

// forget drops token, unless another has taken its place meanwhile.
func (t *tokens) forget(ctx context.Context, token string) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return // the next call finds out again
	}
	if t.token == token {
		t.token = ""
	}
}

// fetchToken asks Feishu for a token. Its endpoint answers refusals with HTTP 200.
func (c *Chat) fetchToken(ctx context.Context) (string, time.Duration, error) {
	var answer larkcore.TenantAccessTokenResp
	err := c.exchange(ctx, "", func(ctx context.Context) error {
		resp, err := larkcore.Request(ctx, &larkcore.ApiReq{
			HttpMethod:                http.MethodPost,
			ApiPath:                   larkcore.TenantAccessTokenInternalUrlPath,
			Body:                      &larkcore.SelfBuiltTenantAccessTokenReq{AppID: c.core.AppId, AppSecret: c.core.AppSecret},
			SupportedAccessTokenTypes: []larkcore.AccessTokenType{larkcore.AccessTokenTypeNone},
		}, c.core)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(resp.RawBody, &answer); err != nil {
			return err
		}
		if answer.TenantAccessToken == "" {
			return errors.New("no token in it")
		}
		return nil
	})
	if err != nil {
		return "", 0, wrap("get a token for app "+c.appID, err)
	}
	if answer.Expire <= 0 {
		return "", 0, fmt.Errorf("get a token for app %s: it is expired", c.appID)
	}
	return answer.TenantAccessToken, time.Duration(answer.Expire) * time.Second, nil
}
