package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Error is bad configuration: the user's to mend, exit code 2. It says all that
// is wrong, a line each.
type Error struct {
	Problems []Problem
}

// Error returns the problems, a line each.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Problem is one thing that is wrong.
type Problem struct {
	File         string // where the problem is in a file; else empty
	Line, Column int    // counted from 1, the column in characters; 0: the file as a whole
	Text         string // names the thing, the value (never of a secret) and the remedy
}

// String returns the problem on one line, with its place before it.
func (p Problem) String() string {
	if place := p.place(); place != "" {
		return place + ": " + p.Text
	}
	return p.Text
}

// place returns file:line:column, as far as it is known.
func (p Problem) place() string {
	if p.File == "" || p.Line == 0 {
		return printable(p.File)
	}
	return fmt.Sprintf("%s:%d:%d", printable(p.File), p.Line, p.Column)
}

// wrong makes the error of problems; nil of none.
func wrong(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{problems}
}

// printable returns the name as it is, or quoted where it would break the line
// or the terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

// quote returns a value for an error: on one line, and not endlessly long.
func quote(s string) string {
	const longest = 60
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return strconv.Quote(s)
}
