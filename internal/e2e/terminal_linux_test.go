package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mrgate/internal/gitlabsim"
)

// terminal is one that somebody sits at.
type terminal struct {
	job
	screen *buffer
}

// atTerminal starts mrgate at a terminal that has so many columns.
func (w *world) atTerminal(columns uint16, env []string, args ...string) *terminal {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &terminal{job: job{t: w.t, out: &buffer{}, errs: &buffer{}, done: make(chan struct{})}, screen: &buffer{}}
	s.cmd = exec.Command(binary(w.t), args...)
	s.cmd.Dir, s.cmd.Env = w.dir, append(w.environ(), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(s.screen, master) // ends with EIO, when nobody has the other side any more
	}()
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait()
		<-read
		_ = master.Close()
	}()
	w.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
	})
	return s
}

// shows is what stands on the screen.
func (s *terminal) shows() string {
	var lines []string
	for line := range strings.Lines(s.screen.String()) {
		line = strings.TrimRight(line, "\r\n")
		if i := strings.LastIndex(line, "\r\x1b[K"); i >= 0 {
			line = line[i+len("\r\x1b[K"):]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestDecideSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 3 {
		w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = fmt.Sprint("feature/", n) })
	}
	mend := w.gitlab.Inject(gitlabsim.Fault{Method: "PUT", PathSuffix: "/merge", Status: 502})
	args := func(n int) []string {
		return []string{"decide", "--approve", fmt.Sprintf("%s!%d", projectPath, n), "--config", w.config, "--db", w.db}
	}
	live := w.atTerminal(70, nil, args(1)...)
	dumb := w.atTerminal(70, []string{"TERM=dumb"}, args(2)...)
	piped := w.startJob(w.environ(), args(3)...)

	line := func(n int) *regexp.Regexp {
		return regexp.MustCompile(fmt.Sprintf(`(?m)^acme/webhook!%d: \d+s of 1m, waiting for GitLab to merge it; so far: [^\r\n]*$`, n))
	}
	w.eventually("the terminal shows it", func() bool { return line(1).MatchString(live.shows()) })
	first := line(1).FindString(live.shows())
	if len(first) > 70+len("…") {
		t.Errorf("a line of %d bytes in 70 columns: %q", len(first), first)
	}
	for what, said := range map[string]func() string{"the dumb terminal": dumb.screen.String, "standard error": piped.errs.String} {
		w.eventually(what+" has a line", func() bool { return strings.Contains(said(), "s of 1m, waiting for GitLab to merge it") })
		if strings.Contains(said(), "\x1b") {
			t.Errorf("%s gets commands: %q", what, said())
		}
	}
	mend()
	live.ends(0)
	dumb.ends(0)
	piped.ends(0)
	if got := live.shows(); strings.Contains(got, "waiting for") || !strings.HasPrefix(lastLine(got), "acme/webhook!1 merged as ") {
		t.Errorf("in the end the terminal shows:\n%s", got)
	}
	if got := piped.errs.String(); !regexp.MustCompile(`(?m)^mrgate: acme/webhook!3: \d+s of 1m, waiting for GitLab to merge it`).MatchString(got) {
		t.Errorf("standard error: %s", got)
	}
	if got := piped.out.String(); !strings.HasPrefix(got, "acme/webhook!3 merged as ") {
		t.Errorf("standard output: %s", got)
	}

	// The same table three times: coloured, at the reader's wish not, and on a pipe whole.
	list := []string{"list", "--state", "merged", "--db", w.db}
	colored := w.atTerminal(80, nil, list...)
	colored.ends(0)
	plain := w.atTerminal(80, []string{"NO_COLOR=1"}, list...)
	plain.ends(0)
	if got := colored.screen.String(); !strings.Contains(got, "\x1b[32mmerged\x1b[0m") || strings.Count(got, "\x1b") != 6 {
		t.Errorf("in colour: %q", got)
	}
	got := plain.screen.String()
	age := regexp.MustCompile(` +\d+s\r`) // it is older in the second table
	if want := strings.NewReplacer("\x1b[32m", "", "\x1b[0m", "").Replace(colored.screen.String()); age.ReplaceAllString(got, "") != age.ReplaceAllString(want, "") {
		t.Errorf("without colour: %q, want %q", got, want)
	}
	for row := range strings.Lines(got) {
		if row = strings.TrimRight(row, "\r\n"); len([]rune(row)) > 80 || !strings.HasSuffix(row, "AGE") && !strings.HasSuffix(row, "s") {
			t.Errorf("not whole in 80 columns: %q", row)
		}
	}
	if r := w.run(nil, list...); !strings.Contains(r.stdout, "COMMIT") || strings.Contains(got, "COMMIT") {
		t.Errorf("a narrow terminal has no room for the commit, a pipe has:\n%s%s", got, r.stdout)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestDecideThroughTheListenerSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.startIn(w.withAPI())
	w.open()
	mend := w.gitlab.Inject(gitlabsim.Fault{Method: "PUT", PathSuffix: "/merge", Status: 502})
	env := []string{"MRGATE_SERVER=" + l.admin(), "MRGATE_OPERATOR_TOKEN=" + operatorToken}
	j := w.startJob(env, "decide", "--approve", projectPath+"!1")
	w.eventually("it says what it waits for", func() bool {
		return regexp.MustCompile(`(?m)^mrgate: acme/webhook!1: \d+s of 1m, waiting for GitLab to merge it$`).MatchString(j.errs.String())
	})
	mend()
	j.ends(0)
}
