package strictyaml

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntax adds a fault for an error of the YAML library. The library's message may quote the text, which may be
// a secret, and uses the terms of a parser, so it is translated.
func (d *Document) syntax(err error) {
	fault, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.faultAt(Place{1, 1}, "", "this is not YAML that can be read")
		return
	}
	at := Place{fault.Mark.Line, fault.Mark.Column}
	d.faultAt(at, "", "invalid YAML: "+syntaxProblem(fault.Message, fault.ContextMsg, fault.ContextMark.Line))
}

// syntaxProblem says what is wrong and what to do; begun is the line on which the context of the message
// begins.
func syntaxProblem(message, context string, begun int) string {
	says := func(parts ...string) bool {
		for _, part := range parts {
			if !strings.Contains(context+", "+message, part) {
				return false
			}
		}
		return true
	}
	switch {
	case says("anchor", "referenced"):
		return "* refers to an anchor (&) that the file does not have; quote a value that begins with *"
	case says("anchor"):
		return "a name of letters and digits must follow & or *; quote a value that begins with one of them"
	case says("cannot start any token"):
		return "no value may begin like this; indent with spaces, and quote a value that begins with @, ` or %"
	case says("tab character"):
		return "there is a tab here; indent with spaces"
	case says("mapping values are not allowed"):
		return "a colon and a space begin a value, which is not allowed here; quote text that contains them, and check the indentation"
	case says("sequence entries are not allowed"):
		return "a list cannot begin here; write each item with its - on a line of its own"
	case says("flow mapping", "'}'"):
		return fmt.Sprintf("a comma or } is missing before this; the mapping begins with { on line %d", begun)
	case says("flow sequence", "']'"):
		return fmt.Sprintf("a comma or ] is missing before this; the list begins with [ on line %d", begun)
	case says("flow node", "node content"):
		return "a value is missing here, or a list that begins with [ or a mapping that begins with { is not closed"
	case says("node content"):
		return "a value is expected here; quote one that begins with ], } or a comma"
	case says("quoted scalar", "end of stream"), says("quoted scalar", "document indicator"):
		return fmt.Sprintf("the quoted text that begins on line %d has no closing quote", begun)
	case says("quoted scalar", "escape"), says("quoted scalar", "hexadecimal"):
		return `\ begins an unknown escape sequence in a text in double quotes; write \\ for a backslash, or use single quotes`
	case says("'-' indicator"):
		return fmt.Sprintf("an item with its - is expected here, in the list that begins on line %d; check the indentation", begun)
	case says("expected key"):
		return fmt.Sprintf("a key is expected here, in the mapping that begins on line %d; check the indentation, and that nothing follows a quoted text", begun)
	case says("tag"):
		return "! begins a YAML tag that is not declared; quote a value that begins with !"
	case says("document start"):
		return "the configuration has ended before this; remove this text"
	case says("block scalar"):
		return "this cannot follow | or >, which begin a text of several lines"
	case says("directive"):
		return "this is not a directive of YAML; quote a value that begins with %"
	default:
		return "this is not understood; check indentation and quotes"
	}
}
