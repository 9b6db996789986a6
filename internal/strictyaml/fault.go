package strictyaml

import (
	"fmt"
	"slices"
	"strings"

	"weixin_exporter/internal/i18n"
)

// Fault is one thing that is wrong in a document, or a warning about it.
type Fault struct {
	File string
	// Line and Column count from 1; 0 if there is no place.
	Line, Column int
	// Key is the path of the key, such as accounts[1].app_id, or [1].app_id if the document is a list; ""
	// for the document as a whole.
	Key string
	// Problem says what is wrong and what is allowed.
	Problem i18n.Message
}

// String returns one line in English: file:line:column: key: problem.
func (f Fault) String() string { return f.place() + f.Problem.String() }

// In returns the line of String in the printer's language.
func (f Fault) In(p i18n.Printer) string { return f.place() + p.Message(f.Problem) }

func (f Fault) place() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": ")
	return b.String()
}

// Faults is everything that is wrong.
//
//nolint:errname // the plural of Fault says what it is
type Faults []Fault

// Error returns one line in English for each fault.
func (f Faults) Error() string { return f.lines(Fault.String) }

// In returns the lines of Error in the printer's language.
func (f Faults) In(p i18n.Printer) string {
	return f.lines(func(fault Fault) string { return fault.In(p) })
}

func (f Faults) lines(line func(Fault) string) string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = line(fault)
	}
	return strings.Join(lines, "\n")
}

// Sort puts faults of one document in the order of its text.
func Sort(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
