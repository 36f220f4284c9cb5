package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/internal/webhook"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// spoken is what other programs read and write, and where examples of it lie in a folder that was worked on.
var spoken = []struct {
	name, about string
	of          any
	at          string // of their paths
}{
	{"asset", "vod/<asset>/asset.json: which job an asset is, its ladders and facts", ladder.Asset{}, `^vod/.+/asset\.json$`},
	{"latest", "vod/<stream>/latest.json: which asset of a stream is the newest", ladder.Latest{}, `^vod/.+/latest\.json$`},
	{"quality", "vod/<asset>/<job>/quality.json: measured quality", ladder.Quality{}, `^vod/.+/quality\.json$`},
	{"task", "A message that workers take from the queue", job.Task{}, ""},
	{"failure", "A message of the failed queue", job.Failure{}, ""},
	{"event", "What a webhook gets", webhook.Event{}, ""},
	{"plan", "jobs/<job>/plan.json", ladder.Plan{}, `^jobs/[^/]+/plan\.json$`},
	{"chunk", "jobs/<job>/chunks/<n>.json", ladder.Chunk{}, `^jobs/[^/]+/chunks/[^/]+\.json$`},
	{"part", "jobs/<job>/parts/<task>.json", ladder.Part{}, `^jobs/[^/]+/parts/[^/]+\.json$`},
	{"end", "jobs/<job>/end.json", ladder.End{}, `^jobs/[^/]+/end\.json$`},
}

// schemaOf is the JSON Schema of a document. A strict one knows all fields that there are; the others leave room for those to come.
func schemaOf(t *testing.T, of any, about string, strict bool) *jsonschema.Schema {
	t.Helper()
	r := jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: !strict, ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		switch t {
		case reflect.TypeFor[time.Duration]():
			return &jsonschema.Schema{Type: "integer", Description: "nanoseconds"}
		case reflect.TypeFor[flv.Mark]():
			return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "integer"}, Description: "offset, number of the tag, when it is heard, and since when without a hole, in nanoseconds"}
		}
		return nil
	}}
	if strict {
		return r.Reflect(of)
	}
	t.Chdir(testenv.Root()) // comments are named by relative paths
	for _, folder := range []string{"ladder", "job", "internal/flv", "internal/h264", "internal/webhook", "internal/catalog"} {
		must(t, r.AddGoComments("afterlive.alt", "./"+folder))
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	s := r.Reflect(of)
	s.Title = about
	return s
}

// The schemas are those of what the programs read and write.
func TestSchemas(t *testing.T) {
	for _, d := range spoken {
		text, err := json.MarshalIndent(schemaOf(t, d.of, d.about, false), "", "  ")
		must(t, err)
		file, got := filepath.Join(testenv.Root(), "docs", "schemas", d.name+".json"), string(text)+"\n"
		if *update {
			writeFile(t, file, got)
			continue
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if string(want) != got {
			t.Errorf("%s is not as its Go type is: go test ./e2e -run TestSchemas -update", file)
		}
	}
}

// keepSchemas holds what is in a data folder against the schemas, which must name each field.
func keepSchemas(t *testing.T, data string) {
	t.Helper()
	for _, d := range spoken {
		if d.at == "" {
			continue
		}
		schema, at := compiled(t, d.of), regexp.MustCompile(d.at)
		found := 0
		must(t, filepath.WalkDir(data, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			rest, err := filepath.Rel(data, name)
			if err != nil || !at.MatchString(filepath.ToSlash(rest)) {
				return err
			}
			found++
			body, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fits(t, schema, rest, body)
			return nil
		}))
		if found == 0 && (d.name == "asset" || d.name == "plan" || d.name == "part") {
			t.Errorf("there is no %s in %s", d.name, data)
		}
	}
}

func compiled(t *testing.T, of any) *validator.Schema {
	t.Helper()
	text, err := json.Marshal(schemaOf(t, of, "", true))
	must(t, err)
	document, err := validator.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	c := validator.NewCompiler()
	must(t, c.AddResource("schema.json", document))
	schema, err := c.Compile("schema.json")
	must(t, err)
	return schema
}

func fits(t *testing.T, schema *validator.Schema, name string, body []byte) {
	t.Helper()
	v, err := validator.UnmarshalJSON(bytes.NewReader(body))
	must(t, err)
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// Messages keep theirs, and those that the documents show.
func TestMessagesKeepTheirSchema(t *testing.T) {
	schema := compiled(t, job.Task{})
	for _, task := range []job.Task{
		{Kind: job.Recording, Key: "recordings/a.flv", Title: "A", Trim: job.Trim{Start: 1}},
		{Kind: job.Chunk, Job: "1f0c77d2a1b94c3e", Chunk: 3, Failures: 1},
	} {
		fits(t, schema, task.Name(), task.Body())
	}
	contract, err := os.ReadFile(testenv.Root() + "/docs/contract.md")
	must(t, err)
	_, example, found := strings.Cut(string(contract), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	if !found {
		t.Fatal("the contract shows no message")
	}
	fits(t, schema, "contract.md", []byte(example))
	if v, err := validator.UnmarshalJSON(strings.NewReader(`{"v": 1, "kind": "recording", "keys": "x"}`)); err != nil || schema.Validate(v) == nil {
		t.Errorf("an unknown field keeps it, too (%v)", err)
	}
}
