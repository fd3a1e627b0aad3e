package gatetest_test

import (
	"testing"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
)

func TestFakeChat(t *testing.T) {
	gatetest.Chat(t, func(*testing.T) (gate.Chat, gatetest.ChatWorld) {
		f := gatetest.NewChat()
		return f, f
	})
}
