package page

import (
	"fmt"

	"mrgate/internal/gate"
)

// Tone is what a state means to who looks at it, and so its colour.
type Tone string

// The tones.
const (
	ToneWait Tone = "wait" // for people
	ToneGo   Tone = "go"   // decided, and at work
	ToneStop Tone = "stop" // somebody said no, or has to do something
	ToneDone Tone = "done"
	ToneGone Tone = "gone" // over, and nothing came of it
)

// ToneOf is the tone of a request's state.
func ToneOf(s gate.State) Tone {
	switch s {
	case gate.Pending:
		return ToneWait
	case gate.Approved:
		return ToneGo
	case gate.BlockedNow, gate.Rejected, gate.ClosedHere:
		return ToneStop
	case gate.MergedHere:
		return ToneDone
	case gate.Expired, gate.Superseded, gate.Withdrawn:
	}
	return ToneGone
}

func toneOf(state any) Tone { return ToneOf(gate.State(fmt.Sprint(state))) }
