package feishusim

import "slices"

// The scopes that matter here.
const (
	scopeSend     = "im:message:send_as_bot"
	scopeUserID   = "contact:user.id:readonly"
	scopeContacts = "contact:contact.base:readonly"
	scopeNames    = "contact:user.base:readonly"
)

// has says whether the app was given the scope.
func (s *Server) has(scope string) bool {
	given := map[string]bool{
		scopeSend: true, scopeUserID: true,
		scopeContacts: s.opts.ContactsReadable || s.opts.NamesReadable, scopeNames: s.opts.NamesReadable,
	}
	return given[scope] && !slices.Contains(s.opts.Without, scope)
}

// needs refuses a call that takes a scope which the app lacks.
func (s *Server) needs(scope string) *refusal {
	if s.has(scope) {
		return nil
	}
	return scopeMissing(s.opts.AppID, scope)
}

// mayPost says what keeps the app from sending and changing messages. Source:
// "发送消息" (https://open.feishu.cn/document/server-docs/im-v1/message/create).
func (s *Server) mayPost() *refusal {
	if refused := s.needs(scopeSend); refused != nil {
		return refused
	}
	if s.opts.NoBot {
		return refuse(230006, "%s", usualMessage(230006))
	}
	return nil
}

// listScopes needs no scope. Those that were asked for and not granted are in the
// list, too. Source: "查询租户授权状态"
// (https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/application-v6/scope/list.md).
func (s *Server) listScopes() (any, *refusal) {
	const granted, denied = 1, 2
	list := []map[string]any{}
	for _, scope := range []string{scopeSend, scopeUserID, scopeContacts, scopeNames} {
		status := denied
		if s.has(scope) {
			status = granted
		}
		list = append(list, map[string]any{"scope_name": scope, "grant_status": status, "scope_type": "tenant"})
	}
	return map[string]any{"scopes": list}, nil
}

// readBot needs no scope. Source: "获取机器人信息"
// (https://open.larkoffice.com/document/ukTMukTMukTM/uAjMxEjLwITMx4CMyETM.md); the
// refusal, and that it is HTTP 400: as users met it, e.g.
// https://github.com/whatwewant/chatgpt-for-chatbot-feishu/issues/20.
func (s *Server) readBot() (any, *refusal) {
	if s.opts.NoBot {
		return nil, refuse(11205, "app do not have bot")
	}
	return topLevel{"code": 0, "msg": "ok", "bot": map[string]any{
		"activate_status": s.opts.BotStatus, "app_name": s.opts.AppName, "avatar_url": "https://s1-imfile.feishucdn.com/static-resource/v1/bot",
		"ip_white_list": []string{}, "open_id": s.botID,
	}}, nil
}

// scopeMissing names the scope and links to where it is asked for. Source:
// "如何解决 99991672 错误".
func scopeMissing(appID, scope string) *refusal {
	return refuse(99991672, "Access denied. One of the following scopes is required: [%s]", scope).
		with("log_id", randomHex(17)).
		with("permission_violations", []map[string]any{{"type": "action_scope_required", "subject": scope}}).
		with("helps", []map[string]any{{
			"url":         "https://open.feishu.cn/app/" + appID + "/auth?q=" + scope + "&op_from=openapi",
			"description": "Learn more about scopes and how to add them: [" + scope + "]",
		}})
}

// WithoutScope is the fault of a scope that was never granted, for use with
// [Server.Inject].
func (s *Server) WithoutScope(scope string) Fault {
	a := scopeMissing(s.opts.AppID, scope).answer()
	return Fault{Status: a.status, Code: 99991672, Body: string(a.body)}
}
