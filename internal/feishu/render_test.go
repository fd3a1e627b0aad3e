package feishu_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mrgate/internal/feishu"
	"mrgate/internal/feishusim"
	"mrgate/internal/gate"
	"mrgate/internal/words"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "renew the golden cards")
	os.Exit(m.Run())
}

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

const (
	mrURL    = "https://gitlab.example.com/payments/api/-/merge_requests/7"
	diffsURL = mrURL + "/diffs"
	cardKey  = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd6"
)

func bold(before, strong, after string) words.Text {
	return words.Text{{Text: before}, {Text: strong, Strong: true}, {Text: after}}
}

func lines(all ...string) (texts []words.Text) {
	for _, s := range all {
		texts = append(texts, words.Plain(s))
	}
	return texts
}

func viewZH() gate.Action {
	return gate.Action{ID: gate.ActionView, Label: "查看改动", URL: diffsURL}
}

func viewEN() gate.Action {
	return gate.Action{ID: gate.ActionView, Label: "View changes", URL: diffsURL}
}

// goldenCards are one of each kind, worded as WORDING has it.
func goldenCards() map[string]gate.Card {
	pendingZH := gate.Card{
		Key: cardKey, Tone: gate.ToneBlue,
		Title:    "待审批 · payments/api !7",
		Subtitle: "重试支付回调",
		Summary:  "待你审批 payments/api !7：重试支付回调（Bob，6 文件 +142 −38）",
		Link:     mrURL,
		Facts: []words.Text{
			bold("Bob（@bob）请求合并 feature/retry → ", "main", ""),
			words.Plain("6 个文件 · +142 −38 · 3 个提交"),
			{{Text: "流水线 #48213 "}, {Text: "通过", Mood: words.Good}, {Text: "（10月6日 17:58）"}},
		},
		Quote: "支付网关偶尔超时，回调会丢。\n加上重试和幂等键。",
		Details: []gate.Detail{
			{Title: "文件", Lines: []string{"internal/pay/callback.go +88 −20", "internal/pay/callback_test.go +41 −0", "等 6 个文件"}},
			{Title: "提交", Lines: []string{"856c10e9 重试支付回调", "1f0d2c3b 幂等键", "9a8b7c6d 测试"}},
		},
		Input: &gate.Input{Label: "给作者的话（可不填）"},
		Actions: []gate.Action{
			{
				ID: gate.ActionApprove, Label: "批准并合并", Style: gate.StylePrimary,
				Confirm: &gate.Confirm{Title: "批准并合并 payments/api !7？", Text: "提交 856c10e9 将合并到 main。"},
			},
			{
				ID: gate.ActionReject, Label: "驳回并关闭", Style: gate.StyleDanger,
				Confirm: &gate.Confirm{Title: "驳回并关闭 payments/api !7？", Text: "合并请求将被关闭，理由会发给 Bob。"},
			},
			viewZH(),
		},
		Foot: "规则 production · 提交 856c10e9 · 10月9日 18:00 过期",
	}
	pendingEN := gate.Card{
		Key: cardKey, Tone: gate.ToneBlue,
		Title:    "Approval needed · payments/api !7",
		Subtitle: "Retry payment callbacks",
		Summary:  "Approval needed payments/api !7: Retry payment callbacks (Bob, 6 files +142 −38)",
		Link:     mrURL,
		Facts: []words.Text{
			bold("Bob (@bob) wants to merge feature/retry into ", "main", ""),
			words.Plain("6 files · +142 −38 · 3 commits"),
			{{Text: "Pipeline #48213 "}, {Text: "passed", Mood: words.Good}, {Text: " (Oct 6, 17:58)"}},
		},
		Quote: "The payment gateway times out now and then, and callbacks get lost.\nAdds retries and an idempotency key.",
		Details: []gate.Detail{
			{Title: "Files", Lines: []string{"internal/pay/callback.go +88 −20", "internal/pay/callback_test.go +41 −0", "… of 6 files"}},
			{Title: "Commits", Lines: []string{"856c10e9 Retry payment callbacks", "1f0d2c3b Idempotency key", "9a8b7c6d Tests"}},
		},
		Input: &gate.Input{Label: "Comment for the author (optional)"},
		Actions: []gate.Action{
			{
				ID: gate.ActionApprove, Label: "Approve and merge", Style: gate.StylePrimary,
				Confirm: &gate.Confirm{Title: "Approve and merge payments/api !7?", Text: "Commit 856c10e9 will be merged into main."},
			},
			{
				ID: gate.ActionReject, Label: "Reject and close", Style: gate.StyleDanger,
				Confirm: &gate.Confirm{Title: "Reject and close payments/api !7?", Text: "The merge request will be closed and Bob told why."},
			},
			viewEN(),
		},
		Foot: "Rule production · commit 856c10e9 · expires Oct 9, 18:00",
	}
	// as is the pending card in another state: the facts stay, the buttons go.
	as := func(card gate.Card, tone gate.Tone, title string, status []words.Text, actions ...gate.Action) gate.Card {
		card.Tone, card.Title, card.Summary, card.Status, card.Actions, card.Input = tone, title, title, status, actions, nil
		return card
	}
	partlyZH, partlyEN := pendingZH, pendingEN
	partlyZH.Title, partlyZH.Status = "待审批 1/2 · payments/api !7", lines("Alice 已批准，还需 1 人")
	partlyEN.Title, partlyEN.Status = "Approved 1 of 2 · payments/api !7", lines("Alice approved; 1 more needed")

	mergingZH := as(pendingZH, gate.ToneTurquoise, "已批准，正在合并 · payments/api !7",
		lines("Alice 于 18:02 批准了提交 856c10e9"), pendingZH.Actions[1], viewZH())
	mergingZH.Input = pendingZH.Input // a rejection still stops it
	mergingEN := as(pendingEN, gate.ToneTurquoise, "Approved, merging · payments/api !7",
		lines("Alice approved commit 856c10e9 at 18:02"), pendingEN.Actions[1], viewEN())
	mergingEN.Input = pendingEN.Input

	blockedZH := as(pendingZH, gate.ToneOrange, "已批准，无法合并 · payments/api !7",
		lines("流水线 #48213 失败。处理后会自动合并，也可点“重试”"),
		gate.Action{ID: gate.ActionRetry, Label: "重试", Style: gate.StylePrimary}, pendingZH.Actions[1], viewZH())
	blockedZH.Input = pendingZH.Input
	blockedEN := as(pendingEN, gate.ToneOrange, "Approved, but blocked · payments/api !7",
		lines("Pipeline #48213 failed. It merges by itself once fixed, or press Retry"),
		gate.Action{ID: gate.ActionRetry, Label: "Retry", Style: gate.StylePrimary}, pendingEN.Actions[1], viewEN())
	blockedEN.Input = pendingEN.Input

	longZH, longEN := pendingZH, pendingEN
	longZH.Title, longEN.Title = "待审批 2/5 · platform/payments/backend/settlement-service !10427", "Approved 2 of 5 · platform/payments/backend/settlement-service !10427"
	longZH.Subtitle = "结算服务：支付回调超时后按指数退避重试三次，并以幂等键去重，避免重复入账；同时补上对账任务的告警和监控指标"
	longEN.Subtitle = "Settlement: retry payment callbacks three times with backoff, and drop repeats by their idempotency key"
	longZH.Quote = "支付网关在夜间偶尔超时，回调会丢失，第二天要人工对账。这里加上带退避的重试和幂等键，同一笔不会重复入账。\n对账任务失败三次后告警，指标见仪表盘。\n上线后第一周请留意重试次数，超过阈值就回滚到上一个版本，数据不受影响，…"
	longEN.Quote = "The gateway times out at night now and then, callbacks get lost, and somebody has to settle by hand in the morning. This retries with backoff; a key keeps anything from being booked twice.\nThree failures in a row raise an …"
	longZH.Facts = []words.Text{
		{{Text: "此前被 Carol 驳回：缺少对超时的测试", Mood: words.Bad}},
		bold("欧阳明日香（@ouyang.mingrixiang）请求合并 feature/PAY-10427-retry-payment-callbacks-with-backoff → ", "release/2026.11", ""),
		words.Plain("128 个文件 · +10427 −3811 · 37 个提交"),
		{{Text: "源分支来自派生项目", Mood: words.Bad}},
		{{Text: "流水线 #48213 "}, {Text: "失败", Mood: words.Bad}, {Text: "（10月6日 17:58）"}},
	}
	longEN.Facts = []words.Text{
		{{Text: "Rejected before by Carol: no test of the time-out", Mood: words.Bad}},
		bold("Maximiliane Featherstonehaugh (@m.featherstonehaugh) wants to merge feature/PAY-10427-retry-payment-callbacks-with-backoff into ", "release/2026.11", ""),
		words.Plain("128 files · +10427 −3811 · 37 commits"),
		{{Text: "The source branch is in a fork", Mood: words.Bad}},
		{{Text: "Pipeline #48213 "}, {Text: "failed", Mood: words.Bad}, {Text: " (Oct 6, 17:58)"}},
	}
	longZH.Status, longEN.Status = lines("Alice、李雷已批准，还需 3 人"), lines("Alice and Li Lei approved; 3 more needed")

	return map[string]gate.Card{
		"long.zh": longZH, "long.en": longEN,
		"pending.zh": pendingZH, "pending.en": pendingEN,
		"pending-1-of-2.zh": partlyZH, "pending-1-of-2.en": partlyEN,
		"merging.zh": mergingZH, "merging.en": mergingEN,
		"blocked.zh": blockedZH, "blocked.en": blockedEN,
		"merged.zh":   as(pendingZH, gate.ToneGreen, "已合并 · payments/api !7", lines("Alice 批准，18:03 合并到 main"), viewZH()),
		"merged.en":   as(pendingEN, gate.ToneGreen, "Merged · payments/api !7", lines("Approved by Alice, merged into main at 18:03"), viewEN()),
		"rejected.zh": as(pendingZH, gate.ToneRed, "已驳回 · payments/api !7", lines("Alice：缺少测试（合并请求已关闭）"), viewZH()),
		"rejected.en": as(pendingEN, gate.ToneRed, "Rejected · payments/api !7", lines("Alice: tests are missing (merge request closed)"), viewEN()),
		"notice.zh": {
			Key: cardKey, Tone: gate.ToneBlue, Title: "已提交审批 · payments/api !7", Subtitle: "重试支付回调", Link: mrURL,
			Summary: "payments/api !7 已提交审批，审批人：Alice、Carol（任一）",
			Facts:   lines("payments/api !7 已提交审批，审批人：Alice、Carol（任一）"),
		},
		"notice.en": {
			Key: cardKey, Tone: gate.ToneBlue, Title: "Sent for approval · payments/api !7", Subtitle: "Retry payment callbacks", Link: mrURL,
			Summary: "payments/api !7 was sent for approval to Alice, Carol (any one)",
			Facts:   lines("payments/api !7 was sent for approval to Alice, Carol (any one)"),
		},
		"result.zh": {
			Key: cardKey, Tone: gate.ToneGreen, Title: "已合并 · payments/api !7", Link: mrURL,
			Summary: "Alice 批准了 payments/api !7，已合并到 main", Facts: lines("Alice 批准了 payments/api !7，已合并到 main"),
		},
		"result.en": {
			Key: cardKey, Tone: gate.ToneGreen, Title: "Merged · payments/api !7", Link: mrURL,
			Summary: "Alice approved payments/api !7; merged into main", Facts: lines("Alice approved payments/api !7; merged into main"),
		},
		"expired.zh": {
			Key: cardKey, Tone: gate.ToneGrey, Title: "已过期 · payments/api !7", Subtitle: "重试支付回调", Link: mrURL,
			Summary: "payments/api !7 已 13 天无人审批", Facts: lines("payments/api !7 已 13 天无人审批"),
			Actions: []gate.Action{{ID: gate.ActionAgain, Label: "再次发起", Style: gate.StylePrimary}, viewZH()},
		},
		"expired.en": {
			Key: cardKey, Tone: gate.ToneGrey, Title: "Expired · payments/api !7", Subtitle: "Retry payment callbacks", Link: mrURL,
			Summary: "Nobody decided on payments/api !7 in 13 days", Facts: lines("Nobody decided on payments/api !7 in 13 days"),
			Actions: []gate.Action{{ID: gate.ActionAgain, Label: "Ask again", Style: gate.StylePrimary}, viewEN()},
		},
		"reminder.zh": {
			Key: cardKey, Tone: gate.ToneBlue, Title: "你有 2 个合并请求待审批，最久的已等 4 小时", Summary: "你有 2 个合并请求待审批，最久的已等 4 小时",
			Facts: []words.Text{
				{{Text: "payments/api !7", Link: mrURL}, {Text: " 重试支付回调，已等 4 小时，10月9日 18:00 过期"}},
				{{Text: "payments/api !8", Link: "https://gitlab.example.com/payments/api/-/merge_requests/8"}, {Text: " 支付 [x](https://evil.example)，已等 3 小时"}},
			},
			Foot: "请在此前收到的卡片上决定",
		},
		"reminder.en": {
			Key: cardKey, Tone: gate.ToneBlue, Title: "Waiting for you · payments/api !7", Subtitle: "Retry payment callbacks", Link: mrURL,
			Summary: "Waiting for you: payments/api !7 Retry payment callbacks, 4 hours so far",
			Facts:   []words.Text{{{Text: "payments/api !7", Link: mrURL}, {Text: " Retry payment callbacks, 4 hours so far, expires on Oct 9, 18:00"}}},
			Foot:    "Decide on the cards that you already have",
		},
		"hostile": hostileCard(),
	}
}

