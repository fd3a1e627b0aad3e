package gitlab_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"mrgate/internal/gitlab"
)

const (
	signingToken = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	otherToken   = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="
)

// sign is the signature as the specification has it, without the library.
func sign(token, id string, at time.Time, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signed makes a delivery signed with token out of a request for body.
func signed(token string, at time.Time, body []byte) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("X-Gitlab-Token")
		r.Header.Set("Webhook-Id", "6a7c1b0e")
		r.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		r.Header.Set("Webhook-Signature", sign(token, "6a7c1b0e", at, body))
	}
}

func onlySigned(c *gitlab.WebhookConfig) {
	c.Secrets, c.SigningTokens = nil, []string{otherToken, signingToken}
}

func TestSigningTokensAreChecked(t *testing.T) {
	key := strings.Repeat("k", 24)
	for name, tokens := range map[string][]string{
		"empty":            {""},
		"one of two empty": {signingToken, ""},
		"no key":           {"whsec_"},
		"no prefix":        {strings.TrimPrefix(signingToken, "whsec_")},
		"other case":       {strings.Replace(signingToken, "whsec_", "WHSEC_", 1)},
		"a secret":         {"whsec_my secret of old"},
		"too short":        {"whsec_" + base64.StdEncoding.EncodeToString([]byte(key[:23]))},
		"line break":       {signingToken[:20] + "\n" + signingToken[20:]},
		"line behind":      {signingToken + "\n"},
		"blank behind":     {signingToken + " "},
		"cut":              {strings.TrimRight(signingToken, "=")},
		"URL alphabet":     {"whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32))},
		"two in one":       {signingToken + "\n" + otherToken},
	} {
		h, err := gitlab.Webhook(gitlab.WebhookConfig{Secrets: []string{hookSecret}, SigningTokens: tokens})
		if err == nil || h != nil || !strings.HasPrefix(err.Error(), "gitlab_signing_token: value ") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, token := range tokens {
			if len(token) > 6 && strings.Contains(err.Error(), token[6:]) {
				t.Errorf("%s: the error shows it: %v", name, err)
			}
		}
	}
	if _, err := gitlab.Webhook(gitlab.WebhookConfig{SigningTokens: []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte(key))}}); err != nil {
		t.Error(err)
	}
}

// The example of the specification and of its libraries.
func TestSignatureOfTheSpecification(t *testing.T) {
	h := newHook(func(c *gitlab.WebhookConfig) {
		c.Secrets, c.SigningTokens = nil, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
		c.Now = func() time.Time { return time.Unix(1614265330, 0) }
	})
	code, answer := h.post([]byte(`{"test": 2432232314}`), func(r *http.Request) {
		r.Header.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
		r.Header.Set("Webhook-Timestamp", "1614265330")
		r.Header.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	})
	if code != http.StatusOK || !strings.Contains(answer["ignored"], "object_kind") {
		t.Errorf("%d, %v", code, answer)
	}
}

func TestSignedWebhookIsTaken(t *testing.T) {
	body := fixture(t, "merge_request_open")
	now := time.Now()
	wrong := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, change := range map[string]func(*http.Request){
		"as it is":      func(*http.Request) {},
		"the other key": signed(otherToken, now, body),
		"almost stale":  signed(signingToken, now.Add(-4*time.Minute), body),
		"almost early":  signed(signingToken, now.Add(4*time.Minute), body),
		"many signatures": func(r *http.Request) {
			all := append([]string{"v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==", "v2,x", "", "v1"},
				strings.Fields(strings.Repeat(wrong+" ", 100))...)
			r.Header.Set("Webhook-Signature", strings.Join(append(all, r.Header.Get("Webhook-Signature"), wrong), " "))
		},
		"right X-Gitlab-Token":   func(r *http.Request) { r.Header.Set("X-Gitlab-Token", hookSecret) },
		"wrong X-Gitlab-Token":   func(r *http.Request) { r.Header.Set("X-Gitlab-Token", "x") },
		"doubled X-Gitlab-Token": func(r *http.Request) { r.Header["X-Gitlab-Token"] = []string{"x", "y"} },
		"length not said":        func(r *http.Request) { r.ContentLength = -1 },
	} {
		for both, use := range map[bool]func(*gitlab.WebhookConfig){false: onlySigned, true: func(c *gitlab.WebhookConfig) { c.SigningTokens = []string{signingToken, otherToken} }} {
			h := newHook(use)
			if code, answer := h.post(body, signed(signingToken, now, body), change); code != http.StatusOK || len(h.hints) != 1 {
				t.Errorf("%s, also with a secret: %v: %d, %v, %s", name, both, code, answer, &h.log)
			}
		}
	}
	// All that is authenticated is a 2xx, wanted or not.
	for _, junk := range [][]byte{nil, []byte("{}"), []byte("\xff"), fixture(t, "goscm-push")} {
		h := newHook(onlySigned)
		if code, answer := h.post(junk, signed(signingToken, now, junk)); code != http.StatusOK || answer["ignored"] == "" {
			t.Errorf("%.20q: %d, %v", junk, code, answer)
		}
	}
}

