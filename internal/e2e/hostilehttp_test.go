package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	bigendian "encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/feishusim"
)

const (
	encryptKey   = "enc-e2e-Lp83VbNm"
	signingToken = "whsec_ZTJlLXNpZ25pbmcta2V5LW9mLTMyLWJ5dGVzLSEhISE="
)

// full is an answer as its receiver sees it, but for the date.
func full(resp *http.Response) string {
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	b := fmt.Sprintf("%d\n", resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if name != "Date" {
			b += fmt.Sprintf("%s: %s\n", name, resp.Header[name])
		}
	}
	return b + string(body)
}

// ask posts a body with these headers, as they are, and gives the full answer.
func ask(t testing.TB, url string, header http.Header, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	transport := &http.Transport{DisableKeepAlives: true} // as GitLab and Feishu do
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	return full(resp)
}

// refusals collects how requests were refused, which has to be in one way.
type refusals struct {
	w         *world
	l         *listener
	path      string
	want      string
	relay     string // stands before the listener and remembers its answers
	mu        sync.Mutex
	last      string
	cases     int
	before    map[string]string
	forgotten []string // secrets that no log may hold
	began     time.Time
}

// newRefusals begins a table for one path of a listener.
func (w *world) newRefusals(l *listener, path, want string, secrets ...string) *refusals {
	w.t.Helper()
	f := &refusals{w: w, l: l, path: path, want: want, forgotten: secrets, began: time.Now()}
	f.relay = serve(w.t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		header := r.Header.Clone()
		header.Del("Content-Length")
		answer := ask(w.t, l.url+path, header, body)
		f.mu.Lock()
		f.last = answer
		f.mu.Unlock()
		rw.WriteHeader(http.StatusUnauthorized) // nothing follows from it in the simulator
	}))
	w.eventually("the database is at rest", func() bool {
		was := w.files()
		time.Sleep(300 * time.Millisecond)
		return maps.Equal(was, w.files())
	})
	w.settle()
	f.before = w.files()
	return f
}

// files are the database's, with what can be seen of them.
func (w *world) files() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(w.db + suffix)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := os.ReadFile(w.db + suffix)
		if err != nil {
			w.t.Fatal(err)
		}
		all[suffix] = fmt.Sprintf("%d bytes, %s, %x", info.Size(), info.ModTime(), sha256.Sum256(text))
	}
	return all
}

// is demands that a case was answered as all others.
func (f *refusals) is(name, answer string) {
	f.w.t.Helper()
	f.cases++
	if answer != f.want {
		f.w.t.Errorf("%s was answered:\n%s\nwant:\n%s", name, answer, f.want)
	}
}

// post refuses what a test has made itself.
func (f *refusals) post(name string, header http.Header, body []byte) {
	f.w.t.Helper()
	f.is(name, ask(f.w.t, f.l.url+f.path, header, body))
}

// click refuses a click.
func (f *refusals) click(name string, c feishusim.ClickOptions) {
	f.w.t.Helper()
	if c.Button == "" {
		c.Button = "approve"
	}
	a, err := f.w.feishu.Click(context.Background(), f.relay, f.w.newest(f.w.alice).ID, f.w.alice.OpenID, c)
	if a.SentWith == nil {
		f.w.t.Fatalf("%s: nothing was posted: %v", name, err)
	}
	f.is(name, f.answer())
}

// challenge refuses a check of the address.
func (f *refusals) challenge(name string, c feishusim.ChallengeOptions) {
	f.w.t.Helper()
	_ = f.w.feishu.Challenge(context.Background(), f.relay, c)
	f.is(name, f.answer())
}

func (f *refusals) answer() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.last
	f.last = ""
	return last
}

