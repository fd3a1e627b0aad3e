package gitlabsim

import (
	"fmt"
	"testing"
)

func TestWhatIsObeyed(t *testing.T) {
	for name, c := range map[string]struct{ text, rest, commands string }{
		"a line":                         {"yes\n/close\nno", "yes\nno", "[close]"},
		"with an argument":               {"/target_branch  x ", "", "[target_branch x]"},
		"any case, blank lines":          {"/CLOSE\n\n\nfoo", "foo", "[close]"},
		"carriage returns":               {"a\r\n\r/close\r\n", "a", "[close]"},
		"not at the first column":        {"a\n /close", "a\n /close", "[]"},
		"not known":                      {"/etc/passwd\n/closed\n/close/x", "/etc/passwd\n/closed\n/close/x", "[]"},
		"in a fence":                     {"```\n/close\n```", "```\n/close\n```", "[]"},
		"in a fence with a name":         {"```text\n/close\n\n/merge\n```\n/ready", "```text\n/close\n\n/merge\n```", "[ready]"},
		"after a fence that never ended": {"```\nx\n/close", "```\nx", "[close]"},
		"in tildes, old servers":         {"~~~\n/close\n~~~", "~~~\n~~~", "[close]"},
		"in four backticks":              {"````\n/close\n````", "````\n/close\n````", "[]"},
		"four backticks broken by one":   {"````\na ` b\n/close\n````", "````\na ` b\n````", "[close]"},
		"a fence closed from inside":     {"```\n```\n/close\n```", "```\n```\n```", "[close]"},
		"in a span":                      {"see `\n/close\n`", "see `\n/close\n`", "[]"},
		"between backticks, new servers": {"a ` b\n\n/close\n\nc ` d", "a ` b\n\n\nc ` d", "[close]"},
		"in a quote":                     {"> a\n> /close", "> a\n> /close", "[]"},
		"after a quote, old servers":     {"> a\n/close", "> a", "[close]"},
		"in a multi-line quote":          {">>>\n/close\n>>>", ">>>\n/close\n>>>", "[]"},
		"in HTML":                        {"<div>\n/close\n</div>", "<div>\n/close\n</div>", "[]"},
		"in HTML on its line":            {"<b>x</b>\n/close", "<b>x</b>", "[close]"},
		"indented":                       {"    /close", "    /close", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			rest, found := quickActions(c.text)
			var commands []string
			for _, f := range found {
				commands = append(commands, f.name)
				if f.arg != "" {
					commands = append(commands, f.arg)
				}
			}
			if got := fmt.Sprint(commands); rest != c.rest || got != c.commands {
				t.Errorf("%q leaves %q and obeys %s, want %q and %s", c.text, rest, got, c.rest, c.commands)
			}
		})
	}
}

func TestWhoIsMentioned(t *testing.T) {
	for text, want := range map[string]string{
		"@alice, @bob.":                         "[alice bob]",
		"(@acme/tools) and @all!":               "[acme/tools all]",
		"mail a@example.com":                    "[]",
		"`@alice` ``a`@bob`` @carol":            "[carol]",
		"```\n@alice\n```\n@bob":                "[bob]",
		"~~~~\n@alice\n~~~\n@bob\n~~~~\n@carol": "[carol]",
		"    @alice":                            "[]",
		"a\n    @alice":                         "[alice]",
		"&#64;all &commat;bob":                  "[all bob]",
		`\@all`:                                 "[]",
		"@\u200ball":                            "[]",
		"<!-- @alice -->\n\n@bob":               "[bob]",
		"> @alice":                              "[alice]",
		"- x\n\n      @alice":                   "[alice]",
		"``` @alice ```":                        "[]",
		"a ` @alice\n\nb ` @bob":                "[alice bob]",
	} {
		if got := fmt.Sprint(mentions(text)); got != want {
			t.Errorf("%q mentions %s, want %s", text, got, want)
		}
	}
}

func TestBlocks(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\n\nc":                  "[{0 0 4} {0 5 6}]",
		"a\n```\nx\n\ny\n```\nb\n":   "[{0 0 2} {2 2 15} {0 15 17}]",
		"- a\nb\n\n  c\n\nd":         "[{1 0 6} {1 7 11} {0 12 13}]",
		"# a\nb":                     "[{1 0 4} {0 4 5}]",
		"<div>\nblank\n\nb":          "[{3 0 13} {0 13 14}]",
		"<!-- a\n\nb -->\nc":         "[{4 0 14} {0 14 15}]",
		"a ``` b\n/c":                "[{0 0 10}]",
		"> a\nb\n\n    x\n\n1. a\nb": "[{1 0 6} {2 7 13} {1 14 20}]",
	} {
		if got := fmt.Sprint(blocks(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzNotes looks for texts that the parsers fall over.
func FuzzNotes(f *testing.F) {
	for _, text := range []string{"/close\n", "```\n/close\n```", "<a>\n/x\n</a>", "- a\n    b\n>>>\n", "a ` b @c `` &#64;d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest, found := quickActions(text)
		if len(rest) > len(text) {
			t.Errorf("%q grew to %q", text, rest)
		}
		for _, c := range found {
			if c.from < 0 || c.to <= c.from {
				t.Errorf("%q: command from %d to %d", text, c.from, c.to)
			}
		}
		mentions(text)
	})
}