// Whoever holds no key always gets the same answer; and where the headers show
// it, before a byte of the body is read.
func TestSignedWebhookLetsNobodyIn(t *testing.T) {
	body := fixture(t, "merge_request_open")
	now := time.Now()
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	add := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add(name, value) }
	}
	del := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	at := func(d time.Duration) func(*http.Request) { return signed(signingToken, now.Add(d), body) }
	// text is a timestamp written in another way, and signed that way.
	text := func(stamp string) func(*http.Request) {
		return func(r *http.Request) {
			key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingToken, "whsec_"))
			mac := hmac.New(sha256.New, key)
			fmt.Fprintf(mac, "6a7c1b0e.%s.%s", stamp, body)
			r.Header.Set("Webhook-Timestamp", stamp)
			r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
	}
	seconds := strconv.FormatInt(now.Unix(), 10)
	right := sign(signingToken, "6a7c1b0e", now, body)
	both := func(c *gitlab.WebhookConfig) { c.SigningTokens = []string{signingToken} }

	unread := map[string]func(*http.Request){
		"unsigned": func(r *http.Request) {
			for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
				r.Header.Del(name)
			}
			r.Header.Set("X-Gitlab-Token", hookSecret)
		},
		"no id": del("Webhook-Id"), "no timestamp": del("Webhook-Timestamp"), "no signature": del("Webhook-Signature"),
		"empty id": set("Webhook-Id", ""), "empty timestamp": set("Webhook-Timestamp", ""), "empty signature": set("Webhook-Signature", ""),
		"id twice": add("Webhook-Id", "6a7c1b0e"), "timestamp twice": add("Webhook-Timestamp", seconds),
		"signature twice": add("Webhook-Signature", right), "two signatures": add("Webhook-Signature", "v1,x"),
		"id with a dot": set("Webhook-Id", "6a7c1b0e.1"), "endless id": set("Webhook-Id", strings.Repeat("6", 5000)),
		"stale": at(-302 * time.Second), "stale by a year": at(-365 * 24 * time.Hour), "early": at(302 * time.Second),
		"signed plus": text("+" + seconds), "signed zeros": text("0" + seconds), "signed fraction": text(seconds + ".0"), "signed blank": text(" " + seconds),
		"signed milliseconds": text(strconv.FormatInt(now.UnixMilli(), 10)), "signed date": text(now.Format(time.RFC3339)), "signed hex": text("0x" + strconv.FormatInt(now.Unix(), 16)),
		"signed negative": text("-" + seconds), "signed zero": text("0"), "beyond all time": text("9223372036854775807"), "beyond all numbers": text("9223372036854775808999"),
		"no version": set("Webhook-Signature", strings.TrimPrefix(right, "v1,")), "v1a": set("Webhook-Signature", strings.Replace(right, "v1,", "v1a,", 1)),
		"v2": set("Webhook-Signature", strings.Replace(right, "v1,", "v2,", 1)), "V1": set("Webhook-Signature", strings.Replace(right, "v1,", "V1,", 1)),
		"no MAC": set("Webhook-Signature", "v1,"), "only commas": set("Webhook-Signature", ",,,"), "only blanks": set("Webhook-Signature", "   "),
		"cut MAC": set("Webhook-Signature", right[:len(right)-5]), "something behind it": set("Webhook-Signature", right+",x"),
		"equals sign": set("Webhook-Signature", strings.Replace(right, "v1,", "v1=", 1)), "commas between": set("Webhook-Signature", "v1,x,"+right),
		"tabs between": set("Webhook-Signature", "v1,x\t"+right), "in hex": set("Webhook-Signature", "v1,"+strings.Repeat("0a", 32)),
		"said to be huge": func(r *http.Request) { r.ContentLength = 1 << 40 },
	}
	read := map[string]func(*http.Request){
		"another id": set("Webhook-Id", "6a7c1b0f"), "id in capitals": set("Webhook-Id", "6A7C1B0E"),
		"another second": set("Webhook-Timestamp", strconv.FormatInt(now.Unix()-1, 10)),
		"another key":    signed("whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32)), now, body),
		"of nothing":     signed(signingToken, now, nil),
		"of less":        signed(signingToken, now, body[:len(body)-1]),
		"of more":        signed(signingToken, now, append(bytes.Clone(body), '\n')),
		"of another":     signed(signingToken, now, bytes.Replace(body, []byte(`"iid": 7`), []byte(`"iid": 8`), 1)),
		"all zero":       set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))),
		"many wrong":     set("Webhook-Signature", strings.TrimSpace(strings.Repeat("v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" ", 200))),
		"broke off": func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)))
		},
		"huge, not said": func(r *http.Request) {
			long := append(bytes.Repeat([]byte(" "), 25<<20), body...)
			signed(signingToken, now, long)(r)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(long)), -1
		},
	}
	var first string
	try := func(name string, use, change func(*http.Request), h *hook) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		signed(signingToken, now, body)(r)
		use(r)
		change(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := fmt.Sprintf("%d %v %s", w.Code, w.Header(), w.Body)
		if first == "" {
			first = got
		}
		if w.Code != http.StatusUnauthorized || got != first || len(h.hints) > 0 {
			t.Errorf("%s: %s, %d looks", name, got, len(h.hints))
		}
		for _, private := range []string{signingToken, right, "6a7c1b0", seconds, hookSecret} {
			if strings.Contains(h.log.String(), private) {
				t.Errorf("%s: %q is in the log: %s", name, private, &h.log)
			}
		}
	}
	noBody := func(r *http.Request) { r.Body = io.NopCloser(untouched{t}) }
	for name, change := range unread {
		try(name, noBody, change, newHook(both))
	}
	for name, change := range read {
		try(name, func(*http.Request) {}, change, newHook(both))
	}
}

