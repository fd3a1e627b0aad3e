package feishu

import (
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A signed callback bears hex(hash(timestamp + nonce + secret + body)):
//
//   - encrypted ones SHA-256 with the encrypt key, over the body as posted
//     (https://open.feishu.cn/document/event-subscription-guide/callback-subscription/receive-and-handle-callbacks);
//   - old-style ones SHA-1 with the verification token
//     (https://open.feishu.cn/document/ukTMukTMukTM/uYzMxEjL2MTMx4iNzETM).
//
// Neither is an HMAC, and nothing stands between the parts. So whoever has seen one
// request can do two things without knowing the secret, and neither may get him in:
//
//   - append to the body, behind the hash's padding (0x80, zeros, a length). That is
//     no longer one JSON value, which strictjson.Check wants.
//   - move bytes between timestamp and nonce. A timestamp's beginning tells its form,
//     and in each form the moment ends at a place that no neighbour can shift (see
//     signedAt), so a stale request stays as stale as it was. Between nonce and
//     body stands the secret: moving anything across it means knowing it.
//
// The same request again, within five minutes, is let in: Feishu itself repeats a
// click after trouble in the network (and has X-Refresh-Token to tell), and the
// second of two equal clicks changes nothing.

const (
	// freshness is how far a signed callback's time may be from ours.
	freshness = 5 * time.Minute
	// maxStamp is how long a timestamp may be; Go's longest is about 65.
	maxStamp = 100
	// maxNonce is how long a nonce may be. Seen were nine digits
	// (https://github.com/yrosukedev/lark_bot_demo, verify_sign_test.go).
	maxNonce = 64
)

// signer says which of the secrets has signed a callback; -1: none of them, or not
// now, and why.
func signer(header http.Header, body []byte, newHash func() hash.Hash, secrets []string, now time.Time) (which int, why string) {
	timestamp, nonce := single(header, "X-Lark-Request-Timestamp"), single(header, "X-Lark-Request-Nonce")
	given, err := hex.DecodeString(single(header, "X-Lark-Signature"))
	if err != nil {
		given = nil // and not what was read so far
	}
	which = -1
	for i, secret := range secrets {
		h := newHash()
		_, _ = io.WriteString(h, timestamp+nonce+secret)
		_, _ = h.Write(body)
		which = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(h.Sum(nil), given), i, which)
	}
	at, ok := signedAt(timestamp)
	switch age := now.Sub(at); {
	case which < 0:
		return -1, "without a right signature"
	case !ok:
		return -1, "signed at a time of an unknown form"
	case !plainNonce(nonce):
		return -1, "signed with a nonce of an unknown form"
	case age > freshness || age < -freshness:
		return -1, "signed more than five minutes ago, or ahead; is this machine's clock right?"
	}
	return which, ""
}

// single is a header's value; "": there is none, or several.
func single(header http.Header, name string) string {
	if values := header.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}

// signedAt reads a timestamp: ten digits of Unix seconds, which events have, or
// what Go prints, "2026-10-04 18:23:46.052290112 +0800 CST m=+3612.1", which was
// seen on new-style clicks (no page of Feishu's says either).
//
// Ten digits are ten digits (until 2286), so none can be lent to or taken from the
// nonce. Of Go's form only date, time and offset count, and those end at a space,
// which no nonce has.
func signedAt(timestamp string) (time.Time, bool) {
	if len(timestamp) == 10 && strings.Trim(timestamp, "0123456789") == "" {
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		return time.Unix(seconds, 0), err == nil
	}
	parts := strings.SplitN(timestamp, " ", 4)
	if len(parts) < 4 || len(timestamp) > maxStamp {
		return time.Time{}, false
	}
	at, err := time.Parse("2006-01-02 15:04:05 -0700", strings.Join(parts[:3], " "))
	return at, err == nil
}

// plainNonce wants digits, letters, or what UUIDs and base64 have beside them.
func plainNonce(nonce string) bool {
	return nonce != "" && len(nonce) <= maxNonce && strings.IndexFunc(nonce, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-_+/=", r)
	}) < 0
}
