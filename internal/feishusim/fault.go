package feishusim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is trouble that is ordered for calls to come. Method, PathSuffix and
// Match choose the calls (empty: every one); the first fault that fits a call
// is used up by it.
//
// With Status, Code or Body the fault answers in the endpoint's place, and
// nothing is done. With Drop the connection is cut, and nothing is done. With
// LoseAnswer everything is done, and then the connection is cut. With only a
// Delay the call is served late. The delay comes before the effect, but after
// it with LoseAnswer; it ends at once when the client hangs up, and then the
// effect that was still to come does not. Cutting needs a real connection, as
// httptest.NewServer makes it.
type Fault struct {
	Method     string
	PathSuffix string
	Match      func(*http.Request) bool // may read the body
	Times      int                      // how many calls it meets; 0: all until removed

	Status int         // default: what goes with Code
	Code   int         // of the body
	Msg    string      // default: the documented one
	Header http.Header // added to the answer
	Body   string      // in place of {code, msg}

	Delay      time.Duration
	Drop       bool
	LoseAnswer bool
}

// RateLimited is the gateway's limit, which ends after the given number of
// seconds. Source: "频控策略".
func RateLimited(seconds int) Fault {
	header := http.Header{}
	header.Set("x-ogw-ratelimit-limit", "100")
	header.Set("x-ogw-ratelimit-reset", fmt.Sprint(seconds))
	return Fault{Code: 99991400, Header: header}
}

// QuotaExceeded is the end of the month's calls. Source: "自建应用 API 调用量上限".
func QuotaExceeded() Fault { return Fault{Code: 99991403} }

type fault struct {
	Fault
	left int
}

// Inject orders a fault. The function that it returns takes the order back.
func (s *Server) Inject(f Fault) (remove func()) {
	ordered := &fault{Fault: f, left: f.Times}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, ordered)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *fault) bool { return other == ordered })
	}
}

// takeFault returns the fault that a call meets, or nil.
func (s *Server) takeFault(r *http.Request, body []byte) *fault {
	s.mu.Lock()
	ordered := slices.Clone(s.faults)
	s.mu.Unlock()
	for _, f := range ordered {
		if f.Method != "" && f.Method != r.Method || !strings.HasSuffix(r.URL.Path, f.PathSuffix) {
			continue
		}
		if f.Match != nil {
			rewind(r, body)
			if !f.Match(r) {
				continue
			}
		}
		if s.useFault(f) {
			return f
		}
	}
	return nil
}

// useFault takes one off the times of a fault; false: another call was faster.
func (s *Server) useFault(f *fault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.faults, f)
	if i < 0 {
		return false
	}
	if f.Times > 0 {
		if f.left--; f.left == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
	}
	return true
}

// answers reports whether the fault takes the endpoint's place.
func (f *fault) answers() bool { return f.Status != 0 || f.Code != 0 || f.Body != "" }

func (f *fault) answer() answer {
	status := f.Status
	switch {
	case status != 0:
	case f.Code != 0:
		status = statusOf(f.Code)
	default:
		status = http.StatusOK
	}
	msg := f.Msg
	if msg == "" {
		msg = usualMessage(f.Code)
	}
	a := jsonAnswer(status, map[string]any{"code": f.Code, "msg": msg})
	switch {
	case f.Body != "":
		a.body = []byte(f.Body)
	case f.Code == 0:
		a.body = nil // a bare status, as from a proxy in between
		a.header.Del("Content-Type")
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

func (f *fault) String() string {
	var words []string
	if f.Delay > 0 {
		words = append(words, "delay "+f.Delay.String())
	}
	if f.Drop {
		words = append(words, "drop")
	}
	if f.answers() {
		words = append(words, fmt.Sprintf("answer %d code %d", f.answer().status, f.Code))
	}
	if f.LoseAnswer {
		words = append(words, "lose answer")
	}
	return strings.Join(words, ", ")
}

// usualMessage is the text that the documentation gives for a code. Source:
// "通用错误码" and the error tables of "发送消息" and "更新已发送的消息卡片".
func usualMessage(code int) string {
	switch code {
	case 230002:
		return "The bot can not be outside the group."
	case 230006:
		return "Bot ability is not activated."
	case 230011:
		return "The message is recalled."
	case 230013:
		return "Bot has NO availability to this user."
	case 230020:
		return "This operation triggers the frequency limit."
	case 230025:
		return "The length of the message content reaches its limit."
	case 230028:
		return "The messages do NOT pass the audit."
	case 230031:
		return "Message has expired when updating message, ext=Message can only be updated within fourteen days."
	case 230034:
		return "The receive_id is invalid."
	case 230049:
		return "The message is being sent."
	case 230053:
		return "The user has stopped the bot from sending messages."
	case 230110:
		return "Action unavailable as the message has been deleted."
	case 232009:
		return "Your request specifies a chat which has already been dissolved."
	case 99991400:
		return "request trigger frequency limit"
	case 99991403:
		return "This month's API call quota has been exceeded"
	case 99991663:
		return "Invalid access token for authorization. Please make a request with token attached"
	default:
		return "error"
	}
}
