package gitlabsim

import (
	"net/http"
	"strings"
)

// User is somebody with an account.
type User struct {
	ID          int64 // default: the next free one
	Username    string
	Name        string
	PublicEmail string // shown to everybody; mostly empty, as in the wild
	CommitEmail string // what their commits carry, so that GitLab knows them by it
	Bot         bool
}

// AddUser adds a user and gives it back with what was filled in. One whose
// username is first met as an author or an actor is added by itself.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.addUser(u)
}

// RenameUser gives somebody another username; the ID stays.
func (s *Server) RenameUser(username, newUsername string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.person(username).Username = newUsername
}

func (s *Server) addUser(u User) *User {
	if u.ID == 0 {
		u.ID = s.id()
	}
	u.Name = or(u.Name, u.Username)
	u.CommitEmail = or(u.CommitEmail, u.Username+"@users.noreply.gitlab.example.com")
	s.users = append(s.users, &u)
	return &u
}

func (s *Server) person(username string) *User {
	for _, u := range s.users {
		if strings.EqualFold(u.Username, username) {
			return u
		}
	}
	return s.addUser(User{Username: username})
}

func (s *Server) people(usernames []string) []*User {
	var users []*User
	for _, name := range usernames {
		users = append(users, s.person(name))
	}
	return users
}

// byEmail is whom GitLab takes a commit's author for.
func (s *Server) byEmail(email string) *User {
	for _, u := range s.users {
		if email != "" && (strings.EqualFold(u.CommitEmail, email) || strings.EqualFold(u.PublicEmail, email)) {
			return u
		}
	}
	return nil
}

func (s *Server) userJSON(u *User) object {
	if u == nil {
		return nil
	}
	return object{
		"id": u.ID, "username": u.Username, "public_email": u.PublicEmail, "name": u.Name, "state": "active",
		"locked": false, "avatar_url": nil, "web_url": s.url + "/" + u.Username,
	}
}

// orNull keeps a nil map from being written as a null of another type.
func (s *Server) userOrNull(u *User) any {
	if u == nil {
		return nil
	}
	return s.userJSON(u)
}

func (s *Server) usersJSON(users []*User) []object {
	all := []object{}
	for _, u := range users {
		all = append(all, s.userJSON(u))
	}
	return all
}

func (s *Server) getUser(*request) answer {
	o := s.userJSON(s.bot)
	o["email"], o["commit_email"], o["bot"] = s.bot.CommitEmail, s.bot.CommitEmail, s.bot.Bot
	return jsonAnswer(http.StatusOK, o)
}

func (s *Server) listUsers(q *request) answer {
	var found []*User
	for _, u := range s.users {
		if (!q.has("username") || strings.EqualFold(u.Username, q.str("username"))) &&
			(!q.has("public_email") || strings.EqualFold(u.PublicEmail, q.str("public_email"))) {
			found = append(found, u)
		}
	}
	return paginate(q, found, func(u *User) any { return s.userJSON(u) })
}

func usernames(users []*User) []string {
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	return names
}
