// Package sandbox plays the whole loop on one machine: the real listener, as a
// process of its own, between a GitLab and a Feishu that are simulated.
//
// A sandbox is a directory that goes when it ends, two simulators on loopback,
// and a listener that is told of them by a config file in that directory and by
// nothing else. Four people live in it: Bob opens merge requests, Alice and
// Carol may approve them, and Dave merely sits in the group that gets the card.
//
// Script tells a story with it in a terminal, holds what happens against what
// mrgate promises, and fails at the first promise that is broken. Serve shows the
// same in a web page, where a visitor does what the people would do: in GitLab,
// in Feishu, and to the machine that the listener runs on.
//
// The listener knows nothing of all this. It is killed by kill -9 and started
// again like any other, and what it does is read where anybody could read it: from
// the calls that reach the simulators, from the answers to what they send, and
// from the audit log.
package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// Options of a sandbox.
type Options struct {
	Binary string // mrgate itself; it is started with serve-callback, and with log
	Locale string // of the cards: en or zh
	Record string // a directory for the bodies of all requests and answers; "": they are not kept
	Zone   string // the reader's time zone, as TZ names it; "": the machine's

	// OpenLog opens the audit log in a database, to read it.
	OpenLog func(ctx context.Context, database string) (Log, error)

	page string // the address of the page, where the cards' links lead; "": there is none

	Colour bool // of a terminal
	Width  int  // of a terminal, in columns; 0: lines are as long as they are
	// Cut cuts a text to so many columns; nil where Width is 0.
	Cut func(text string, columns int) string

	// Break is called with the simulators before the story begins, by a test that
	// has one of them break a promise; nil: nothing is broken.
	Break func(*gitlabsim.Server, *feishusim.Server)
	// Patience is how long the story waits for what mrgate is to do; default one minute.
	Patience time.Duration
}

// Log is mrgate's audit log.
type Log interface {
	// After gives the entries behind the one with this number, oldest first.
	After(ctx context.Context, number int64) ([]Entry, error)
	Close() error
}

// Entry is an entry of the audit log, told for people.
type Entry struct {
	Number int64
	At     time.Time
	Kind   string // see docs/log.md
	About  string // the merge request, as in acme/payments!7; "-": none
	What   string
}

const (
	project     = int64(47)
	projectPath = "acme/payments"
	groupID     = "oc_5d1f0a9c2b7e4f36a8c90d1e2f3a4b5c"
	groupName   = "Releases"
	appID       = "cli_sandbox000000001"
)

// world is a sandbox that runs.
type world struct {
	opts    Options
	dir     string
	secrets []string

	gitlab   *gitlabsim.Server
	feishu   *feishusim.Server
	alice    person
	carol    person
	bob      person
	dave     person
	listener *listener
	journal  *journal

	stop  func() // of the simulators
	close sync.Once
}

// person is somebody in both GitLab and Feishu.
type person struct {
	Name string
	ID   string // in Feishu
}

