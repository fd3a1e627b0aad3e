package feishusim

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSentCardIsKept(t *testing.T) {
	b := newBench(t, Options{})
	r := b.send("email", "alice@example.com", markdownCard("hello"), "")
	wantCode(t, r, 0)
	m := b.MessagesTo(b.alice.OpenID)
	if len(m) != 1 || m[0].ID != r.data["message_id"] || m[0].ChatID != r.data["chat_id"] {
		t.Fatalf("messages %+v, answer %v", m, r.data)
	}
	if m[0].Card != markdownCard("hello") || len(m[0].History) != 1 || m[0].History[0].By != "send" ||
		m[0].To.IDType != "email" || !m[0].CreatedAt.Equal(b.clock.Now()) {
		t.Errorf("message %+v", m[0])
	}
	for _, to := range [][2]string{{"union_id", b.alice.UnionID}, {"user_id", b.alice.UserID}, {"chat_id", m[0].ChatID}} {
		wantCode(t, b.send(to[0], to[1], markdownCard("hello"), ""), 0)
	}
	if got := len(b.MessagesIn(m[0].ChatID)); got != 4 {
		t.Errorf("%d messages in the chat", got)
	}
}

func TestSendIsRefused(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	gone := b.AddUser(User{Resigned: true})
	out := b.AddGroup(Group{Members: []string{b.alice.OpenID}})
	good := card20("")
	for name, c := range map[string]struct {
		idType, id, card, uuid string
		code                   int
	}{
		"no id type":         {"", b.alice.OpenID, good, "", 99992402},
		"unknown id type":    {"phone", b.alice.OpenID, good, "", 99992402},
		"no id":              {"open_id", "", good, "", 99992402},
		"other kind of id":   {"open_id", b.alice.UnionID, good, "", 230001},
		"no mailbox":         {"email", "alice", good, "", 230001},
		"unknown open id":    {"open_id", "ou_0", good, "", 99992351},
		"unknown mailbox":    {"email", "x@example.com", good, "", 230034},
		"unknown chat":       {"chat_id", "oc_0", good, "", 230034},
		"resigned":           {"open_id", gone.OpenID, good, "", 230013},
		"not in group":       {"chat_id", out.ChatID, good, "", 230002},
		"long uuid":          {"open_id", b.alice.OpenID, good, strings.Repeat("字", 51), 99992402},
		"no card":            {"open_id", b.alice.OpenID, "", "", 99992402},
		"broken card":        {"open_id", b.alice.OpenID, `{"schema":"2.0"`, "", 230099},
		"two values":         {"open_id", b.alice.OpenID, good + good, "", 230099},
		"card over 30 KB":    {"open_id", b.alice.OpenID, markdownCard(strings.Repeat("字", 10<<10)), "", 230025},
		"uuid of 50 is good": {"open_id", b.alice.OpenID, good, strings.Repeat("字", 50), 0},
	} {
		if r := b.send(c.idType, c.id, c.card, c.uuid); r.code != c.code {
			t.Errorf("%s: code %d (%s), want %d", name, r.code, r.msg, c.code)
		}
	}
	to := "im/v1/messages?receive_id_type=open_id"
	wantCode(t, b.call("POST", to, map[string]any{"receive_id": b.alice.OpenID, "msg_type": "interactive", "content": map[string]any{"schema": "2.0"}}), 9499)
	wantCode(t, b.call("POST", to, map[string]any{"receive_id": b.alice.OpenID, "msg_type": "text", "content": `{"text":"x"}`}), 230001)
	wantCode(t, b.call("POST", to, "nonsense"), 9499)
	if got := len(b.Messages()); got != 1 {
		t.Errorf("%d messages were sent", got)
	}
}

