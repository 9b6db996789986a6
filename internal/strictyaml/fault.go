package strictyaml

import (
	"fmt"
	"slices"
	"strings"
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
	Problem string
}

// String returns one line: file:line:column: key: problem.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Problem)
	return b.String()
}

// Faults is everything that is wrong.
//
//nolint:errname // the plural of Fault says what it is
type Faults []Fault

// Error returns one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
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
