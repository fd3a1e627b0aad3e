package feishu_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/feishusim"
	"mrgate/internal/gate"
)

// sign gives the headers of a signed callback.
func sign(newHash func() hash.Hash, secret, timestamp, nonce, body string) http.Header {
	h := newHash()
	_, _ = h.Write([]byte(timestamp + nonce + secret + body))
	return http.Header{
		"X-Lark-Request-Timestamp": {timestamp}, "X-Lark-Request-Nonce": {nonce},
		"X-Lark-Signature": {hex.EncodeToString(h.Sum(nil))},
	}
}

func signed(newHash func() hash.Hash, secret string, at time.Time, body string) http.Header {
	return sign(newHash, secret, fmt.Sprint(at.Unix()), "533226633", body)
}

// sealed encrypts a body as Feishu does, with an IV of its own.
func sealed(key, body string) string {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	padding := aes.BlockSize - len(body)%aes.BlockSize
	out := append([]byte("0123456789abcdef"+body), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return `{"encrypt":"` + base64.StdEncoding.EncodeToString(out) + `"}`
}

// oldBody is the body of a good old-style click.
func oldBody() string {
	return `{"open_id":"ou_alice","user_id":"e1","tenant_key":"tenant1","token":"c-1","open_message_id":"om_1",` +
		`"action":{"tag":"button","value":{"k":"k1","a":"approve","v":1}}}`
}

// TestWhatIsAccepted is the table of modes and bodies. The bodies are pressed on the
// simulator where it can make them.
func TestWhatIsAccepted(t *testing.T) {
	type cfg = feishu.CallbackConfig
	tokens, keys := []string{verificationToken}, []string{encryptKey}
	modes := []struct {
		name string
		cfg  cfg
	}{
		{"T ", cfg{VerificationTokens: tokens}},
		{"TO", cfg{VerificationTokens: tokens, OldCallbacks: true}},
		{"K ", cfg{VerificationTokens: tokens, EncryptKeys: keys}},
		{"KO", cfg{VerificationTokens: tokens, EncryptKeys: keys, OldCallbacks: true}},
		{"k ", cfg{EncryptKeys: keys}}, // no token
		{"kO", cfg{EncryptKeys: keys, OldCallbacks: true}},
		{"e ", cfg{VerificationTokens: tokens, EncryptKeys: []string{""}}},
		{"n ", cfg{VerificationTokens: []string{""}, OldCallbacks: true}},
	}
	const (
		nowhere   = ""
		anyToken  = "T TOK KOe "
		plainNew  = "T TO"
		sealedNew = "K KOk kO"
		plainOld  = "T TOKO"
	)
	press := func(c feishusim.ClickOptions) func(*testing.T, *listener) (int, string) {
		return func(t *testing.T, l *listener) (int, string) {
			t.Helper()
			message, alice := l.card(t)
			c := c
			c.Button = "approve"
			if !c.At.IsZero() { // a distance from the clock
				c.At = l.clock.Now().Add(c.At.Sub(time.Unix(0, 0)))
			}
			answer, err := l.Click(t.Context(), l.url, message, alice, c)
			var client *feishusim.ClientError
			if err != nil && !errors.As(err, &client) {
				t.Fatal(err)
			}
			return answer.Status, answer.Body
		}
	}
	post := func(make func(l *listener) (http.Header, string)) func(*testing.T, *listener) (int, string) {
		return func(t *testing.T, l *listener) (int, string) {
			t.Helper()
			header, body := make(l)
			return l.postWith(t, header, body)
		}
	}
	challenge := func(c feishusim.ChallengeOptions) func(*testing.T, *listener) (int, string) {
		return func(t *testing.T, l *listener) (int, string) {
			t.Helper()
			if err := l.Challenge(t.Context(), l.url, c); err != nil {
				return http.StatusUnauthorized, refusal
			}
			return http.StatusOK, ""
		}
	}
	type options = feishusim.ClickOptions
	off := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }
	header := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	without := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }
	instead := func(body string) func([]byte) []byte { return func([]byte) []byte { return []byte(body) } }
	add := func(s string) func([]byte) []byte { return func(b []byte) []byte { return append(b, s...) } }
	change := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	inHeader := func(name, value string) func(map[string]any) {
		return func(body map[string]any) { body["header"].(map[string]any)[name] = value }
	}
	inOperator := func(name, value string) func(map[string]any) {
		return func(body map[string]any) {
			body["event"].(map[string]any)["operator"].(map[string]any)[name] = value
		}
	}
	const k, old = encryptKey, feishusim.OldStyle
	wrongToken := func(_, header, _ map[string]any) { header["token"] = "x" }

	for _, body := range []struct {
		name string
		send func(*testing.T, *listener) (int, string)
		in   string // the modes that let it in
	}{
		{"challenge", challenge(feishusim.ChallengeOptions{}), anyToken},
		{"challenge, wrong token", challenge(feishusim.ChallengeOptions{Token: "x"}), nowhere},
		{"challenge, encrypted", challenge(feishusim.ChallengeOptions{Key: k}), "K KO"},
		{"challenge, encrypted, wrong token", challenge(feishusim.ChallengeOptions{Key: k, Token: "x"}), nowhere},
		{"challenge, encrypted with another key", challenge(feishusim.ChallengeOptions{Key: "other"}), nowhere},
		{"challenge, bytes after", challenge(feishusim.ChallengeOptions{MutateRaw: add("x")}), nowhere},
		{"challenge, encrypted, bytes after", challenge(feishusim.ChallengeOptions{Key: k, MutateRaw: add("x")}), nowhere},
		{"challenge, encrypted and signed", press(options{Key: k, MutateRaw: instead(`{"challenge":"c","token":"` + verificationToken + `","type":"url_verification"}`)}), "K KO"},

		{"new, plain", press(options{}), plainNew},
		{"new, plain, wrong token", press(options{Mutate: inHeader("token", "x")}), nowhere},
		{"new, plain, signed with the encrypt key", press(options{Key: k, Plain: true}), plainNew},
		{"new, plain, signed in the old style", press(options{Style: old, MutateRaw: instead(clickBody(nil))}), plainNew},
		{"new, plain, wrong token, signed in the old style", press(options{Style: old, MutateRaw: instead(clickBody(wrongToken))}), nowhere},
		{"new, plain, another app", press(options{Mutate: inHeader("app_id", "cli_b")}), nowhere},

		{"encrypted", press(options{Key: k}), sealedNew},
		{"encrypted, unsigned", press(options{Key: k, Header: without("X-Lark-Signature")}), nowhere},
		{"encrypted, no timestamp", press(options{Key: k, Header: without("X-Lark-Request-Timestamp")}), nowhere},
		{"encrypted, no nonce", press(options{Key: k, Header: without("X-Lark-Request-Nonce")}), nowhere},
		{"encrypted, wrong signature", press(options{Key: k, Header: header("X-Lark-Signature", strings.Repeat("0", 64))}), nowhere},
		{"encrypted, more after the signature", press(options{Key: k, Header: func(h http.Header) { h.Set("X-Lark-Signature", h.Get("X-Lark-Signature")+"x") }}), nowhere},
		{"encrypted, two signatures", press(options{Key: k, Header: func(h http.Header) { h.Add("X-Lark-Signature", h.Get("X-Lark-Signature")) }}), nowhere},
		{"encrypted, other nonce", press(options{Key: k, Header: header("X-Lark-Request-Nonce", "1")}), nowhere},
		{"encrypted, five minutes old", press(options{Key: k, At: off(-5*time.Minute + time.Second)}), sealedNew},
		{"encrypted, stale", press(options{Key: k, At: off(-5*time.Minute - time.Second)}), nowhere},
		{"encrypted, five minutes ahead", press(options{Key: k, At: off(5 * time.Minute)}), sealedNew},
		{"encrypted, from the future", press(options{Key: k, At: off(5*time.Minute + 2*time.Second)}), nowhere},
		{"encrypted, another key", press(options{Key: "other"}), nowhere},
		{"encrypted, the verification token as key", press(options{Key: verificationToken}), nowhere},
		{"encrypted, another app", press(options{Key: k, Mutate: inHeader("app_id", "cli_b")}), nowhere},
		{"encrypted, another tenant", press(options{Key: k, Mutate: inOperator("tenant_key", "t2")}), nowhere},
		{"encrypted, no open_id", press(options{Key: k, Mutate: inOperator("open_id", "")}), nowhere},
		{"encrypted, wrong token", press(options{Key: k, Mutate: inHeader("token", "x")}), "k kO"}, // none to compare with
		{"encrypted, old-style", press(options{Key: k, MutateRaw: instead(oldBody())}), nowhere},
		{"encrypted, bytes after, inside", press(options{Key: k, MutateRaw: add("x")}), nowhere},
		{"encrypted, bytes after", press(options{Key: k, MutateSigned: add("x")}), nowhere},
		{"encrypted, space after", press(options{Key: k, MutateSigned: add(" ")}), nowhere}, // it is not what was signed
		{"encrypted, a doubled name inside", press(options{Key: k, MutateRaw: change(`"open_id"`, `"open_id":"ou_b","open_id"`)}), nowhere},
		{"encrypted, a name in another case inside", press(options{Key: k, MutateRaw: change(`"open_id"`, `"Open_id"`)}), nowhere},
		{"encrypted, twice", press(options{Key: k, MutateRaw: instead(sealed(k, clickBody(nil)))}), nowhere},
		{"encrypted, signed in the old style", press(options{Style: old, MutateRaw: instead(sealed(k, clickBody(nil)))}), nowhere},
		{"encrypted, signed with another key", post(func(l *listener) (http.Header, string) {
			body := sealed(k, clickBody(nil))
			return signed(sha256.New, "other", l.clock.Now(), body), body
		}), nowhere},
		{"signed, encrypted with another key", post(func(l *listener) (http.Header, string) {
			body := sealed("other", clickBody(nil))
			return signed(sha256.New, k, l.clock.Now(), body), body
		}), nowhere},
		{"signed, doubled name", post(func(l *listener) (http.Header, string) {
			body := strings.Replace(sealed(k, clickBody(nil)), "{", `{"encrypt":"",`, 1)
			return signed(sha256.New, k, l.clock.Now(), body), body
		}), nowhere},
		{"signed, nothing encrypted", post(func(l *listener) (http.Header, string) {
			body := `{"encrypt":7}`
			return signed(sha256.New, k, l.clock.Now(), body), body
		}), nowhere},

		{"old", press(options{Style: old}), plainOld},
		{"old, with its type", press(options{Style: old, Mutate: func(body map[string]any) { body["type"] = "card.action.trigger_v1" }}), plainOld},
		{"old, another type", press(options{Style: old, Mutate: func(body map[string]any) { body["type"] = "event_callback" }}), nowhere},
		{"old, unsigned", press(options{Style: old, Header: without("X-Lark-Signature")}), nowhere},
		{"old, no timestamp", press(options{Style: old, Header: without("X-Lark-Request-Timestamp")}), nowhere},
		{"old, no nonce", press(options{Style: old, Header: without("X-Lark-Request-Nonce")}), nowhere},
		{"old, without a refresh token", press(options{Style: old, Header: without("X-Refresh-Token")}), plainOld},
		{"old, another token", press(options{Style: old, Key: "other"}), nowhere},
		{"old, signed with the encrypt key", press(options{Style: old, Key: k}), nowhere},
		{"old, signed in the new style", press(options{Key: k, Plain: true, MutateRaw: instead(oldBody())}), nowhere},
		{"old, stale", press(options{Style: old, At: off(-5*time.Minute - time.Second)}), nowhere},
		{"old, from the future", press(options{Style: old, At: off(5*time.Minute + 2*time.Second)}), nowhere},
		{"old, changed", press(options{Style: old, MutateSigned: change("approve", "reject")}), nowhere},
		{"old, bytes after, signed", press(options{Style: old, MutateRaw: add("x")}), nowhere},
		{"old, a second value, signed", press(options{Style: old, MutateRaw: add("{}")}), nowhere},
		{"old, a doubled name, signed", press(options{Style: old, MutateRaw: change(`"open_id"`, `"open_id":"ou_b","open_id"`)}), nowhere},
		{"old, doubled but for case, signed", press(options{Style: old, MutateRaw: change(`"open_id"`, `"Open_Id":"ou_b","open_id"`)}), nowhere},
		{"old, a name in another case, signed", press(options{Style: old, MutateRaw: change(`"open_id"`, `"Open_id"`)}), nowhere},
		{"old, no open_id", press(options{Style: old, Mutate: func(body map[string]any) { delete(body, "open_id") }}), nowhere},
		{"old, open_id is a number", press(options{Style: old, Mutate: func(body map[string]any) { body["open_id"] = 7 }}), nowhere},
		{"old, of nothing, signed", press(options{Style: old, MutateRaw: instead("{}")}), nowhere},
		{"old, a nonce with a quote", post(func(l *listener) (http.Header, string) {
			return sign(sha1.New, verificationToken, fmt.Sprint(l.clock.Now().Unix()), `1"`, oldBody()), oldBody()
		}), nowhere},
	} {
		t.Run(body.name, func(t *testing.T) {
			ways := map[string]string{"new": "new-style callback", "encrypted": "encrypted callback", "old": "old-style callback"}
			for _, mode := range modes {
				l := newListenerWith(t, mode.cfg)
				status, answer := body.send(t, l)
				isChallenge := strings.HasPrefix(body.name, "challenge")
				if letIn(mode.name, body.in) {
					if status != http.StatusOK || !isChallenge && len(l.clicks) != 1 {
						t.Errorf("mode %s: HTTP %d %s, %d clicks; log: %s", mode.name, status, answer, len(l.clicks), l.log)
					} else if kind, _, _ := strings.Cut(body.name, ","); !isChallenge && l.clicks[0].Way != ways[kind] {
						t.Errorf("mode %s: the way in is told as %q", mode.name, l.clicks[0].Way)
					}
				} else if status != http.StatusUnauthorized || answer != refusal || len(l.clicks) > 0 {
					t.Errorf("mode %s: not refused as everybody is: HTTP %d %s, %d clicks", mode.name, status, answer, len(l.clicks))
				}
			}
		})
	}
}