func TestUUIDIsOneMessageForAnHour(t *testing.T) {
	b := newBench(t, Options{})
	bob := b.AddUser(User{})
	first := b.send("open_id", b.alice.OpenID, markdownCard("one"), "u1")
	b.clock.Add(time.Hour - time.Second)
	again := b.send("open_id", b.alice.OpenID, markdownCard("two"), "u1")
	other := b.send("open_id", bob.OpenID, markdownCard("three"), "u1")
	if first.data["message_id"] != again.data["message_id"] || first.data["message_id"] != other.data["message_id"] {
		t.Error("a second message within the hour")
	}
	if m := b.Messages(); len(m) != 1 || PlainText(m[0].Card) != "one" {
		t.Errorf("messages %+v", m)
	}
	b.clock.Add(time.Second)
	later := b.send("open_id", b.alice.OpenID, markdownCard("two"), "u1")
	if later.data["message_id"] == first.data["message_id"] || len(b.Messages()) != 2 {
		t.Error("no second message after the hour")
	}
	wantCode(t, b.send("open_id", b.alice.OpenID, "{", "u2"), 230099) // a refused one does not count
	wantCode(t, b.send("open_id", b.alice.OpenID, card20(""), "u2"), 0)
	if got := len(b.Messages()); got != 3 {
		t.Errorf("%d messages", got)
	}
}

func TestFiveSendsASecondToOneChat(t *testing.T) {
	b := newBench(t, Options{})
	for range 5 {
		b.card(card20(""))
	}
	wantCode(t, b.send("open_id", b.alice.OpenID, card20(""), ""), 230020)
	wantCode(t, b.send("open_id", b.AddUser(User{}).OpenID, card20(""), ""), 0)
	b.clock.Add(time.Second)
	b.card(card20(""))
}

func TestUpdateChangesTheCard(t *testing.T) {
	b := newBench(t, Options{})
	id := b.card(markdownCard("one"))
	b.clock.Add(14 * 24 * time.Hour)
	b.token = b.newToken()
	r := b.patch(id, markdownCard("two"))
	wantCode(t, r, 0)
	if m := b.Messages()[0]; m.Card != markdownCard("two") || len(m.History) != 2 || m.History[1].By != "update" ||
		!m.UpdatedAt.Equal(b.clock.Now()) || m.CreatedAt.Equal(m.UpdatedAt) {
		t.Errorf("message %+v", m)
	}
	b.clock.Add(time.Second)
	wantCode(t, b.patch(id, markdownCard("three")), 230031)
	if m := b.Messages()[0]; len(m.History) != 2 {
		t.Error("a refused update is shown")
	}
}

func TestUpdateIsRefused(t *testing.T) {
	b := newBench(t, Options{})
	id := b.card(card20(""))
	wantCode(t, b.patch("om_0", card20("")), 99992354)
	wantCode(t, b.patch(id, ""), 99992402)
	wantCode(t, b.patch(id, "{"), 230099)
	wantCode(t, b.patch(id, markdownCard(strings.Repeat("x", 30<<10))), 230025)
	wantCode(t, b.call("PATCH", "im/v1/messages/"+id, map[string]any{"content": map[string]any{}}), 9499)
	wantCode(t, b.patch(id, `{"schema":"2.0"}`), 230001) // must say update_multi
	if r := b.patch(id, `{"config":{"update_multi":true},"elements":[]}`); !strings.Contains(r.msg, "200830") {
		t.Errorf("2.0 → 1.0: %d %s", r.code, r.msg)
	}
	unshared := b.card(`{"schema":"2.0"}`)
	wantCode(t, b.patch(unshared, card20("")), 230001)
	for range 5 {
		wantCode(t, b.patch(id, card20("")), 0)
	}
	wantCode(t, b.patch(id, card20("")), 230020)
	b.clock.Add(time.Second)
	wantCode(t, b.patch(id, card20("")), 0)
	b.alice.Resigned = true
	b.AddUser(b.alice)
	wantCode(t, b.patch(id, card20("")), 230013)
}

