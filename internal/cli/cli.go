// Package cli is the command line of the program: it declares the commands and flags, runs the chosen command
// and returns the exit code.
package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"weixin_exporter/internal/command"
)

// commandLine is the declared commands and flags, and where the values of flags come from.
type commandLine struct {
	app *kingpin.Application
	// given has the flags on the command line; all others come from the environment or have their default.
	given map[string]bool
	// answered is set by --help, --version and the like.
	answered bool
	commands map[string]func(context.Context) error
}

// newCommandLine declares all commands and flags of the program with this name. parse sets the shared flags in
// env, which is read when a command runs.
func newCommandLine(name string, env *command.Env) *commandLine {
	c := &commandLine{given: map[string]bool{}}
	c.app = kingpin.New(name, "Prometheus exporter for the interface statistics of Weixin Official Accounts.").
		UsageWriter(env.Stdout).ErrorWriter(io.Discard).UsageTemplate(usageTemplate()).
		UsageFuncs(map[string]any{"FlagsOfAllCommands": flagsOfAllCommands}).
		Terminate(func(int) { c.answered = true })
	c.app.HelpFlag.Short('h')
	c.app.Version(version.Print(name))
	c.commands = c.declare(env)
	return c
}

// parse returns the chosen command; nil if --help, --version or the like has been answered.
func (c *commandLine) parse(args []string) (func(context.Context) error, error) {
	chosen, err := c.choose(args)
	switch {
	case c.answered:
		return nil, nil //nolint:nilnil // as documented
	case err != nil:
		return nil, err
	}
	return c.commands[chosen], nil
}

// choose returns the full name of the chosen command.
func (c *commandLine) choose(args []string) (string, error) {
	c.equip(c.app, c.app.Name)
	line, err := c.app.ParseContext(args)
	if err != nil {
		return "", c.explain(line, err)
	}
	if line.SelectedCommand == c.app.HelpCommand {
		// "help check" is "check --help", so that a command that does not exist is wrong usage.
		args = append(argumentsOf(line), "--help")
		if line, err = c.app.ParseContext(args); err != nil {
			return "", c.explain(line, err)
		}
	}
	for _, element := range line.Elements {
		if flag, ok := element.Clause.(*kingpin.FlagClause); ok {
			c.given[flag.Model().Name] = true
		}
	}
	c.hideUnused(line.SelectedCommand)
	return c.app.Parse(args)
}

func argumentsOf(line *kingpin.ParseContext) []string {
	var arguments []string
	for _, element := range line.Elements {
		if _, ok := element.Clause.(*kingpin.ArgClause); ok {
			arguments = append(arguments, *element.Value)
		}
	}
	return arguments
}

// explain adds the allowed commands to the error of a command that does not exist.
func (c *commandLine) explain(line *kingpin.ParseContext, err error) error {
	if line == nil || line.Peek().Type != kingpin.TokenArg || !strings.HasPrefix(err.Error(), "unexpected ") {
		return err
	}
	var names []string
	for _, command := range c.app.Model().Commands {
		names = append(names, command.Name)
	}
	return fmt.Errorf("unexpected argument %q; the commands are %s", line.Peek().Value, strings.Join(names, ", "))
}

// clauses has flags and commands: the application, or a command.
type clauses interface {
	GetFlag(name string) *kingpin.FlagClause
	GetCommand(name string) *kingpin.CmdClause
}

// equip gives each flag an environment variable, and errors that name the flag or the variable. The variable
// is made of the names of application, command and flag, since flags of the same name may mean different
// things in different commands.
func (c *commandLine) equip(of clauses, prefix string) {
	var flags []*kingpin.FlagModel
	var commands []*kingpin.CmdModel
	switch of := of.(type) {
	case *kingpin.Application:
		flags, commands = of.Model().Flags, of.Model().Commands
	case *kingpin.CmdClause:
		flags, commands = of.Model().Flags, of.Model().Commands
	}
	for _, flag := range flags {
		clause, variable := of.GetFlag(flag.Name), variableOf(prefix, flag.Name)
		if flag.Hidden || clause == c.app.HelpFlag || clause == c.app.VersionFlag {
			continue
		}
		clause.Envar(variable).SetValue(&named{Value: flag.Value, flag: flag.Name, variable: variable, given: c.given})
	}
	for _, command := range commands {
		c.equip(of.GetCommand(command.Name), prefix+"_"+command.Name)
	}
}

// isSet reports whether a shared flag was given on the command line or in the environment.
func (c *commandLine) isSet(flag string) bool {
	return c.given[flag] || c.app.GetFlag(flag).HasEnvarValue()
}

func variableOf(prefix, flag string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(prefix + "_" + flag))
}

// hideUnused leaves flags out of the help of commands that do not use them. They are still allowed, so that
// one environment or one list of arguments serves several commands.
func (c *commandLine) hideUnused(chosen *kingpin.CmdClause) {
	if chosen == nil {
		return
	}
	hidden := unusedFlags(chosen.FullCommand())
	for _, flag := range c.app.Model().Flags {
		if slices.ContainsFunc(hidden, func(prefix string) bool { return strings.HasPrefix(flag.Name, prefix) }) {
			c.app.GetFlag(flag.Name).Hidden()
		}
	}
}

// usageTemplate is kingpin's, except that the flags of a command come before the shared ones.
func usageTemplate() string {
	return strings.Replace(kingpin.DefaultUsageTemplate,
		"{{if .Context.Flags -}}\nFlags:\n{{.Context.Flags|FlagsToTwoColumns|FormatTwoColumns}}\n{{end -}}\n",
		`{{with .Context.SelectedCommand}}{{if .Flags -}}
Flags:
{{.Flags|FlagsToTwoColumns|FormatTwoColumns}}
{{end}}{{end -}}
{{if .Context.SelectedCommand}}Flags of all commands:{{else}}Flags:{{end}}
{{FlagsOfAllCommands .Context.Flags .Context.SelectedCommand|FlagsToTwoColumns|FormatTwoColumns}}
`, 1)
}

func flagsOfAllCommands(flags []*kingpin.FlagModel, chosen *kingpin.CmdModel) []*kingpin.FlagModel {
	return slices.DeleteFunc(slices.Clone(flags), func(f *kingpin.FlagModel) bool {
		return chosen != nil && slices.ContainsFunc(chosen.Flags, func(own *kingpin.FlagModel) bool { return own.Name == f.Name })
	})
}

// named is a flag's value whose errors name the flag, or the variable that the value came from.
type named struct {
	kingpin.Value
	flag, variable string
	given          map[string]bool
}

// Set implements kingpin.Value.
func (n *named) Set(text string) error {
	err := n.Value.Set(text)
	switch {
	case err == nil:
		return nil
	case n.IsBoolFlag():
		err = fmt.Errorf("must be true or false, not %q", text)
	}
	if n.given[n.flag] {
		return fmt.Errorf("--%s: %w", n.flag, err)
	}
	return fmt.Errorf("%s: %w", n.variable, err)
}

// IsBoolFlag reports whether the flag is given without a value.
func (n *named) IsBoolFlag() bool {
	v, ok := n.Value.(interface{ IsBoolFlag() bool })
	return ok && v.IsBoolFlag()
}

// IsCumulative reports whether the flag may be repeated.
func (n *named) IsCumulative() bool {
	v, ok := n.Value.(interface{ IsCumulative() bool })
	return ok && v.IsCumulative()
}
