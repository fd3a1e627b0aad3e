package story

import (
	"strings"
	"time"
)

// ZoneName says which zone times are in: "CST, UTC+08:00", "UTC".
func ZoneName(t time.Time, zone *time.Location) string {
	name, offset := t.In(zone).Zone()
	if offset == 0 && name == "UTC" {
		return name
	}
	from := t.In(zone).Format("UTC-07:00")
	if name == "" || strings.ContainsAny(name[:1], "+-") { // zones without a name are called by their offset
		return from
	}
	return name + ", " + from
}
