package feishusim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of messages. Sources: "发送消息", "更新已发送的消息卡片", and for the
// life of a card "卡片 JSON 2.0 版本更新说明".
const (
	maxBody   = 30 << 10            // bytes of a request with a card
	maxUUID   = 50                  // characters
	uuidLife  = time.Hour           // within which a uuid stands for one message
	cardLife  = 14 * 24 * time.Hour // within which a card can be updated, and clicked
	perSecond = 5                   // sends to one chat, updates of one message
)

// Message is a card that was sent.
type Message struct {
	ID       string // om_…
	ChatID   string // oc_…, also of a chat of two
	To       Receiver
	ParentID string // of a reply: the message replied to
	UUID     string

	Card     string    // the JSON that is shown now
	History  []Showing // every card that was ever shown, the first as it was sent, the last as shown now
	Mentions []string  // open IDs, or "all", that these cards pinged, each once

	CreatedAt time.Time
	UpdatedAt time.Time
	Recalled  bool
	Locked    bool // a click is under way
}

// Receiver is where a message was sent, as the program said it, and who that is.
type Receiver struct {
	IDType string
	ID     string
	User   User  // of a chat of two
	Group  Group // of a group
}

// Showing is a card as it was shown from a time on.
type Showing struct {
	At   time.Time
	Card string
	By   string // "send", "update" or "click"
}

type message struct {
	Message
	clicks  int // callbacks that are under way
	updates []time.Time
}

// Messages returns every message that was ever sent, oldest first.
func (s *Server) Messages() []Message {
	return s.messagesWhere(func(*message) bool { return true })
}

// MessagesTo returns what was sent to one person alone, oldest first.
func (s *Server) MessagesTo(openID string) []Message {
	return s.messagesWhere(func(m *message) bool { return m.To.User.OpenID == openID })
}

// MessagesIn returns what was sent to a chat, oldest first.
func (s *Server) MessagesIn(chatID string) []Message {
	return s.messagesWhere(func(m *message) bool { return m.ChatID == chatID })
}

func (s *Server) messagesWhere(wanted func(*message) bool) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := []Message{}
	for _, m := range s.messages {
		if wanted(m) {
			messages = append(messages, m.public())
		}
	}
	return messages
}

func (m *message) public() Message {
	p := m.Message
	p.History, p.Mentions = slices.Clone(m.History), slices.Clone(m.Mentions)
	p.Locked = m.clicks > 0
	return p
}

// Recall takes a message back, as its chat's owner may: it can no longer be
// updated or clicked.
func (s *Server) Recall(messageID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.messageBy(messageID); m != nil {
		m.Recalled = true
	}
}

