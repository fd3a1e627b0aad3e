// Package words holds every sentence that people in the chat read, in Chinese
// and in English. It knows no markup: what it gives is shown as it is.
package words

import "strings"

// Text is a sentence, in pieces that may stand out.
type Text []Run

// Run is a piece of it.
type Run struct {
	Text   string `json:"text"`
	Strong bool   `json:"strong,omitempty"`
	Link   string `json:"link,omitempty"` // where it leads; "": nowhere
	Mood   Mood   `json:"mood,omitempty"`
}

// Mood is what a piece means for whoever decides; "": nothing in particular.
type Mood string

// The moods.
const (
	Good Mood = "good"
	Bad  Mood = "bad" // look at it before you decide
)

// Plain is a sentence without emphasis.
func Plain(s string) Text { return Text{{Text: s}} }

// String is the sentence without its emphasis.
func (t Text) String() string {
	var b strings.Builder
	for _, r := range t {
		b.WriteString(r.Text)
	}
	return b.String()
}
