package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"mrgate/internal/feishusim"
)

// describeWebhook says what a webhook of GitLab's tells.
func describeWebhook(body []byte) string {
	var hook struct {
		Attributes struct {
			IID    int
			Action string
			Oldrev string
		} `json:"object_attributes"`
		Kind string            `json:"object_kind"`
		MR   struct{ IID int } `json:"merge_request"`
	}
	_ = json.Unmarshal(body, &hook) // the simulator's own
	if hook.Kind == "note" {
		return fmt.Sprintf("tells of a note under !%d", hook.MR.IID)
	}
	did := map[string]string{
		"open": "was opened", "close": "was closed", "reopen": "was opened again", "merge": "was merged", "update": "was changed",
		"approved": "was approved", "unapproved": "lost an approval",
	}[hook.Attributes.Action]
	switch {
	case hook.Attributes.Oldrev != "":
		did = "has a new commit"
	case did == "":
		did = "has news"
	}
	return fmt.Sprintf("tells that !%d %s", hook.Attributes.IID, did)
}

var (
	aboutMR   = regexp.MustCompile(`/merge_requests/(\d+)(/.*)?$`)
	aboutCard = regexp.MustCompile(`/im/v1/messages/([^/]+)(/reply)?$`)
)

// describeGitLab says what a call to GitLab is for, and whether it is a sweep's.
func describeGitLab(method, path string, body []byte) (what string, sweep bool) {
	m := aboutMR.FindStringSubmatch(path)
	if m == nil {
		switch {
		case strings.HasSuffix(path, "/merge_requests"):
			return "asks what has changed, in case it was not told", true
		case strings.HasSuffix(path, "/graphql"):
			return "reads the size of the change and who committed it", false
		case strings.HasSuffix(path, "/user"):
			return "asks who it is itself", false
		case strings.Contains(path, "/users"):
			return "looks somebody up", false
		case strings.Contains(path, "/projects"):
			return "reads the project", strings.HasSuffix(path, "/projects")
		}
		return "calls", false
	}
	ref, rest := "!"+m[1], m[2]
	var b struct {
		SHA        string `json:"sha"`
		StateEvent string `json:"state_event"`
	}
	_ = json.Unmarshal(body, &b) // what has no body has no commit
	at := ""
	if len(b.SHA) >= 8 {
		at = " at commit " + b.SHA[:8]
	}
	switch method + " " + rest {
	case "GET ":
		return "reads " + ref, false
	case "PUT ":
		if b.StateEvent == "close" {
			return "closes " + ref, false
		}
		return "changes " + ref, false
	case "POST /approve":
		return "approves " + ref + at, false
	case "POST /unapprove":
		return "takes its approval of " + ref + " back", false
	case "PUT /merge":
		return "merges " + ref + at, false
	case "POST /cancel_merge_when_pipeline_succeeds":
		return "cancels the auto-merge of " + ref, false
	case "POST /notes":
		return "writes a note under " + ref, false
	case "GET /notes":
		return "looks for its note under " + ref, false
	case "GET /commits":
		return "reads who committed to " + ref, false
	}
	if method == http.MethodPut && strings.HasPrefix(rest, "/notes/") {
		return "changes its note under " + ref, false
	}
	return "calls about " + ref, false
}

// describeFeishu says what a call to Feishu is for.
func (w *world) describeFeishu(method, path, body string) string {
	switch {
	case strings.Contains(path, "/auth/"):
		return "fetches a token"
	case strings.Contains(path, "/contact/"):
		return "looks people up"
	case method == http.MethodPost && strings.HasSuffix(path, "/im/v1/messages"):
		var sent struct {
			To      string `json:"receive_id"`
			Content string `json:"content"`
		}
		_ = json.Unmarshal([]byte(body), &sent) // else it names nobody
		return "sends " + w.name(sent.To) + ": " + cardTitle(sent.Content)
	}
	if m := aboutCard.FindStringSubmatch(path); m != nil {
		var changed struct {
			Content string `json:"content"`
		}
		_ = json.Unmarshal([]byte(body), &changed) // else the title is empty
		for _, message := range w.feishu.Messages() {
			if message.ID != m[1] {
				continue
			}
			to := w.name(receiver(message))
			if m[2] != "" {
				return "answers " + to + ": " + cardTitle(changed.Content)
			}
			return "changes the card of " + to + " to: " + cardTitle(changed.Content)
		}
	}
	return "calls"
}

// receiver is the person or group that a message was sent to.
func receiver(m feishusim.Message) string {
	if m.To.Group.ChatID != "" {
		return m.To.Group.ChatID
	}
	return m.To.User.OpenID
}

// name is what a person or group is called.
func (w *world) name(id string) string {
	for _, p := range []person{w.alice, w.carol, w.bob, w.dave} {
		if p.ID == id {
			return p.Name
		}
	}
	if id == groupID {
		return "the group " + groupName
	}
	return id
}

// named puts names in the place of IDs.
func (w *world) named(text string) string {
	var pairs []string
	for _, p := range []person{w.alice, w.carol, w.bob, w.dave} {
		pairs = append(pairs, p.ID, p.Name)
	}
	return strings.NewReplacer(append(pairs, groupID, groupName)...).Replace(text)
}

// buttonFor is the button on a card that does something: approve, reject, retry.
func buttonFor(card, action string) (feishusim.Button, bool) {
	for _, b := range feishusim.Buttons(card) {
		if b.Name == action || b.Value["a"] == action {
			return b, true
		}
	}
	return feishusim.Button{}, false
}

// look is what shows at once on a card.
type look struct {
	Title    string
	Template string // the header's colour
}

func lookOf(card string) look {
	var c struct {
		Header struct {
			Title    struct{ Content string }
			Template string
		}
	}
	_ = json.Unmarshal([]byte(card), &c) // what is no card has no look
	return look{c.Header.Title.Content, c.Header.Template}
}

func cardTitle(card string) string { return lookOf(card).Title }
