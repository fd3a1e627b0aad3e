package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// budgetNotify is what mrgate notify may take, the whole process, with two calls
	// to a Feishu on this machine.
	budgetNotify = 40 * time.Millisecond
	notifies     = 30 // are measured
)

// postCommand has this program be what notify is measured beside where there is
// no curl and jq.
const postCommand = "post"

// script sends a card as simply as can be: a token and the message. notify asks
// for the approver's name besides, which its card shows.
const script = `
token=$(jq -n '{app_id: env.APP_ID, app_secret: env.APP_SECRET}' |
	curl -sf -H 'Content-Type: application/json' -d @- "$FEISHU_URL/open-apis/auth/v3/tenant_access_token/internal" | jq -r .tenant_access_token)
jq -n --arg title "$TITLE" '{receive_id: env.APPROVER, msg_type: "interactive", content: ({
		schema: "2.0", header: {title: {tag: "plain_text", content: $title}},
		body: {elements: [{tag: "button", text: {tag: "plain_text", content: "Approve"}, behaviors: [{type: "callback", value: {action: "approve"}}]}]}
	} | tojson)}' |
	curl -sf -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d @- "$FEISHU_URL/open-apis/im/v1/messages?receive_id_type=open_id"
`

// notify measures mrgate notify as a pipeline runs it, beside a script of curl
// and jq, or a program that makes the two calls and nothing else.
func (w *world) notify(ctx context.Context, o options, s *sheet) error {
	event := filepath.Join(w.dir, "event.json")
	var took, beside []time.Duration
	var made, others int // calls, each time
	name := "curl and jq"
	other := []string{"sh", "-c", script}
	if !installed("curl", "jq") {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		name, other = "a program with the two calls in it", []string{self, postCommand}
	}
	env := append([]string{
		"FEISHU_URL=" + w.feishuURL, "APP_ID=" + appID, "APP_SECRET=" + appSecret, "APPROVER=" + w.alice.OpenID, "TITLE=Approval needed",
	}, w.env...)
	for i := range notifies {
		if err := os.WriteFile(event, w.open(o.mergeRequests+1+i), 0o600); err != nil {
			return err
		}
		one, calls, err := w.process(ctx, w.env, w.binary(), "notify", "--event", event, "--approver", w.alice.OpenID)
		if err != nil {
			return err
		}
		took, made = append(took, one), calls
		if one, calls, err = w.process(ctx, env, other...); err != nil {
			return err
		}
		beside, others = append(beside, one), calls
	}
	p50 := quantile(took, 0.5)
	s.add(fmt.Sprintf("notify, the whole process, %d calls", made), answered(took), held(p50 <= budgetNotify, "p50 "+ms(budgetNotify)),
		fmt.Sprintf("%s, %d calls: %s", name, others, answered(beside)))
	return nil
}

// process runs a command, and gives how long it took and how often it called Feishu.
func (w *world) process(ctx context.Context, env []string, args ...string) (took time.Duration, calls int, err error) {
	before := len(w.feishu.Calls())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // made here
	cmd.Dir, cmd.Env = w.dir, env
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w\n%s", args[0], err, out)
	}
	return took, len(w.feishu.Calls()) - before, nil
}

func installed(names ...string) bool {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return false
		}
	}
	return true
}

// postTwice makes the script's two calls.
func postTwice() error {
	url := os.Getenv("FEISHU_URL") + "/open-apis"
	var token struct {
		Token string `json:"tenant_access_token"`
	}
	err := postJSON(url+"/auth/v3/tenant_access_token/internal", "", map[string]string{
		"app_id": os.Getenv("APP_ID"), "app_secret": os.Getenv("APP_SECRET"),
	}, &token)
	if err != nil {
		return err
	}
	return postJSON(url+"/im/v1/messages?receive_id_type=open_id", token.Token, map[string]string{
		"receive_id": os.Getenv("APPROVER"), "msg_type": "interactive",
		"content": `{"schema":"2.0","header":{"title":{"tag":"plain_text","content":"Approval needed"}},"body":{"elements":[]}}`,
	}, &struct{}{})
}

func postJSON(url, token string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	header := map[string][]string{"Authorization": {"Bearer " + token}}
	said, err := post(context.Background(), url, header, text)
	if err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(said)).Decode(answer)
}
