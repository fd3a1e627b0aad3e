package sqlite

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"mrgate/internal/gate"
)

// field binds a column to a field of a gate type, in both directions, so that a
// column cannot be written and forgotten in reading.
type field struct {
	column string
	slot
}

// slot turns a Go value into what SQLite stores (int64, string, nil: comparable
// with ==) and back.
type slot interface {
	store() (any, error)
	restore(stored any, known *documents) error
}

// number is an integer.
type number[T ~int | ~int64] struct{ p *T }

func (s number[T]) store() (any, error) { return int64(*s.p), nil }

func (s number[T]) restore(v any, _ *documents) error {
	n, err := as[int64](v)
	*s.p = T(n)
	return err
}

// link is the number of another row, NULL where it is 0.
type link struct{ p *int64 }

func (s link) store() (any, error) {
	if *s.p == 0 {
		return nil, nil
	}
	return *s.p, nil
}

func (s link) restore(v any, _ *documents) error {
	if v == nil {
		*s.p = 0
		return nil
	}
	return number[int64](s).restore(v, nil)
}

// text is a string.
type text[T ~string] struct{ p *T }

func (s text[T]) store() (any, error) { return string(*s.p), nil }

func (s text[T]) restore(v any, _ *documents) error {
	t, err := as[string](v)
	*s.p = T(t)
	return err
}

// flag is a bool, as 0 or 1.
type flag struct{ p *bool }

func (s flag) store() (any, error) {
	if *s.p {
		return int64(1), nil
	}
	return int64(0), nil
}

func (s flag) restore(v any, _ *documents) error {
	n, err := as[int64](v)
	*s.p = n != 0
	return err
}

// moment is a time, cut to milliseconds; NULL is the zero time.
type moment struct{ p *time.Time }

func (s moment) store() (any, error) {
	if s.p.IsZero() {
		return nil, nil
	}
	return s.p.UnixMilli(), nil
}

func (s moment) restore(v any, _ *documents) error {
	if v == nil {
		*s.p = time.Time{}
		return nil
	}
	n, err := as[int64](v)
	*s.p = time.UnixMilli(n).UTC()
	return err
}

// document is JSON; NULL is what JSON calls null, and leaves the value as it is.
type document[T any] struct{ p *T }

func (s document[T]) store() (any, error) {
	b, err := json.Marshal(s.p)
	if err != nil {
		return nil, err
	}
	if string(b) == "null" {
		return nil, nil
	}
	return string(b), nil
}

func (s document[T]) restore(v any, d *documents) error {
	if v == nil {
		return nil
	}
	t, err := as[string](v)
	if err != nil {
		return err
	}
	*s.p, err = decode[T](d, t)
	return err
}

// optional is a document that there may be none of: NULL is nil.
type optional[T any] struct{ p **T }

func (s optional[T]) store() (any, error) { return document[*T](s).store() }

func (s optional[T]) restore(v any, d *documents) error {
	*s.p = nil
	if v == nil {
		return nil
	}
	*s.p = new(T)
	return document[T]{*s.p}.restore(v, d)
}

// recipient is who gets a message, as [gate.Recipient.String] writes it.
type recipient struct{ p *gate.Recipient }

func (s recipient) store() (any, error) { return s.p.String(), nil }

func (s recipient) restore(v any, _ *documents) error {
	t, err := as[string](v)
	if err != nil {
		return err
	}
	kind, id, _ := strings.Cut(t, ":")
	*s.p = gate.Recipient{Group: kind == "group", ID: id}
	if s.p.String() != t {
		return fmt.Errorf("%q is no recipient", t)
	}
	return nil
}

// repeated is a part of a document, or what follows from other columns, in a
// column of its own, to look for it: it is written and never read back.
type repeated struct{ slot }

func (s repeated) restore(any, *documents) error { return nil }

func as[T any](v any) (T, error) {
	t, ok := v.(T)
	if !ok {
		return t, fmt.Errorf("is a %T, should be a %T", v, t)
	}
	return t, nil
}

// store gives what SQLite keeps of the fields, in their order.
func store(fields []field) ([]any, error) {
	row := make([]any, len(fields))
	for i, f := range fields {
		v, err := f.store()
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.column, err)
		}
		row[i] = v
	}
	return row, nil
}

// restore sets the fields to what SQLite kept.
func (s *session) restore(fields []field, row []any) error {
	for i, f := range fields {
		if err := f.restore(row[i], &s.documents); err != nil {
			return fmt.Errorf("column %s: %w", f.column, err)
		}
	}
	return nil
}
