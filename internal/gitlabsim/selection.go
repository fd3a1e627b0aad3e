package gitlabsim

import (
	"fmt"
	"strconv"
	"strings"
	"text/scanner"
)

// selection is one field that a GraphQL query asks for.
type selection struct {
	name, alias  string
	args         map[string]any // a variable stands as such
	fields       []selection
	line, column int
}

// variable is a $name in a query.
type variable string

// parseQuery reads one anonymous or named query: selection sets, aliases,
// arguments and variables. There are no fragments and no directives.
func parseQuery(text string) (fields []selection, err error) {
	p := &queryParser{}
	p.scan.Init(strings.NewReader(text))
	p.scan.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanStrings
	p.scan.Error = func(_ *scanner.Scanner, text string) { p.fail(text) }
	p.next()
	defer func() {
		if p.err != nil {
			fields, err = nil, p.err
		}
	}()
	if p.token == "query" {
		for p.token != "{" && p.token != "" && p.token != "(" {
			p.next()
		}
		if p.token == "(" { // the variables' declarations
			for p.token != ")" && p.token != "" {
				p.next()
			}
			p.expect(")")
		}
	}
	fields = p.set()
	if p.token != "" {
		p.fail("unexpected " + p.token)
	}
	return fields, nil
}

type queryParser struct {
	scan  scanner.Scanner
	token string
	kind  rune
	err   error
}

func (p *queryParser) fail(text string) {
	if p.err == nil {
		p.err = fmt.Errorf("Parse error on %q at [%d, %d]", text, p.scan.Line, p.scan.Column) //nolint:staticcheck // GitLab's words
	}
	p.token, p.kind = "", scanner.EOF
}

func (p *queryParser) next() {
	for {
		p.kind = p.scan.Scan()
		p.token = p.scan.TokenText()
		if p.kind == '#' { // a comment, to the end of the line
			for c := p.scan.Next(); c != '\n' && c != scanner.EOF; c = p.scan.Next() {
			}
			continue
		}
		if p.kind != ',' { // commas are blanks
			return
		}
	}
}

func (p *queryParser) expect(token string) {
	if p.token != token {
		p.fail(p.token)
		return
	}
	p.next()
}

// set reads { field field … }.
func (p *queryParser) set() []selection {
	p.expect("{")
	fields := []selection{}
	for p.token != "}" && p.err == nil {
		fields = append(fields, p.field())
	}
	if len(fields) == 0 {
		p.fail("}")
	}
	p.expect("}")
	return fields
}

func (p *queryParser) name() string {
	if p.kind != scanner.Ident {
		p.fail(p.token)
		return ""
	}
	name := p.token
	p.next()
	return name
}

// field reads alias: name(arg: value) { … }.
func (p *queryParser) field() selection {
	f := selection{line: p.scan.Line, column: p.scan.Column, args: map[string]any{}}
	f.name = p.name()
	f.alias = f.name
	if p.token == ":" {
		p.next()
		f.name = p.name()
	}
	if p.token == "(" {
		p.next()
		for p.token != ")" && p.err == nil {
			name := p.name()
			p.expect(":")
			f.args[name] = p.value()
		}
		p.expect(")")
	}
	if p.token == "{" {
		f.fields = p.set()
	}
	return f
}

func (p *queryParser) value() any {
	token, kind := p.token, p.kind
	p.next()
	switch {
	case token == "$":
		return variable(p.name())
	case kind == scanner.String:
		text, err := strconv.Unquote(token)
		if err != nil {
			p.fail(token)
		}
		return text
	case kind == scanner.Int:
		n, _ := strconv.ParseFloat(token, 64)
		return n
	case token == "true", token == "false":
		return token == "true"
	case token == "null":
		return nil
	default:
		p.fail(token)
		return nil
	}
}
