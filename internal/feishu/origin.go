package feishu

import (
	"strconv"
	"time"

	"mrgate/internal/gate"
)

// addOrigin puts what a direct card is about into a button's value. Numbers go
// as text: a JSON number is a float to many a reader.
func addOrigin(value node, o *gate.Origin) {
	if o == nil {
		return
	}
	value["f"], value["h"], value["t"] = o.Ref.Forge, string(o.Head), o.Target
	value["p"], value["n"] = strconv.FormatInt(o.Ref.Project, 10), strconv.FormatInt(o.Ref.Number, 10)
	if !o.Again.IsZero() {
		value["again"] = strconv.FormatInt(o.Again.UnixMilli(), 10)
	}
}

// originOf reads it from a click; nil: the card says nothing of the kind.
func originOf(value map[string]any) *gate.Origin {
	project, err := strconv.ParseInt(text(value, "p"), 10, 64)
	if err != nil || project <= 0 {
		return nil
	}
	number, err := strconv.ParseInt(text(value, "n"), 10, 64)
	if err != nil || number <= 0 {
		return nil
	}
	o := &gate.Origin{
		Ref:  gate.Ref{Forge: text(value, "f"), Project: project, Number: number},
		Head: gate.CommitID(text(value, "h")), Target: text(value, "t"),
	}
	if o.Ref.Forge == "" || o.Head == "" || o.Target == "" {
		return nil
	}
	if again := text(value, "again"); again != "" {
		ms, err := strconv.ParseInt(again, 10, 64)
		if err != nil || ms <= 0 {
			return nil
		}
		o.Again = time.UnixMilli(ms).UTC()
	}
	return o
}