// leftNoTrace demands that nothing was recorded, and nothing sent.
func (f *refusals) leftNoTrace() {
	f.w.t.Helper()
	f.w.never("a refused request had an effect", func() bool { return len(f.w.gitlab.Calls())+len(f.w.feishu.Calls()) > 0 })
	if after := f.w.files(); !maps.Equal(after, f.before) {
		f.w.t.Errorf("refused requests changed the database:\n%v\n%v", f.before, after)
	}
	for _, secret := range f.forgotten {
		if strings.Contains(f.l.log.String(), secret) {
			f.w.t.Errorf("the log holds the secret %s:\n%s", secret, f.l.log)
		}
	}
	// One line a minute, whoever calls how often.
	most := 1 + int(time.Since(f.began)/time.Minute)
	if n := strings.Count(f.l.log.String(), "refused"); n < 1 || n > most {
		f.w.t.Errorf("the log mentions refusals %d times:\n%s", n, f.l.log)
	}
	f.w.t.Logf("%d requests were refused alike", f.cases)
}

const (
	refusedClick   = "401\nCache-Control: [no-store]\nContent-Length: [22]\nContent-Type: [application/json; charset=utf-8]\nX-Content-Type-Options: [nosniff]\n" + `{"msg":"unauthorized"}`
	refusedWebhook = "401\nCache-Control: [no-store]\nContent-Length: [25]\nContent-Type: [application/json]\nX-Content-Type-Options: [nosniff]\n" + `{"error":"unauthorized"}` + "\n"
)

// within changes the object that stands at a path of names.
func within(f func(map[string]any), path ...string) func(map[string]any) {
	return func(m map[string]any) {
		for _, name := range path {
			m, _ = m[name].(map[string]any)
		}
		f(m)
	}
}

func set(name string, v any) func(map[string]any) {
	return func(m map[string]any) { m[name] = v }
}

func del(name string) func(map[string]any) {
	return func(m map[string]any) { delete(m, name) }
}

func rename(from, to string) func(map[string]any) {
	return func(m map[string]any) {
		m[to] = m[from]
		delete(m, from)
	}
}

// forgeries are new-style clicks that somebody has changed who may encrypt and
// sign: none of those that stand in them may get through.
func forgeries() map[string]feishusim.ClickOptions {
	all := map[string]feishusim.ClickOptions{}
	for name, mutate := range map[string]func(map[string]any){
		"wrong verification token":         within(set("token", "wrong"), "header"),
		"cut verification token":           within(set("token", verification[:len(verification)-1]), "header"),
		"empty verification token":         within(set("token", ""), "header"),
		"no verification token":            within(del("token"), "header"),
		"verification token null":          within(set("token", nil), "header"),
		"verification token in a list":     within(set("token", []string{verification}), "header"),
		"verification token elsewhere":     func(m map[string]any) { within(del("token"), "header")(m); m["token"] = verification },
		"verification token's name, cased": within(rename("token", "Token"), "header"),
		"verification token's name, folded": within(func(m map[string]any) {
			m["to\u212aen"] = m["token"] // the Kelvin sign
			delete(m, "token")
		}, "header"),
		"no header":               del("header"),
		"header's name, cased":    rename("header", "Header"),
		"another app":             within(set("app_id", "cli_other"), "header"),
		"no app":                  within(del("app_id"), "header"),
		"empty app":               within(set("app_id", ""), "header"),
		"app's name, cased":       within(rename("app_id", "APP_ID"), "header"),
		"another tenant's app":    within(set("tenant_key", "tenant_other"), "header"),
		"no tenant":               within(del("tenant_key"), "header"),
		"another tenant's person": within(set("tenant_key", "tenant_other"), "event", "operator"),
		"person without tenant":   within(del("tenant_key"), "event", "operator"),
		"no tenant at all": func(m map[string]any) {
			within(del("tenant_key"), "header")(m)
			within(del("tenant_key"), "event", "operator")(m)
		},
		"no open_id":                 within(del("open_id"), "event", "operator"),
		"empty open_id":              within(set("open_id", ""), "event", "operator"),
		"open_id null":               within(set("open_id", nil), "event", "operator"),
		"open_id a number":           within(set("open_id", 7), "event", "operator"),
		"open_id's name, cased":      within(rename("open_id", "Open_ID"), "event", "operator"),
		"open_id elsewhere":          func(m map[string]any) { within(del("open_id"), "event", "operator")(m); m["open_id"] = "ou_1" },
		"no operator":                within(del("operator"), "event"),
		"operator's name, cased":     within(rename("operator", "OPERATOR"), "event"),
		"no event":                   del("event"),
		"schema 1.0":                 set("schema", "1.0"),
		"a second name, cased":       set("Schema", "2.0"),
		"a second name below, cased": within(set("TOKEN", "x"), "header"),
	} {
		all[name] = feishusim.ClickOptions{Mutate: mutate}
	}
	for name, raw := range map[string]func([]byte) []byte{
		"bytes behind it":    func(b []byte) []byte { return append(b, "x"...) },
		"JSON behind it":     func(b []byte) []byte { return append(b, "{}"...) },
		"itself behind it":   func(b []byte) []byte { return append(b, b...) },
		"a zero byte behind": func(b []byte) []byte { return append(b, 0) },
		"a bracket missing":  func(b []byte) []byte { return b[:len(b)-1] },
		"a byte order mark":  func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) },
		"a doubled name":     func(b []byte) []byte { return append([]byte(`{"schema":"2.0",`), b[1:]...) },
		"a doubled name below": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"header":{`), []byte(`"header":{"token":"x",`), 1)
		},
		"a doubled person": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"operator":{`), []byte(`"operator":{"open_id":"x",`), 1)
		},
		"invalid UTF-8": func(b []byte) []byte { return append([]byte("{\"x\":\"\xff\","), b[1:]...) },
		"in a list":     func(b []byte) []byte { return append(append([]byte("["), b...), ']') },
		"nested deep": func(b []byte) []byte {
			return append([]byte(`{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,`), b[1:]...)
		},
		"nothing":         func([]byte) []byte { return nil },
		"null":            func([]byte) []byte { return []byte("null") },
		"a text":          func([]byte) []byte { return []byte(`"x"`) },
		"an empty object": func([]byte) []byte { return []byte("{}") },
	} {
		all[name] = feishusim.ClickOptions{MutateRaw: raw}
	}
	return all
}

