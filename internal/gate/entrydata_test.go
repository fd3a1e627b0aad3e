package gate

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEntriesAreDocumented holds docs/log.md against what entries hold.
func TestEntriesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(page), "\n### ")[1:] {
		kind, text, _ := strings.Cut(section, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		sections[kind] = text
	}
	types := map[EntryKind]any{
		EntryOpened: OpenedData{}, EntryPeople: PeopleData{}, EntryClick: ClickData{}, EntryAgain: AgainData{}, EntryDecided: DecidedData{}, EntryCounts: CountsData{},
		EntryState: StateData{}, EntryEffect: EffectData{}, EntryBypassed: BypassedData{}, EntryMessage: MessageData{}, EntryPolicy: PolicyData{}, EntryReminder: ReminderData{},
	}
	source, err := os.ReadFile("entry.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`EntryKind = "(.*)"`).FindAllStringSubmatch(string(source), -1) {
		if types[EntryKind(m[1])] == nil {
			t.Errorf("entries of kind %s have no type here", m[1])
		}
	}
	for kind, data := range types {
		text, ok := sections[string(kind)]
		if !ok {
			t.Errorf("entries of kind %s have no section", kind)
			continue
		}
		delete(sections, string(kind))
		if !strings.Contains(string(page), fmt.Sprintf("\n| `%s` | ", kind)) {
			t.Errorf("the table of kinds has no %s", kind)
		}
		var documented []string
		for row := range strings.Lines(text) {
			if cell, _, ok := strings.Cut(strings.TrimPrefix(row, "| "), " | "); ok {
				for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
					documented = append(documented, m[1])
				}
			}
		}
		names := jsonNames(reflect.TypeOf(data))
		slices.Sort(documented)
		slices.Sort(names)
		if !slices.Equal(documented, names) {
			t.Errorf("%s holds %v, and docs/log.md says %v", kind, names, documented)
		}
	}
	for kind := range sections {
		t.Errorf("docs/log.md has a section %q, and there is no such kind", kind)
	}
	for _, file := range []string{"entrydata.go", "landing.go", "forge.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		values := regexp.MustCompile(`(?m)^\t\w+(?: +(?:Became|Refusal|MessageDid|Bypass|MergeStatus))? += "(.*?)"`).FindAllStringSubmatch(string(source), -1)
		for _, m := range values {
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("docs/log.md does not have the value %q of %s", m[1], file)
			}
		}
		if len(values) < 5 {
			t.Errorf("%s has only %d values", file, len(values))
		}
	}
}

// jsonNames are the names of the fields in JSON, with those of embedded structs.
func jsonNames(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		if f.Anonymous {
			names = append(names, jsonNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