func TestReplyGoesToTheSameChat(t *testing.T) {
	b := newBench(t, Options{})
	id := b.card(card20(""))
	r := b.call("POST", "im/v1/messages/"+id+"/reply", map[string]any{"msg_type": "interactive", "content": markdownCard("done"), "uuid": "r"})
	wantCode(t, r, 0)
	m := b.Messages()
	if len(m) != 2 || m[1].ChatID != m[0].ChatID || m[1].ParentID != id || r.data["parent_id"] != id || m[1].To.User.OpenID != b.alice.OpenID {
		t.Errorf("reply %+v", m[1])
	}
	b.Recall(id)
	wantCode(t, b.call("POST", "im/v1/messages/"+id+"/reply", map[string]any{"msg_type": "interactive", "content": card20("")}), 230011)
}

func TestMentionsPing(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	bob := b.AddUser(User{Email: "bob@example.com"})
	quiet := b.AddGroup(Group{BotInGroup: true})
	loud := b.AddGroup(Group{BotInGroup: true, AllowAtAll: true})
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"id":             {"<at id=" + bob.OpenID + "></at>", []string{bob.OpenID}},
		"user id":        {"<at id='" + bob.UserID + "'></at>", []string{bob.OpenID}},
		"ids":            {`<at ids="` + bob.OpenID + "," + b.alice.OpenID + `"></at>`, []string{bob.OpenID, b.alice.OpenID}},
		"mailbox":        {"<at email=bob@example.com></at>", []string{bob.OpenID}},
		"everybody":      {"<AT ID = all ></AT>", []string{"all"}},
		"in code":        {"`<at id=all></at>`", []string{"all"}},
		"a backslash":    {`\<at id=all></at>`, []string{"all"}},
		"escaped":        {"&#60;at id=all&#62;&#60;/at&#62;", nil},
		"person":         {"<person id=" + bob.OpenID + "></person>", nil},
		"zero width":     {"<&zwj;at id=all></at>", nil},
		"something else": {"<attr id=all>", nil},
	} {
		wantCode(t, b.send("chat_id", loud.ChatID, markdownCard(c.content), ""), 0)
		m := b.Messages()
		if got := m[len(m)-1].Mentions; !slices.Equal(got, c.want) {
			t.Errorf("%s: mentions %q, want %q", name, got, c.want)
		}
	}
	larkMD := `{"tag":"div","text":{"tag":"lark_md","content":"<at id=all></at>"}}`
	plain := `{"tag":"div","text":{"tag":"plain_text","content":"<at id=all></at>"}}`
	wantCode(t, b.send("chat_id", quiet.ChatID, markdownCard("<at id=all></at>"), ""), 230099)
	wantCode(t, b.send("chat_id", quiet.ChatID, card20(larkMD), ""), 230099)
	wantCode(t, b.send("chat_id", quiet.ChatID, card20(plain), ""), 0)
	id := b.card(card20(plain))
	wantCode(t, b.patch(id, card20(larkMD)), 0)
	m := b.MessagesTo(b.alice.OpenID)[0]
	if !slices.Equal(m.Mentions, []string{"all"}) {
		t.Errorf("mentions after the update: %q", m.Mentions)
	}
}

func TestDataLossPrevention(t *testing.T) {
	b := newBench(t, Options{DLP: true})
	wantCode(t, b.send("open_id", b.alice.OpenID, markdownCard("by bob@example.com"), ""), 230028)
	wantCode(t, b.send("open_id", b.alice.OpenID, markdownCard("call 13800000001"), ""), 230028)
	wantCode(t, b.send("open_id", b.alice.OpenID, markdownCard("commit 138000000012"), ""), 0)
}

func TestServerMayBeUsedByManyAtOnce(t *testing.T) {
	b := newBench(t, Options{Unlimited: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				r, err := b.try("POST", "im/v1/messages?receive_id_type=open_id",
					map[string]any{"receive_id": b.alice.OpenID, "msg_type": "interactive", "content": card20(""), "uuid": "same"})
				if err != nil || r.code != 0 {
					t.Errorf("send: %v, code %d", err, r.code)
				}
				b.Messages()
				b.Calls()
			}
		})
	}
	wg.Wait()
	if got := len(b.Messages()); got != 1 {
		t.Errorf("%d messages of one uuid", got)
	}
}
