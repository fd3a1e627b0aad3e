// Package story says in English, for operators, what became of a request: who was
// asked, who decided what, what was done in GitLab and what it answered, and what
// it waits for now. It reads an archive ([Read]), puts entries of the log into
// sentences ([Teller]), and makes fit to be shown what others wrote ([Clean]), for
// the commands and for the page alike.
package story
