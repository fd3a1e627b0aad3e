package cli

import (
	"io"
	"os"

	"golang.org/x/term"

	"mrgate/internal/gate"
)

// terminalOf is the terminal that out is; false: it is none.
func terminalOf(out io.Writer) (fd int, ok bool) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// widthOf is how many columns the terminal has; 0: out is none, or does not say.
func widthOf(out io.Writer) int {
	fd, ok := terminalOf(out)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(fd)
	if err != nil {
		return 0
	}
	return w
}

// commands says that out is a terminal that obeys commands, such as to wipe a line.
func (env *Environment) commands(out io.Writer) bool {
	_, ok := terminalOf(out)
	return ok && env.variable("TERM") != "dumb"
}

// color is one of a terminal's sixteen, as its command says it
// (ECMA-48, "Select graphic rendition").
type color string

// Each as the cards have it.
const (
	plainColor  color = ""
	redColor    color = "31"
	greenColor  color = "32"
	yellowColor color = "33"
	cyanColor   color = "36"
	greyColor   color = "90"
	blueColor   color = "94"
)

// colored says that stdout is a terminal, and the reader wants colors there:
// https://no-color.org.
func (env *Environment) colored() bool {
	return env.variable("NO_COLOR") == "" && env.commands(env.Stdout)
}

// painter gives what puts text on stdout in a color, where that is wanted.
func (env *Environment) painter() func(c color, text string) string {
	painted := env.colored()
	return func(c color, text string) string {
		if !painted || c == plainColor || text == "" {
			return text
		}
		return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
	}
}

// colorOf is the state's.
func colorOf(s gate.State) color {
	switch s {
	case gate.Pending:
		return blueColor
	case gate.Approved:
		return cyanColor
	case gate.MergedHere:
		return greenColor
	case gate.BlockedNow:
		return yellowColor
	case gate.Rejected, gate.ClosedHere:
		return redColor
	case gate.Expired, gate.Superseded, gate.Withdrawn:
		return greyColor
	}
	return plainColor
}
