package cli

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mrgate/internal/config"
)

// TestSettingsAreDocumented prints the settings of all commands into
// docs/settings.md (with -update), and holds what is there against the flags. What
// stands before the tables is written by hand.
func TestSettingsAreDocumented(t *testing.T) {
	const (
		path   = "../../docs/settings.md"
		marker = "The tables below are printed by a test from the commands' flags.\n"
	)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	byHand, _, ok := strings.Cut(string(got), marker)
	if !ok {
		t.Fatalf("%s does not say where the tables begin: %s", path, marker)
	}
	want := byHand + marker + settingsTables()
	for _, s := range config.Settings() {
		if !strings.Contains(want, "| `"+s.Env()+"`") {
			t.Errorf("no command takes %s", s.Name)
		}
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(got) != want {
		t.Errorf("%s is not what the flags say; run go test ./internal/cli -run Settings -update", path)
	}
}

func settingsTables() string {
	var b strings.Builder
	commands := newRootCmd(&Environment{}).Commands()
	slices.SortStableFunc(commands, func(a, b *cobra.Command) int {
		first := []string{"serve-callback", "notify", "decide", "doctor"}
		place := func(c *cobra.Command) int { return (slices.Index(first, c.Name()) + len(first) + 1) % (len(first) + 1) }
		return cmp.Compare(place(a), place(b))
	})
	for _, cmd := range commands {
		var rows []string
		settings := config.Settings()
		if cmd.Name() == "sandbox" { // its flags are nothing but flags: it takes no setting
			settings = nil
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !slices.ContainsFunc(settings, func(s config.Setting) bool { return s.Flag() == f.Name }) {
				rows = append(rows, settingRow(f, nil))
			}
		})
		for _, s := range slices.Backward(settings) { // as they belong together
			if f := cmd.Flags().Lookup(s.Flag()); f != nil {
				rows = slices.Insert(rows, 0, settingRow(f, &s))
			}
		}
		if len(rows) == 0 {
			continue
		}
		also := ""
		if len(cmd.Aliases) > 0 {
			also = " (also `mrgate " + strings.Join(cmd.Aliases, "`, `mrgate ") + "`)"
		}
		fmt.Fprintf(&b, "\n## mrgate %s\n\n%s%s.\n\n| flag | variable | key | default | what for |\n| --- | --- | --- | --- | --- |\n%s", cmd.Name(), cmd.Short, also, strings.Join(rows, ""))
	}
	return b.String()
}

// settingRow is a line on a flag; s is nil where it is a flag and nothing else.
func settingRow(f *pflag.Flag, s *config.Setting) string {
	word, usage := pflag.UnquoteUsage(f)
	usage, _, _ = strings.Cut(usage, " (others on this machine")
	code := func(text string) string {
		if text == "" {
			return ""
		}
		return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
	}
	name := strings.TrimSpace("--" + f.Name + " " + word)
	if f.NoOptDefVal != "" {
		name = "--" + f.Name
	}
	def := f.DefValue
	if def == "false" {
		def = ""
	}
	variable, key := "", ""
	if s != nil {
		variable, key = code(s.Env()), code(s.Name)
		if s.Secret {
			variable += ", " + code(s.EnvFile())
		}
		if s.Name == "config" {
			key = ""
		}
		if s.Secret && s.Many {
			usage += "; several: one a line"
		}
		if s.CI != "" {
			usage += "; in a GitLab job from `" + s.CI + "`"
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", code(name), variable, key, code(def), strings.ReplaceAll(usage, "|", `\|`))
}
