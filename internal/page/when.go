package page

import (
	"fmt"
	"time"
)

// ago is how long something is ago, in its largest unit. It does not count
// seconds: a page that changes every second is not one to read.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "< 1 min"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
