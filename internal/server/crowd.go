package server

import (
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// maxGuests is how many connections one address has at a time. Each takes
	// about 20 KB; what is served takes milliseconds, so a few dozen would do.
	maxGuests = 1200
	// maxSmall is how much all requests under way may have sent, each up to large;
	// nearly all real ones have less than 32 KB.
	maxSmall = 12 << 20
	large    = 256 << 10
	// maxLarge is for what they have sent beyond that. The longest body that
	// anybody takes is GitLab's with 25 MB.
	maxLarge = 26 << 20
	// headerWeight is what a byte of an unfinished header counts for: net/http
	// makes at once a map for as many lines as might come, which takes a hundred
	// kilobytes for the first four that are sent.
	headerWeight = 64
	// farewell is how many leave at once where the process may open no more files:
	// it needs some itself, for its own calls.
	farewell = 64
	// complainEvery is how often the log says that somebody had to leave.
	complainEvery = time.Minute
)

// crowd is a listener that bounds what all its connections together hold: their
// number, and what they have sent of requests that are not answered yet. Whoever
// comes is always let in; where that is too much, somebody has to leave who has not
// sent a whole request: who has been at it the longest, or holds the most for the
// longest.
//
// A listener that lets only so many in (netutil.LimitListener) would do the
// opposite: who fills it with idle connections, a few hundred a second as the
// time-outs end them, keeps everybody else out. Here one has to open as many as
// there is room for in the milliseconds that it takes to send a click. To count by
// remote address is no use, as all come from a proxy's, and what a proxy says of
// others (X-Forwarded-For) anybody can say.
type crowd struct {
	*net.TCPListener
	log  *slog.Logger
	most load

	mu         sync.Mutex
	now        load
	waiting    list.List // of *guest who have not sent a whole request; in front who has been at it the longest
	sentAway   int       // not yet mentioned in the log
	complained time.Time
}

// load is what all guests are together.
type load struct {
	guests int
	small  int // bytes, of each up to large
	large  int // bytes beyond that
}

// guest is a connection. The crowd's lock is for all that changes.
type guest struct {
	*net.TCPConn
	crowd  *crowd
	gone   bool
	place  *list.Element // among those who wait; nil: the request is whole
	since  time.Time     // the request's begin, or of waiting for one
	held   int           // bytes of the request under way
	inBody bool          // its header is complete
	passes bool          // what it sends is not kept
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.AcceptTCP()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			c.makeRoom(farewell)
		}
		return nil, err
	}
	g := &guest{TCPConn: conn, crowd: c, since: time.Now()}
	g.place = c.waiting.PushBack(g)
	c.now.guests++
	c.makeRoom(c.now.guests - c.most.guests)
	return g, nil
}

// Read implements net.Conn.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.TCPConn.Read(b)
	weight := n
	g.change(func(c *crowd) {
		switch {
		case g.passes:
			weight = 0
		case !g.inBody:
			weight *= headerWeight
		}
		g.holds(g.held + weight)
		c.makeRoom(0)
	})
	return n, err
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.change(func(c *crowd) { c.leave(g) })
	return g.TCPConn.Close()
}

// change changes a guest who has not left.
func (g *guest) change(f func(*crowd)) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	if !g.gone {
		f(g.crowd)
	}
}

// state follows a connection from request to request, for http.Server.
func (c *crowd) state(conn net.Conn, state http.ConnState) {
	g, ok := conn.(*guest)
	if !ok || state != http.StateActive && state != http.StateIdle {
		return
	}
	g.change(func(c *crowd) {
		if g.place != nil {
			c.waiting.Remove(g.place)
		}
		g.place, g.since = c.waiting.PushBack(g), time.Now()
		if state == http.StateIdle {
			g.holds(0)
			g.inBody, g.passes = false, false
		}
	})
}

// headerRead says that a request's header is complete; its lines are few.
func (g *guest) headerRead() {
	g.change(func(*crowd) {
		g.holds(g.held / headerWeight)
		g.inBody = true
	})
}

// discards says that nothing is kept any more of what a request has.
func (g *guest) discards() {
	g.change(func(*crowd) {
		g.holds(0)
		g.passes = true
	})
}

// allRead says that a request is complete.
func (g *guest) allRead() {
	g.change(func(c *crowd) {
		if g.place != nil {
			c.waiting.Remove(g.place)
			g.place = nil
		}
	})
}

// body tells when it has been read.
type body struct {
	io.ReadCloser
	from *guest
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.from.allRead()
	}
	return n, err
}

// holds says how many bytes a guest now holds. The lock is held.
func (g *guest) holds(n int) {
	now := &g.crowd.now
	now.small += min(n, large) - min(g.held, large)
	now.large += max(n, large) - max(g.held, large)
	g.held = n
}

// makeRoom sends so many away as are too many. The lock is held.
func (c *crowd) makeRoom(leaving int) {
	for ; leaving > 0 && c.waiting.Len() > 0; leaving-- {
		g, _ := c.waiting.Front().Value.(*guest)
		c.sendAway(g)
	}
	for c.now.small > c.most.small || c.now.large > c.most.large {
		g := c.heaviest(c.now.large > c.most.large)
		if g == nil {
			break // all have sent their requests, and will be answered
		}
		c.sendAway(g)
	}
	if now := time.Now(); c.sentAway > 0 && now.Sub(c.complained) >= complainEvery {
		c.log.Warn("too many connections, or too much sent at once: closed those that were at it the longest",
			"addr", c.Addr().String(), "closed", c.sentAway)
		c.sentAway, c.complained = 0, now
	}
}

// heaviest is who weighs most by what he holds, times how long; nil: nobody holds
// anything. The lock is held.
func (c *crowd) heaviest(onlyLarge bool) (found *guest) {
	now, most := time.Now(), 0.0
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		g, _ := e.Value.(*guest)
		weight := float64(g.held) * float64(now.Sub(g.since)+1)
		if weight > most && (!onlyLarge || g.held > large) {
			found, most = g, weight
		}
	}
	return found
}

func (c *crowd) sendAway(g *guest) {
	c.leave(g)
	c.sentAway++
	_ = g.TCPConn.Close()
}

// leave strikes a guest off. The lock is held.
func (c *crowd) leave(g *guest) {
	if g.place != nil {
		c.waiting.Remove(g.place)
	}
	c.now.guests--
	g.holds(0)
	g.gone, g.place = true, nil
}

type guestKey struct{}

// withGuest lets arrived find a request's connection, for http.Server.
func withGuest(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// arrived follows a request whose header has come, until all of it has. What it
// gives is for the handler: net/http wants to find its own body where it put it.
func arrived(r *http.Request) *http.Request {
	g, ok := r.Context().Value(guestKey{}).(*guest)
	if !ok {
		return r
	}
	g.headerRead()
	if r.ContentLength == 0 {
		g.allRead()
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = &body{r.Body, g}
	return r
}
