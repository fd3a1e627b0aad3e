package gitlab

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	gogitlab "github.com/xanzy/go-gitlab"

	"mrgate/internal/gate"
)

// answerError is an answer that is no success.
type answerError struct {
	status  int
	message string // GitLab's own words, made short and harmless; "" if there are none
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("GitLab answered %d", e.status)
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// status is the status code of an answer that was no success; 0: it was one, or
// there was no answer, or gate is to wait first.
func status(err error) int {
	var wait *gate.RetryAfter
	var a *answerError
	if errors.As(err, &wait) || !errors.As(err, &a) {
		return 0
	}
	return a.status
}

// trouble turns what go-gitlab returned into this package's errors.
func (f *Forge) trouble(resp *gogitlab.Response, err error) error {
	switch {
	case err == nil && (resp == nil || resp.StatusCode < 300):
		return nil
	case err != nil && (resp == nil || resp.StatusCode < 300):
		// No answer, or one that cannot be read. The text is of net/http or of
		// encoding/json: it quotes addresses and single characters.
		if wait, ok := errors.AsType[*gate.RetryAfter](err); ok {
			return wait // without the address around it: nothing was sent there
		}
		if resp != nil {
			return fmt.Errorf("GitLab answered %d with something that cannot be read: %w", resp.StatusCode, f.redacted(err))
		}
		return f.redacted(err)
	}

	a := &answerError{status: resp.StatusCode}
	if er, ok := errors.AsType[*gogitlab.ErrorResponse](err); ok {
		a.message = f.clean(words(er.Message))
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		a.message = "a redirect, which is not followed: gitlab_url has to be the address that GitLab itself uses"
		if to, err := resp.Location(); err == nil {
			a.message += f.clean(" (it points to " + to.Scheme + "://" + to.Host + ")")
		}
	}
	if held(resp.Response) {
		return &gate.RetryAfter{After: f.hold.left(), Err: a}
	}
	return a
}

// words is what GitLab said, of what go-gitlab makes of an answer's body. A page of
// HTML is not GitLab's API speaking, and nothing for one line.
func words(message string) string {
	body, unknown := strings.CutPrefix(message, "failed to parse unknown error format: ")
	if unknown && strings.HasPrefix(strings.TrimSpace(body), "<") {
		return "an HTML page, perhaps of a proxy in front of it"
	}
	return body
}

// fail says what was being done, and which of gate's errors it is; nil stays nil.
// A refused token is none of them: it is waited out, since tokens expire and are renewed.
func (f *Forge) fail(doing string, mr fmt.Stringer, err error) error {
	if err == nil {
		return nil
	}
	switch status(err) {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s %s: GitLab refuses the token: is gitlab_token expired or revoked? (%w)", doing, mr, err)
	case http.StatusForbidden:
		return fmt.Errorf("%s %s: %w: %w", doing, mr, gate.ErrNotPermitted, err)
	case http.StatusNotFound:
		return fmt.Errorf("%s %s: %w", doing, mr, gate.ErrNotFound)
	}
	return fmt.Errorf("%s %s: %w", doing, mr, err)
}

// clean makes the other side's text fit for an error: one line of at most 300
// characters without control characters, and without the token, should somebody
// mirror it.
func (f *Forge) clean(text string) string { return oneLine(f.redact(text), 300) }

func (f *Forge) redact(text string) string {
	if f.token == "" {
		return text
	}
	return strings.ReplaceAll(text, f.token, "[redacted]")
}

// redacted is err, with another text if the token is in it.
func (f *Forge) redacted(err error) error {
	if text := err.Error(); strings.Contains(text, f.token) {
		return errors.New(f.redact(text))
	}
	return err
}

// oneLine is text without line breaks and other control characters, cut after
// limit characters.
func oneLine(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(text, "�") {
		if n == limit {
			b.WriteString("…")
			break
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			r = ' '
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
