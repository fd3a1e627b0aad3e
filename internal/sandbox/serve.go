package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// DefaultAddress is where the page is, unless that is taken.
const DefaultAddress = "127.0.0.1:8090"

// ErrAddress is the error of an address that cannot be listened on.
var ErrAddress = errors.New("the address cannot be used")

// Serve plays with the world in a web page, until ctx ends. listen is an address
// on loopback; "" is [DefaultAddress], or any free port where that is taken. What
// a person needs to know goes to out. An error that wraps [ErrAddress] is about
// listen.
func Serve(ctx context.Context, opts Options, listen string, out io.Writer) error {
	l, err := listenLocally(ctx, listen)
	if err != nil {
		return err
	}
	opts.page = "http://" + l.Addr().String()
	w, err := open(ctx, opts)
	if err != nil {
		_ = l.Close()
		return err
	}
	defer w.Close()
	d, err := newDesk(w)
	if err != nil {
		_ = l.Close()
		return err
	}
	d.openFirst()
	p := newPrinter(out, opts)
	p.say("mrgate sandbox: the real listener, between a GitLab and a Feishu that are simulated on this machine.")
	p.say("")
	p.say("  Open    %s", opts.page)
	p.say("  Look    %s list --config %s", called(opts.Binary), w.config())
	p.say("  Check   %s doctor --config %s", called(opts.Binary), w.config())
	p.say("  End     Ctrl-C; nothing of it stays")

	web, cancel := context.WithCancel(ctx) // ends the streams of events
	defer cancel()
	srv := &http.Server{
		Handler: d.handler(l.Addr().String()), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return web },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	cancel()
	_ = srv.Close() // nobody waits for an answer any more
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, w.journal.record.failed())
}

// listenLocally listens on an address that nobody else's machine can reach.
func listenLocally(ctx context.Context, address string) (net.Listener, error) {
	given := address != ""
	if !given {
		address = DefaultAddress
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is no host:port; write it like %s", ErrAddress, address, DefaultAddress)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("%w: %q has no port from 0 to 65535; write it like %s", ErrAddress, address, DefaultAddress)
	} else if host == "localhost" {
		address = fmt.Sprintf("127.0.0.1:%d", n)
	} else if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%w: %q could be reached from other machines, and a sandbox is for this one; write it like %s", ErrAddress, address, DefaultAddress)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && !given {
		l, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; name another one, or 127.0.0.1:0 for any", ErrAddress, err)
	}
	return l, nil
}

// called is how a shell starts the program in that file: by its name alone only
// where the PATH leads to one, which it does not if this is run by go run.
func called(binary string) string {
	if _, err := exec.LookPath("mrgate"); err != nil {
		return binary
	}
	return "mrgate"
}