// untouched is a body that must not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// deadlines is a writer that notes the deadline of reading.
type deadlines struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.at = at
	return nil
}

func TestUnknownSenderHasLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := fixture(t, "merge_request_open")
		h := newHook(onlySigned)
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		signed(signingToken, time.Now(), body)(r)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, r)
		if left := time.Until(w.at); left != 10*time.Second || w.Code != http.StatusOK {
			t.Errorf("%v left, %d", left, w.Code)
		}
	})
}

// Many slow senders of large bodies: one is read, the others are told to
// come again, and what is small, as GitLab's real ones, passes all the time.
func TestManyLargeBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := fixture(t, "merge_request_open")
		large := append(bytes.Clone(body), bytes.Repeat([]byte(" "), 1<<20)...)
		h := newHook(onlySigned)
		var group sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		answered := func() string {
			mu.Lock()
			defer mu.Unlock()
			return fmt.Sprint(codes)
		}
		end := make(chan struct{})
		slow := func(after time.Duration) {
			group.Go(func() {
				time.Sleep(after)
				rest := io.MultiReader(bytes.NewReader(large[:900_000]), &held{end}, bytes.NewReader(large[900_000:]))
				r := httptest.NewRequest(http.MethodPost, "/", rest)
				signed(signingToken, time.Now(), large)(r)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		for range 50 {
			slow(0)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := answered(); got != "map[]" {
			t.Errorf("answered already: %s", got)
		}
		if code, _ := h.post(body, signed(signingToken, time.Now(), body)); code != http.StatusOK {
			t.Errorf("a small one: %d", code)
		}
		slow(0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := answered(); got != "map[503:49]" {
			t.Errorf("answered: %s", got)
		}
		close(end) // the first has sent all, and the one that still waits has its turn
		group.Wait()
		if got := answered(); got != "map[200:2 503:49]" || len(h.hints) != 3 {
			t.Errorf("answered in the end: %s, %d looks", got, len(h.hints))
		}
	})
}

// held is the part of a body that does not come until end.
type held struct{ end chan struct{} }

func (h *held) Read([]byte) (int, error) {
	<-h.end
	return 0, io.EOF
}

// Who goes away while waiting gives up the place.
func TestLargeBodyOfWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHook(onlySigned)
		large := bytes.Repeat([]byte(" "), 1<<20)
		var group sync.WaitGroup
		end := make(chan struct{})
		for range 1 {
			group.Go(func() {
				_, _ = h.post(nil, signed(signingToken, time.Now(), large), func(r *http.Request) {
					r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(large), &held{end}))
				})
			})
		}
		synctest.Wait()
		server := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(large))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		signed(signingToken, time.Now(), large)(server)
		begin := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, server.WithContext(ctx))
		if time.Since(begin) != 0 || w.Code != http.StatusServiceUnavailable {
			t.Errorf("%v, %d", time.Since(begin), w.Code)
		}
		close(end)
		group.Wait()
	})
}