func (s *Server) messageBy(id string) *message {
	for _, m := range s.messages {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// posting is the body of a send or a reply.
type posting struct {
	ReceiveID string `json:"receive_id"`
	MsgType   string `json:"msg_type"`
	Content   string `json:"content"` // the card's JSON as a string, not as an object
	UUID      string `json:"uuid"`
}

func (s *Server) send(idType string, body []byte) (any, *refusal) {
	if refused := s.mayPost(); refused != nil {
		return nil, refused
	}
	const types = "[open_id,union_id,user_id,email,chat_id]"
	switch idType {
	case "":
		return nil, invalid("receive_id_type", "", "receive_id_type is required")
	case "open_id", "union_id", "user_id", "email", "chat_id":
	default:
		return nil, invalid("receive_id_type", idType, "receive_id_type is required, options: "+types)
	}
	p, refused := readPosting(body)
	if refused != nil {
		return nil, refused
	}
	if p.ReceiveID == "" {
		return nil, invalid("receive_id", "", "receive_id is required")
	}
	to, chatID, refused := s.receiver(idType, p.ReceiveID)
	if refused != nil {
		return nil, refused
	}
	return s.post(p, to, chatID, "", len(body))
}

// reply answers a message of the bot's own in the same chat. Source: "回复消息".
func (s *Server) reply(messageID string, body []byte) (any, *refusal) {
	if refused := s.mayPost(); refused != nil {
		return nil, refused
	}
	p, refused := readPosting(body)
	if refused != nil {
		return nil, refused
	}
	parent, refused := s.existing(messageID)
	if refused != nil {
		return nil, refused
	}
	if parent.Recalled {
		return nil, refuse(230011, "%s", usualMessage(230011))
	}
	to, chatID, refused := s.receiver("chat_id", parent.ChatID)
	if refused != nil {
		return nil, refused
	}
	return s.post(p, to, chatID, parent.ID, len(body))
}

func readPosting(body []byte) (posting, *refusal) {
	var p posting
	if refused := readBody(body, &p); refused != nil {
		return p, refused
	}
	switch {
	case p.MsgType == "":
		return p, invalid("msg_type", "", "msg_type is required")
	case p.Content == "":
		return p, invalid("content", "", "content is required")
	case utf8.RuneCountInString(p.UUID) > maxUUID:
		return p, invalid("uuid", p.UUID, "the max len is 50")
	case p.MsgType != "interactive": // the only kind that is simulated
		return p, badParameter("invalid msg_type")
	}
	return p, nil
}

// receiver finds who is meant, and whether the bot may write there.
func (s *Server) receiver(idType, id string) (to Receiver, chatID string, refused *refusal) {
	prefix := map[string]string{"open_id": "ou_", "union_id": "on_", "chat_id": "oc_"}[idType]
	if !strings.HasPrefix(id, prefix) || idType == "email" && !strings.Contains(id, "@") {
		return to, "", badParameter("invalid receive_id")
	}
	to = Receiver{IDType: idType, ID: id}
	if g := s.groupBy(id); idType == "chat_id" && g != nil {
		if !g.BotInGroup {
			return to, "", refuse(230002, "%s", usualMessage(230002))
		}
		to.Group = *g
		to.Group.Members = slices.Clone(g.Members)
		return to, g.ChatID, nil
	}
	u := s.userBy(idType, id)
	switch {
	case u == nil && idType == "open_id":
		return to, "", refuse(99992351, "these open ids not existed: [%s]", id)
	case u == nil:
		return to, "", refuse(230034, "%s", usualMessage(230034))
	case u.Unavailable, u.Resigned: // 230013 is documented for both
		return to, "", refuse(230013, "%s", usualMessage(230013))
	}
	to.User = *u
	return to, u.chatID, nil
}

// post makes the message, or finds the one that its uuid stands for.
func (s *Server) post(p posting, to Receiver, chatID, parentID string, size int) (any, *refusal) {
	now := s.opts.Now()
	if m := s.uuids[p.UUID]; p.UUID != "" && m != nil && now.Sub(m.CreatedAt) < uuidLife {
		return s.describe(m), nil // as it is: the new content is not even looked at
	}
	if size > maxBody {
		return nil, refuse(230025, "%s", usualMessage(230025))
	}
	recent := withinSecond(s.sends[chatID], now)
	if len(recent) >= perSecond && !s.opts.Unlimited {
		return nil, refuse(230020, "%s", usualMessage(230020))
	}
	mentions, refused := s.checkContent(p.Content, to)
	if refused != nil {
		return nil, refused
	}
	m := &message{Message: Message{
		ID: "om_" + randomHex(16), ChatID: chatID, To: to, ParentID: parentID, UUID: p.UUID, CreatedAt: now,
	}}
	m.show(p.Content, "send", mentions, now)
	s.messages = append(s.messages, m)
	s.sends[chatID] = append(recent, now)
	if p.UUID != "" {
		s.uuids[p.UUID] = m
	}
	return s.describe(m), nil
}

// show puts a card into the message.
func (m *message) show(card, by string, mentions []string, now time.Time) {
	m.Card, m.UpdatedAt = card, now
	m.History = append(m.History, Showing{At: now, Card: card, By: by})
	for _, who := range mentions {
		if !slices.Contains(m.Mentions, who) {
			m.Mentions = append(m.Mentions, who)
		}
	}
}

// describe is a message as the API returns it.
func (s *Server) describe(m *message) map[string]any {
	d := map[string]any{
		"message_id": m.ID, "msg_type": "interactive", "chat_id": m.ChatID,
		"create_time": millis(m.CreatedAt), "update_time": millis(m.UpdatedAt),
		"deleted": m.Recalled, "updated": len(m.History) > 1,
		"sender": map[string]any{
			"id": s.opts.AppID, "id_type": "app_id", "sender_type": "app", "tenant_key": s.opts.TenantKey,
		},
		"body": map[string]any{"content": m.Card},
	}
	if m.ParentID != "" {
		d["parent_id"], d["root_id"] = m.ParentID, m.ParentID
	}
	return d
}

// update is PATCH of a sent card. Source of rules and codes: "更新已发送的消息卡片".
func (s *Server) update(messageID string, body []byte) (any, *refusal) {
	if refused := s.mayPost(); refused != nil {
		return nil, refused
	}
	var ask struct {
		Content string `json:"content"`
	}
	if refused := readBody(body, &ask); refused != nil {
		return nil, refused
	}
	if ask.Content == "" {
		return nil, invalid("content", "", "content is required")
	}
	m, refused := s.existing(messageID)
	if refused != nil {
		return nil, refused
	}
	now := s.opts.Now()
	recent := withinSecond(m.updates, now)
	switch {
	case m.Recalled:
		return nil, refuse(230011, "%s", usualMessage(230011))
	case now.Sub(m.CreatedAt) > cardLife:
		return nil, refuse(230031, "%s", usualMessage(230031))
	case m.To.User.OpenID != "" && s.gone(m.To.User.OpenID):
		return nil, refuse(230013, "%s", usualMessage(230013))
	case len(recent) >= perSecond && !s.opts.Unlimited:
		return nil, refuse(230020, "%s", usualMessage(230020))
	case len(body) > maxBody:
		return nil, refuse(230025, "%s", usualMessage(230025))
	case m.clicks > 0: // temporary, unlike every other 230099
		return nil, refuse(230099, "%s", (&CardError{Code: 11310, Message: "card action is lock"}).Error())
	}
	mentions, refused := s.checkContent(ask.Content, m.To)
	if refused != nil {
		return nil, refused
	}
	if refused := replaceable(m.Card, ask.Content); refused != nil {
		return nil, refused
	}
	m.updates = append(recent, now)
	m.show(ask.Content, "update", mentions, now)
	return topLevel{"code": 0, "msg": "ok", "data": map[string]any{}}, nil
}

// existing finds a message that the bot sent; others' it does not know.
func (s *Server) existing(messageID string) (*message, *refusal) {
	m := s.messageBy(messageID)
	if m == nil {
		return nil, refuse(99992354, "these ids not existed: [%s]", messageID)
	}
	return m, nil
}

func (s *Server) gone(openID string) bool {
	u := s.userBy("open_id", openID)
	return u == nil || u.Unavailable || u.Resigned
}

// replaceable checks what an update demands of both cards: that they say
// update_multi, and that a 2.0 card does not become a 1.0 one (200830).
func replaceable(old, now string) *refusal {
	if schemaOf(old) == "2.0" && schemaOf(now) != "2.0" {
		return refuse(230099, "%s", (&CardError{Code: 200830, Message: "a card of schema V2 can not be updated to schema V1"}).Error())
	}
	for _, card := range []string{old, now} {
		var c struct {
			Config struct {
				UpdateMulti bool `json:"update_multi"`
			} `json:"config"`
		}
		if err := json.Unmarshal([]byte(card), &c); err != nil || !c.Config.UpdateMulti {
			return badParameter("card is not shared: config.update_multi must be true before and after")
		}
	}
	return nil
}

func schemaOf(card string) string {
	var c struct {
		Schema string `json:"schema"`
	}
	_ = json.Unmarshal([]byte(card), &c) // not even JSON: no schema
	return c.Schema
}

func withinSecond(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) >= time.Second })
}