// unsigned are ways to have no good signature, for a style and mode that needs one.
func unsigned(c feishusim.ClickOptions) map[string]feishusim.ClickOptions {
	all := map[string]feishusim.ClickOptions{}
	for name, header := range map[string]func(http.Header){
		"wrong signature":    func(h http.Header) { h.Set("X-Lark-Signature", strings.Repeat("0", len(h.Get("X-Lark-Signature")))) },
		"missing signature":  func(h http.Header) { h.Del("X-Lark-Signature") },
		"empty signature":    func(h http.Header) { h.Set("X-Lark-Signature", "") },
		"cut signature":      func(h http.Header) { h.Set("X-Lark-Signature", h.Get("X-Lark-Signature")[:20]) },
		"doubled signature":  func(h http.Header) { h.Add("X-Lark-Signature", h.Get("X-Lark-Signature")) },
		"signature and more": func(h http.Header) { h.Set("X-Lark-Signature", h.Get("X-Lark-Signature")+"zz") },
		"nothing of it": func(h http.Header) {
			h.Del("X-Lark-Signature")
			h.Del("X-Lark-Request-Timestamp")
			h.Del("X-Lark-Request-Nonce")
		},
		"missing timestamp":         func(h http.Header) { h.Del("X-Lark-Request-Timestamp") },
		"doubled timestamp":         func(h http.Header) { h.Add("X-Lark-Request-Timestamp", h.Get("X-Lark-Request-Timestamp")) },
		"missing nonce":             func(h http.Header) { h.Del("X-Lark-Request-Nonce") },
		"doubled nonce":             func(h http.Header) { h.Add("X-Lark-Request-Nonce", h.Get("X-Lark-Request-Nonce")) },
		"another nonce":             func(h http.Header) { h.Set("X-Lark-Request-Nonce", "x"+h.Get("X-Lark-Request-Nonce")) },
		"another second":            func(h http.Header) { h.Set("X-Lark-Request-Timestamp", strconv.FormatInt(time.Now().Unix()+1, 10)) },
		"a digit moved to nonce":    moveDigit(9),
		"all digits moved to nonce": moveDigit(0),
	} {
		c.Header = header
		all[name] = c
	}
	c.Header = nil
	for name, at := range map[string]time.Duration{"stale": -6 * time.Minute, "stale by a year": -365 * 24 * time.Hour, "future": 6 * time.Minute} {
		c.At = time.Now().Add(at)
		all[name] = c
	}
	c.At = time.Time{}
	all["another key"] = func(c feishusim.ClickOptions) feishusim.ClickOptions { c.Key = "another"; return c }(c)
	for name, change := range map[string]func([]byte) []byte{
		"changed body": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"bytes behind": func(b []byte) []byte { return append(b, ' ') },
		"bytes before": func(b []byte) []byte { return append([]byte(" "), b...) },
	} {
		c.MutateSigned = change
		all[name] = c
	}
	return all
}

