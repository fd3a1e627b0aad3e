package server

import (
	"runtime/debug"
	"testing"
)

func TestRushLetsGarbagePileUp(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, tt := range []struct {
		gogc    string // what the operator has set
		rush    bool
		percent int
	}{
		{"", true, 400},
		{"", false, 100},
		{"50", true, 77},
		{"50", false, 77},
	} {
		debug.SetGCPercent(77)
		t.Setenv("GOGC", tt.gogc)
		Rush(tt.rush)
		if got := debug.SetGCPercent(100); got != tt.percent {
			t.Errorf("rush %v with GOGC=%q: %d percent, want %d", tt.rush, tt.gogc, got, tt.percent)
		}
	}
}
