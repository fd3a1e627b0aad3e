package sandbox

import (
	"fmt"
	"io"
	"strings"
)

// printer prints a story for people.
type printer struct {
	out    io.Writer
	opts   Options
	scenes int
}

func newPrinter(out io.Writer, opts Options) *printer { return &printer{out: out, opts: opts} }

// The colours of a terminal: SGR parameters of ECMA-48.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (p *printer) say(format string, args ...any) { p.line("", fmt.Sprintf(format, args...), "") }

func (p *printer) scene(title string) {
	p.scenes++
	p.line("", "", "")
	p.line(bold, fmt.Sprintf("%d. %s", p.scenes, title), "")
}

func (p *printer) kept(format string, args ...any) {
	p.line(green, "   ✓ "+fmt.Sprintf(format, args...), "")
}

func (p *printer) dim(format string, args ...any) {
	p.line(faint, "     "+fmt.Sprintf(format, args...), "")
}

func (p *printer) fail(err error) { p.line(red, "   ✗ "+err.Error(), "") }

func (p *printer) end(format string, args ...any) {
	p.line("", "", "")
	p.line(bold, fmt.Sprintf(format, args...), "")
}

// step prints what happened: who, to whom, what, and what came of it.
func (p *printer) step(s step) {
	switch s.Kind {
	case deed, process:
		p.line(cyan, fmt.Sprintf("   %s %s", s.From, s.What), "")
	case entry:
		p.line(faint, "     mrgate → log     "+s.What, s.Result)
	case call:
		p.line("", fmt.Sprintf("     %-6s → %-6s  %s", s.From, s.To, s.What), s.Result)
		if s.Reply != "" {
			p.line("", fmt.Sprintf("     %-6s → %-6s  %s", s.To, s.From, s.Reply), "")
		}
	}
}

// line prints a line in a colour, and what came of it behind; a long line is cut
// to the terminal.
func (p *printer) line(style, text, result string) {
	text = strings.ReplaceAll(text, "\n", " ")
	if result != "" {
		result = "  " + result
	}
	if p.opts.Width > 0 {
		text = p.opts.Cut(text, p.opts.Width-len(result))
	}
	if p.opts.Colour && style != "" {
		text = "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	if p.opts.Colour && result != "" {
		result = "\x1b[" + faint + "m" + result + "\x1b[0m"
	}
	_, _ = fmt.Fprintln(p.out, text+result) // if nobody reads it, the exit code still tells
}