// moveDigit moves a timestamp's end to the nonce: the hash stays what it is.
func moveDigit(from int) func(http.Header) {
	return func(h http.Header) {
		at, nonce := h.Get("X-Lark-Request-Timestamp"), h.Get("X-Lark-Request-Nonce")
		h.Set("X-Lark-Request-Timestamp", at[:from])
		h.Set("X-Lark-Request-Nonce", at[from:]+nonce)
	}
}

// extended is a request with something behind its body, and the signature of
// that, made from the old signature without the secret, whose length is enough.
func extended(t testing.TB, header http.Header, body []byte, secret, suffix string) (http.Header, []byte) {
	t.Helper()
	digest, err := hex.DecodeString(header.Get("X-Lark-Signature"))
	if err != nil {
		t.Fatal(err)
	}
	newHash, magic := sha256.New, "sha\x03"
	if len(digest) == sha1.Size {
		newHash, magic = sha1.New, "sha\x01"
	}
	before := header.Get("X-Lark-Request-Timestamp") + header.Get("X-Lark-Request-Nonce")
	n := len(before) + len(secret) + len(body)
	padding := append([]byte{0x80}, make([]byte, (119-n%64)%64)...)
	padding = bigendian.BigEndian.AppendUint64(padding, uint64(n)*8)
	// The hash goes on from the old signature, as from a state saved there.
	state := append([]byte(magic), digest...)
	state = append(state, make([]byte, 64)...)
	state = bigendian.BigEndian.AppendUint64(state, uint64(n+len(padding)))
	h := newHash()
	resumed, _ := h.(encoding.BinaryUnmarshaler)
	if err := resumed.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(h, suffix)
	signature := h.Sum(nil)

	long := slices.Concat(body, padding, []byte(suffix))
	if want := sumOf(newHash, before+secret, long); !bytes.Equal(signature, want) {
		t.Fatalf("the extension is wrong: %x, want %x", signature, want)
	}
	header = header.Clone()
	header.Set("X-Lark-Signature", hex.EncodeToString(signature))
	return header, long
}