// hostileTexts is what somebody might write into a title or name a branch.
func hostileTexts() []string {
	return []string{
		`<at id=all></at> please`,
		`<at id="ou_1"></at><at email=a@b.example></at>`,
		`**bold** _it_ ~~gone~~ # no`,
		`[approve](https://evil.example/x) ![x](img_v2_1)`,
		`<a href='https://evil.example'>approve</a> <font color='red'>red</font>`,
		`&lt;at id=all&gt; &#60;at&#62; &copy=1 &amp;`,
		`:DONE: :OK:`,
		"`code` ```go",
		`| a | b | --- |`,
		`1. item - item + item > quote === ---`,
		`{"tag":"button"} ${x} $url \n \u0041 "quotes" 'q' %00`,
		`https://evil.example/?a=1&copy=2`,
		"（全角）「引号」 emoji 🙈 zero\u200dwidth",
	}
}

func hostileCard() gate.Card {
	texts := hostileTexts()
	card := gate.Card{
		Key: cardKey, Tone: gate.ToneBlue, Title: texts[0], Subtitle: texts[1], Summary: texts[0], Link: "javascript:alert(1)",
		Quote:   "    indented\n# head\n" + strings.Join(texts[:3], "\n"),
		Details: []gate.Detail{{Title: texts[2], Lines: texts}},
		Status:  []words.Text{bold("a**", " *x ", "**b")},
		Input:   &gate.Input{Label: texts[0]},
		Actions: []gate.Action{
			{ID: gate.ActionApprove, Label: texts[0], Confirm: &gate.Confirm{Title: texts[0], Text: texts[2]}},
			{ID: gate.ActionReject, Label: strings.Repeat("很长", 80)},
			{ID: gate.ActionView, Label: "View", URL: "lark://client/web"},
			{ID: gate.ActionView, Label: "View", URL: `https://gitlab.example.com/a b/"<ü>?x=1&copy=2&y=é`},
		},
		Foot: texts[4],
	}
	for _, s := range texts {
		card.Facts = append(card.Facts, bold("    "+s+" to ", s, " 。"))
	}
	return card
}

