// Package strictjson says whether bytes from outside are JSON that every parser
// reads alike, so that nobody can show one thing to a check and another to what
// follows.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check reports whether data is exactly one JSON value that every parser
// reads alike: valid UTF-8, nothing but white space after it, no name twice in an
// object, nested no deeper than maxDepth. Names that differ in case alone count
// as the same: encoding/json takes either for a field. The error quotes nothing.
func Check(data []byte, maxDepth int) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(data) { // the walk below leaves some mistakes to this, and what follows the value
		return errors.New("not one JSON value")
	}
	type level struct {
		names map[string]bool // nil: an array
		value bool            // what comes next is a name's value
	}
	var open []level
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return errors.New("not JSON")
		}
		delim, isDelim := token.(json.Delim)
		var top *level
		if len(open) > 0 {
			top = &open[len(open)-1]
		}
		switch {
		case delim == '}' || delim == ']':
			open = open[:len(open)-1]
		case top != nil && top.names != nil && !top.value:
			name, _ := token.(string)
			name = strings.Map(fold, name)
			if top.names[name] {
				return errors.New("a name stands twice in an object")
			}
			top.names[name], top.value = true, true
			continue
		default:
			if top != nil {
				top.value = false
			}
			if isDelim && len(open) == maxDepth {
				return errors.New("nested too deep")
			}
			switch delim {
			case '{':
				open = append(open, level{names: map[string]bool{}})
			case '[':
				open = append(open, level{})
			}
		}
		if len(open) == 0 {
			return nil
		}
	}
}

// fold maps letters that encoding/json takes for each other to one: the smallest
// of those that are each other's upper and lower cases.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