func sumOf(newHash func() hash.Hash, before string, body []byte) []byte {
	h := newHash()
	_, _ = io.WriteString(h, before)
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// seen is a good click that somebody has recorded on its way, and that did not
// arrive.
func (w *world) seen(c feishusim.ClickOptions) (http.Header, []byte) {
	w.t.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer sink.Close()
	c.Button = "approve"
	a, _ := w.feishu.Click(context.Background(), sink.URL, w.newest(w.alice).ID, w.alice.OpenID, c)
	if a.Sent == "" {
		w.t.Fatal("nothing was posted")
	}
	return a.SentWith, []byte(a.Sent)
}

func TestForgedCallbacksAreRefusedAlike(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name      string
		key       string
		old       bool // old-style clicks are taken
		encrypted bool
	}{
		{name: "verification token", old: true},
		{name: "encrypt key", key: encryptKey, encrypted: true},
		{name: "encrypt key and old callbacks", key: encryptKey, encrypted: true, old: true},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setup) { s.feishu.EncryptKey = mode.key })
			environ := append(w.environ(), "MRGATE_FEISHU_ENCRYPT_KEY="+mode.key)
			if mode.encrypted && mode.old {
				environ = append(environ, "MRGATE_FEISHU_OLD_CALLBACKS=true")
			}
			l := w.startIn(environ)
			mr := w.begin(l, w.alice, w.carol)
			f := w.newRefusals(l, "/feishu/callback", refusedClick, encryptKey)
			old := feishusim.ClickOptions{Style: feishusim.OldStyle}

			for name, c := range forgeries() {
				f.click(name, c)
			}
			if mode.encrypted {
				for name, c := range unsigned(feishusim.ClickOptions{}) {
					f.click("encrypted, "+name, c)
				}
				f.click("plain, but signed", feishusim.ClickOptions{Plain: true})
				f.click("plain", feishusim.ClickOptions{Plain: true, Header: unsigned(old)["nothing of it"].Header})
				header, body := w.seen(feishusim.ClickOptions{})
				sealed := string(body[len(`{"encrypt":"`) : len(body)-len(`"}`)])
				for name, suffix := range map[string]string{
					"a click": string(body), "a brace": "}", "a name": `,"encrypt":"` + sealed + `"}`,
				} {
					longer, forged := extended(t, header, body, encryptKey, suffix)
					f.post("SHA-256 extended by "+name, longer, forged)
				}
				for name, text := range map[string]string{
					"nothing": "", "no base64": "###", "half a block": sealed[:20], "only an IV": sealed[:24], "line breaks": sealed[:4] + `\n` + sealed[4:],
				} {
					f.post("encrypted, of "+name, header, fmt.Appendf(nil, `{"encrypt":"%s"}`, text))
				}
				f.post("encrypted twice", header, fmt.Appendf(nil, `{"encrypt":%q,"encrypt":%q}`, sealed, sealed))
				f.post("encrypted, and cased", header, fmt.Appendf(nil, `{"encrypt":%q,"Encrypt":%q}`, sealed, sealed))
				f.challenge("challenge, another key", feishusim.ChallengeOptions{Key: "another"})
			} else {
				f.click("encrypted where there is no key", feishusim.ClickOptions{Key: encryptKey})
			}
			if mode.old {
				for name, c := range unsigned(old) {
					f.click("old-style, "+name, c)
				}
				for name, mutate := range map[string]func(map[string]any){
					"no open_id": del("open_id"), "empty open_id": set("open_id", ""), "open_id's name, cased": rename("open_id", "Open_id"),
					"a second name, cased": set("Open_Id", "x"), "another type": set("type", "message"),
					"new-style in part": set("schema", "2.0"), "an event": set("event", map[string]any{}),
				} {
					c := old
					c.Mutate = mutate
					f.click("old-style, "+name, c)
				}
				for name, raw := range map[string]func([]byte) []byte{
					"signed bytes behind it": func(b []byte) []byte { return append(b, "{}"...) },
					"signed doubled name":    func(b []byte) []byte { return append([]byte(`{"open_id":"x",`), b[1:]...) },
				} {
					c := old
					c.MutateRaw = raw
					f.click("old-style, "+name, c)
				}
				header, body := w.seen(old)
				for name, suffix := range map[string]string{"a click": string(body), "a brace": "}", "a name": `,"open_id":"x"}`} {
					longer, forged := extended(t, header, body, verification, suffix)
					f.post("SHA-1 extended by "+name, longer, forged)
				}
			} else {
				f.click("old-style", old)
				c := old
				c.Key = encryptKey
				f.click("old-style, signed with the encrypt key", c)
			}
			for _, plain := range []bool{true, false} {
				for name, c := range map[string]feishusim.ChallengeOptions{
					"wrong token":   {Token: "wrong"},
					"no token":      {Mutate: del("token")},
					"empty token":   {Mutate: set("token", "")},
					"cased token":   {Mutate: rename("token", "Token")},
					"no challenge":  {Mutate: del("challenge")},
					"a doubled one": {MutateRaw: func(b []byte) []byte { return append([]byte(`{"type":"url_verification",`), b[1:]...) }},
					"more behind":   {MutateRaw: func(b []byte) []byte { return append(b, "{}"...) }},
				} {
					c.Plain = plain
					f.challenge(fmt.Sprintf("challenge, plain %v, %s", plain, name), c)
				}
				f.click("a click of a challenge's type", feishusim.ClickOptions{Plain: plain, Mutate: func(m map[string]any) { m["type"] = "url_verification" }})
			}
			f.leftNoTrace()
			w.undecided(mr.IID)

			// What nobody has tampered with is taken.
			for _, plain := range []bool{true, false} {
				if err := w.feishu.Challenge(context.Background(), l.url+"/feishu/callback", feishusim.ChallengeOptions{Plain: plain}); err != nil {
					t.Error(err)
				}
			}
			c := feishusim.ClickOptions{Button: "approve"}
			if mode.old {
				c.Style = feishusim.OldStyle
			}
			a, err := w.feishu.Click(context.Background(), l.url+"/feishu/callback", w.newest(w.alice).ID, w.alice.OpenID, c)
			if err != nil {
				t.Fatal(err)
			}
			says(t, a.Toast, "success", "Approved, merging")
			w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
		})
	}
}

