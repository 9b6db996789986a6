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
	// OnServer is true if the store is not on the disk of this host, so that what follows is not known.
	OnServer bool
	// Bytes is the size on disk; 0 if it is not known.
	Bytes int64
	// LastWrite is when the store was last written, by any process; zero if that is not known.
	LastWrite time.Time
}

// StatusOf returns the status of a store. It does not open the store and does not wait for it.
func StatusOf(c config.Store) Status {
	var s Status
	s.Engine, s.Place = of(c).describe()
	// What was written last may be in either of the first two files.
	const contents = 2
	files := Files(c)
	s.OnServer = len(files) == 0 && s.Place != ""
	for _, name := range files[:min(contents, len(files))] {
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