// What the data loss prevention takes for an address or a number.
var plainContact = regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+|\b1[3-9]\d{9}\b`)

// checkContent judges a card for a receiver, and says whom it would ping.
func (s *Server) checkContent(card string, to Receiver) (mentions []string, refused *refusal) {
	mentions, err := s.checkCardFor(card, to)
	if err != nil {
		return nil, refuse(230099, "%s", err.Error())
	}
	if s.opts.DLP && plainContact.MatchString(PlainText(card)) {
		return nil, refuse(230028, "%s", usualMessage(230028))
	}
	return mentions, nil
}

// checkCardFor is CheckCard with the directory at hand.
func (s *Server) checkCardFor(card string, to Receiver) (mentions []string, err error) {
	if schemaOf(card) != "2.0" {
		return nil, checkOldCard(card)
	}
	pings, err := checkCard(card, func(kind, id string) bool { return s.userBy(kind, id) != nil })
	if err != nil {
		return nil, err
	}
	for _, p := range pings {
		switch u := s.userBy(p.kind, p.id); {
		case p.id == "all" && to.Group.ChatID != "" && !to.Group.AllowAtAll:
			// "若未开启，卡片将发送失败": the page of the markdown component. The code
			// is that of the older message API for the same refusal.
			return nil, &CardError{Code: 11235, Message: "no permission to @all in this chat"}
		case p.id == "all":
			mentions = append(mentions, "all")
		case u != nil: // nobody else: checked with the card
			mentions = append(mentions, u.OpenID)
		}
	}
	return mentions, nil
}
