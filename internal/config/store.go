package config

import (
	"time"

	"github.com/prometheus/common/model"

	"weixin_exporter/internal/i18n"
)

// Store says where known days are stored.
type Store struct {
	// Path is the database file, joined with the folder of the configuration if it was relative;
	// "" keeps everything in memory.
	Path string `yaml:"path" allowed:"want.store_path"`
	// Retention is how long a day is kept: whole days; 0 is for ever.
	Retention model.Duration `yaml:"retention" allowed:"want.retention"`
}

// RetentionDays returns Retention as a number of days; 0 is for ever.
func (s Store) RetentionDays() int { return int(time.Duration(s.Retention) / day) }

func (d *document) validateStore(s *Store, history Refresh) {
	if !wholeDays(time.Duration(s.Retention)) {
		d.Refuse("store.retention")
	}
	if s.Retention > 0 && s.Retention < history.History && !d.Broken("refresh.history") {
		d.Fault("store.retention", i18n.M("fault.retention", history.History.String()))
	}
	s.Path = d.path(s.Path)
}