// letIn: modes are two letters each.
func letIn(mode, modes string) bool {
	for pair := range slices.Chunk([]byte(modes), 2) {
		if string(pair) == mode {
			return true
		}
	}
	return false
}

func TestSecretsAreRotated(t *testing.T) {
	l := newListenerWith(t, feishu.CallbackConfig{
		VerificationTokens: []string{verificationToken, "token 2"}, EncryptKeys: []string{"key 1", "", "key 2"}, OldCallbacks: true,
	})
	message, alice := l.card(t)
	for _, token := range []string{verificationToken, "token 2", "token 3"} {
		for _, key := range []string{"key 1", "key 2", "key 3"} {
			in := token != "token 3" && key != "key 3"
			_, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{
				Button: "approve", Key: key, Mutate: func(body map[string]any) { body["header"].(map[string]any)["token"] = token },
			})
			if in != (err == nil) {
				t.Errorf("%s, %s: %v", token, key, err)
			}
			if err := l.Challenge(t.Context(), l.url, feishusim.ChallengeOptions{Token: token, Key: key}); in != (err == nil) {
				t.Errorf("challenge, %s, %s: %v", token, key, err)
			}
		}
		_, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{Button: "approve", Style: feishusim.OldStyle, Key: token})
		if (token != "token 3") != (err == nil) {
			t.Errorf("old, %s: %v", token, err)
		}
	}
	// The key that signed it has to be the one that encrypted it.
	body := sealed("key 1", clickBody(nil))
	if status, _ := l.postWith(t, signed(sha256.New, "key 2", l.clock.Now(), body), body); status != http.StatusUnauthorized {
		t.Errorf("mixed: HTTP %d", status)
	}
}

