package gatetest_test

import (
	"testing"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
)

func TestFakeForge(t *testing.T) {
	gatetest.Forge(t, func(*testing.T) (gate.Forge, gatetest.World) {
		f := gatetest.NewForge()
		return f, f
	})
}
