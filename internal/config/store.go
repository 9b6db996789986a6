package config

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Store says where known days are stored.
type Store struct {
	// Path is the database file, joined with the folder of the configuration if it was relative;
	// "" keeps everything in memory.
	Path string `yaml:"path" allowed:"the path of a file, or \"\" to keep everything in memory"`
	// Retention is how long a day is kept: whole days; 0 is for ever.
	Retention model.Duration `yaml:"retention" allowed:"a number of whole days, such as 400d, or 0 for ever"`
}

// RetentionDays returns Retention as a number of days; 0 is for ever.
func (s Store) RetentionDays() int { return int(time.Duration(s.Retention) / day) }

func (d *document) validateStore(s *Store, history Refresh) {
	if !wholeDays(time.Duration(s.Retention)) {
		d.Refuse("store.retention")
	}
	if s.Retention > 0 && s.Retention < history.History && !d.Broken("refresh.history") {
		d.Fault("store.retention", fmt.Sprintf("must not be shorter than refresh.history, which is %s, or 0 for ever", history.History))
	}
	s.Path = d.path(s.Path)
}
