// Command simulate runs the fleet of ecs/vod.yaml in virtual time over traces, and
// writes what comes of it to docs/capacity.md. Run by "make simulate".
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"afterlive.alt/internal/fleet"
)

//go:embed prices.yaml
var priceList []byte

func main() {
	if err := simulate("../../docs", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// simulate replaces what is between markers in capacity.md, and draws its pictures.
func simulate(docs string, out io.Writer) error {
	p, err := policy()
	if err != nil {
		return err
	}
	var c prices
	if err := yaml.Unmarshal(priceList, &c); err != nil {
		return fmt.Errorf("read prices: %w", err)
	}
	file := filepath.Join(docs, "capacity.md")
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(body)
	for _, part := range []struct {
		name string
		make func(*fleet.Policy, prices) (string, error)
	}{{"traces", table}, {"variants", variants}, {"together", together}, {"sizes", sizes}} {
		body, err := part.make(p, c)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", body)
		if text, err = replace(text, part.name, body); err != nil {
			return err
		}
	}
	return errors.Join(os.WriteFile(file, []byte(text), 0o600), draw(traces(), p, filepath.Join(docs, "capacity")))
}

// replace puts body between the markers of a name.
func replace(text, name, body string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("capacity.md has no place for %s", name)
	}
	return before + begin + body + end + after, nil
}