// open makes a sandbox whose listener runs.
func open(ctx context.Context, opts Options) (*world, error) {
	if opts.Patience == 0 {
		opts.Patience = time.Minute
	}
	dir, err := os.MkdirTemp("", "mrgate-sandbox-")
	if err != nil {
		return nil, err
	}
	w := &world{opts: opts, dir: dir, stop: func() {}}
	if err := w.build(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *world) build(ctx context.Context) error {
	token, hook, app, verification := w.secret("glpat-"), w.secret("hook-"), w.secret("app-"), w.secret("verification-")
	w.gitlab = gitlabsim.New(gitlabsim.Options{Token: token, MergeabilityDelay: gitlabsim.AtOnce})
	w.feishu = feishusim.New(feishusim.Options{
		AppID: appID, AppSecret: app, AppName: "mrgate", TenantKey: "sandbox", VerificationToken: verification, NamesReadable: true,
		CallbackLimit: 10 * time.Second, // not Feishu's three: that this machine is busy breaks no promise
	})
	gitlabURL, feishuURL, err := w.serve(ctx)
	if err != nil {
		return err
	}
	w.gitlab.SetURL(cmp.Or(w.opts.page, gitlabURL))
	w.people()
	w.gitlab.AddProject(gitlabsim.Project{ID: project, Path: projectPath, BotAccess: gitlabsim.Maintainer, Members: map[string]int{
		"alice": gitlabsim.Maintainer, "carol": gitlabsim.Maintainer, "bob": gitlabsim.Developer, "dave": gitlabsim.Developer,
	}})
	config := fmt.Sprintf(policy, w.opts.Locale) + fmt.Sprintf(settings,
		gitlabURL, token, hook, feishuURL, appID, app, verification, w.database())
	if err := os.WriteFile(w.config(), []byte(config), 0o600); err != nil {
		return err
	}
	w.listener = &listener{
		binary: w.opts.Binary, dir: w.dir, config: w.config(), zone: w.opts.Zone, over: make(chan struct{}),
		listens: func(url string) { // a listener that was started again has another port
			w.gitlab.OnWebhook("", "")
			w.gitlab.OnWebhook(url+"/gitlab/webhook", hook)
		},
	}
	if w.journal, err = newJournal(w); err != nil {
		return err
	}
	if w.opts.Break != nil {
		w.opts.Break(w.gitlab, w.feishu)
	}
	return w.listener.start(ctx)
}

// policy is what a user's own mrgate.yaml would hold.
const policy = `rules:
  - name: production
    projects: ["acme/*"]
    target_branches: ["main"]
    approvers: [alice@example.com, carol@example.com]
    cards_to: [alice@example.com, carol@example.com, ` + groupID + `]
  - name: release
    projects: ["acme/*"]
    target_branches: ["release/*"]
    approvers: [alice@example.com, carol@example.com]
    required: 2
users:
  alice: alice@example.com
  bob: bob@example.com
  carol: carol@example.com
  dave: dave@example.com
locale: %s
`

// settings are those that a real installation gives by the environment, or in
// files: here everything is simulated, secrets included, and gone in the end.
const settings = `
gitlab_url: %s
gitlab_token: %s
gitlab_webhook_secret: %s
feishu_url: %s
feishu_app_id: %s
feishu_app_secret: %s
feishu_verification_token: %s
db: %s
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
sweep: 20s
`

func (w *world) config() string   { return filepath.Join(w.dir, "mrgate.yaml") }
func (w *world) database() string { return filepath.Join(w.dir, "mrgate.db") }

// people puts the four into GitLab and Feishu.
func (w *world) people() {
	enter := func(name, username, full string) person {
		mail := username + "@example.com"
		w.gitlab.AddUser(gitlabsim.User{Username: username, Name: full, CommitEmail: mail})
		return person{Name: name, ID: w.feishu.AddUser(feishusim.User{Name: name, Email: mail}).OpenID}
	}
	w.alice, w.carol = enter("Alice", "alice", "Alice Li"), enter("Carol", "carol", "Carol Wu")
	w.bob, w.dave = enter("Bob", "bob", "Bob Chen"), enter("Dave", "dave", "Dave Sun")
	w.feishu.AddGroup(feishusim.Group{
		ChatID: groupID, Name: groupName, BotInGroup: true, Members: []string{w.alice.ID, w.carol.ID, w.bob.ID, w.dave.ID},
	})
}

// serve puts both simulators on ports of their own.
func (w *world) serve(ctx context.Context) (gitlabURL, feishuURL string, err error) {
	var lc net.ListenConfig
	var servers []*http.Server
	var urls []string
	w.stop = func() {
		for _, s := range servers {
			_ = s.Close() // nobody is left to hear of it
		}
	}
	for _, handler := range []http.Handler{w.gitlab, w.feishu} {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		servers, urls = append(servers, s), append(urls, "http://"+l.Addr().String())
		go func() { _ = s.Serve(l) }() // it ends with an error, always
	}
	return urls[0], urls[1], nil
}

// secret makes one, and remembers it as what nobody is to see.
func (w *world) secret(prefix string) string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails, since Go 1.24
	s := prefix + hex.EncodeToString(b)
	w.secrets = append(w.secrets, s)
	return s
}

// updateToken is what Feishu sends with a click: for half an hour, its bearer may
// change the card.
var updateToken = regexp.MustCompile(`"token":"c-[^"]*"`)

// redact blacks the secrets out.
func (w *world) redact(text string) string {
	for _, s := range w.secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	return updateToken.ReplaceAllString(text, `"token":"[redacted]"`)
}

// Close ends the listener and the simulators, and removes everything.
func (w *world) Close() {
	w.close.Do(func() {
		if w.listener != nil {
			w.listener.end()
		}
		w.stop()
		if w.journal != nil {
			w.journal.close()
		}
		// The listener is dead, but its files may still be on their way out.
		for range 20 {
			if os.RemoveAll(w.dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// press has somebody press a button on a message, with what they typed. seen is
// the card on their screen, if that is not the newest; "": it is.
func (w *world) press(ctx context.Context, who person, message, button string, form map[string]string, seen string) (feishusim.Answer, error) {
	at := time.Now()
	answer, err := w.feishu.Click(ctx, w.listener.url()+"/feishu/callback", message, who.ID, feishusim.ClickOptions{
		Button: button, Form: form, Seen: seen,
	})
	if answer.Sent != "" {
		w.journal.clicked(at, who, answer, err)
	}
	return answer, err
}

// verify runs mrgate log --verify, and gives what it prints.
func (w *world) verify(ctx context.Context) (string, error) {
	out, err := w.listener.command(ctx, "log", "--verify", "--config", w.config()).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