// Anybody can be refused; nobody can fill the log.
func TestRefusalsAreCountedNotListed(t *testing.T) {
	for name, use := range map[string]func(*gitlab.WebhookConfig){"secret": func(*gitlab.WebhookConfig) {}, "signed": onlySigned} {
		clock := time.Now()
		h := newHook(use, func(c *gitlab.WebhookConfig) { c.Now = func() time.Time { return clock } })
		call := func() {
			_, _ = h.post([]byte("private words"), func(r *http.Request) {
				for _, header := range []string{"X-Gitlab-Token", "User-Agent", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp", "X-Gitlab-Event"} {
					r.Header.Set(header, "private words")
				}
				r.URL.Path = "/private words"
			})
		}
		for range 1000 {
			call()
		}
		if lines := strings.Count(h.log.String(), "\n"); lines != 1 || !strings.Contains(h.log.String(), "count=1 ") {
			t.Errorf("%s: %d lines: %s", name, lines, &h.log)
		}
		clock = clock.Add(time.Minute)
		for range 1000 {
			call()
		}
		if lines := strings.Count(h.log.String(), "\n"); lines != 2 || !strings.Contains(h.log.String(), "count=1000 ") {
			t.Errorf("%s: %d lines: %s", name, lines, &h.log)
		}
		if strings.Contains(h.log.String(), "private") {
			t.Errorf("%s: %s", name, &h.log)
		}
	}
}

// Nothing that is not signed is looked at, whatever stands in the headers.
func FuzzSignature(f *testing.F) {
	body := fixture(f, "merge_request_open")
	now := time.Unix(1_764_000_000, 0)
	right := sign(signingToken, "a", now, body)
	f.Add("a", "1764000000", right)
	f.Add("a.1764000000", "1764000000", right+" "+right)
	f.Add("a", "+1764000000", "v1,"+right)
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, id, at, signature string) {
		h := newHook(onlySigned, func(c *gitlab.WebhookConfig) { c.Now = func() time.Time { return now } })
		code, _ := h.post(body, func(r *http.Request) {
			r.Header.Set("Webhook-Id", id)
			r.Header.Set("Webhook-Timestamp", at)
			r.Header.Set("Webhook-Signature", signature)
		})
		good := id == "a" && at == "1764000000"
		if code == http.StatusOK && (!good || !strings.Contains(signature, right)) || code != http.StatusOK && (code != http.StatusUnauthorized || good && signature == right) {
			t.Errorf("%d for %q, %q, %q", code, id, at, signature)
		}
	})
}
