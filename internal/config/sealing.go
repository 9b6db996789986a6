package config

import (
	"errors"
	"slices"
	"strconv"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/seal"
)

// inDatabase reports whether the store is in a database, which several processes can share.
func (d *document) inDatabase() bool { return d.Has("store.url") || d.Has("store.url_file") }

// validateSealing reads the file with the keys that seal tokens in a database.
func (d *document) validateSealing(s *Store, accounts []Account) {
	const key = "store.sealing_key_file"
	switch {
	case d.Broken(key):
		return
	case !d.Has(key):
		rotated := slices.IndexFunc(accounts, func(a Account) bool { return a.Token.Type == AuthorizerToken })
		if d.inDatabase() && rotated >= 0 {
			d.Fault(key, i18n.M("fault.no_sealing_key", strconv.Quote(accounts[rotated].Name)))
		}
		return
	case !d.inDatabase():
		d.Fault(key, i18n.M("fault.unused_sealing_key"))
		return
	case s.SealingKeyFile == "":
		d.Fault(key, i18n.M("fault.empty", i18n.M("want.sealing_key_file")))
		return
	case seal.IsKey(s.SealingKeyFile):
		d.Fault(key, i18n.M("fault.is_secret", i18n.M("want.sealing_key_file")))
		return
	}
	s.SealingKeyFile = d.path(s.SealingKeyFile)
	keys, err := seal.ReadFile(s.SealingKeyFile)
	if err != nil {
		d.Fault(key, sealingProblem(s.SealingKeyFile, err))
		return
	}
	s.sealing = keys
	d.warnOpen(key, s.SealingKeyFile)
}

// sealingProblem says what is wrong with the file.
func sealingProblem(path string, err error) i18n.Message {
	wrong, ok := errors.AsType[*seal.FileError](err)
	if !ok {
		return problemOf(unreadable(path, err))
	}
	line := strconv.Itoa(wrong.Line)
	switch wrong.Fault {
	case seal.Empty:
		return i18n.M("fault.sealing_empty", path)
	case seal.Repeated:
		return i18n.M("fault.sealing_repeated", path, line)
	default:
		return i18n.M("fault.sealing_line", path, line)
	}
}
