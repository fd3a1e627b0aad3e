package gitlab

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// minKey is the shortest key that Standard Webhooks allows, in bytes
	// (standardwebhooks.com, "Signature scheme": 24 to 64). GitLab makes 32
	// (gitlab-org/gitlab!231325).
	minKey = 24
	// tolerance is how far the sender's clock may be off, and for how long a
	// delivery can be repeated by whoever recorded one. A repetition only says
	// "look" once more.
	tolerance = 5 * time.Minute
	// maxID bounds webhook-id, which GitLab makes of a UUID.
	maxID = 200
)

// signing holds the keys of which any may have signed a delivery, as Standard
// Webhooks says and GitLab does (gitlab-org/gitlab!230944): an HMAC-SHA256 over
// "{webhook-id}.{webhook-timestamp}.{body}".
//
// The library (v0.0.1) computes and compares, in constant time. What stands
// around it here is what it lets pass: empty and short keys, tokens without the
// prefix or with line breaks in them, headers that stand twice (it takes the
// first), timestamps as "+7" and "007", signatures with something behind them.
// It also wants the whole body before it looks at the timestamp, and copies it
// three times; see largeAtOnce.
type signing []*standardwebhooks.Webhook

// newSigning reads signing tokens: "whsec_" and base64. An empty one is an
// error too: passed over, it could be the last one, and nothing be asked for.
func newSigning(tokens []string) (signing, error) {
	var s signing
	for i, token := range tokens {
		encoded, ok := strings.CutPrefix(token, "whsec_")
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(key) < minKey || strings.ContainsAny(encoded, "\r\n") {
			return nil, fmt.Errorf("gitlab_signing_token: value %d of %d is not whsec_ and the base64 of at least %d bytes; copy it from GitLab, which shows it once, when it is made",
				i+1, len(tokens), minKey)
		}
		w, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return nil, fmt.Errorf("gitlab_signing_token: value %d of %d: %w", i+1, len(tokens), err)
		}
		s = append(s, w)
	}
	return s, nil
}

// signed says whether one of the keys signed the body. seal is from readSeal.
func (s signing) signed(body []byte, seal http.Header) bool {
	return slices.ContainsFunc(s, func(w *standardwebhooks.Webhook) bool {
		return w.VerifyIgnoringTimestamp(body, seal) == nil // readSeal has looked at the time
	})
}

// readSeal takes from a delivery's headers what is needed to check its
// signature, in the one form that it has, or says why that need not be tried.
func readSeal(header http.Header, now time.Time) (seal http.Header, why string) {
	var value [3]string
	for i, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		all := header.Values(name)
		switch {
		case len(all) > 1: // of those, somebody in between may have added one
			return nil, name + " stands there twice"
		case len(all) == 0 || all[0] == "":
			return nil, name + " is missing: has the webhook a signing token in GitLab?"
		}
		value[i] = all[0]
	}
	id, at := value[0], value[1]
	if len(id) > maxID || strings.Contains(id, ".") { // a dot is what ends it in the signed text
		return nil, "webhook-id is malformed"
	}
	seconds, ok := parseID(at)
	if !ok || len(at) > 12 { // farther than that, arithmetic with times wraps round
		return nil, "webhook-timestamp is malformed"
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return nil, fmt.Sprintf("webhook-timestamp is more than %s off: is this machine's clock right?", tolerance)
	}
	var signatures []string
	for s := range strings.SplitSeq(value[2], " ") {
		// v1a, an asymmetric one, and versions to come are passed over.
		encoded, ok := strings.CutPrefix(s, "v1,")
		if mac, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && len(mac) == 32 && len(encoded) == 44 {
			signatures = append(signatures, s)
		}
	}
	if signatures == nil {
		return nil, "webhook-signature holds no signature of version v1"
	}
	seal = http.Header{}
	seal.Set(standardwebhooks.HeaderWebhookID, id)
	seal.Set(standardwebhooks.HeaderWebhookTimestamp, at)
	seal.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return seal, ""
}

// parseID reads a positive number as GitLab writes them: digits, and nothing else.
func parseID(text string) (int64, bool) {
	if text == "" || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