// sealedBy is a delivery's headers by Standard Webhooks.
func sealedBy(token string, at time.Time, body []byte) http.Header {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic(err)
	}
	const id = "6a7c1b0e"
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	_, _ = mac.Write(body)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
}

func TestForgedWebhooksAreRefusedAlike(t *testing.T) {
	t.Parallel()
	const other = "whsec_YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
	t.Run("secret", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		l := w.start()
		w.begin(l, w.alice, w.carol)
		next := w.open()
		f := w.newRefusals(l, "/gitlab/webhook", refusedWebhook)
		body := w.gitlab.WebhookBody(project, next.IID, "open")
		for name, header := range map[string]http.Header{
			"missing":           {},
			"empty":             {"X-Gitlab-Token": {""}},
			"wrong":             {"X-Gitlab-Token": {"wrong"}},
			"cased":             {"X-Gitlab-Token": {strings.ToUpper(webhookSecret)}},
			"longer":            {"X-Gitlab-Token": {webhookSecret + "x"}},
			"shorter":           {"X-Gitlab-Token": {webhookSecret[:len(webhookSecret)-1]}},
			"quoted":            {"X-Gitlab-Token": {strconv.Quote(webhookSecret)}},
			"a list":            {"X-Gitlab-Token": {webhookSecret + ", " + webhookSecret}},
			"doubled":           {"X-Gitlab-Token": {webhookSecret, webhookSecret}},
			"doubled, cased":    {"X-Gitlab-Token": {webhookSecret}, "x-gitlab-token": {"x"}},
			"huge":              {"X-Gitlab-Token": {strings.Repeat("x", 7<<10)}},
			"another's":         {"X-Gitlab-Token": {verification}},
			"elsewhere":         {"Private-Token": {webhookSecret}, "Authorization": {"Bearer " + webhookSecret}},
			"signed by nobody":  sealedBy(other, time.Now(), body),
			"said to be inside": {"X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1"}},
		} {
			f.post(name, header, body)
			f.post(name+", empty body", header, nil)
			f.post(name+", no JSON", header, []byte("\x00\xff{"))
			f.post(name+", nested", header, bytes.Repeat([]byte("["), 100_000))
		}
		f.leftNoTrace()
		w.webhook(l, next.IID, "open")
		w.eventually("the right one is taken", func() bool { return len(w.cards(w.alice)) == 2 })
	})
	t.Run("signing token", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		// The secret counts for nothing beside it.
		l := w.startIn(append(w.environ(), "MRGATE_GITLAB_SIGNING_TOKEN="+signingToken))
		mr := w.open()
		body := w.gitlab.WebhookBody(project, mr.IID, "open")
		f := w.newRefusals(l, "/gitlab/webhook", refusedWebhook, signingToken, strings.TrimPrefix(signingToken, "whsec_"))
		now := time.Now()
		good := func(change func(http.Header)) http.Header {
			h := sealedBy(signingToken, now, body)
			h["X-Gitlab-Token"] = []string{webhookSecret}
			change(h)
			return h
		}
		for name, header := range map[string]http.Header{
			"unsigned":          {"X-Gitlab-Token": {webhookSecret}},
			"nothing":           {},
			"another key":       sealedBy(other, now, body),
			"stale":             sealedBy(signingToken, now.Add(-6*time.Minute), body),
			"future":            sealedBy(signingToken, now.Add(6*time.Minute), body),
			"changed body":      sealedBy(signingToken, now, append(bytes.Clone(body), ' ')),
			"no body signed":    sealedBy(signingToken, now, nil),
			"missing signature": good(func(h http.Header) { delete(h, "Webhook-Signature") }),
			"empty signature":   good(func(h http.Header) { h.Set("Webhook-Signature", "") }),
			"no MAC":            good(func(h http.Header) { h.Set("Webhook-Signature", "v1,") }),
			"another version":   good(func(h http.Header) { h.Set("Webhook-Signature", "v2"+h.Get("Webhook-Signature")[2:]) }),
			"doubled signature": good(func(h http.Header) { h.Add("Webhook-Signature", h.Get("Webhook-Signature")) }),
			"missing ID":        good(func(h http.Header) { delete(h, "Webhook-Id") }),
			"another ID":        good(func(h http.Header) { h.Set("Webhook-Id", "6a7c1b0f") }),
			"doubled ID":        good(func(h http.Header) { h.Add("Webhook-Id", h.Get("Webhook-Id")) }),
			"missing timestamp": good(func(h http.Header) { delete(h, "Webhook-Timestamp") }),
			"another timestamp": good(func(h http.Header) { h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix()+1, 10)) }),
			"doubled timestamp": good(func(h http.Header) { h.Add("Webhook-Timestamp", h.Get("Webhook-Timestamp")) }),
			"parts moved": good(func(h http.Header) {
				h.Set("Webhook-Id", h.Get("Webhook-Id")+"."+h.Get("Webhook-Timestamp"))
			}),
			"said to be inside": {"X-Gitlab-Token": {webhookSecret}, "X-Forwarded-For": {"127.0.0.1"}},
		} {
			f.post(name, header, body)
		}
		f.leftNoTrace()
		w.gitlab.SignWebhooks(signingToken)
		if answer := ask(t, l.url+"/gitlab/webhook", sealedBy(signingToken, now, body), body); !strings.HasPrefix(answer, "200\n") {
			t.Errorf("the right one was answered %s", answer)
		}
		w.card(w.alice)
	})
}

