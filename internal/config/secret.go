package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that a secret says of itself.
const redacted = "[redacted]"

// Secret is a value that must not be seen: however it is printed, logged or
// marshalled, it says [redacted]. Only Reveal gives it away. The zero Secret is
// an unset one.
type Secret struct {
	name string
	// A pointer to a string, because fmt looks into unexported fields of other
	// types without asking for methods; of this it shows the address, whatever
	// the verb (a struct behind a pointer it would show with %s).
	value *string
}

// NewSecret returns the secret that holds the value; of an empty value the
// unset one.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value, to be sent or compared, never to be shown.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Name returns what stood before the colon of an API or operator token: who is
// said to hold it. It may be shown, and is empty where nothing stood there.
func (s Secret) Name() string { return s.name }

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String returns [redacted].
func (s Secret) String() string { return redacted }

// GoString returns [redacted].
func (s Secret) GoString() string { return redacted }

// Format writes [redacted], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted]; JSON, YAML and XML ask for it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secrets are the values that are accepted at one time, so that a secret can be
// rotated: the new one is added before the old one goes.
type Secrets []Secret

// First returns the value to send where only one can be sent; unset if there is
// none.
func (s Secrets) First() Secret {
	if len(s) == 0 {
		return Secret{}
	}
	return s[0]
}

// Reveal returns all values, to be compared, never to be shown.
func (s Secrets) Reveal() []string {
	values := make([]string, len(s))
	for i := range s {
		values[i] = s[i].Reveal()
	}
	return values
}
