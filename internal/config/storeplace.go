package config

import (
	"errors"
	"fmt"
	"strings"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin/secret"
)

// StoreAt returns the store that a flag names: a file of SQLite by its path, or a database of PostgreSQL by its URL or by
// "@" and the path of a file with the URL, so that a password need not be in the arguments of a process, which everyone on
// the host can read. Errors do not contain the URL.
func StoreAt(place string) (Store, error) {
	var s Store
	file, inFile := strings.CutPrefix(place, "@")
	scheme, _, isURL := strings.Cut(place, "://")
	switch {
	case place == "":
		return Store{}, errors.New("must be a file, a URL, or @ and a file with a URL")
	case inFile:
		text, err := secret.ReadFile(file)
		if err != nil {
			return Store{}, fmt.Errorf("cannot read %s: %w", file, files.Cause(err))
		}
		if s.URL = secret.NewURL(text); !isDatabase(s.URL) {
			return Store{}, fmt.Errorf("%s must contain a URL such as postgres://USER:PASSWORD@HOST:5432/DATABASE", file)
		}
	case isURL && !strings.ContainsAny(scheme, "/."):
		if s.URL = secret.NewURL(place); !isDatabase(s.URL) {
			return Store{}, errors.New("a URL must be such as postgres://USER@HOST:5432/DATABASE")
		}
	default:
		s.Path = place
	}
	return s, nil
}
