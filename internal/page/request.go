package page

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/story"
)

// stillMoving is how long after its end something may still happen to a request.
const stillMoving = time.Hour

// longestStory is how many entries of the log one page shows, the last ones.
const longestStory = 500

// request is what the page of a request shows.
type request struct {
	*story.Story
	Name    string
	By      string // the author
	What    string // the state in a sentence; "": the word says it all
	Needs   string
	Opened  time.Time
	Decided time.Time
	Ended   time.Time
	Next    time.Time // when it is looked at again; zero: nobody knows, or at once
	Expires time.Time // zero: it does not
	People  []person
	Deliver []delivery
	Steps   []step
	LeftOut int // steps before these
}

// person is somebody who may decide, or did.
type person struct {
	Name  string
	Did   string // "": nothing yet
	Tone  Tone
	Said  string
	At    time.Time
	Entry int64
	Hash  string
}

// delivery is a message.
type delivery struct {
	Kind string
	To   string
	Is   string
	Tone Tone
}

// step is an entry of the log.
type step struct {
	story.Event
	When  time.Time
	Tone  Tone
	Minor bool // a message, which is not what one looks for first
}

func (l *listenerPage) request(r *http.Request) (view, error) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return view{}, errAbsent
	}
	s, err := story.Read(r.Context(), l.Archive, n)
	if errors.Is(err, gate.ErrNoRow) {
		return view{}, errAbsent
	} else if err != nil {
		return view{}, err
	}
	q := requestOf(s, time.Now())
	title := fmt.Sprintf("%s %s: %s", q.Name, s.State, s.Title)
	live := q.Ended.IsZero() || time.Since(q.Ended) < stillMoving
	return view{name: "request.html", title: title, live: live, data: q}, nil
}

func requestOf(s *story.Story, now time.Time) *request {
	q := &request{
		Story: s, Name: story.Name(s.Project, gate.Ref{Project: s.ProjectID, Number: s.IID}), By: story.UserName(s.Author),
		Needs: fmt.Sprintf("%d of %d", s.Approvals, s.Required), Opened: time.Time(s.OpenedAt), Decided: time.Time(s.DecidedAt), Ended: time.Time(s.EndedAt),
	}
	if s.Cause != "" {
		q.What = story.CauseText(s.Cause)
	}
	if s.WaitsFor != "" {
		if next := time.Time(s.NextTryAt); next.Sub(now) > updates && s.NextTryAt != s.ExpiresAt {
			q.Next = next
		}
		if s.State.Open() {
			q.Expires = time.Time(s.ExpiresAt)
		}
	}
	q.People = peopleOf(s)
	for _, m := range s.Messages {
		q.Deliver = append(q.Deliver, deliveryOf(m))
	}
	entries := s.Timeline
	if q.LeftOut = max(0, len(entries)-longestStory); q.LeftOut > 0 {
		entries = entries[q.LeftOut:]
	}
	for _, e := range entries {
		q.Steps = append(q.Steps, stepOf(e))
	}
	return q
}

// peopleOf are those who decided, in that order, and then those who may.
func peopleOf(s *story.Story) (list []person) {
	did := map[string]bool{}
	for _, d := range s.Decisions {
		did[d.Person] = true
		p := person{Name: cmp.Or(d.Name, d.Person), Did: "approved", Tone: ToneGo, Said: d.Reason, At: time.Time(d.At), Entry: d.Entry, Hash: d.Hash}
		if d.Verdict == gate.Reject {
			p.Did, p.Tone = "rejected", ToneStop
		}
		if d.Via == "operator" {
			p.Name = "operator " + p.Name
		}
		if !d.Counts {
			p.Did, p.Tone = p.Did+", no longer counts", ToneGone
		}
		list = append(list, p)
	}
	for _, a := range s.Approvers {
		switch {
		case a.ID != "" && did[a.ID]:
		case a.ID == "":
			list = append(list, person{Name: cmp.Or(a.Name, a.Identity), Did: "not known to the chat", Tone: ToneGone})
		default:
			did[a.ID] = true // one person may have two identities
			list = append(list, person{Name: cmp.Or(a.Name, a.Identity)})
		}
	}
	return list
}

func deliveryOf(m story.Message) delivery {
	d := delivery{Kind: story.MessageName(m.Kind), To: cmp.Or(m.Name, m.To), Is: "sent", Tone: ToneDone}
	if m.Group {
		d.To = "group " + m.To
	}
	switch {
	case m.LetGo != "":
		d.Is, d.Tone = "let go: "+m.LetGo, ToneGone
	case m.Failures > 0:
		d.Is, d.Tone = fmt.Sprintf("failed, %d in a row", m.Failures), ToneStop
	case !m.Sent:
		d.Is, d.Tone = "to be sent", ToneWait
	}
	return d
}

func stepOf(e story.Event) step {
	s := step{Event: e, When: time.Time(e.At), Tone: ToneGone}
	switch e.Kind { //nolint:exhaustive // the others stand out by nothing
	case gate.EntryMessage, gate.EntryReminder:
		s.Minor = true
	case gate.EntryBypassed:
		s.Tone = ToneStop
	case gate.EntryState:
		var d gate.StateData
		if json.Unmarshal(e.Data, &d) == nil {
			s.Tone = ToneOf(d.To)
		}
	case gate.EntryDecided:
		var d gate.DecidedData
		if s.Tone = ToneGo; json.Unmarshal(e.Data, &d) == nil && d.Verdict == gate.Reject {
			s.Tone = ToneStop
		}
	case gate.EntryEffect:
		var d gate.EffectData
		if s.Tone = ToneDone; json.Unmarshal(e.Data, &d) == nil && d.Error != "" {
			s.Tone = ToneStop
		}
	}
	return s
}
