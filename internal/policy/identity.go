package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Identity names a person, or a group, in the chat. Two identities that are
// equal name the same; two that differ may still be one person, which only the
// chat's directory can tell.
type Identity struct {
	Kind  Kind
	Value string // normalised: e-mail in lower case, mobile as + and digits
}

// Kind tells what an identity's value is.
type Kind string

// The kinds of identities.
const (
	KindEmail  Kind = "email"
	KindMobile Kind = "mobile"
	KindID     Kind = "id"    // the chat's own ID of a person
	KindGroup  Kind = "group" // the chat's own ID of a group; only cards go there
)

// String returns the identity as it may be written in a policy.
func (i Identity) String() string { return i.Value }

// ParseIdentity reads an e-mail address, a mobile number with its country code,
// or an ID of the chat: Feishu's open_id of a person begins with ou_, the chat_id
// of a group with oc_. The error names the value and what to write instead.
func ParseIdentity(s string) (Identity, error) {
	var i Identity
	switch {
	case strings.ContainsRune(s, '@'): // no ID and no number has one
		i = Identity{KindEmail, strings.ToLower(s)}
		if !validEmail(i.Value) {
			return Identity{}, fmt.Errorf("%s is not a plain e-mail address; write it as alice@example.com", quote(s))
		}
	case strings.HasPrefix(s, "+"):
		i = Identity{KindMobile, "+" + mobileDigits(s[1:])}
		if !validMobile(i.Value) {
			return Identity{}, fmt.Errorf("%s is not a mobile number; write + and the country code, as in +8613800138000", quote(s))
		}
	case strings.HasPrefix(s, "ou_"):
		i = Identity{KindID, s}
	case strings.HasPrefix(s, "oc_"):
		i = Identity{KindGroup, s}
	case allDigits(s):
		return Identity{}, fmt.Errorf("%s lacks its country code; write a mobile number as in +8613800138000", quote(s))
	default:
		return Identity{}, fmt.Errorf("%s is no identity; write an e-mail address, a mobile number (+86…) or the chat's own ID (ou_…, of a group oc_…)", quote(s))
	}
	if (i.Kind == KindID || i.Kind == KindGroup) && !validID(s) {
		return Identity{}, fmt.Errorf("%s is not an ID of the chat; copy it whole, letters and digits after the prefix", quote(s))
	}
	return i, nil
}

// validEmail accepts the addresses that people have, not all that RFC 5322 can
// express: no quoting, no comments, no display name. Whatever is refused here
// could carry markup into a card.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || local == "" || domain == "" || !utf8.ValidString(s) {
		return false
	}
	for _, c := range local {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`|~.", c) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" {
			return false
		}
		for _, c := range label {
			if !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

// mobileDigits leaves out what people put between the digits.
func mobileDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(" -.()", c) {
			return -1
		}
		return c
	}, s)
}

// validMobile checks + and 7 to 15 digits, none of them a leading zero (E.164).
func validMobile(s string) bool {
	digits := s[1:]
	return allDigits(digits) && digits[0] != '0' && len(digits) >= 7 && len(digits) <= 15
}

func validID(s string) bool {
	rest := s[len("ou_"):]
	if rest == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(rest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// quote returns a value for an error: on one line, and not endlessly long.
func quote(s string) string {
	const longest = 60
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
