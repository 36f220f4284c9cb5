package job

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every reason code that the code gives is in the list, with what to do, and in the
// operators' handbook.
func TestReasonsAreDocumented(t *testing.T) {
	var used []string
	for _, pattern := range []string{"../internal/*/*.go", "../pipeline/*.go", "../ladder/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?:Permanent\(|Transient\(|Reason: |reason, err = |reason := |Code += )"([a-z_]+)"`).FindAllSubmatch(source, -1) {
				used = append(used, string(m[1]))
			}
		}
	}
	if len(used) < 20 {
		t.Fatalf("found only %q", used)
	}
	handbook, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range used {
		if Advice(code) == "" {
			t.Errorf("nobody says what to do about %s", code)
		}
	}
	for _, r := range Reasons {
		if own := r.Code == CrashLoop || r.Code == Redriven || r.Code == "error"; !own && !slices.Contains(used, r.Code) {
			t.Errorf("%s is in the list, and given by nobody", r.Code)
		}
		if row := "| `" + r.Code + "` | " + r.Means + " | " + r.Do + " |"; !strings.Contains(string(handbook), row+"\n") {
			t.Errorf("docs/operations.md lacks the row\n%s", row)
		}
	}
}
