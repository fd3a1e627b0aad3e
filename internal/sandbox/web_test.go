package sandbox

import (
	"io/fs"
	"regexp"
	"testing"
)

// TestPageSpeaksChinese: every sentence of the page has a Chinese one, and none is
// left over.
func TestPageSpeaksChinese(t *testing.T) {
	chinese, used := inChinese(), map[string]bool{"Skip to the content": true}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(pageFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`[{(]t "([^"]*)"`).FindAllSubmatch(text, -1) {
			used[string(m[1])] = true
		}
	}
	for _, h := range hints() {
		used[h.Text] = true
	}
	for _, word := range append(roles(), "opened", "merged", "closed", "locked", "draft",
		"conflicts with", "pipeline", "auto-merge is set", "approved by", "merged by", "closed by") {
		used[word] = true
	}
	for sentence := range used {
		if chinese[sentence] == "" {
			t.Errorf("%q is not said in Chinese", sentence)
		}
	}
	for sentence := range chinese {
		if !used[sentence] {
			t.Errorf("%q is not on the page", sentence)
		}
	}
}
