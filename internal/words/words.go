package words

import "time"

// Words speaks one language. Each method is one sentence; a sentence that
// starts with what somebody else wrote (a name, a branch, a reason) takes that
// raw, and cuts and cleans it itself (see [Line]), so that no caller can forget to.
//
// Both languages stand side by side in each method: one that was forgotten
// does not compile.
type Words struct {
	// Zone is where the readers are. Cards can't tell, so it is one for all.
	Zone *time.Location

	english bool
	near    time.Time
}

// For gives the words of a locale: "en" is English, anything else Chinese.
// Times are shown in the zone of this process.
func For(locale string) *Words {
	return &Words{Zone: time.Local, english: locale == "en"}
}

// Near gives the same words, but puts the year into times that are in another
// year than t. A card takes the opening of its request for t, not the present:
// its text must not change by itself when a year is over, since each change of
// a card costs a call. Without Near no time has a year, as in a toast.
func (w *Words) Near(t time.Time) *Words {
	c := *w
	c.near = t
	return &c
}

// pick is the sentence in this language, as one clean line, whatever a caller
// put into it.
func (w *Words) pick(zh, en string) string {
	if w.english {
		zh = en
	}
	return Line(zh, maxSentence)
}
