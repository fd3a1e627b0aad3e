package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

// listener is mrgate serve-callback as a process of its own.
type listener struct {
	binary, dir, config, zone string
	listens                   func(url string) // called whenever it has come up
	over                      chan struct{}    // closed when it is to run no more

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	address string
	admin   string
	log     tail
}

// listening and administered are how the listener says where clicks and webhooks
// arrive, and where its own page is.
var (
	listening    = regexp.MustCompile(`msg=listening for=public addr=(\S+)`)
	administered = regexp.MustCompile(`msg=listening for=admin addr=(\S+)`)
)

// errOver : the sandbox ends.
var errOver = errors.New("the sandbox ends")

// start starts the listener and waits until it listens. One that does not come up
// is ended.
func (l *listener) start(ctx context.Context) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.over:
		return errOver
	default:
	}
	if l.runs() {
		return nil
	}
	defer func() {
		if err != nil {
			l.stop()
		}
	}()
	l.log.reset()
	l.cmd = l.command(context.WithoutCancel(ctx), "serve-callback", "--config", l.config)
	l.cmd.Stdout, l.cmd.Stderr = &l.log, &l.log
	l.cmd.SysProcAttr = dependent()
	started, ended := make(chan error), make(chan struct{})
	l.ended = ended
	go func(cmd *exec.Cmd) {
		// Linux ends the child when the thread that started it ends, so that
		// thread stays until the child has.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended shows in its log
		}
		close(ended)
	}(l.cmd)
	if err := <-started; err != nil {
		return fmt.Errorf("start the listener: %w", err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		said := l.log.String()
		m, own := listening.FindStringSubmatch(said), administered.FindStringSubmatch(said)
		if m != nil && own != nil {
			l.address, l.admin = "http://"+m[1], "http://"+own[1]
			l.listens(l.address)
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the listener ended as soon as it was started:\n%s", l.log.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-l.over:
			return errOver
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("the listener does not say that it listens:\n" + l.log.String())
}

// command is a command line of mrgate, which sees nothing of the environment that
// could be a setting.
func (l *listener) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.binary, args...) //nolint:gosec // mrgate itself
	cmd.Dir = l.dir
	cmd.Env = []string{"HOME=" + l.dir}
	for _, name := range []string{"PATH", "TMPDIR", "SystemRoot"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if l.zone != "" {
		cmd.Env = append(cmd.Env, "TZ="+l.zone)
	}
	return cmd
}

// kill is kill -9.
func (l *listener) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
}

// end is kill for good.
func (l *listener) end() {
	close(l.over) // whoever waits for it to come up need not
	l.kill()
}

// stop is kill for who holds mu.
func (l *listener) stop() {
	if l.cmd == nil || l.cmd.Process == nil {
		return
	}
	_ = l.cmd.Process.Kill() // it may have ended by itself
	<-l.ended
}

// alive says whether the listener runs.
func (l *listener) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs()
}

// runs is alive for who holds mu.
func (l *listener) runs() bool {
	if l.ended == nil {
		return false
	}
	select {
	case <-l.ended:
		return false
	default:
		return l.cmd.Process != nil
	}
}

// url is where the listener listens, or did.
func (l *listener) url() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

// ownPage is the address of the listener's own page; "": it does not run.
func (l *listener) ownPage() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.runs() {
		return ""
	}
	return l.admin
}

// tail is the end of what a process printed.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const tailKept = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() > tailKept {
		kept := bytes.Clone(t.b.Bytes()[t.b.Len()-tailKept/2:])
		t.b.Reset()
		t.b.Write(kept)
	}
	return t.b.Write(p)
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Reset()
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}
