package gate

import (
	"strings"

	"mrgate/internal/words"
)

// TrialKey makes the key of a trial's card out of what is different each time.
func TrialKey(random string) string { return "trial-" + random }

// TrialCard is a card that is about nothing: its one button only shows whether clicks
// arrive. clicked: one did.
func TrialCard(key string, clicked bool, w *words.Words) Card {
	card := Card{Key: key, Tone: ToneBlue, Title: w.TitleTrial(false), Summary: w.TitleTrial(false), Facts: []words.Text{words.Plain(w.TrialAsks())}}
	if clicked {
		card.Tone, card.Title, card.Summary = ToneGreen, w.TitleTrial(true), w.TitleTrial(true)
		card.Facts = []words.Text{words.Plain(w.ToastTrial())}
		return card
	}
	card.Actions = []Action{{ID: ActionTrial, Label: w.ButtonTrial(), Style: StylePrimary}}
	return card
}

// Trial answers a click on a trial's card; false: it is on another. It may be on a
// forged one, but then it says no more than that it has arrived, and does nothing.
func Trial(c Click, w *words.Words) (Answer, bool) {
	if c.Action != ActionTrial || !strings.HasPrefix(c.Key, TrialKey("")) {
		return Answer{}, false
	}
	card := TrialCard(c.Key, true, w)
	return Answer{Kind: AnswerOK, Text: w.ToastTrial(), Card: &card}, true
}
