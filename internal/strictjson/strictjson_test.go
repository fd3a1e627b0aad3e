package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{
		`{}`, ` {"a": [1, {"b": null}, "x", true], "b": {"a": 1e3}} ` + "\n", `[]`, `1`, `"x"`, `{"":1}`,
		strings.Repeat("[", 5) + strings.Repeat("]", 5), `[{"a":1},{"a":1}]`,
	} {
		if err := Check([]byte(good), 5); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		``, ` `, `{`, `{}{}`, `{} x`, `{}]`, `[1,]`, `{"a":1,}`, `{'a':1}`, `nul`, "\xef\xbb\xbf{}",
		`{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":{"b":1,"b":1}}`, `[{"x":[{"k":1,"\u006b":2}]}]`,
		`{"k":1,"` + "\u212a" + `":2}`, // the sign for kelvin, which encoding/json takes for a k
		`{"s":1,"` + "\u017f" + `":2}`, // the long s
		"{\"a\":\"\xff\"}",
		strings.Repeat("[", 6) + strings.Repeat("]", 6), strings.Repeat(`{"a":`, 6) + "1" + strings.Repeat("}", 6),
		`[[[[[{"a":1}]]]]]`,
	} {
		if err := Check([]byte(bad), 5); err == nil {
			t.Errorf("%s: taken", bad)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":"\u00e9"}]}`, `{"a":1,"A":2}`, `[[[]]]`, `{"k":1,"` + "\u212a" + `":2}`, `1E700`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data, 8) != nil {
			return
		}
		// Numbers of any size are JSON (1E700); whoever needs one refuses what does
		// not fit.
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("taken, but %v", err)
		}
	})
}
