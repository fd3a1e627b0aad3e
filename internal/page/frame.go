package page

import (
	"cmp"
	"time"
)

// Frame is what surrounds a page's own part.
type Frame struct {
	Lang  string // of what the page says; "" is "en"
	Title string
	Name  string // of the site, as it stands in the header
	Home  string // where that leads; "" is "/"
	Nav   []Link
	// Search, if there is one, is a form in the header.
	Search *Search
	Note   string   // a sentence above everything; "": none
	Foot   []string // short lines at the end
	Wide   bool     // uses all of a wide window
	// Live has the page ask for itself again so often while it can be seen; 0: never.
	Live    time.Duration
	Styles  []string // addresses of style sheets beside the one that all have
	Scripts []string // likewise; each is run when the page is there
	Words   Words

	Data any // of the template; Write sets it
}

// Link is a place to go to.
type Link struct {
	Text string
	URL  string
	Here bool // it leads to where one is
}

// Search is a form for one line; its field is q.
type Search struct {
	URL    string
	Label  string // what the field is, for who hears it
	Hint   string // in the empty field
	Button string
	Text   string // what was searched for
}

// Words are those that the frame itself says; "" is English.
type Words struct {
	Skip   string // leads past the header
	Nav    string // what the list of links in the header is
	Pause  string // stops the page from asking for itself
	Resume string
	Lost   string // nobody answers
}

// whole is the frame with what was left out.
func (f Frame) whole(data any) Frame {
	f.Lang, f.Home, f.Data = cmp.Or(f.Lang, "en"), cmp.Or(f.Home, "/"), data
	f.Words = Words{
		Skip:   cmp.Or(f.Words.Skip, "Skip to the content"),
		Nav:    cmp.Or(f.Words.Nav, "Pages"),
		Pause:  cmp.Or(f.Words.Pause, "Pause updates"),
		Resume: cmp.Or(f.Words.Resume, "Resume updates"),
		Lost:   cmp.Or(f.Words.Lost, "No answer; trying again"),
	}
	return f
}