// Nobody is believed who says on whose behalf he calls.
func TestForwardedForChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.start()
	liar := http.Header{}
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Forwarded-Host", "X-Original-Url", "X-Rewrite-Url", "Via"} {
		liar.Set(name, "203.0.113.77")
	}
	liar.Set("Forwarded", "for=203.0.113.77;host=203.0.113.77")
	liar.Set("X-Http-Method-Override", "GET")
	f := w.newRefusals(l, "/gitlab/webhook", refusedWebhook)
	f.post("a liar", liar, []byte("{}"))
	f.path, f.want = "/feishu/callback", refusedClick
	f.post("a liar", liar, []byte("{}"))
	w.eventually("the log says where both callers were", func() bool { return strings.Count(l.log.String(), "from=127.0.0.1:") == 2 })
	// And nothing else either.
	mr := w.open()
	header := liar.Clone()
	header.Set("X-Gitlab-Token", webhookSecret)
	if answer := ask(t, l.url+"/gitlab/webhook", header, w.gitlab.WebhookBody(project, mr.IID, "open")); !strings.HasPrefix(answer, "200\n") {
		t.Errorf("answered %s", answer)
	}
	click := w.pressed(w.alice, w.card(w.alice).ID, feishusim.ClickOptions{Button: "approve"})
	if answer := ask(t, l.url+"/feishu/callback", liar, click); !strings.HasPrefix(answer, "200\n") {
		t.Errorf("answered %s", answer)
	}
	w.eventually("it is merged", func() bool { return w.mr(mr.IID).State == "merged" })
	if strings.Contains(l.log.String(), "203.0.113.77") {
		t.Errorf("the log believes a header:\n%s", l.log)
	}
}
