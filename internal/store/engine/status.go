package engine

import (
	"os"
	"time"

	"weixin_exporter/internal/config"
)

// Status is how large a store is and when it was last written, for people.
type Status struct {
	// Engine is the name of the database engine.
	Engine string
	// Place is where the data is, without secrets: a path; "" for a store in memory.
	Place string
	// Bytes is the size on disk; 0 if it is not known.
	Bytes int64
	// LastWrite is when the store was last written, by any process; zero if that is not known.
	LastWrite time.Time
}

// StatusOf returns the status of a store. It does not open the store and does not wait for it.
func StatusOf(c config.Store) Status {
	s := Status{Engine: "SQLite", Place: c.Path}
	if c.Path == "" {
		return s
	}
	// What was written last may be in either of the two files.
	for _, name := range []string{c.Path, c.Path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			continue // there is no WAL file, or the store's own error says what is wrong
		}
		s.Bytes += info.Size()
		if info.ModTime().After(s.LastWrite) {
			s.LastWrite = info.ModTime()
		}
	}
	return s
}
