package config

import (
	"errors"
	"strconv"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
)

// Fault is one thing that is wrong in a configuration, or a warning about it. It quotes no value other than the
// names of files.
type Fault = strictyaml.Fault

// Faults is everything that is wrong in a configuration, in the order of the files.
type Faults = strictyaml.Faults //nolint:errname // the plural of Fault says what it is

// AccountFault is a fault of a file of one account, such as the file of its app secret. The account cannot be
// used until the file is fixed; all others can.
type AccountFault struct {
	Account string
	Fault
}

// String returns the fault with the account's name.
func (f AccountFault) String() string {
	return f.Message().String()
}

// In returns the fault with the account's name in the printer's language.
func (f AccountFault) In(p i18n.Printer) string { return p.Message(f.Message()) }

// Message returns the fault with the account's name.
func (f AccountFault) Message() i18n.Message {
	return i18n.M("fault.account", f.Fault, strconv.Quote(f.Account))
}

// Abridged returns err with only the first fault if it is Faults with several, for messages of one line.
func Abridged(err error) error {
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) < 2 {
		return err
	}
	return i18n.Errorf("fault.more", faults[0], len(faults)-1)
}
