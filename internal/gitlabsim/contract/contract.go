// Package contract holds recorded calls against GitLab's own description of
// its REST API.
//
// A simulator answers what its author believes. This package asks somebody
// else: testdata/gitlab/openapi.yaml, made from GitLab's OpenAPI description.
// CheckCall says whether a call is one that GitLab knows: the path, the method,
// every query parameter and every property of the body, by name and type. The
// real server ignores a name that it does not know, so a misspelt "sha" would
// merge without a pin and nobody would notice; here it is an error.
//
// CheckFields says whether the names of the fields in an answer exist. Only the
// names: the description of answers is loose (arrays are written as one
// object, nothing is nullable, hardly anything has an enum).
//
// Not in the description, and let pass:
//   - /api/graphql, which is no REST; and anything outside /api/v4;
//   - the answer 202 to a note that was all quick actions
//     (lib/api/helpers/notes_helpers.rb: commands_changes and summary);
//   - the answer to cancel_merge_when_pipeline_succeeds: a status, while the
//     description says a merge request (gitlab-org/gitlab!255702);
//   - the bodies of errors.
package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Contract is a description that calls are held against.
type Contract struct {
	doc *openapi3.T
}

// Load reads an OpenAPI description from a file.
func Load(path string) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("load API description: %w", err)
	}
	return &Contract{doc: doc}, nil
}

// CheckCall says what GitLab would not know in a call; path is escaped, as
// gitlabsim.Call has it. All that is wrong is in the one error.
func (c *Contract) CheckCall(method, path, rawQuery string, header http.Header, body []byte) error {
	if exempt(path) {
		return nil
	}
	op, inPath, err := c.operation(method, path)
	if err != nil {
		return err
	}
	var wrong []error
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s %s: "+format, append([]any{method, path}, args...)...))
	}
	if header.Get("Private-Token") == "" && header.Get("Authorization") == "" {
		complain("no token")
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		complain("query: %w", err)
	}
	params := map[string]*openapi3.Parameter{}
	for _, p := range op.Parameters {
		params[p.Value.Name] = p.Value
		if value, ok := inPath[p.Value.Name]; ok && p.Value.In == "path" && !fitsText(p.Value.Schema.Value, []string{value}) {
			complain("path: %s is %q", p.Value.Name, value)
		}
		if p.Value.In == "query" && p.Value.Required && !query.Has(p.Value.Name) {
			complain("query: %s is missing", p.Value.Name)
		}
	}
	for name, values := range query {
		p, ok := params[strings.TrimSuffix(name, "[]")]
		switch {
		case !ok || p.In != "query":
			complain("query: unknown parameter %s", name)
		case !fitsText(p.Schema.Value, values):
			complain("query: %s is %q", name, values)
		}
	}
	if err := checkBody(op, header, body); err != nil {
		complain("body: %w", err)
	}
	return errors.Join(wrong...)
}

