package e2e

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/testenv"
)

// speakers are the functions whose strings people read: errors, output and log.
var speakers = []string{
	"errors.New", "fmt.Errorf", "fmt.Fprint", "fmt.Fprintf", "fmt.Fprintln", "fmt.Sprintf",
	"Permanent", "Debug", "Info", "Warn", "Error", "fault", "Say", "say",
}

// All that the programs say, in one file, so that it is read as a whole whenever it changes: go test ./e2e -run TestMessages -update.
func TestMessages(t *testing.T) {
	const golden = "testdata/messages.golden"
	var out strings.Builder
	for _, dir := range []string{"cmd", "hlscheck", "internal", "ladder", "pipeline", "site"} {
		must(t, filepath.WalkDir(filepath.Join(testenv.Root(), dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testenv/") {
				return err
			}
			said, err := messages(path)
			if err == nil && len(said) > 0 {
				name, _ := filepath.Rel(testenv.Root(), path)
				fmt.Fprintf(&out, "# %s\n%s\n\n", name, strings.Join(said, "\n"))
			}
			return err
		}))
	}
	if *update {
		must(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if got := out.String(); got != string(want) {
		t.Errorf("what the programs say has changed: read it, and run go test ./e2e -run TestMessages -update\n%s", difference(string(want), got))
	}
}

// messages are the texts in a file that people read, in the order in which they stand there.
func messages(path string) (said []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if n.Tag != nil {
				tag, _ := strconv.Unquote(n.Tag.Value)
				if help := reflect.StructTag(tag).Get("help"); help != "" {
					said = append(said, "help: "+help)
				}
			}
		case *ast.CallExpr:
			if slices.Contains(speakers, called(n.Fun)) {
				for _, arg := range n.Args {
					if text := literal(arg); strings.Contains(text, " ") {
						said = append(said, strings.ReplaceAll(strings.TrimSpace(text), "\n", `\n`))
					}
				}
			}
		}
		return true
	})
	return said, nil
}

// called is the name of a function that is called, with its package where that is one of ours to watch.
func called(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok && (x.Name == "fmt" || x.Name == "errors") {
			return x.Name + "." + fun.Sel.Name
		}
		return fun.Sel.Name
	}
	return ""
}

// literal is a string, also one that is put together; what is not known before it runs is {}.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		left, right := literal(e.X), literal(e.Y)
		if left+right == "" {
			return ""
		}
		return or(left) + or(right)
	}
	return ""
}

func or(text string) string {
	if text == "" {
		return "{}"
	}
	return text
}

// difference are the lines that only one of two texts has.
func difference(was, is string) string {
	var out strings.Builder
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			fmt.Fprintln(&out, "-", line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			fmt.Fprintln(&out, "+", line)
		}
	}
	return out.String()
}
