package feishu

import (
	"encoding/json"
	"maps"
	"testing"

	"mrgate/internal/gate"
)

func TestOriginComesBackAsItWent(t *testing.T) {
	o := gate.Origin{Ref: gate.Ref{Forge: "gitlab", Project: 9007199254740993, Number: 7}, Head: "856c10e9", Target: "release/1.0 \"x\""}
	value := node{}
	addOrigin(value, &o)
	sent, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(sent, &back); err != nil {
		t.Fatal(err)
	}
	if got := originOf(back); got == nil || *got != o {
		t.Errorf("got %+v, want %+v", got, o)
	}
	for _, name := range []string{"f", "p", "n", "h", "t"} {
		for _, bad := range []any{nil, "", 7.0, map[string]any{}} {
			broken := maps.Clone(back)
			broken[name] = bad
			if got := originOf(broken); got != nil {
				t.Errorf("%s: %v gave %+v", name, bad, got)
			}
		}
	}
	for _, bad := range []string{"-1", "0", "7x", "99999999999999999999"} {
		back["p"] = bad
		if got := originOf(back); got != nil {
			t.Errorf("project %s gave %+v", bad, got)
		}
	}
}