func TestGoldenCards(t *testing.T) {
	w := newWorld(t, feishusim.Options{Unlimited: true})
	alice := w.person()
	for name, card := range goldenCards() {
		t.Run(name, func(t *testing.T) {
			got, err := feishu.Render(card)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			path := filepath.Join("testdata", "cards", name+".json")
			if updating() {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pretty.Bytes(), want) {
				t.Errorf("the card differs from %s (renew with -update):\n%s", path, pretty.Bytes())
			}

			card.Key = name
			ref, err := w.chat.Send(t.Context(), alice, card)
			if err != nil {
				t.Fatalf("Feishu refuses it: %v", err)
			}
			messages := w.MessagesTo(alice.ID)
			m := messages[len(messages)-1]
			if m.ID != ref.Data || len(m.Mentions) > 0 {
				t.Errorf("message %s mentions %v", m.ID, m.Mentions)
			}
			read := feishusim.PlainText(m.Card)
			for _, text := range card.Facts {
				if s := strings.TrimSpace(text.String()); !strings.Contains(squeeze(read), squeeze(s)) {
					t.Errorf("%q is not to be read in:\n%s", s, read)
				}
			}
			for _, link := range feishusim.Links(m.Card) {
				if !strings.HasPrefix(link, "https://gitlab.example.com/") {
					t.Errorf("opens %s", link)
				}
			}
			if got, want := feishusim.Summary(m.Card), card.Summary; got != want {
				t.Errorf("summary %q, want %q", got, want)
			}
		})
	}
}

