package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mrgate/internal/policy"
)

// value is a field of Config that text can be read into. An error of set goes
// behind the quoted value, or, of a secret, behind the setting's name: "is not
// a duration; write it as …".
type value interface {
	// set reads the texts that were given, at least one; all but a list take
	// the last.
	set(texts []string) error
	// kind is the word for the value in a command's help.
	kind() string
}

func last(texts []string) string { return texts[len(texts)-1] }

// textValue is any text.
type textValue struct {
	to   *string
	word string
}

func (v textValue) kind() string { return v.word }
func (v textValue) set(texts []string) error {
	*v.to = last(texts)
	return nil
}

// boolValue is true or false.
type boolValue struct{ to *bool }

func (v boolValue) kind() string { return "bool" }
func (v boolValue) set(texts []string) error {
	b, err := strconv.ParseBool(last(texts))
	if err != nil {
		return errors.New("is neither true nor false; write one of them")
	}
	*v.to = b
	return nil
}

// numberValue is a whole number above zero.
type numberValue struct{ to *int64 }

func (v numberValue) kind() string { return "number" }
func (v numberValue) set(texts []string) error {
	n, err := strconv.ParseInt(last(texts), 10, 64)
	if err != nil || n < 1 {
		return errors.New("is not a number above 0; write it in digits, as in 7")
	}
	*v.to = n
	return nil
}

// countValue is a whole number, 0 for all.
type countValue struct{ to *int64 }

func (v countValue) kind() string { return "number" }
func (v countValue) set(texts []string) error {
	n, err := strconv.ParseInt(last(texts), 10, 32)
	if err != nil || n < 0 {
		return errors.New("is not a number; write it in digits, as in 50, or 0 for all")
	}
	*v.to = n
	return nil
}

// durationValue is a time span; least is the shortest but for 0.
type durationValue struct {
	to    *time.Duration
	least time.Duration
}

func (v durationValue) kind() string { return "duration" }
func (v durationValue) set(texts []string) error {
	d, err := policy.ParseDuration(last(texts))
	if err != nil {
		return err
	}
	if d != 0 && d < v.least {
		return fmt.Errorf("is less than %s; write %s or more", policy.FormatDuration(v.least), policy.FormatDuration(v.least))
	}
	*v.to = d
	return nil
}

// wordValue is one of a few words.
type wordValue struct {
	to    *string
	words []string
}

func (v wordValue) kind() string { return strings.Join(v.words, "|") }
func (v wordValue) set(texts []string) error {
	if !slices.Contains(v.words, last(texts)) {
		return fmt.Errorf("is unknown; write %s", strings.Join(v.words, " or "))
	}
	*v.to = last(texts)
	return nil
}

// addressValue is the address of a service: https, but for loopback, since
// tokens go there. It is kept without a slash at its end; empty is none.
type addressValue struct{ to *string }

func (v addressValue) kind() string { return "url" }
func (v addressValue) set(texts []string) error {
	text := last(texts)
	if text == "" {
		*v.to = ""
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || !unicode.IsPrint(c) }):
		return errors.New("is not an address; write it as https://gitlab.example.com")
	case u.User != nil:
		return errors.New("holds a user or password; take it out, tokens have settings of their own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return errors.New("goes on behind ? or #; write the address alone, as in https://gitlab.example.com")
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return errors.New("is not https; only on this machine (127.0.0.1, localhost) may an address be http, so write https://…")
	}
	if port := u.Port(); port != "" && !validPort(port) || strings.HasSuffix(u.Host, ":") {
		return errors.New("has no valid port; write it as https://gitlab.example.com:8443")
	}
	*v.to = strings.TrimRight(text, "/")
	return nil
}

// isLoopback tells whether the host is this machine by its name alone; nothing
// is resolved, since an answer of DNS may be anybody's.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// listenValue is where to listen.
type listenValue struct{ to *string }

func (v listenValue) kind() string { return "address" }
func (v listenValue) set(texts []string) error {
	_, port, err := net.SplitHostPort(last(texts))
	if err != nil || !validPort(port) && port != "0" { // 0: any free port
		return errors.New("is not an address to listen on; write it as :8080 or 127.0.0.1:8080")
	}
	*v.to = last(texts)
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// listValue is any number of words, one a flag, or separated by commas or space.
type listValue struct {
	to   *[]string
	word string
}

func (v listValue) kind() string { return v.word }
func (v listValue) set(texts []string) error {
	*v.to = words(texts)
	return nil
}

func words(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, strings.FieldsFunc(text, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })...)
	}
	return all
}

// peopleValue is a list of people.
type peopleValue struct{ to *[]policy.Identity }

func (v peopleValue) kind() string { return "identity" }
func (v peopleValue) set(texts []string) error {
	var people []policy.Identity
	for _, word := range words(texts) {
		who, err := policy.ParseIdentity(word)
		if err != nil {
			return fmt.Errorf("cannot be used: %w", err)
		}
		if who.Kind == policy.KindGroup {
			return errors.New("names a group, and only people decide; write a person's e-mail address, mobile number or ID (ou_…)")
		}
		if !slices.Contains(people, who) {
			people = append(people, who)
		}
	}
	*v.to = people
	return nil
}

// secretValue is one secret that we send.
type secretValue struct{ to *Secret }

func (v secretValue) kind() string { return "secret" }
func (v secretValue) set(texts []string) error {
	s, err := oneSecret(trimNewline(last(texts)))
	if err != nil {
		return err
	}
	*v.to = s
	return nil
}

// secretsValue is a secret that comes in from outside, in as many values as are
// accepted, one a line. Where named, a value may have its holder's name before
// it: "alice:" and the token.
type secretsValue struct {
	to    *Secrets
	named bool
}

func (v secretsValue) kind() string { return "secret" }
func (v secretsValue) set(texts []string) error {
	var all Secrets
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			s, err := oneSecret(trimNewline(line))
			if err != nil {
				return err
			}
			if !s.IsSet() {
				continue
			}
			if name, token, ok := strings.Cut(s.Reveal(), ":"); v.named && ok {
				if name == "" || token == "" || strings.ContainsFunc(name, func(c rune) bool {
					return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_.-", c)
				}) {
					return errors.New("has a colon, but not a name before it and a token behind it; write name:token, or the token alone")
				}
				s = Secret{name, &token}
			}
			all = append(all, s)
		}
	}
	*v.to = all
	return nil
}

// oneSecret refuses what no header and no password field would carry unchanged:
// such a value was cut or pasted wrongly, and would fail in stranger ways later.
func oneSecret(text string) (Secret, error) {
	switch {
	case strings.ContainsAny(text, "\r\n"):
		return Secret{}, errors.New("holds more than one line; it takes one value")
	case text != strings.TrimSpace(text):
		return Secret{}, errors.New("has space around it; take it out")
	case strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }):
		return Secret{}, errors.New("holds characters that cannot be printed; copy it again")
	}
	return NewSecret(text), nil
}

// trimNewline cuts one line end, which editors and echo leave.
func trimNewline(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}
