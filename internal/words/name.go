package words

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// known is somebody's name, or "" if there is none to show. What looks like an
// address or a chat's own ID is no name: neither belongs on a card.
func known(name string) string {
	name = Line(name, maxName)
	if address.MatchString(name) || strings.HasPrefix(name, "ou_") || strings.HasPrefix(name, "on_") {
		return ""
	}
	return name
}

// name is an approver's.
func (w *Words) name(name string) string {
	if n := known(name); n != "" {
		return n
	}
	return w.pick("一位审批人", "an approver")
}

// somebody is whoever did something in the forge.
func (w *Words) somebody(name string) string {
	if n := known(name); n != "" {
		return n
	}
	return w.pick("有人", "somebody")
}

// Author is whose merge request it is. The username stands beside a name that is
// another: everybody can call themselves what they like.
func (w *Words) Author(name, username string) string {
	name, username = known(name), strings.TrimPrefix(Line(username, maxName), "@")
	switch {
	case name == "" && username == "":
		return w.pick("作者", "the author")
	case username == "":
		return name
	case name == "" || strings.EqualFold(name, username):
		return "@" + username
	}
	return fmt.Sprintf("%s (@%s)", name, username)
}

// People lists names, five at most; those without a name are counted.
func (w *Words) People(names []string) string {
	var list []string
	rest := 0
	for _, name := range names {
		if n := known(name); n != "" && len(list) < 5 {
			list = append(list, n)
		} else {
			rest++
		}
	}
	switch {
	case len(list) == 0 && rest <= 1:
		return w.name("")
	case len(list) == 0:
		return w.pick(fmt.Sprintf("%d 位审批人", rest), fmt.Sprintf("%d approvers", rest))
	case rest == 1:
		list = append(list, w.pick("另外 1 人", "one other"))
	case rest > 1:
		list = append(list, w.pick(fmt.Sprintf("另外 %d 人", rest), fmt.Sprintf("%d others", rest)))
	}
	n := len(list) - 1
	if n == 0 {
		return list[0]
	}
	zh := strings.Join(list, "、")
	if rest > 0 {
		zh = strings.Join(list[:n], "、") + " 和" + list[n]
	}
	return w.pick(zh, strings.Join(list[:n], ", ")+" and "+list[n])
}

// after, before and around put the space between a name and a Chinese sentence
// that a name in other letters needs, and a Chinese name does not have.

func after(name string) string {
	if r, _ := utf8.DecodeLastRuneInString(name); unicode.Is(unicode.Han, r) {
		return name
	}
	return name + " "
}

func before(name string) string {
	if r, _ := utf8.DecodeRuneInString(name); unicode.Is(unicode.Han, r) {
		return name
	}
	return " " + name
}

func around(name string) string { return before(after(name)) }

// sentence is s with a capital letter where it starts with one of our own words.
func sentence(s string) string {
	for _, own := range []string{"an approver", "an operator", "operator", "the author", "somebody"} {
		if strings.HasPrefix(s, own+" ") || strings.HasPrefix(s, own+":") {
			return strings.ToUpper(s[:1]) + s[1:]
		}
	}
	return s
}

// OperatorName is somebody who decided from the command line, among those who
// approved: the name of a user and a host, or of a token.
func (w *Words) OperatorName(name string) string {
	n := prose(name, maxName-len("operator "))
	if n == "" {
		return w.pick("一位运维人员", "an operator")
	}
	return w.pick("运维 "+n, "operator "+n)
}

func (w *Words) rule(name string) string { return orUnknown(Line(name, maxRule)) }