// squeeze leaves out spaces: beside a bold piece there may be one more.
func squeeze(s string) string { return strings.ReplaceAll(s, " ", "") }

func TestHostileTextsAreReadAsWritten(t *testing.T) {
	for _, s := range hostileTexts() {
		card := gate.Card{Key: cardKey, Title: s, Subtitle: s, Quote: s, Foot: s, Facts: []words.Text{words.Plain(s), {{Text: s, Strong: true}}, bold(s, s, s), {{Text: s, Mood: words.Bad}, {Text: s}}}}
		out, err := feishu.Render(card)
		if err != nil {
			t.Fatal(err)
		}
		read := []string{s, s, s, s, s + " " + s + " " + s, s + s, s, s}
		if utf8.RuneCountInString(s) > 44 { // the header has no room for all of it: it stands below as well
			read = append(read, s)
		}
		want := strings.Join(read, "\n")
		if got := feishusim.PlainText(string(out)); got != want {
			t.Errorf("reads\n%s\nwant\n%s", got, want)
		}
		if err := feishusim.CheckCard(string(out)); err != nil {
			t.Error(err)
		}
	}
}

// TestLinks: a link leads where it should, whatever it is called and whatever
// stands around it, and nothing else leads anywhere.
func TestLinks(t *testing.T) {
	const odd = "https://gitlab.example.com/a(b)/[c]/-/merge_requests/7?x=1&copy=2"
	for _, s := range append(hostileTexts(), "](https://evil.example)", "[", "a](b)[c", "![", "\\") {
		card := gate.Card{Key: cardKey, Title: "t", Facts: []words.Text{{{Text: s, Link: odd}, {Text: "，" + s}}, {{Text: s + s, Link: "javascript:alert(1)"}, {Text: s}}}}
		out, err := feishu.Render(card)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := feishusim.Links(string(out)), []string{"https://gitlab.example.com/a%28b%29/%5Bc%5D/-/merge_requests/7?x=1&copy=2"}; !slices.Equal(got, want) {
			t.Errorf("%q leads to %q, want %q\n%s", s, got, want, out)
		}
		if got, want := squeeze(feishusim.PlainText(string(out))), squeeze("t\n"+s+"，"+s+"\n"+s+s+s); got != want {
			t.Errorf("reads %q, want %q", got, want)
		}
		if err := feishusim.CheckCard(string(out)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestButtons(t *testing.T) {
	cards := goldenCards()
	read := func(name string) []feishusim.Button {
		out, err := feishu.Render(cards[name])
		if err != nil {
			t.Fatal(err)
		}
		return feishusim.Buttons(string(out))
	}
	pending := read("pending.zh")
	if len(pending) != 3 {
		t.Fatalf("%d buttons", len(pending))
	}
	for i, action := range []string{"approve", "reject"} {
		b := pending[i+1]
		if !b.Submit || b.Form == "" || b.ConfirmTitle == "" || b.Value["k"] != cardKey || b.Value["a"] != action {
			t.Errorf("button %d: %+v", i, b)
		}
	}
	if view := pending[0]; view.URL != diffsURL || view.Callback || view.Form != "" {
		t.Errorf("%+v", view)
	}
	blocked := read("blocked.en")
	var names []string
	for _, b := range blocked {
		names = append(names, b.Text)
		if b.Text == "Retry" && (b.Form != "" || b.Value["a"] != "retry") {
			t.Errorf("%+v", b)
		}
	}
	if want := []string{"Retry", "View changes", "Reject and close"}; !slices.Equal(names, want) {
		t.Errorf("buttons %q, want %q", names, want)
	}
	for _, name := range []string{"notice.zh", "result.en"} {
		if b := read(name); len(b) > 0 {
			t.Errorf("%s has buttons: %+v", name, b)
		}
	}
}

// TestStateComesFirst: who is asked reads the facts first; on any other card the
// state stands above them, on its colour.
func TestStateComesFirst(t *testing.T) {
	for name, c := range map[string]struct{ first, then, color string }{
		"pending.en":  {"wants to merge", "Approve and merge", ""},
		"merged.en":   {"Approved by Alice", "wants to merge", "green-50"},
		"rejected.en": {"tests are missing", "wants to merge", "red-50"},
		"blocked.en":  {"Pipeline #48213 failed", "wants to merge", "orange-50"},
	} {
		out, err := feishu.Render(goldenCards()[name])
		if err != nil {
			t.Fatal(err)
		}
		card := string(out)
		if i, j := strings.Index(card, c.first), strings.Index(card, c.then); i < 0 || j < i {
			t.Errorf("%s: %q at %d, %q at %d", name, c.first, i, c.then, j)
		}
		if c.color != "" && !strings.Contains(card, `"background_style":"`+c.color+`"`) {
			t.Errorf("%s: no %s", name, c.color)
		}
	}
}

// TestLongTitleIsReadInFull: the header's second line is cut where it ends.
func TestLongTitleIsReadInFull(t *testing.T) {
	for name, times := range map[string]int{"long.zh": 2, "long.en": 2, "pending.zh": 1, "pending.en": 1} {
		card := goldenCards()[name]
		out, err := feishu.Render(card)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(out), `"content":"`+card.Subtitle+`"`); n != times {
			t.Errorf("%s: the title stands there %d times, want %d", name, n, times)
		}
	}
}

func TestDecidingWithoutAnInput(t *testing.T) {
	card := aCard("k")
	card.Input = nil
	out, err := feishu.Render(card)
	if err != nil {
		t.Fatal(err)
	}
	if err := feishusim.CheckCard(string(out)); err != nil {
		t.Error(err)
	}
	for _, b := range feishusim.Buttons(string(out)) {
		if b.Form != "" || !b.Callback {
			t.Errorf("%+v", b)
		}
	}
	card.Input, card.Actions = &gate.Input{Label: "Comment"}, nil
	if out, err = feishu.Render(card); err != nil || strings.Contains(string(out), `"input"`) {
		t.Errorf("a field that no button sends: %s, %v", out, err)
	}
}

// TestEverythingTooMuch: however much there is, the card goes out.
func TestEverythingTooMuch(t *testing.T) {
	for _, piece := range []string{"a", "&", "🙈", "\"", "\xff", "<at id=all></at>"} {
		huge := strings.Repeat(piece, 3000)
		card := gate.Card{
			Key: cardKey, Title: huge, Subtitle: huge, Summary: huge, Link: mrURL + "?" + strings.Repeat("x", 5000),
			Quote: huge + "\n" + huge, Input: &gate.Input{Label: huge}, Foot: huge,
		}
		for range 20 {
			card.Facts = append(card.Facts, bold(huge, huge, huge), words.Text{{Text: huge, Link: mrURL + "?" + strings.Repeat("&", 200)}})
			card.Status = append(card.Status, words.Plain(huge))
			card.Details = append(card.Details, gate.Detail{Title: huge, Lines: []string{huge, huge}})
			card.Actions = append(card.Actions, gate.Action{
				ID: gate.ActionApprove, Label: huge, Confirm: &gate.Confirm{Title: huge, Text: huge},
			}, gate.Action{ID: gate.ActionView, Label: huge, URL: mrURL + "?" + strings.Repeat("é", 150)})
		}
		out, err := feishu.Render(card)
		if err != nil {
			t.Fatalf("%q: %v", piece, err)
		}
		if !utf8.Valid(out) || len(out) > 28<<10 {
			t.Errorf("%q: %d bytes", piece, len(out))
		}
		if err := feishusim.CheckCard(string(out)); err != nil {
			t.Errorf("%q: %v", piece, err)
		}
	}
}

func TestDetailsGoBeforeTheQuote(t *testing.T) {
	card := goldenCards()["pending.en"]
	var many []string
	for range 20 {
		many = append(many, strings.Repeat("path/", 40))
	}
	card.Details = []gate.Detail{{Title: "Files", Lines: many}, {Title: "Commits", Lines: many}, {Title: "More", Lines: many}, {Title: "M", Lines: many}, {Title: "L", Lines: many}}
	out, err := feishu.Render(card)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "path/path"); n == 0 || n > 5*8*20 {
		t.Errorf("%d bits of paths", n)
	}
	if !strings.Contains(feishusim.PlainText(string(out)), "gets lost") && !strings.Contains(feishusim.PlainText(string(out)), "get lost") {
		t.Error("the quote is gone")
	}
}

func TestInvisibleCharactersAreSeen(t *testing.T) {
	card := gate.Card{Title: "a\u202eb", Facts: []words.Text{bold("to ", "ma\u2066in\nx", "")}, Quote: "one\r\n\r\n\r\ntwo\x1b[31m"}
	out, err := feishu.Render(card)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := feishusim.PlainText(string(out)), "a\ufffdb\nto ma\ufffdin x\none\ntwo\ufffd[31m"; got != want {
		t.Errorf("reads %q, want %q", got, want)
	}
}
