package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is one value of a YAML file: what stands there, and where. Scalars keep
// their text, since a decoder would make 123 of 0123 and drop the + of a mobile
// number.
type node struct {
	shape        shape
	text         string // of a scalar
	entries      []entry
	items        []*node
	line, column int
}

// shape tells what a node is; scalars by what YAML takes them for.
type shape int

const (
	null shape = iota
	boolean
	number
	text // quoted, or plain and nothing else
	mapping
	list
)

// entry is a key of a mapping with its value.
type entry struct {
	key          string
	line, column int
	value        *node
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].value
		}
	}
	return nil
}

const (
	maxFile   = 256 << 10
	maxTokens = 30_000 // a key with its value has three; the parser's time grows with the square of the keys in a mapping (1.5 s here)
	maxDepth  = 16     // and with the square of the nesting
)

// parseTree reads the one document of a YAML file. Nil without a problem: the
// file is empty. It takes less than YAML offers: no anchors and aliases (a few
// of them make gigabytes), tags, merge keys, complex keys or directives.
//
// No problem quotes the file: a line that cannot be read may hold a secret.
func parseTree(file string, data []byte) (root *node, problems []Problem) {
	t := &tree{file: file}
	if !t.readable(data) {
		return nil, t.problems
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	tokens := lexer.Tokenize(string(data))
	if !t.plain(tokens) {
		return nil, t.problems
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are found below, and reported alike
	if err != nil {
		t.unreadable(err)
		return nil, t.problems
	}
	for i, doc := range parsed.Docs {
		if i == 0 || doc.Body == nil && doc.Start == nil {
			continue
		}
		const text = "a second document begins here; keep one"
		if doc.Start != nil {
			t.fail(doc.Start, text)
		} else {
			begin := t.node(doc.Body)
			t.problems = []Problem{{t.file, begin.line, begin.column, text}}
		}
		return nil, t.problems
	}
	if len(parsed.Docs) > 0 && parsed.Docs[0].Body != nil {
		root = t.node(parsed.Docs[0].Body)
	}
	return root, t.problems
}

// tree turns what the parser made into nodes.
type tree struct {
	file     string
	problems []Problem
}

func (t *tree) fail(at *token.Token, format string, args ...any) {
	p := Problem{File: t.file, Text: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		p.Line, p.Column = max(1, at.Position.Line), max(1, at.Position.Column)
	}
	t.problems = append(t.problems, p)
}

// readable refuses what is no text, before the parser sees it.
func (t *tree) readable(data []byte) bool {
	if len(data) > maxFile {
		t.fail(nil, "is larger than %d KiB; no policy is, so check the name", maxFile>>10)
		return false
	}
	line, column := 1, 1
	for rest := data; len(rest) > 0; column++ {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case r == utf8.RuneError && size == 1:
			t.problems = append(t.problems, Problem{t.file, line, column, "is not valid UTF-8 here; save the file as UTF-8"})
			return false
		case r == '\n':
			line, column = line+1, 0
		case unicode.IsControl(r) && r != '\t' && r != '\r':
			t.problems = append(t.problems, Problem{t.file, line, column, fmt.Sprintf("holds the control character %U here; remove it", r)})
			return false
		}
	}
	return true
}

// plain refuses the parts of YAML that are not taken, and nesting beyond all
// need, before the parser walks into them.
func (t *tree) plain(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		t.fail(tokens[maxTokens], "the file goes on after %d keys and values; no policy needs more, so use globs or user_email instead of long lists", maxTokens)
		return false
	}
	depth, dashes, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			dashes, line = 0, tk.Position.Line
		}
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			t.fail(tk, "anchors, aliases and merge keys are not taken; write the value out, in quotes if it begins with & or *")
		case token.TagType:
			t.fail(tk, "tags are not taken; leave it out, or quote the value if it begins with !")
		case token.DirectiveType:
			t.fail(tk, "directives are not taken; leave the line out, or quote the value if it begins with %%")
		case token.MappingKeyType:
			t.fail(tk, "keys with ? are not taken; write key: value, in quotes if the key begins with ?")
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			dashes++
		case token.InvalidType:
			t.fail(tk, "is not valid YAML: %s", withoutQuotes(tk.Error))
		default:
		}
		if depth > maxDepth || dashes > maxDepth {
			t.fail(tk, "is nested more than %d deep; no policy is, so check the brackets", maxDepth)
		}
		if len(t.problems) > 0 {
			return false
		}
	}
	return true
}

// unreadable reports what the parser found. Its own text would show the lines
// around.
func (t *tree) unreadable(err error) {
	var typed yaml.Error
	if !errors.As(err, &typed) {
		t.fail(nil, "is not valid YAML; check the indentation and the brackets")
		return
	}
	t.fail(typed.GetToken(), "is not valid YAML: %s", withoutQuotes(typed.GetMessage()))
}

// withoutQuotes leaves the parser's words and drops what it quotes of the file.
func withoutQuotes(message string) string {
	if strings.Contains(message, "'\t'") || strings.Contains(message, `'\t'`) {
		return "a tab stands where only spaces may; indent with spaces"
	}
	if i := strings.IndexAny(message, "\"'`\n\r"); i >= 0 {
		message = strings.TrimRight(message[:i], " :")
	}
	if message == "" {
		return "check the indentation, the quotes and the brackets"
	}
	return message + "; check the indentation, the quotes and the brackets"
}

// node turns one value into a node; of what is not taken it makes null and a
// problem.
func (t *tree) node(from ast.Node) *node {
	n := &node{}
	at := from.GetToken()
	switch from := from.(type) {
	case *ast.MappingNode:
		n.shape = mapping
		t.entries(n, from.Values)
		if !from.IsFlowStyle && len(n.entries) > 0 {
			n.line, n.column = n.entries[0].line, n.entries[0].column
			return n
		}
	case *ast.MappingValueNode:
		n.shape = mapping
		t.entries(n, []*ast.MappingValueNode{from})
		if len(n.entries) > 0 {
			n.line, n.column = n.entries[0].line, n.entries[0].column
			return n
		}
	case *ast.SequenceNode:
		n.shape = list
		for _, v := range from.Values {
			n.items = append(n.items, t.node(v))
		}
	case *ast.StringNode:
		n.shape, n.text = text, from.Value
	case *ast.LiteralNode:
		n.shape, n.text = text, from.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.shape, n.text = number, at.Value
	case *ast.BoolNode:
		n.shape, n.text = boolean, at.Value
	case *ast.NullNode:
	default:
		t.fail(at, "holds something that is not taken here; write a text, a list or a mapping")
	}
	if at != nil && at.Position != nil {
		n.line, n.column = max(1, at.Position.Line), max(1, at.Position.Column)
	}
	return n
}

func (t *tree) entries(n *node, values []*ast.MappingValueNode) {
	first := make(map[string]int, len(values))
	for _, v := range values {
		at := v.Key.GetToken()
		switch v.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		default:
			t.fail(at, "this key is no text; write key: value")
			continue
		}
		if line, ok := first[at.Value]; ok {
			t.fail(at, "%s stands here a second time, first in line %d; keep one", printable(at.Value), line)
			continue
		}
		first[at.Value] = at.Position.Line
		e := entry{key: at.Value, line: max(1, at.Position.Line), column: max(1, at.Position.Column)}
		if v.Value == nil {
			e.value = &node{line: e.line, column: e.column}
		} else {
			e.value = t.node(v.Value)
		}
		if e.value.shape == null {
			e.value.line, e.value.column = e.line, e.column // the parser puts what is missing anywhere
		}
		n.entries = append(n.entries, e)
	}
}
