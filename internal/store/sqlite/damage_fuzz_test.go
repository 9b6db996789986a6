package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// FuzzDamagedFile: a file that was overwritten at some place, or cut off, opens or does not. One that does not is left
// as it is, and no other store can be in its place.
func FuzzDamagedFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "store.db")
	s, err := sqlite.Open(f.Context(), path, sqlite.Options{})
	if err != nil {
		f.Fatal(err)
	}
	const first datacube.Date = 20514
	for i := range datacube.Date(20) {
		save(f, s, daily("wx1", first+i, 100), daily("wx2", first+i, 200))
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte("no database"), uint32(0))
	f.Add(uint32(16), []byte{0xff, 0xff}, uint32(0)) // the size of a page
	f.Add(uint32(60), []byte{9}, uint32(0))          // the version of the schema
	f.Add(uint32(100), bytes.Repeat([]byte{0}, 4000), uint32(0))
	f.Add(uint32(5000), bytes.Repeat([]byte{0xff}, 3000), uint32(0))
	f.Add(uint32(0), []byte{}, uint32(4096))
	f.Add(uint32(0), []byte{}, uint32(1))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		damaged := bytes.Clone(whole)
		copy(damaged[int(at)%len(damaged):], patch)
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		path := filepath.Join(t.TempDir(), "store.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			left, readErr := os.ReadFile(path)
			if readErr != nil || !bytes.Equal(left, damaged) {
				t.Errorf("a file that does not open was changed: %v", err)
			}
			return
		}
		defer s.Close()
		known, err := s.Load(t.Context(), 0, "wx1", "wx2")
		if err == nil && bytes.Equal(damaged, whole) && len(known) != 2 {
			t.Errorf("%d accounts are known", len(known))
		}
	})
}
