package strictyaml

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/i18n"
)

// syntax adds a fault for an error of the YAML library. The library's message may quote the text, which may be
// a secret, and uses the terms of a parser, so it is translated.
func (d *Document) syntax(err error) {
	fault, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.faultAt(Place{1, 1}, "", i18n.M("yaml.unreadable"))
		return
	}
	at := Place{fault.Mark.Line, fault.Mark.Column}
	d.faultAt(at, "", i18n.M("yaml.invalid", syntaxProblem(fault.Message, fault.ContextMsg, fault.ContextMark.Line)))
}

// syntaxProblem says what is wrong and what to do; begun is the line on which the context of the message
// begins.
func syntaxProblem(message, context string, begun int) i18n.Message {
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
		return i18n.M("yaml.anchor_unknown")
	case says("anchor"):
		return i18n.M("yaml.anchor")
	case says("cannot start any token"):
		return i18n.M("yaml.start")
	case says("tab character"):
		return i18n.M("yaml.tab")
	case says("mapping values are not allowed"):
		return i18n.M("yaml.colon")
	case says("sequence entries are not allowed"):
		return i18n.M("yaml.list_start")
	case says("flow mapping", "'}'"):
		return i18n.M("yaml.mapping_open", strconv.Itoa(begun))
	case says("flow sequence", "']'"):
		return i18n.M("yaml.sequence_open", strconv.Itoa(begun))
	case says("flow node", "node content"):
		return i18n.M("yaml.node_open")
	case says("node content"):
		return i18n.M("yaml.node")
	case says("quoted scalar", "end of stream"), says("quoted scalar", "document indicator"):
		return i18n.M("yaml.quote", strconv.Itoa(begun))
	case says("quoted scalar", "escape"), says("quoted scalar", "hexadecimal"):
		return i18n.M("yaml.escape")
	case says("'-' indicator"):
		return i18n.M("yaml.item", strconv.Itoa(begun))
	case says("expected key"):
		return i18n.M("yaml.key", strconv.Itoa(begun))
	case says("tag"):
		return i18n.M("yaml.tag")
	case says("document start"):
		return i18n.M("yaml.ended")
	case says("block scalar"):
		return i18n.M("yaml.block")
	case says("directive"):
		return i18n.M("yaml.directive")
	default:
		return i18n.M("yaml.other")
	}
}
