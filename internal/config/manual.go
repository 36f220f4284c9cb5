package config

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"afterlive.alt/job"
)

// manFlag prints a manual page, and ends.
type manFlag bool

// BeforeReset prints it, whatever else is on the command line.
func (manFlag) BeforeReset(app *kong.Kong) error {
	err := manual(app.Stdout, app.Model)
	app.Exit(0)
	return err
}

// completionFlag prints what a shell needs to complete command lines, and ends.
type completionFlag bool

// BeforeReset prints it, whatever else is on the command line.
func (completionFlag) BeforeReset(app *kong.Kong) error {
	err := completion(app.Stdout, app.Model)
	app.Exit(0)
	return err
}

// manual writes a program's manual page, for man(1).
func manual(w io.Writer, app *kong.Application) error {
	var out strings.Builder
	fmt.Fprintf(&out, ".TH %s 1 \"\" \"afterlive %s\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(app.Name), Version(), app.Name, escape(firstLine(app.Help)))
	fmt.Fprintf(&out, ".SH SYNOPSIS\n.B %s\n%s\n.SH DESCRIPTION\n%s", app.Name, escape(strings.TrimPrefix(app.Summary(), app.Name)), paragraphs(app.Help))
	out.WriteString(".SH OPTIONS\n")
	for _, f := range app.Flags {
		option(&out, f)
	}
	for i, n := range app.Leaves(true) {
		if n.Type != kong.CommandNode {
			continue
		}
		if i == 0 {
			out.WriteString(".SH COMMANDS\n")
		}
		fmt.Fprintf(&out, ".SS %s\n%s", escape(n.Summary()), paragraphs(n.Help))
		if n.Detail != "" {
			out.WriteString(".PP\n" + paragraphs(n.Detail))
		}
		for _, f := range n.Flags {
			option(&out, f)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func option(out *strings.Builder, f *kong.Flag) {
	if f.Hidden {
		return
	}
	fmt.Fprintf(out, ".TP\n.B %s\n%s\n", escape(f.String()), escape(f.Help))
	if len(f.Envs) > 0 {
		fmt.Fprintf(out, "Or by the environment: %s.\n", escape(strings.Join(f.Envs, ", ")))
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, ". ")
	line, _, _ = strings.Cut(line, "\n")
	return line
}

// paragraphs is text as roff; what is indented stays as it is.
func paragraphs(text string) string {
	var out strings.Builder
	kept := false
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		switch indented := strings.HasPrefix(line, "  "); {
		case indented != kept && indented:
			out.WriteString(".nf\n")
			kept = true
		case indented != kept && strings.TrimSpace(line) != "":
			out.WriteString(".fi\n")
			kept = false
		}
		if strings.TrimSpace(line) == "" {
			out.WriteString(".PP\n")
			continue
		}
		out.WriteString(escape(line) + "\n")
	}
	if kept {
		out.WriteString(".fi\n")
	}
	return out.String()
}

// escape keeps roff from reading text as more than that.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// completion writes a script for bash, which zsh understands after "autoload bashcompinit && bashcompinit".
func completion(w io.Writer, app *kong.Application) error {
	var commands []string
	var cases strings.Builder
	for _, n := range app.Leaves(true) {
		if n.Type == kong.CommandNode {
			commands = append(commands, n.Name)
			fmt.Fprintf(&cases, "    %s) words=\"$words %s\" ;;\n", n.Name, strings.Join(names(n.Flags), " "))
		}
	}
	if cases.Len() == 0 {
		cases.WriteString("    *) ;;\n")
	}
	_, err := fmt.Fprintf(w, `_%[1]s() {
  local words=%[2]q command="" word current="${COMP_WORDS[COMP_CWORD]}"
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " %[3]s " in *" $word "*) command=$word; break ;; esac
  done
  case "$command" in
    "") words="$words %[3]s" ;;
%[4]s  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _%[1]s %[1]s
`, app.Name, strings.Join(names(app.Flags), " "), strings.Join(commands, " "), cases.String())
	return err
}

func names(flags []*kong.Flag) (all []string) {
	for _, f := range flags {
		if !f.Hidden {
			all = append(all, "--"+f.Name)
		}
	}
	slices.Sort(all)
	return all
}

// SayInstalledNames makes help, manual page and completion name the programs as the Debian package has installed them; a program that was
// started by another name says what it says in the source.
func SayInstalledNames(app *kong.Application) {
	if job.CLI == "enqueue" {
		return
	}
	rename := strings.NewReplacer("enqueue ", job.CLI+" ", `"enqueue"`, `"`+job.CLI+`"`, `"worker`, `"afterlive-worker`, "  worker ", "  afterlive-worker ").Replace
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error { // no visitor here fails
		switch node := node.(type) {
		case *kong.Application:
			node.Help, node.Detail = rename(node.Help), rename(node.Detail)
		case *kong.Node:
			node.Help, node.Detail = rename(node.Help), rename(node.Detail)
			for _, argument := range node.Positional {
				argument.Help = rename(argument.Help)
			}
		case *kong.Flag:
			node.Help = rename(node.Help)
		}
		return next(nil)
	})
}
