package sqlite

import "encoding/json"

const (
	// mostDocuments bounds, in bytes of JSON, what a session remembers: enough for
	// the rows that are at work.
	mostDocuments = 128 << 10
	// longestDocument is how long one of them may be, that it does not push out all others.
	longestDocument = 16 << 10
)

// documents are those that were decoded last, by their text: a row is read many
// times while it is at work, and most of what it holds stays as it is.
//
// What is handed out is a copy whose pointers, slices and maps lead to what others
// have got too: gate replaces what is there and never writes into it, see
// [gate.Store].
type documents struct {
	decoded map[string]any
	size    int
}

// decode gives what the text says.
func decode[T any](d *documents, text string) (T, error) {
	if v, ok := d.decoded[text].(T); ok {
		return v, nil
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, err
	}
	if len(text) > longestDocument {
		return v, nil
	}
	if d.size += len(text); d.size > mostDocuments || d.decoded == nil {
		d.decoded, d.size = make(map[string]any), len(text)
	}
	d.decoded[text] = v
	return v, nil
}
