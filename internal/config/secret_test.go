package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestSecretsAreNeverShown(t *testing.T) {
	c, err := (&run{
		settings: []string{"gitlab_token", "operator_token"},
		environ:  []string{"MRGATE_GITLAB_TOKEN=SENTINEL", "MRGATE_OPERATOR_TOKEN=alice:SENTINEL\nSENTINEL2"},
	}).load(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.GitLabToken.Reveal() != sentinel || len(c.OperatorToken) != 2 {
		t.Fatal("the secrets are not there to be shown")
	}
	type hidden struct {
		token  Secret
		tokens Secrets
	}
	things := map[string]any{
		"secret": c.GitLabToken, "pointer": &c.GitLabToken, "secrets": c.OperatorToken,
		"config": c, "config by value": *c, "unexported": hidden{c.GitLabToken, c.OperatorToken},
		"map": map[string]Secret{"t": c.GitLabToken}, "error": fmt.Errorf("call with %v: %w", c.GitLabToken, fmt.Errorf("%s", c.GitLabToken)),
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%T"} {
			check(t, name+" "+verb, fmt.Sprintf(verb, thing))
		}
		check(t, name+" Sprint", fmt.Sprint(thing))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("set", "thing", thing, slog.Group("in", "thing", thing))
			check(t, name+" slog", b.String())
		}
		if out, err := json.Marshal(thing); err == nil {
			check(t, name+" json", string(out))
		}
		if out, err := yaml.Marshal(thing); err == nil {
			check(t, name+" yaml", string(out))
		}
		if out, err := xml.Marshal(thing); err == nil {
			check(t, name+" xml", string(out))
		}
	}
	for _, text := range []string{c.GitLabToken.String(), c.GitLabToken.GoString(), fmt.Sprint(c.GitLabToken), fmt.Sprintf("%q", c.GitLabToken), c.GitLabToken.LogValue().String()} {
		if text != "[redacted]" {
			t.Errorf("says %s", text)
		}
	}
	if out, err := json.Marshal(struct{ T Secret }{c.GitLabToken}); err != nil || string(out) != `{"T":"[redacted]"}` {
		t.Errorf("json: %s, %v", out, err)
	}
}

func check(t *testing.T, what, shown string) {
	t.Helper()
	hex := fmt.Sprintf("%x", sentinel)
	if strings.Contains(shown, sentinel) || strings.Contains(strings.ToLower(shown), hex) {
		t.Errorf("%s shows the secret: %s", what, shown)
	}
}

func TestNewSecret(t *testing.T) {
	if s := NewSecret("x"); !s.IsSet() || s.Reveal() != "x" || s.Name() != "" {
		t.Error("the secret is lost")
	}
	if s := NewSecret(""); s.IsSet() || s != (Secret{}) || s.Reveal() != "" || s.Name() != "" {
		t.Error("an empty value is set")
	}
}
