package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/gate"
)

// subscribe is what only people can look at.
const subscribe = "in Feishu's developer console (开发者后台), open the app's Events & Callbacks (事件与回调) > Callback configuration (回调配置), " +
	"see that the callback card.action.trigger (卡片回传交互) is there and a version was published since"

// feishu checks Feishu, and gives it if it can be asked for more.
func (d *doctor) feishu(ctx context.Context) *feishu.Chat {
	cfg := d.cfg
	if cfg.FeishuAppID == "" || cfg.FeishuAppSecret.Reveal() == "" {
		return nil // settings has said so
	}
	chat, err := feishu.New(chatConfig(cfg, nil))
	if err != nil {
		d.fail("feishu", "", "mend the setting", "%s", err)
		return nil
	}
	ahead, dated, err := chat.Credentials(ctx)
	if err != nil && feishu.CodeOf(err) == 0 {
		d.noFeishu(err)
		return nil
	}
	d.ok("feishu", "", "%s answers", cfg.FeishuURL)
	if dated {
		d.clock("feishu.clock", "Feishu's", ahead)
	}
	if err != nil {
		d.refused("feishu.credentials", "check feishu-app-id and MRGATE_FEISHU_APP_SECRET, on the app's page Credentials & Basic Info (凭证与基础信息)", err)
		return nil
	}
	d.ok("feishu.credentials", "", "the secret is that of app %s", clean(cfg.FeishuAppID))
	d.bot(ctx, chat)
	d.scopes(ctx, chat)
	d.longConnection(ctx, chat)
	return chat
}

// noFeishu says that what answers, if anything does, is not Feishu.
func (d *doctor) noFeishu(err error) {
	other, ok := errors.AsType[*feishu.APIError](err)
	if ok && other.Status >= 500 {
		d.fail("feishu", "", "run it again later", "Feishu, or a proxy before it, cannot answer now: %s", other)
		return
	}
	if ok {
		d.fail("feishu", "", "set feishu-url to https://open.feishu.cn, of Lark https://open.larksuite.com; else see what the proxy says",
			"what answers at %s is not Feishu: %s", d.cfg.FeishuURL, other)
		return
	}
	what, remedy := unreachable(err, d.cfg.FeishuURL, "feishu-url", "")
	d.fail("feishu", "", remedy, "%s", what)
}

// refused says that Feishu refused a call, with its own remedy if it gives one.
func (d *doctor) refused(check, remedy string, err error) {
	what, remedy := refusal(err, remedy)
	d.fail(check, "", remedy, "%s", what)
}

// refusal words a refusal: Feishu's own remedy, if it has a link, goes before ours, and
// that before what is known of the code.
func refusal(err error, ours string) (what, remedy string) {
	refused, ok := errors.AsType[*feishu.APIError](err)
	if wait, limited := errors.AsType[*gate.RetryAfter](err); limited {
		return err.Error(), fmt.Sprintf("run it again in %s", wait.After.Round(time.Second))
	}
	if !ok || refused.Code == 0 {
		return err.Error(), "run it again; if it stays, see what Feishu says"
	}
	what = fmt.Sprintf("Feishu says %d %s", refused.Code, refused.Msg)
	if refused.HelpURL != "" || ours == "" {
		return what, cmp.Or(refused.Remedy(), "see what Feishu says of this code, in its documentation of server API errors")
	}
	return what, ours
}

func (d *doctor) bot(ctx context.Context, chat *feishu.Chat) {
	const check = "feishu.bot"
	switch bot, err := chat.Bot(ctx); {
	case err != nil:
		d.refused(check, "", err)
	case bot.Status != feishu.BotInUse:
		d.fail(check, "", "have a company administrator switch the app on in Feishu's admin console (管理后台)", "the app %s is %s", clean(bot.Name), bot.Status)
	default:
		d.ok(check, "", "people see the app as %s, and it is in use", clean(bot.Name))
	}
}

// scopes checks the one for cards. Those for the directory show when it is asked.
func (d *doctor) scopes(ctx context.Context, chat *feishu.Chat) {
	const check = "feishu.scopes"
	const send = "im:message:send_as_bot"
	switch scopes, err := chat.Scopes(ctx); {
	case err != nil:
		what, remedy := refusal(err, "look on the app's page Permissions & Scopes (权限管理) whether it has "+send)
		d.unchecked(check, "", remedy, "the app's scopes cannot be read: %s", what)
	case !feishu.MaySend(scopes):
		d.fail(check, "", "ask for it at "+chat.ScopeURL(send)+", and publish a version of the app", "the app lacks the scope %s, without which it sends no card", send)
	default:
		d.ok(check, "", "the app may send and change cards")
	}
}

// longConnection asks whether the app may have one. Nothing fails because of one that
// nobody wants.
func (d *doctor) longConnection(ctx context.Context, chat *feishu.Chat) {
	const check = "feishu.long_connection"
	err := chat.MayConnect(ctx)
	if err == nil {
		d.ok(check, "", "the app may have one")
		return
	}
	what, remedy := refusal(err, "")
	if d.cfg.LongConnection {
		d.fail(check, "", remedy, "the app may not have one: %s", what)
	} else {
		d.warn(check, "", remedy, "the app may not have one, and needs none without --long-connection: %s", what)
	}
}