func checkBody(op *openapi3.Operation, header http.Header, body []byte) error {
	if op.RequestBody == nil {
		if len(body) > 0 && strings.TrimSpace(string(body)) != "{}" {
			return fmt.Errorf("there is none, not %.80q", body)
		}
		return nil
	}
	if len(body) == 0 {
		if op.RequestBody.Value.Required {
			return errors.New("is missing")
		}
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(header.Get("Content-Type")); kind != "application/json" {
		return fmt.Errorf("content type %q", header.Get("Content-Type"))
	}
	var given map[string]any
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	schema := op.RequestBody.Value.Content.Get("application/json").Schema.Value
	var wrong []error
	for name, value := range given {
		property, ok := schema.Properties[name]
		if !ok {
			wrong = append(wrong, fmt.Errorf("unknown property %s", name))
		} else if err := property.Value.VisitJSON(value); err != nil {
			wrong = append(wrong, fmt.Errorf("property %s: %w", name, err))
		}
	}
	for _, name := range schema.Required {
		if _, ok := given[name]; !ok {
			wrong = append(wrong, fmt.Errorf("property %s is missing", name))
		}
	}
	return errors.Join(wrong...)
}

// CheckFields says which fields of an answer have a name that GitLab does not
// know there.
func (c *Contract) CheckFields(method, path string, status int, answer []byte) error {
	if exempt(path) || status < 200 || status > 299 ||
		status == http.StatusAccepted && strings.Contains(path, "/notes") ||
		strings.HasSuffix(path, "/cancel_merge_when_pipeline_succeeds") {
		return nil
	}
	op, _, err := c.operation(method, path)
	if err != nil {
		return err
	}
	response := op.Responses.Status(status)
	if response == nil && status == http.StatusCreated && strings.Contains(path, "/statuses/") {
		response = op.Responses.Status(http.StatusOK) // GitLab's own tests demand 201 (spec/requests/api/commit_statuses_spec.rb)
	}
	if response == nil {
		return fmt.Errorf("%s %s: no answer %d is described", method, path, status)
	}
	media := response.Value.Content.Get("application/json")
	if media == nil {
		return nil
	}
	var given any
	if err := json.Unmarshal(answer, &given); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	unknown := unknownFields(media.Schema.Value, given, "")
	if unknown == nil {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("%s %s: unknown fields in the answer: %s", method, path, strings.Join(slices.Compact(unknown), ", "))
}

// unknownFields goes as deep as the schema names properties. A list is held
// against what the schema says of one.
func unknownFields(schema *openapi3.Schema, value any, at string) []string {
	if schema == nil {
		return nil
	}
	if schema.Items != nil && schema.Items.Value != nil {
		schema = schema.Items.Value
	}
	var unknown []string
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			unknown = append(unknown, unknownFields(schema, item, at)...)
		}
	case map[string]any:
		if len(schema.Properties) == 0 {
			return nil
		}
		for name, field := range v {
			property, ok := schema.Properties[name]
			if !ok {
				unknown = append(unknown, at+name)
				continue
			}
			unknown = append(unknown, unknownFields(property.Value, field, at+name+".")...)
		}
	}
	return unknown
}

func exempt(path string) bool { return !strings.HasPrefix(path, "/api/v4/") }

// operation finds what is described for a call. Parameters of the path have
// different names for the same thing; only their places count, and a fixed
// segment goes before one.
func (c *Contract) operation(method, path string) (*openapi3.Operation, map[string]string, error) {
	var (
		best   *openapi3.PathItem
		inPath map[string]string
	)
	for template, item := range c.doc.Paths.Map() {
		if values, ok := matchPath(template, path); ok && (best == nil || len(values) < len(inPath)) {
			best, inPath = item, values
		}
	}
	if best == nil {
		return nil, nil, fmt.Errorf("%s %s: no such path", method, path)
	}
	op := best.GetOperation(method)
	if op == nil {
		return nil, nil, fmt.Errorf("%s %s: no such method", method, path)
	}
	return op, inPath, nil
}

func matchPath(template, path string) (map[string]string, bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	values := map[string]string{}
	for i, w := range want {
		if strings.HasPrefix(w, "{") && strings.HasSuffix(w, "}") {
			value, err := url.PathUnescape(have[i])
			if err != nil || value == "" {
				return nil, false
			}
			values[strings.Trim(w, "{}")] = value
		} else if w != have[i] {
			return nil, false
		}
	}
	return values, true
}

// fitsText says whether texts can be read as what the schema wants: in a query
// everything is text.
func fitsText(schema *openapi3.Schema, texts []string) bool {
	scalar := func(text string) []any {
		readings := []any{text}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			readings = append(readings, n)
		}
		if text == "true" || text == "false" {
			readings = append(readings, text == "true")
		}
		return readings
	}
	readings := scalar(texts[len(texts)-1])
	if len(texts) == 1 {
		texts = strings.Split(texts[0], ",")
	}
	var asText, asNumber []any
	for _, text := range texts {
		asText = append(asText, text)
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			asNumber = append(asNumber, n)
		}
	}
	readings = append(readings, asText)
	if len(asNumber) == len(texts) {
		readings = append(readings, asNumber)
	}
	return slices.ContainsFunc(readings, func(v any) bool { return schema.VisitJSON(v) == nil })
}
