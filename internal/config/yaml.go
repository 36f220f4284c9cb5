package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"afterlive.alt/job"
)

// File makes a program read its config file: what --config names and, where the Debian package installed it, the file of this name in /etc/afterlive.
func File(name string) kong.Option {
	if job.CLI == "enqueue" {
		return kong.Configuration(YAML)
	}
	return kong.Configuration(YAML, "/etc/afterlive/"+name)
}

// YAML is kong's loader of config files: the keys are flags, by name. A key that
// is no flag of the program is an error.
func YAML(r io.Reader) (kong.Resolver, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	values := configFile{}
	name := "config file"
	if f, ok := r.(interface{ Name() string }); ok {
		name = f.Name()
	}
	if err := yaml.Unmarshal(body, &values.flags); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	values.name = name
	return values, nil
}

type configFile struct {
	name  string
	flags map[string]any
}

// Validate looks for keys that are no flags of any command.
func (c configFile) Validate(app *kong.Application) error {
	unknown := maps.Clone(c.flags)
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			delete(unknown, flag.Name)
		}
		return next(nil)
	})
	if err == nil && len(unknown) > 0 {
		err = fmt.Errorf("%s says %q, which are no flags of this program (worker and enqueue need a file each)", c.name, slices.Sorted(maps.Keys(unknown)))
	}
	return err
}

// Resolve is the value of a flag that isn't given otherwise; nil: none. The
// environment comes before the file.
func (c configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := c.flags[flag.Name]
	fromEnv := slices.ContainsFunc(flag.Envs, func(name string) bool { return os.Getenv(name) != "" })
	if !ok || fromEnv {
		return nil, nil //nolint:nilnil // what kong asks for
	}
	return fmt.Sprint(value), nil
}
