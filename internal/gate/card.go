package gate

import (
	"time"

	"mrgate/internal/words"
)

// Card is a message about a request: its meaning, in finished sentences, never
// a chat's JSON. Nothing in it is markup: an adapter has to show every character
// as it is. A card without actions is a notice.
type Card struct {
	Key      string       `json:"key"`
	Tone     Tone         `json:"tone"`
	Title    string       `json:"title"`    // state and merge request: "待审批 · payments/api !7"
	Subtitle string       `json:"subtitle"` // the merge request's title
	Summary  string       `json:"summary"`  // for a lock screen or a list of chats
	Link     string       `json:"link"`     // of the merge request
	Facts    []words.Text `json:"facts"`    // what mrgate vouches for, most important first
	Quote    string       `json:"quote,omitempty"`
	Details  []Detail     `json:"details,omitempty"`
	Status   []words.Text `json:"status,omitempty"` // who decided, who is awaited, what follows
	Input    *Input       `json:"input,omitempty"`
	Actions  []Action     `json:"actions,omitempty"`
	Foot     string       `json:"foot,omitempty"`
	// Origin travels with the buttons of a card that nothing keeps a record of.
	Origin *Origin `json:"origin,omitempty"`
}

// Origin is what a card that a job sent by itself says that it is about. Nobody
// vouches for it: whoever holds the app's secret can put any origin under any
// words.
type Origin struct {
	Ref    Ref       `json:"ref"`
	Head   CommitID  `json:"head"`
	Target string    `json:"target"`
	Again  time.Time `json:"again,omitzero"` // when it was asked again; zero: for the first time
}

// Tone is the colour of a card.
type Tone string

// The tones, by what they say.
const (
	ToneBlue      Tone = "blue"      // somebody is asked
	ToneTurquoise Tone = "turquoise" // mrgate or the forge is at it
	ToneGreen     Tone = "green"     // done
	ToneOrange    Tone = "orange"    // a person has to do something
	ToneRed       Tone = "red"       // rejected
	TonePurple    Tone = "purple"    // merged around the gate
	ToneGrey      Tone = "grey"      // nothing to do any more
)

// Detail is a list that is folded away.
type Detail struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

// Input is the comment field, one for all actions of the card.
type Input struct {
	Label string `json:"label"`
}

// ActionID is what a button does. The names travel in cards that are already
// sent: they don't change.
type ActionID string

// The actions.
const (
	ActionApprove ActionID = "approve"
	ActionReject  ActionID = "reject"
	ActionRetry   ActionID = "retry"
	ActionAgain   ActionID = "again" // asks again for what expired or was sent back
	ActionView    ActionID = "view"  // opens URL; comes back to nobody
	ActionTrial   ActionID = "trial" // shows that clicks arrive, see TrialCard
)

// Action is a button.
type Action struct {
	ID      ActionID `json:"id"`
	Label   string   `json:"label"`
	Style   Style    `json:"style,omitempty"`
	URL     string   `json:"url,omitempty"`
	Confirm *Confirm `json:"confirm,omitempty"`
}

// Style is how a button stands out.
type Style string

// The styles.
const (
	StylePrimary Style = "primary"
	StyleDanger  Style = "danger"
	StyleDefault Style = ""
)

// Confirm is the question that the chat asks before it sends the click.
type Confirm struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}