// TestOldStyleAnswer: the card stands at the top, and the toast in it.
func TestOldStyleAnswer(t *testing.T) {
	l := newListener(t)
	message, alice := l.card(t)
	click := func() feishusim.Answer {
		t.Helper()
		answer, err := l.Click(t.Context(), l.url, message, alice, feishusim.ClickOptions{
			Button: "approve", Style: feishusim.OldStyle, Form: map[string]string{"reason": "good"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	l.answer = func(gate.Click) gate.Answer { return gate.Answer{} }
	if answer := click(); answer.Body != "{}" {
		t.Errorf("nothing to say: %s", answer.Body)
	}
	l.answer = func(gate.Click) gate.Answer { panic("a bug") }
	if answer := click(); answer.Toast == nil || answer.Toast.Type != "error" || answer.Card != "" {
		t.Errorf("a panic: %s", answer.Body)
	}
	l.answer = func(c gate.Click) gate.Answer {
		card := gate.Card{Key: c.Key, Tone: gate.ToneTurquoise, Title: "Approved, merging"}
		return gate.Answer{Kind: gate.AnswerOK, Text: "Approved", Card: &card}
	}
	if answer := click(); answer.Toast == nil || answer.Toast.Content != "Approved" || !strings.Contains(answer.Card, "Approved, merging") {
		t.Errorf("answer %s", answer.Body)
	}
	if m := l.Messages()[0]; len(m.History) != 2 {
		t.Errorf("%d versions", len(m.History))
	}
	c := l.clicks[0]
	if c.Key != aCard("k1").Key || c.Action != gate.ActionApprove || c.By.ID != alice || c.Text != "good" || c.Ref == nil || c.Ref.Data != message {
		t.Errorf("click %+v", c)
	}
}

// TestTimestampAsGoPrintsIt: such were seen on clicks.
func TestTimestampAsGoPrintsIt(t *testing.T) {
	l := newListenerWith(t, feishu.CallbackConfig{EncryptKeys: []string{encryptKey}})
	body := sealed(encryptKey, clickBody(nil))
	china := time.FixedZone("CST", 8*60*60)
	for stamp, fresh := range map[string]bool{
		l.clock.Now().Round(0).In(china).String():               true,
		l.clock.Now().In(china).String() + " m=+3612.1":         true,
		l.clock.Now().Truncate(time.Second).UTC().String():      true,
		l.clock.Now().Add(-6 * time.Minute).In(china).String():  false,
		l.clock.Now().Add(6 * time.Minute).In(china).String():   false,
		l.clock.Now().In(china).Format("2006-01-02 15:04:05"):   false,
		l.clock.Now().Format(time.RFC3339):                      false,
		fmt.Sprint(l.clock.Now().UnixMilli()):                   false,
		"+" + fmt.Sprint(l.clock.Now().Unix())[1:]:              false,
		"0" + fmt.Sprint(l.clock.Now().Unix()):                  false,
		fmt.Sprint(l.clock.Now().Unix()) + " ":                  false,
		l.clock.Now().UTC().String() + strings.Repeat("x", 100): false,
		"": false,
	} {
		status, _ := l.postWith(t, sign(sha256.New, encryptKey, stamp, "533226633", body), body)
		if fresh != (status == http.StatusOK) {
			t.Errorf("%q: HTTP %d", stamp, status)
		}
	}
}

// TestNothingMovesBetweenTheParts: timestamp and nonce stand side by side in what is
// signed, so that their border can be moved. That makes no stale request fresh.
func TestNothingMovesBetweenTheParts(t *testing.T) {
	l := newListener(t)
	body := oldBody()
	now := l.clock.Now()
	china := time.FixedZone("CST", 8*60*60)
	for _, stale := range [][2]string{
		{fmt.Sprint(now.Add(-time.Hour).Unix()), "533226633"},
		{fmt.Sprint(now.Add(-time.Hour).Unix()), fmt.Sprint(now.Unix())},
		{now.Add(-time.Hour).In(china).String() + " m=+3612.1", "533226633"},
		{now.Add(-time.Hour).UTC().String(), fmt.Sprint(now.Unix())},
	} {
		header := sign(sha1.New, verificationToken, stale[0], stale[1], body)
		joined := stale[0] + stale[1]
		for i := range len(joined) + 1 {
			header.Set("X-Lark-Request-Timestamp", joined[:i])
			header.Set("X-Lark-Request-Nonce", joined[i:])
			if status, _ := l.postWith(t, header, body); status != http.StatusUnauthorized {
				t.Errorf("let in with %q and %q", joined[:i], joined[i:])
			}
		}
	}
}

// TestLengthExtension forges as a real attacker would: without the secret, but with
// one signed request, he continues the hash behind what was signed.
func TestLengthExtension(t *testing.T) {
	for name, c := range map[string]struct {
		newHash func() hash.Hash
		magic   string // of the state as Go writes it
		secret  string
		body    string
		cfg     feishu.CallbackConfig
	}{
		"SHA-1": {sha1.New, "sha\x01", verificationToken, oldBody(), feishu.CallbackConfig{VerificationTokens: []string{verificationToken}}},
		"SHA-256": {sha256.New, "sha\x03", encryptKey, sealed(encryptKey, clickBody(nil)), feishu.CallbackConfig{
			VerificationTokens: []string{verificationToken}, EncryptKeys: []string{encryptKey},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newListenerWith(t, c.cfg)
			header := signed(c.newHash, c.secret, l.clock.Now(), c.body)
			if status, _ := l.postWith(t, header, c.body); status != http.StatusOK || len(l.clicks) != 1 {
				t.Fatalf("the real one: HTTP %d", status)
			}
			timestamp, nonce := header.Get("X-Lark-Request-Timestamp"), header.Get("X-Lark-Request-Nonce")
			known, err := hex.DecodeString(header.Get("X-Lark-Signature"))
			if err != nil {
				t.Fatal(err)
			}
			for _, suffix := range []string{"", " ", "\n", c.body, `,"open_id":"ou_boss"}`, `"}`} {
				length := len(timestamp) + len(nonce) + len(c.secret) + len(c.body) // an attacker tries all lengths of the secret
				glue := append([]byte{0x80}, make([]byte, (119-length%64)%64)...)
				glue = binary.BigEndian.AppendUint64(glue, uint64(length)*8)
				h := c.newHash()
				state := append([]byte(c.magic), known...)
				state = append(state, make([]byte, 64)...)
				state = binary.BigEndian.AppendUint64(state, uint64(length+len(glue)))
				if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
					t.Fatal(err)
				}
				_, _ = h.Write([]byte(suffix))
				forged := c.body + string(glue) + suffix

				header := header.Clone()
				header.Set("X-Lark-Signature", hex.EncodeToString(h.Sum(nil)))
				if real := signed(c.newHash, c.secret, l.clock.Now(), forged); real.Get("X-Lark-Signature") != header.Get("X-Lark-Signature") {
					t.Fatal("the attack does not work, so that this test shows nothing")
				}
				if status, answer := l.postWith(t, header, forged); status != http.StatusUnauthorized || answer != refusal || len(l.clicks) != 1 {
					t.Errorf("suffix %q: HTTP %d %s, %d clicks", suffix, status, answer, len(l.clicks))
				}
			}
		})
	}
}
