package story

import (
	"encoding/json"
	"time"
)

// Stamp is a moment in JSON: RFC 3339 with milliseconds, in UTC.
type Stamp time.Time

// IsZero is for omitzero.
func (s Stamp) IsZero() bool { return time.Time(s).IsZero() }

// MarshalJSON implements json.Marshaler.
func (s Stamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Stamp) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*time.Time)(s)) }
