// Package ecs is the CloudFormation templates of the fleet (vod.yaml), of the live
// origin (origin.yaml) and of the web pages (pages.yaml), and what other packages need to know of them: the simulation
// its scaling policies, tests what its roles allow.
package ecs

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Vod is the template of buckets, queues, fleet and CDN.
//
//go:embed vod.yaml
var Vod string

// Origin is the template of the live origin.
//
//go:embed origin.yaml
var Origin string

// Pages is the template of the web pages.
//
//go:embed pages.yaml
var Pages string

// Template is a template, or a part of one. Intrinsic functions are their arguments,
// but conditions are decided.
type Template map[string]any

// Parse reads a template as it is with the parameters that are given, each as NAME=VALUE, and the defaults of all others.
func Parse(text string, parameters ...string) (Template, error) {
	var root Template
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	d := decider{}
	conditions, _ := root["Conditions"].(map[string]any)
	for name, v := range conditions {
		d[name] = holds(v, func(word string) string {
			for _, p := range parameters {
				if value, ok := strings.CutPrefix(p, word+"="); ok {
					return value
				}
			}
			if root.At("Parameters/"+word) == nil { // the value that a parameter is compared with
				return word
			}
			return fmt.Sprint(root.At("Parameters/" + word + "/Default"))
		})
	}
	resources, ok := root["Resources"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("parse template: it has no resources")
	}
	for name, v := range resources {
		if r, ok := v.(map[string]any); ok && r["Condition"] != nil && !d[fmt.Sprint(r["Condition"])] {
			delete(resources, name)
		}
	}
	root["Resources"] = d.decide(resources)
	return root, nil
}

// holds decides !Equals [a, b], or !Not of it.
func holds(condition any, value func(string) string) bool {
	list, _ := condition.([]any)
	switch len(list) {
	case 1:
		return !holds(list[0], value)
	case 2:
		return value(fmt.Sprint(list[0])) == value(fmt.Sprint(list[1]))
	}
	return false
}

// decider puts the branch that counts in the place of every !If, by conditions that hold or not.
type decider map[string]bool

const noValue = "AWS::NoValue"

func (d decider) decide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = d.decide(value); v[key] == noValue {
				delete(v, key)
			}
		}
	case []any:
		if branch, ok := d.branch(v); ok {
			return d.decide(branch)
		}
		for i := range v {
			v[i] = d.decide(v[i])
		}
		return slices.DeleteFunc(v, func(e any) bool { return e == noValue })
	}
	return v
}

// branch is that of the arguments of an !If, if they are.
func (d decider) branch(v []any) (any, bool) {
	if len(v) != 3 {
		return nil, false
	}
	name, ok := v[0].(string)
	truth, known := d[name]
	if !ok || !known {
		return nil, false
	}
	if truth {
		return v[1], true
	}
	return v[2], true
}

// At is what is at a path, divided by slashes; a list's elements are numbered. nil:
// nothing is.
func (t Template) At(path string) any {
	var v any = map[string]any(t)
	for key := range strings.SplitSeq(path, "/") {
		switch m := v.(type) {
		case map[string]any:
			v = m[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i < 0 || i >= len(m) {
				return nil
			}
			v = m[i]
		default:
			return nil
		}
	}
	return v
}

// Property is what is at a path of a resource's properties.
func (t Template) Property(resource, path string) any {
	return t.At("Resources/" + resource + "/Properties/" + path)
}

// Number is a resource's property, which must be one, or a parameter, which has its
// default: -1 if it is none.
func (t Template) Number(resource, path string) float64 {
	value := t.Property(resource, path)
	if name, ok := value.(string); ok && t.At("Parameters/"+name+"/Default") != nil {
		return t.Parameter(name)
	}
	return number(value)
}

// Parameter is the default of a parameter that is a number: -1 if it is none.
func (t Template) Parameter(name string) float64 {
	return number(t.At("Parameters/" + name + "/Default"))
}

func number(value any) float64 {
	switch v := value.(type) {
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	case string:
		var n float64
		if _, err := fmt.Sscan(v, &n); err == nil {
			return n
		}
	}
	return -1
}

// Text is a resource's property, in Go's way of writing it.
func (t Template) Text(resource, path string) string { return fmt.Sprint(t.Property(resource, path)) }

// Permission is an action, and a resource on which it is allowed, as the template has it:
// "Jobs.Arn", or "${Vod.Arn}/vod/*".
type Permission struct{ Action, Resource string }

// Role is what a role of its own policies allows.
func (t Template) Role(name string) []Permission {
	var all []Permission
	policies, _ := t.Property(name, "Policies").([]any)
	for i := range policies {
		statements, _ := t.Property(name, fmt.Sprintf("Policies/%d/PolicyDocument/Statement", i)).([]any)
		for _, s := range statements {
			statement, ok := s.(map[string]any)
			if !ok || statement["Effect"] != "Allow" {
				continue
			}
			for _, action := range list(statement["Action"]) {
				for _, resource := range list(statement["Resource"]) {
					all = append(all, Permission{action, resource})
				}
			}
		}
	}
	return all
}

// list is one text or several.
func list(v any) (all []string) {
	several, ok := v.([]any)
	if !ok {
		return []string{fmt.Sprint(v)}
	}
	for _, e := range several {
		all = append(all, fmt.Sprint(e))
	}
	return all
}
