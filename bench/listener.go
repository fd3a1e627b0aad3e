package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build builds mrgate, as it is released.
func build(ctx context.Context, to string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, "mrgate/cmd/mrgate").CombinedOutput() //nolint:gosec // a path made here
	if err != nil {
		return fmt.Errorf("build mrgate: %w\n%s", err, out)
	}
	return nil
}

// listener is a running mrgate serve-callback.
type listener struct {
	cmd  *exec.Cmd
	url  string
	done chan error
}

// start starts a listener and waits until it listens.
func (w *world) start(ctx context.Context, args ...string) (*listener, error) {
	w.starts++
	log, err := os.Create(w.logFile())
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	args = append([]string{
		"serve-callback", "--config", w.policy(), "--db", w.database(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
	}, args...)
	l := &listener{cmd: exec.CommandContext(ctx, w.binary(), args...), done: make(chan error, 1)} //nolint:gosec // it was built here
	l.cmd.Dir, l.cmd.Env = w.dir, w.env
	l.cmd.Stdout, l.cmd.Stderr = log, log
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { l.done <- l.cmd.Wait() }()
	listening := regexp.MustCompile(`msg=listening for=public addr=(\S+)`)
	return l, until(ctx, time.Minute, "the listener listens", func() bool {
		if m := listening.FindStringSubmatch(w.log()); m != nil {
			l.url = "http://" + m[1]
		}
		return l.url != ""
	})
}

// stop asks the listener to end, and waits for it.
func (l *listener) stop() error {
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-l.done:
		l.done <- err
		return err
	case <-time.After(time.Minute):
		return errors.New("the listener does not end")
	}
}

func (l *listener) kill() {
	_ = l.cmd.Process.Kill() // it may have ended
	err := <-l.done
	l.done <- err
}

// memory is what the listener holds now and the most that it ever held, in MiB.
// Of what it holds now, own is what is not the program itself, as its file has it.
func (l *listener) memory() (now, own, most int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		return 0, 0, 0, err
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(data), name+":")
		kib := strings.Fields(rest + " 0")[0]
		n, _ := strconv.Atoi(kib) // the kernel writes numbers
		return (n + 1023) / 1024
	}
	return field("VmRSS"), field("RssAnon"), field("VmHWM"), nil
}

// cpu is how long the listener has run on a processor so far. It is counted in
// hundredths of a second (USER_HZ).
func (l *listener) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("what the kernel says of the process is no statistics: %q", data)
	}
	user, _ := strconv.Atoi(fields[11]) // the 14th and 15th field, proc(5)
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// restart ends the listener and starts another one.
func (w *world) restart(ctx context.Context, args ...string) error {
	err := w.listener.stop()
	if err == nil {
		w.listener, err = w.start(ctx, args...)
	}
	return err
}

// share watches the listener for a while, and says how much of a core it takes.
func (l *listener) share(ctx context.Context, watched time.Duration) (percent float64, err error) {
	before, err := l.cpu()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(watched):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := l.cpu()
	return 100 * (after - before).Seconds() / watched.Seconds(), err
}

// idle measures a listener that has nothing to do, between two sweeps.
func (w *world) idle(ctx context.Context, _ options, s *sheet) error {
	share, err := w.listener.share(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	now, own, most, err := w.listener.memory()
	if err != nil {
		return err
	}
	s.add("idle listener: CPU", fmt.Sprintf("%.1f %% of a core", share), held(share < 1, "0 %"), "")
	s.add("idle listener: memory", fmt.Sprintf("%d MiB, %d of them not the program itself", now, own), held(now <= budgetIdle, fmt.Sprintf("%d MiB", budgetIdle)), "")
	s.add("memory while all of that was opened", fmt.Sprintf("at most %d MiB", most), held(most <= budgetMost, fmt.Sprintf("%d MiB", budgetMost)), "")
	return nil
}

// sweeps measures what sweeps cost that find nothing: some time after the last
// change, since for a while after it a list is read again, a thousand a sweep.
func (w *world) sweeps(ctx context.Context, o options, s *sheet) error {
	w.ahead.Store(int64(10 * time.Minute))
	if err := w.restart(ctx, "--sweep", "1s"); err != nil {
		return err
	}
	if _, err := w.listener.share(ctx, time.Duration(o.mergeRequests/1000+5)*time.Second); err != nil {
		return err
	}
	all, single := w.calls.total.Load(), w.calls.single.Load()
	const watched = 15 * time.Second
	share, err := w.listener.share(ctx, watched)
	if err != nil {
		return err
	}
	all, single = w.calls.total.Load()-all, w.calls.single.Load()-single
	s.add("a sweep that finds nothing", fmt.Sprintf("%.1f calls, %d about a single merge request in %d sweeps; %.1f ms of CPU", float64(all)/watched.Seconds(), single, int(watched.Seconds()), 10*share),
		held(single == 0, "no call per merge request"), "")
	if err := w.restart(ctx); err != nil {
		return err
	}
	return w.quiet(ctx)
}
