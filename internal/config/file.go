package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"mrgate/internal/policy"
)

// DefaultFile is the config file that is found without being named.
const DefaultFile = "mrgate.yaml"

// maxProblems is how many are told of one file: a screenful.
const maxProblems = 20

// File is a config file that was read and is good.
type File struct {
	Policy   *policy.Policy
	Warnings []Problem // what is probably not meant

	values map[string]fileValue // by the setting's name
}

// fileValue is a setting that stood in the file.
type fileValue struct {
	texts []string
	at    Problem // where: a problem without a text
}

// readFile reads a config file. One that was merely found, in what may be
// somebody's repository, holds the policy and nothing else: it must not say
// where tokens are sent, or which.
func readFile(name string, found bool) (*File, []Problem) {
	data, err := readAll(name, maxFile+1)
	if err != nil {
		return nil, []Problem{{File: name, Text: fmt.Sprintf("cannot be read: %v; check the name and who may read it", err)}}
	}
	return parseFile(name, data, found)
}

// parseFile judges the whole file: also settings of other commands than the one
// that runs.
func parseFile(name string, data []byte, found bool) (*File, []Problem) {
	root, problems := parseTree(name, data)
	if len(problems) > 0 {
		return nil, fewer(name, problems)
	}
	if root == nil {
		root = &node{shape: mapping, line: 1, column: 1}
	}
	if root.shape != mapping {
		return nil, []Problem{{name, root.line, root.column, "the file is no mapping; write keys such as rules: at the left edge"}}
	}
	f := &File{values: map[string]fileValue{}}
	settings := Settings()
	known := policyKeys()
	for _, s := range settings {
		if s.Name != "config" {
			known = append(known, s.Name)
		}
	}
	for _, e := range root.entries {
		if slices.Contains(policyKeys(), e.key) {
			continue
		}
		at := Problem{File: name, Line: e.line, Column: e.column}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Name == e.key })
		switch {
		case e.key == "config":
			at.Text = "config cannot stand in the config file; use --config or MRGATE_CONFIG"
		case i < 0:
			at.Text = fmt.Sprintf("%s is no setting%s", quote(e.key), didYouMean(e.key, known, "see 'mrgate serve-callback --help'"))
		case found:
			at.Text = fmt.Sprintf("%s may not stand in a %s that was merely found, only the policy may; name the file with --config or MRGATE_CONFIG, or set %s", e.key, DefaultFile, settings[i].Env())
		default:
			if problem, ok := f.setting(settings[i], name, e); !ok {
				problems = append(problems, problem)
			}
			continue
		}
		problems = append(problems, at)
	}
	var more []Problem
	f.Policy, more = decodePolicy(name, root)
	problems = append(problems, more...)
	for i := range f.Policy.Rules {
		f.Policy.Rules[i].Approvers = distinct(f.Policy.Rules[i].Approvers)
		f.Policy.Rules[i].CardsTo = distinct(f.Policy.Rules[i].CardsTo)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if len(problems) == 0 {
		for _, w := range f.Policy.Warnings() {
			line, column := locate(root, w.Path)
			f.Warnings = append(f.Warnings, Problem{name, line, column, w.Text})
		}
	}
	return f, fewer(name, problems)
}

// fewer cuts what nobody would read to its end.
func fewer(name string, problems []Problem) []Problem {
	more := len(problems) - maxProblems
	if more <= 0 {
		return problems
	}
	return append(problems[:maxProblems:maxProblems], Problem{File: name, Text: fmt.Sprintf("%d more problems; mend these first", more)})
}

// setting takes one setting from the file, and tries whether it can be read.
func (f *File) setting(s Setting, name string, e entry) (Problem, bool) {
	at := Problem{File: name, Line: e.value.line, Column: e.value.column}
	var texts []string
	switch e.value.shape {
	case null: // as a variable that is empty
		return Problem{}, true
	case boolean, number, text:
		texts = []string{e.value.text}
	case list:
		for _, item := range e.value.items {
			if !s.Many || item.shape == mapping || item.shape == list || item.shape == null {
				at.Line, at.Column, at.Text = item.line, item.column, s.Name+" takes one value; write it behind the colon"
				if s.Many {
					at.Text = s.Name + ": this entry is no text; write one, in quotes"
				}
				return at, false
			}
			texts = append(texts, item.text)
		}
	case mapping:
		at.Text = s.Name + " is no text; write one behind the colon"
		return at, false
	}
	if strings.Join(texts, "") == "" {
		return Problem{}, true
	}
	if err := s.field(&Config{}).set(texts); err != nil {
		at.Text = complaint(s, s.Name, texts, err)
		return at, false
	}
	f.values[s.Name] = fileValue{texts, at}
	return Problem{}, true
}

// complaint words what is wrong with a value: the thing, the value unless it is
// a secret, and the remedy.
func complaint(s Setting, where string, texts []string, err error) string {
	if s.Secret {
		return fmt.Sprintf("%s: the value %v", where, err)
	}
	value := strings.Join(texts, ",")
	if s.Kind() == "url" && strings.Contains(value, "@") {
		return fmt.Sprintf("%s: the value %v", where, err) // it may hold a password
	}
	return fmt.Sprintf("%s: %s %v", where, quote(value), err)
}

// Check reads a config file that somebody named, and nothing else. All of the
// file is judged; the error is an *Error, also if it holds no rule.
func Check(name string) (*File, error) {
	f, problems := readRules(name, false)
	if len(problems) > 0 {
		return nil, wrong(problems)
	}
	return f, nil
}

// readRules reads a config file that has to hold rules.
func readRules(name string, found bool) (*File, []Problem) {
	f, problems := readFile(name, found)
	if len(problems) == 0 && len(f.Policy.Rules) == 0 {
		problems = []Problem{{File: name, Text: "holds no rules; add rules: with at least one"}}
	}
	return f, problems
}

// ParsePolicy reads a policy back from its text (see policy.Policy.Text).
func ParsePolicy(text string) (*policy.Policy, error) {
	f, problems := parseFile("policy", []byte(text), true)
	if len(problems) > 0 {
		return nil, wrong(problems)
	}
	return f.Policy, nil
}

// readAll reads a file up to limit bytes; its error lacks the name, which the
// caller says.
func readAll(name string, limit int64) ([]byte, error) {
	in, err := os.Open(name) //nolint:gosec // the operator names the file
	if err == nil {
		defer in.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(in, limit)); err == nil {
			return data, nil
		}
	}
	if inPath, ok := errors.AsType[*fs.PathError](err); ok {
		err = inPath.Err
	}
	return nil, err
}
