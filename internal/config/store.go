package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/seal"
	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

// Store says where known days are stored: in a file, in memory or in a database.
type Store struct {
	// Path is the database file, joined with the folder of the configuration if it was relative;
	// "" keeps everything in memory, unless there is a URL.
	Path string `yaml:"path" allowed:"want.store_path"`
	// URL is that of a PostgreSQL database.
	URL secret.URL `yaml:"url,omitempty" allowed:"want.store_url"`
	// URLFile is a file with the URL, joined with the folder of the configuration if it was relative.
	URLFile string `yaml:"url_file,omitempty" allowed:"want.store_url_file"`
	// SealingKeyFile is a file with the keys that seal tokens in the database, joined with the folder of the
	// configuration if it was relative; "" keeps no tokens there.
	SealingKeyFile string `yaml:"sealing_key_file,omitempty" allowed:"want.sealing_key_file"`
	// Retention is how long a day is kept: whole days; 0 is for ever.
	Retention model.Duration `yaml:"retention" allowed:"want.retention"`

	read    secret.URL // the content of URLFile
	sealing *seal.Keys // the content of SealingKeyFile
}

// Sealing returns the keys that seal tokens in the database; nil if none are kept there.
func (s Store) Sealing() *seal.Keys { return s.sealing }

// RetentionDays returns Retention as a number of days; 0 is for ever.
func (s Store) RetentionDays() int { return int(time.Duration(s.Retention) / day) }

// Database returns the URL of the database; zero if the store is not in one.
func (s Store) Database() secret.URL {
	if !s.URL.IsZero() {
		return s.URL
	}
	return s.read
}

// InMemory reports whether the store ends with the process.
func (s Store) InMemory() bool { return s.Path == "" && s.Database().IsZero() }

// Key returns the name of the key that says where the store is.
func (s Store) Key() string {
	switch {
	case s.URLFile != "":
		return "store.url_file"
	case !s.URL.IsZero():
		return "store.url"
	default:
		return "store.path"
	}
}

// Place returns where the store is, without secrets.
func (s Store) Place() string {
	if database := s.Database(); !database.IsZero() {
		return database.Redacted()
	}
	return s.Path
}

// Same reports whether both are the same store.
func (s Store) Same(other Store) bool {
	return s.Path == other.Path && s.Database().Equal(other.Database())
}

func (d *document) validateStore(s *Store, history Refresh) {
	if !wholeDays(time.Duration(s.Retention)) {
		d.Refuse("store.retention")
	}
	if s.Retention > 0 && s.Retention < history.History && !d.Broken("refresh.history") {
		d.Fault("store.retention", i18n.M("fault.retention", history.History.String()))
	}
	given := ""
	for _, key := range []string{"store.path", "store.url", "store.url_file"} {
		switch {
		case !d.Has(key):
		case given == "":
			given = key
		default:
			d.Fault(key, i18n.M("fault.together", given, strconv.Itoa(d.Place(given).Line)))
		}
	}
	switch given {
	case "store.url":
		s.Path = ""
		if !isDatabase(s.URL) {
			d.Refuse(given)
		}
	case "store.url_file":
		s.Path = ""
		d.readStoreURL(s)
	default:
		s.Path = d.path(s.Path)
	}
}

// warnOfRetention warns if days are removed from the store that endpoints may still wait for. Both ages are counted back from
// today, so a day that is removed when it becomes too old to be sent is lost without being counted, too.
func (d *document) warnOfRetention(s Store, endpoints []RemoteWrite) {
	longest := 0
	for i := range endpoints {
		if endpoints[i].MaxAge > endpoints[longest].MaxAge {
			longest = i
		}
	}
	if s.Retention > 0 && len(endpoints) > 0 && s.Retention <= endpoints[longest].MaxAge {
		d.warn("store.retention", i18n.M("warn.retention", strictyaml.Item("remote_write", longest)+".max_age", endpoints[longest].MaxAge.String()))
	}
}

// readStoreURL reads the file with the URL.
func (d *document) readStoreURL(s *Store) {
	const key = "store.url_file"
	if d.Broken(key) {
		return
	}
	if s.URLFile == "" {
		d.Fault(key, i18n.M("fault.empty", i18n.M("want.store_url_file")))
		return
	}
	s.URLFile = d.path(s.URLFile)
	text, err := secret.ReadFile(s.URLFile)
	if err != nil {
		d.Fault(key, problemOf(unreadable(s.URLFile, err)))
		return
	}
	s.read = secret.NewURL(text)
	if !isDatabase(s.read) {
		d.Fault(key, i18n.M("fault.must", i18n.M("want.store_url_file")))
	}
}

// isDatabase reports whether a URL is one of PostgreSQL with the name of a database.
func isDatabase(given secret.URL) bool {
	u, err := given.Parse()
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && strings.Trim(u.Path, "/") != "" && validHost(u)
}

// validHost reports whether there is a host, or a folder with a socket among the parameters.
func validHost(u *url.URL) bool { return u.Host != "" || u.Query().Get("host") != "" }
