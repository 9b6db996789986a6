package sqlite_test

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzDamagedFile: of a file that was overwritten at some place, or cut off, no wrong figure is read, whether it opens or not.
// One that does not is left as it is.
func FuzzDamagedFile(f *testing.F) {
	whole := damagedStore(f)
	f.Add(uint32(0), []byte("no database"), uint32(0))
	f.Add(uint32(16), []byte{0xff, 0xff}, uint32(0)) // the size of a page
	f.Add(uint32(60), []byte{9}, uint32(0))          // the version of the schema
	f.Add(uint32(100), bytes.Repeat([]byte{0}, 4000), uint32(0))
	f.Add(uint32(5000), bytes.Repeat([]byte{0xff}, 3000), uint32(0))
	f.Add(uint32(0), []byte{}, uint32(4096))
	f.Add(uint32(0), []byte{}, uint32(1))
	f.Add(uint32(0), []byte{}, uint32(0))
	f.Add(figureAt(f, whole), []byte{0xff}, uint32(0))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		damaged := bytes.Clone(whole)
		copy(damaged[int(at)%len(damaged):], patch)
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		o, err := readDamaged(t, t.TempDir(), damaged)
		switch {
		case err != nil:
			t.Error(err)
		case len(o.wrong) > 0:
			t.Errorf("reported: %v: %d wrong, such as %s", o.reported, len(o.wrong), o.wrong[0])
		case bytes.Equal(damaged, whole) && (o.refused || o.reported || o.right == 0):
			t.Errorf("of a file without damage: %+v", o)
		}
	})
}

// figureAt returns where the file has the last two bytes of a number of callbacks.
func figureAt(tb testing.TB, whole []byte) uint32 {
	tb.Helper()
	const bytesOf = 4 // of a number of this size
	callbacks := binary.BigEndian.AppendUint32(nil, uint32(dayOf(0, firstDay+1).Callbacks))
	at := bytes.Index(whole, callbacks)
	if at < 0 {
		tb.Fatal("the figures are not in the file")
	}
	return uint32(at + bytesOf - 2)
}
