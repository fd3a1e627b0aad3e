package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"mrgate/internal/browser"
)

// startSandbox starts a sandbox with a page, and gives its address.
func startSandbox(t *testing.T, args ...string) (address string, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(binary(t), append([]string{"sandbox", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = t.TempDir()
	temp := t.TempDir()
	cmd.Env = append(cmd.Environ(), "TMPDIR="+temp, "MRGATE_LOCALE=nonsense")
	errs := &buffer{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killed := cmd.Process.Signal(syscall.SIGTERM) != nil // by the test
		if err := cmd.Wait(); err != nil && !killed {
			t.Errorf("the sandbox ends with %v", err)
		}
		if left, err := os.ReadDir(temp); !killed && (err != nil || len(left) > 0) {
			t.Errorf("of the sandbox stays %v, %v", left, err)
		}
		if errs.String() != "" {
			t.Errorf("the sandbox says: %s", errs)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); m != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return m, cmd
		}
	}
	t.Fatal("the sandbox names no address")
	return "", nil
}

// visitor plays with a sandbox in a browser.
type visitor struct {
	*testing.T
	tab *browser.Tab
}

// run runs a script in the page.
func (v *visitor) run(script string) string {
	v.Helper()
	said, err := chromedp.Run(v.tab.Context, chromedp.Evaluate[string](`String((() => {`+script+`})())`))
	if err != nil {
		v.Fatalf("%s: %v", script, err)
	}
	return said
}

// text is what is to be read in an element; "": there is none.
func (v *visitor) text(selector string) string {
	v.Helper()
	return v.run(fmt.Sprintf(`return document.querySelector(%q)?.innerText ?? ""`, selector))
}

// reads waits until an element holds all of the words.
func (v *visitor) reads(selector string, words ...string) {
	v.Helper()
	eventually(v.T, fmt.Sprintf("%s reads %q; it reads %s", selector, words, v.text(selector)), func() bool {
		text := v.text(selector)
		for _, word := range words {
			if !strings.Contains(text, word) {
				return false
			}
		}
		return true
	})
}

// press presses a button in GitLab, or of a machine.
func (v *visitor) press(id string) {
	v.Helper()
	eventually(v.T, "there is a button "+id, func() bool {
		return v.run(fmt.Sprintf(`const b = document.getElementById(%q); if (b) b.click(); return b !== null`, id)) == "true"
	})
}

// card is the selector of somebody's newest message.
func card(who string) string { return "#phone-" + who + " .cards > .card:first-child" }

// click presses a button on somebody's newest card, and confirms it where it asks.
func (v *visitor) click(who, label string) {
	v.Helper()
	eventually(v.T, who+" has a button "+label, func() bool {
		return v.run(fmt.Sprintf(`
			const press = [...document.querySelectorAll(%q)].find((b) => b.textContent === %q);
			if (!press) return false;
			press.click();
			document.querySelector("dialog[open] [type=submit]")?.click();
			return true`, card(who)+" .fs-button", label)) == "true"
	})
}

// write writes into the field of somebody's newest card.
func (v *visitor) write(who, text string) {
	v.Helper()
	v.run(fmt.Sprintf(`document.querySelector(%q).value = %q`, card(who)+" textarea", text))
}

// merged waits until everybody can see that it is.
func (v *visitor) merged(n int, by string) {
	v.Helper()
	ref := fmt.Sprintf("acme/payments !%d", n)
	for _, who := range []string{"alice", "carol", "dave"} {
		v.reads(card(who), "Merged · "+ref, by)
	}
	v.reads(card("bob"), ref, by)
	v.reads(fmt.Sprintf("#mr-%d", n), "merged")
	v.reads("#mrgate .acts", fmt.Sprintf("merges !%d at commit", n), fmt.Sprintf("!%d approved → merged", n))
}

// opens has Bob open the next merge request, and waits until it has been sent to all.
func (v *visitor) opens(n int) {
	v.Helper()
	v.press("open")
	for _, who := range []string{"alice", "carol", "dave"} {
		v.reads(card(who), fmt.Sprintf("Approval needed · acme/payments !%d", n), "Approve and merge")
	}
	v.reads(card("bob"), fmt.Sprintf("acme/payments !%d", n))
}

// TestSandboxInABrowser plays everything that the README promises of the sandbox.
func TestSandboxInABrowser(t *testing.T) {
	t.Parallel()
	chromium := browser.ForTest(t)
	address, _ := startSandbox(t)
	tab, err := browser.Open(chromium, address, browser.Look{Width: 1500, Height: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Close)
	v := &visitor{t, tab}

	for _, who := range []string{"alice", "carol", "dave"} {
		v.reads(card(who), "Approval needed · acme/payments !1", "Approve and merge")
	}
	v.click("dave", "Approve and merge")
	v.reads("#toasts", "Dave: You are not an approver")
	v.reads("#mr-1", "opened")
	v.click("alice", "Approve and merge")
	v.reads("#toasts", "Alice: Approved, merging")
	v.merged(1, "Alice")

	v.opens(2)
	// What somebody writes into is left alone until they leave it, and a button that
	// was pressed keeps the focus.
	v.write("carol", "Please")
	v.run(fmt.Sprintf(`document.querySelector(%q).focus()`, card("carol")+" textarea"))
	v.press("mr-2-push")
	v.reads(card("alice"), "updated")
	if text := v.text(card("carol")); strings.Contains(text, "updated") {
		t.Errorf("a card changes while somebody writes on it:\n%s", text)
	}
	v.run(`document.getElementById("mr-2-push").focus()`)
	v.reads(card("carol"), "updated")
	v.press("mr-2-conflict")
	v.reads("#mr-2", "Mend on the target")
	if focus := v.run(`return document.activeElement.id`); focus != "mr-2-push" {
		t.Errorf("the focus went from the button that was pressed to %q", focus)
	}
	v.write("carol", "Please add a test")
	v.click("carol", "Reject and close")
	v.reads("#mr-2", "closed")
	for _, who := range []string{"alice", "carol", "dave", "bob"} {
		v.reads(card(who), "Rejected · acme/payments !2", "Please add a test")
	}

	v.opens(3)
	v.press("freeze-alice")
	v.reads("#phone-alice", "Go on")
	old := v.text(card("alice"))
	v.press("mr-3-push")
	v.reads(card("carol"), "updated")
	if now := v.text(card("alice")); now != old {
		t.Errorf("a screen that stands still has changed to\n%s", now)
	}
	v.click("alice", "Approve and merge")
	v.reads("#toasts", "Alice: The commit or target has changed")
	v.reads("#mr-3", "opened")
	v.press("freeze-alice")
	v.reads(card("alice"), "updated")
	v.click("alice", "Approve and merge")
	v.merged(3, "Alice")

	v.opens(4)
	v.press("mr-4-conflict")
	v.reads("#mr-4", "Mend on the target")
	v.click("carol", "Approve and merge")
	v.reads(card("alice"), "Approved, but blocked", "Conflicts with main")
	v.press("mr-4-mend")
	v.reads("#mr-4", "Make a conflict")
	v.click("carol", "Retry")
	v.merged(4, "Carol")

	v.opens(5)
	v.press("machine-gitlab")
	v.reads("#mrgate .machines", "GitLab is down")
	v.click("alice", "Approve and merge")
	v.reads(card("carol"), "Approved, waiting for GitLab")
	v.press("listener")
	v.reads("#mrgate .machines", "the listener is dead")
	v.press("machine-gitlab")
	v.reads("#mrgate .machines", "GitLab is up")
	v.press("listener")
	v.merged(5, "Alice")

	if tried := v.run(`return document.querySelectorAll(".tries .tried").length`); tried != "7" {
		t.Errorf("%s of the things to try are crossed out, want 7: %s", tried, v.text(".tries"))
	}
	v.run(`document.querySelector("#mrgate a[data-step]").click()`)
	v.reads("#step[open]", "Request", "Answer")
	for _, wrong := range tab.Wrong() {
		t.Error(wrong)
	}
	for name, look := range map[string]browser.Look{"": {Width: 1500, Height: 1000}, "dark, on a phone": {Width: 380, Height: 800, Dark: true}} {
		t.Run("accessible "+name, func(t *testing.T) {
			rules := browser.Rules(t)
			tab, err := browser.Open(chromium, address, look)
			if err != nil {
				t.Fatal(err)
			}
			defer tab.Close()
			found, err := tab.Violations(rules)
			if err != nil {
				t.Fatal(err)
			}
			for _, violation := range found {
				t.Error(violation)
			}
			if over, err := chromedp.Run(tab.Context, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); err != nil || over > 0 {
				t.Errorf("%d pixels wider than the window, %v", over, err)
			}
		})
	}
}

// TestSandboxPageIsForThisMachineAlone: no other site's page can play with it, and
// no other machine can reach it.
func TestSandboxPageIsForThisMachineAlone(t *testing.T) {
	t.Parallel()
	address, cmd := startSandbox(t, "--locale", "zh")
	call := func(method, path string, header http.Header, form string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), method, address+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		if host := header.Get("Host"); host != "" {
			req.Host = host
		}
		if form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := call(http.MethodGet, "/", http.Header{}, ""); status != http.StatusOK || !strings.Contains(body, `lang="zh-CN"`) || !strings.Contains(body, "推送提交") {
		t.Errorf("the page: %d %.500s", status, body)
	}
	if status, body := call(http.MethodGet, "/", http.Header{"Host": {"evil.example"}}, ""); status != http.StatusMisdirectedRequest || strings.Contains(body, "acme") {
		t.Errorf("under another name: %d %s", status, body)
	}
	for name, header := range map[string]http.Header{
		"another site":   {"Sec-Fetch-Site": {"cross-site"}},
		"another origin": {"Origin": {"https://evil.example"}},
	} {
		if status, _ := call(http.MethodPost, "/do", header, "do=kill"); status != http.StatusForbidden {
			t.Errorf("a form of %s was answered %d", name, status)
		}
	}
	// Without a script a form leads back to the page, which says what came of it.
	if status, body := call(http.MethodPost, "/do", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "do=push&mr=9"); status != http.StatusOK || !strings.Contains(body, "there is no merge request !9") {
		t.Errorf("a form without a script: %d %.500s", status, body)
	}
	// What the page offered a moment ago may be over: then nothing happens, and nobody is said to have done it.
	if status, body := call(http.MethodPost, "/do", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "do=reopen&mr=1"); status != http.StatusOK || !strings.Contains(body, "!1 is opened") || strings.Contains(body, "opens !1 again") {
		t.Errorf("a merge request that is open is opened again: %d %.500s", status, body)
	}
	for _, listen := range []string{"0.0.0.0:0", "nonsense", "127.0.0.1:x", "example.com:80", strings.TrimPrefix(address, "http://")} {
		o := mrgate(t, t.TempDir(), nil, "", "sandbox", "--listen", listen)
		o.refuses(t, 2, "--listen", strings.SplitN(listen, ":", 2)[0])
	}

	// Killed itself, it leaves nobody behind.
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Skip("only Linux tells who is whose child, and ends it by itself")
	}
	child := ""
	for _, name := range tasks {
		of, _ := os.ReadFile(name) // the thread may have ended
		child += strings.TrimSpace(string(of))
	}
	if child == "" {
		t.Fatal("the listener is no process of its own")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "the listener is gone with it", func() bool {
		line, _ := os.ReadFile("/proc/" + child + "/cmdline")
		return len(line) == 0
	})
}
