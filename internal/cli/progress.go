package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"mrgate/internal/config"
	"mrgate/internal/policy"
)

// progressEvery is how often a command that waits looks for what, and says so; the
// first time after as long.
const progressEvery = time.Second

// progress says on stderr what a command waits for: on a terminal on one line that
// is written anew in place, else on a line of its own whenever it is something else.
// What others write there goes through it.
type progress struct {
	out   io.Writer
	live  bool
	name  string // of what is waited for
	limit time.Duration

	mu     sync.Mutex
	said   string
	stands bool // a line that is to be wiped
}

func (env *Environment) progress(cfg *config.Config, name string) *progress {
	return &progress{out: env.Stderr, live: env.commands(env.Stderr), name: name, limit: cfg.Timeout}
}

// watch says what awaited tells ("": nothing, or nobody knows), until the function
// that it gives is called.
func (p *progress) watch(awaited func() string) (stop func()) {
	began, over, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(progressEvery)
		defer timer.Stop()
		for {
			select {
			case <-over:
				p.say("", 0)
				return
			case <-timer.C:
				p.say(awaited(), time.Since(began))
				timer.Reset(progressEvery)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(over)
		<-ended
	})
}

func (p *progress) say(awaited string, since time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("%s: %s of %s, waiting for %s", p.name, policy.FormatDuration(since.Truncate(time.Second)), policy.FormatDuration(p.limit), awaited)
	switch {
	case !p.live && (awaited == "" || awaited == p.said):
	case !p.live:
		p.said = awaited
		_, _ = fmt.Fprintf(p.out, "mrgate: %s\n", line)
	case awaited == "":
		p.wipe()
		p.said = ""
	case line != p.said || !p.stands:
		p.wipe()
		width := widthOf(p.out)
		if width == 0 {
			width = 80
		}
		_, _ = io.WriteString(p.out, fit(line, width-1)) // in the last column some terminals begin another line
		p.said, p.stands = line, true
	}
}

// wipe takes the line away that stands (ECMA-48, "Erase in line").
func (p *progress) wipe() {
	if p.stands {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
		p.stands = false
	}
}

// Write implements [io.Writer] for whole lines of others.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	return p.out.Write(b)
}
