package config

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is one thing that is wrong in a configuration, or one remark on it. It never quotes a value
// other than the names of files and of keys.
type Fault struct {
	File string
	// Line and Column count from 1; 0 where there is no place to name.
	Line, Column int
	// Key is the path of the key, such as accounts[1].app_id, or [1].app_id in an account file; "" for
	// the file as a whole.
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

// AccountFault is what is wrong with a file of one account, such as that of its app secret. It keeps
// that account from being asked, and no other one.
type AccountFault struct {
	Account string
	Fault
}

// String returns the fault with the account's name.
func (f AccountFault) String() string {
	return fmt.Sprintf("%v (account %q alone)", f.Fault, f.Account)
}

// Faults is everything that is wrong in a configuration, in the order of the files.
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

// Abridged returns err with only the first fault if it is Faults with several, for messages of one line.
func Abridged(err error) error {
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) < 2 {
		return err
	}
	return fmt.Errorf("%v (and %d more; weixin_exporter check shows all)", faults[0], len(faults)-1)
}
