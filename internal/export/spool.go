package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"weixin_exporter/weixin/datacube"
)

// spool keeps one figure of many days, in the order in which they were put, until they are read back: in
// memory, and in a file once the buffer is full.
//
// A day is encoded as the number of days since the account's previous one, followed by the figures;
// a 0 instead of the number ends an account. Numbers are varints.
type spool struct {
	folder string
	file   *os.File
	buffer []byte // when writing: what is not in the file yet; when reading: what was read from it
	read   int    // how much of the buffer has been used
	ended  bool   // the rest of the file is in the buffer
	last   int64
	values []int64
}

// beforeAll is before every date.
const beforeAll = math.MinInt32 - 1

// newSpool returns a spool for days with this number of values each. The file is created in the folder;
// "" is the folder for temporary files.
func newSpool(folder string, values int) *spool {
	return &spool{folder: folder, buffer: make([]byte, 0, bufferSize), last: beforeAll, values: make([]int64, values)}
}

// longest returns the maximum size of an encoded day.
func (s *spool) longest() int { return binary.MaxVarintLen64 * (1 + len(s.values)) }

// put adds the next day of the account.
func (s *spool) put(date datacube.Date, values []int64) error {
	if cap(s.buffer)-len(s.buffer) < s.longest()+1 { // one byte is reserved for the end of the account
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buffer = binary.AppendUvarint(s.buffer, uint64(int64(date)-s.last))
	s.last = int64(date)
	for _, v := range values {
		s.buffer = binary.AppendVarint(s.buffer, v)
	}
	return nil
}

// endAccount ends an account: further days belong to the next one.
func (s *spool) endAccount() {
	s.buffer = append(s.buffer, 0)
	s.last = beforeAll
}

// flush moves the buffer to the file, which is unlinked immediately if the system can do that: then it
// disappears with the process, however that ends.
func (s *spool) flush() error {
	if s.file == nil {
		file, err := os.CreateTemp(s.folder, ".weixin_exporter.spool-*")
		if err != nil {
			return fmt.Errorf("spooling: %w", err)
		}
		s.file = file
		_ = os.Remove(file.Name()) // otherwise close does it
	}
	if _, err := s.file.Write(s.buffer); err != nil {
		return fmt.Errorf("spooling: %w", err)
	}
	s.buffer = s.buffer[:0]
	return nil
}

// rewind ends writing and begins reading.
func (s *spool) rewind() error {
	s.last = beforeAll
	if s.file == nil {
		s.ended = true
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spooling: %w", err)
	}
	return nil
}

// next returns the next day of the account, or nil values at the end of the account. The values are valid
// until the next call.
func (s *spool) next() (datacube.Date, []int64, error) {
	if err := s.fill(); err != nil {
		return 0, nil, err
	}
	b := s.buffer[s.read:]
	days, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errSpoolEnds
	}
	b = b[n:]
	if days == 0 {
		s.read, s.last = s.read+n, beforeAll
		return 0, nil, nil
	}
	for i := range s.values {
		v, n := binary.Varint(b)
		if n <= 0 {
			return 0, nil, errSpoolEnds
		}
		s.values[i], b = v, b[n:]
	}
	s.read = len(s.buffer) - len(b)
	s.last += int64(days)
	return datacube.Date(s.last), s.values, nil
}

var errSpoolEnds = errors.New("spooling: unexpected end of the file")

// fill ensures that the buffer contains a whole day, if there is one.
func (s *spool) fill() error {
	if s.ended || len(s.buffer)-s.read >= s.longest() {
		return nil
	}
	rest := copy(s.buffer[:cap(s.buffer)], s.buffer[s.read:])
	n, err := io.ReadFull(s.file, s.buffer[rest:cap(s.buffer)])
	s.buffer, s.read = s.buffer[:rest+n], 0
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.ended = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("spooling: %w", err)
	}
	return nil
}

// close releases the file. It may be called again.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()           // it is no longer needed
		_ = os.Remove(s.file.Name()) // if flush could not
		s.file = nil
	}
}
