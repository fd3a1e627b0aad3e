package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// Rules gives the text of axe-core (github.com/dequelabs/axe-core), which AXE_CORE
// names the file of. Where it names none the test is skipped; in a pipeline, whose
// environment has CI, it fails.
func Rules(t testing.TB) string {
	t.Helper()
	path := os.Getenv("AXE_CORE")
	if path == "" && os.Getenv("CI") == "" {
		t.Skip("NOT TESTED for accessibility: set AXE_CORE to axe.min.js of the npm package axe-core")
	}
	text, err := os.ReadFile(path) //nolint:gosec // whoever runs the tests names it
	if err != nil {
		t.Fatalf("AXE_CORE: %v", err)
	}
	return string(text)
}

// Violations are the rules of accessibility that the page breaks, each with where it
// does. rules is the text of axe-core.
func (t *Tab) Violations(rules string) ([]string, error) {
	if rules == "" {
		return nil, errors.New("axe-core is empty")
	}
	if _, err := chromedp.Run(t.Context, chromedp.Evaluate[bool](rules+"; true")); err != nil {
		return nil, fmt.Errorf("load axe-core: %w", err)
	}
	said, err := chromedp.Run(t.Context, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then((found) =>
		JSON.stringify(found.violations.map((v) => ({rule: v.id, help: v.help, where: v.nodes.map((n) => n.target.join(" ") + ": " + n.html)}))))`,
		chromedp.EvalAwaitPromise))
	if err != nil {
		return nil, fmt.Errorf("run axe-core: %w", err)
	}
	var found []struct {
		Rule, Help string
		Where      []string
	}
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		return nil, fmt.Errorf("read what axe-core found: %w", err)
	}
	var list []string
	for _, v := range found {
		for _, where := range v.Where {
			list = append(list, fmt.Sprintf("%s (%s) at %s", v.Rule, v.Help, where))
		}
	}
	return list, nil
}
