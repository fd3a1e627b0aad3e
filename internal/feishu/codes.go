package feishu

import (
	"strings"
	"time"

	larkws "github.com/larksuite/oapi-sdk-go/v3/ws"
)

// remedy is what to do about a refusal.
type remedy struct {
	what  action
	after time.Duration // of waitForOne
}

type action int

const (
	tryAgain   action = iota // with the core's own backoff
	renewToken               // fetch a new token, and try once more at once
	waitForOne               // only this message
	waitForAll               // the limit is the app's
	letGo                    // nobody can ever be reached there, or nothing changed: gate.ErrGone
	callPerson               // a setting, a scope, a plan, or a card that can't be built: gate.ErrNotPermitted
)

// remedyOf is the one table of Feishu's codes. What is not in it is tried again.
//
// Sources: "通用错误码" (https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code),
// "发送消息" (https://open.feishu.cn/document/server-docs/im-v1/message/create),
// "更新已发送的消息卡片" (https://open.feishu.cn/document/server-docs/im-v1/message-card/patch).
// The HTTP status differs between gateways for the same code: it is not looked at.
func remedyOf(code int, msg string) remedy {
	switch code {
	case 99991661, 99991663, 99991664, 99991665, 99991668, 99991671, 99991677:
		// No token, or one that is expired, revoked or malformed.
		return remedy{what: renewToken}

	case 99991400: // the gateway's limit; x-ogw-ratelimit-reset says for how long
		return remedy{what: waitForAll}
	case 230049, // the same uuid is being sent
		230020, // five a second to one person, to one group, for one message
		11233:  // the same of the older gateway
		return remedy{what: waitForOne, after: 2 * time.Second}
	case 11232: // "create message service trigger rate limit": the platform is busy
		return remedy{what: waitForOne, after: 5 * time.Second}

	case 230099: // "Failed to create card content"
		// The one sub-code of it that passes: the card was just clicked, and its
		// click is not answered yet. It shares its number, 11310, with others.
		if strings.Contains(msg, "card action is lock") {
			return remedy{what: waitForOne, after: time.Second}
		}
		// Every other is a card that Feishu can't build, and never will. It is not
		// gone, though: what it stands for is still to be decided, and somebody
		// has to hear that nobody was asked.
		return remedy{what: callPerson}
	case 230022, // sensitive content
		230025, // too long
		230028: // refused by data loss prevention
		return remedy{what: callPerson}

	case 230001: // bad parameter: the ID in the call, or a mistake of ours
		if strings.Contains(msg, "receive_id") || strings.Contains(msg, "message_id") {
			return remedy{what: letGo}
		}
		return remedy{what: callPerson}
	case 230013, // no availability: outside the app's range, or has left the company
		230029,        // resigned
		230034,        // receive_id is nobody's
		230038,        // of another company
		230054,        // cards are not allowed in this kind of group
		230075,        // a secret chat
		11236,         // resigned, of the older gateway
		232009, 11237, // the group is dissolved
		230011,             // recalled
		230031,             // older than 14 days
		230110,             // deleted
		99992351,           // open_id: none, or of another app
		99992354,           // message_id: none, or not ours
		99992355, 99992356: // chat_id: none
		return remedy{what: letGo}

	case 230002, // the bot is not in the group
		230006,                        // no bot ability, or not published
		230018,                        // the group lets only some speak
		230027,                        // a permission is missing
		230035,                        // muted, or blocked by the company
		230036,                        // the company is gone
		230053,                        // this person stopped the bot, and can let it in again
		10003, 99991543, 10014, 10015, // app ID or secret are wrong, or the app is off
		99991662, 99991673, 99991676, // the app is not in use, or not authorised
		99991672,       // a scope is missing
		99991401,       // IP allow-list
		99991403,       // the month's calls are used up
		99992402, 9499: // a field is wrong: a mistake of ours
		return remedy{what: callPerson}
	}
	return remedy{what: tryAgain}
}

// hintOf says in a few words what a person can do, where Feishu's own text does
// not.
func hintOf(code int) string {
	switch code {
	case 230002:
		return "add the bot to the group"
	case 230006, 11205: // 11205: of bot/v3/info, "app do not have bot"
		return "give the app the bot ability and publish a version"
	case 230013:
		return "outside the app's availability, or has left"
	case 230028:
		return "data loss prevention"
	case 230035, 230018:
		return "let the bot speak there"
	case 10003, 10014, 10015, 99991543:
		return "check app ID and app secret"
	// The long connection's own. Sources: ws/const.go of the SDK; what users met, e.g.
	// https://github.com/chenhg5/cc-connect/issues/312 (1000040346), .../issues/449 (1000040351).
	case 1000040344, 1000040345, 1000040346:
		return "check app ID and app secret, and that a version of the app is published"
	case larkws.ExceedConnLimit:
		return "an app can have 50 connections; end other programs that use this app"
	case 1000040351:
		return "the app is registered elsewhere; set feishu-url to https://open.larksuite.com for Lark, https://open.feishu.cn for Feishu"
	case larkws.Forbidden:
		return "only an app of the company's own can have a long connection; check its type, and that it is in use"
	case larkws.AuthFailed:
		return "check app ID and app secret"
	case 99991401:
		return "add this machine's address to the app's IP allow-list"
	case 99991403:
		return "the company's plan is used up for this month"
	}
	return ""
}
