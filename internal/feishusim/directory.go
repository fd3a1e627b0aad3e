package feishusim

import (
	"slices"
	"strings"
)

// User is a member of the company. OpenID is who the user is for this app,
// UnionID for all apps of its maker, UserID in the company.
type User struct {
	OpenID  string // ou_…
	UnionID string // on_…
	UserID  string
	Name    string
	Email   string // the contact's mailbox; Feishu's own enterprise mail finds nobody
	Mobile  string // mainland numbers with or without +86

	Resigned    bool
	Unavailable bool // outside the app's availability and contact range

	chatID string // of the chat between the user and the bot
}

// Group is a chat of several people.
type Group struct {
	ChatID     string // oc_…
	Name       string
	Members    []string // open IDs
	BotInGroup bool
	AllowAtAll bool // the owner lets the bot ping everybody
}

// AddUser adds a user, with IDs of its own making where they are empty, or
// replaces the one with the same OpenID: people resign, or come back.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.OpenID == "" {
		u.OpenID = "ou_" + randomHex(16)
	}
	old := s.userBy("open_id", u.OpenID)
	if old == nil {
		old = &User{UnionID: "on_" + randomHex(16), UserID: randomHex(4), chatID: "oc_" + randomHex(16)}
		s.users = append(s.users, old)
	}
	u.chatID = old.chatID
	if u.UnionID == "" {
		u.UnionID = old.UnionID
	}
	if u.UserID == "" {
		u.UserID = old.UserID
	}
	*old = u
	return u
}

// AddGroup adds a group, or replaces the one with the same ChatID.
func (s *Server) AddGroup(g Group) Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.ChatID == "" {
		g.ChatID = "oc_" + randomHex(16)
	}
	g.Members = slices.Clone(g.Members)
	if old := s.groupBy(g.ChatID); old != nil {
		*old = g
	} else {
		s.groups = append(s.groups, &g)
	}
	g.Members = slices.Clone(g.Members)
	return g
}

// Users returns everybody, in the order in which they were added.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.users))
	for _, u := range s.users {
		users = append(users, *u)
	}
	return users
}

// userBy finds a user by one of Feishu's kinds of ID; "at" is what a mention
// takes: any of them.
func (s *Server) userBy(kind, id string) *User {
	if id == "" {
		return nil
	}
	for _, u := range s.users {
		var same bool
		switch kind {
		case "open_id":
			same = u.OpenID == id
		case "union_id":
			same = u.UnionID == id
		case "user_id":
			same = u.UserID == id
		case "email":
			same = strings.EqualFold(u.Email, id)
		case "mobile":
			same = u.Mobile != "" && strings.TrimPrefix(u.Mobile, "+86") == strings.TrimPrefix(id, "+86")
		case "chat_id":
			same = u.chatID == id
		case "at":
			same = u.OpenID == id || u.UnionID == id || u.UserID == id
		}
		if same {
			return u
		}
	}
	return nil
}

func (s *Server) groupBy(chatID string) *Group {
	for _, g := range s.groups {
		if g.ChatID == chatID {
			return g
		}
	}
	return nil
}

// idOf returns a user's ID of the asked kind.
func (u *User) idOf(kind string) string {
	switch kind {
	case "union_id":
		return u.UnionID
	case "user_id":
		return u.UserID
	default:
		return u.OpenID
	}
}

// lookUp is batch_get_id: people by mailbox or phone. Whoever is not found, out
// of the app's range or resigned looks the same: an entry without an ID.
// Source: "通过手机号或邮箱获取用户 ID".
func (s *Server) lookUp(kind string, body []byte) (any, *refusal) {
	if refused := s.needs(scopeUserID); refused != nil {
		return nil, refused
	}
	if kind == "" {
		kind = "open_id"
	}
	if !slices.Contains([]string{"open_id", "union_id", "user_id"}, kind) {
		return nil, invalid("user_id_type", kind, "user_id_type is optional, options: [open_id,union_id,user_id]")
	}
	var ask struct {
		Emails          []string `json:"emails"`
		Mobiles         []string `json:"mobiles"`
		IncludeResigned bool     `json:"include_resigned"`
	}
	if refused := readBody(body, &ask); refused != nil {
		return nil, refused
	}
	const most = 50
	if len(ask.Emails) > most {
		return nil, invalid("emails", "", "the max len is 50")
	}
	if len(ask.Mobiles) > most {
		return nil, invalid("mobiles", "", "the max len is 50")
	}
	list := []map[string]any{}
	add := func(field string, asked []string) {
		for _, value := range asked {
			entry := map[string]any{field: value}
			u := s.userBy(field, value)
			if u != nil && !u.Unavailable && (!u.Resigned || ask.IncludeResigned) {
				entry["user_id"] = u.idOf(kind)
			}
			list = append(list, entry)
		}
	}
	add("email", ask.Emails)
	add("mobile", ask.Mobiles)
	return map[string]any{"user_list": list}, nil
}

// readUser tells about one person; the name needs a scope of its own. Source:
// "获取单个用户信息".
func (s *Server) readUser(kind, id string) (any, *refusal) {
	if refused := s.needs(scopeContacts); refused != nil {
		return nil, refused
	}
	if kind == "" {
		kind = "open_id"
	}
	u := s.userBy(kind, id)
	switch {
	case u == nil && kind == "open_id":
		return nil, refuse(99992351, "these open ids not existed: [%s]", id)
	case u == nil:
		return nil, refuse(41012, "user id invalid error")
	case u.Unavailable:
		return nil, refuse(41050, "no user authority error")
	}
	user := map[string]any{"open_id": u.OpenID, "union_id": u.UnionID}
	if s.has(scopeNames) {
		user["name"] = u.Name
	}
	return map[string]any{"user": user}, nil
}
