package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// checkFiles fails if the file that is open is not the one at its path any more: then nothing may be
// read or written, since what is at the path would be mixed with what is open.
func (s *Store) checkFiles() error {
	if s.files == nil {
		return nil
	}
	return s.files.check()
}

// Fault returns why the store cannot be used; nil if it can.
func (s *Store) Fault() error {
	err := s.using(func(*handle) error { return nil })
	if err != nil {
		return fmt.Errorf("%s: %w", name(s.path), err)
	}
	return nil
}

// Recover opens the file anew if the one that is open is not at its path any more, and says what was
// found and done; "" if there was nothing to do. What is known of the store has to be read again then.
// A file that was deleted, or whose -wal was, is written anew with all that it held: the process
// has it open still. Another file in its place is opened as it is. Where that fails nothing has
// changed, and Recover may be called again.
func (s *Store) Recover(ctx context.Context) (string, error) {
	if err := s.disk.wait(); err != nil {
		return "", s.failed(ctx, "use", err)
	}
	if err := s.lockWrites(ctx); err != nil {
		return "", err
	}
	defer s.unlockWrites()
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.checkFiles()
	var done string
	var err error
	switch {
	case fault == nil:
		return "", nil
	case errors.Is(fault, errDeleted), errors.Is(fault, errWALGone):
		done, err = "it was written anew with all that it held; to begin with an empty store, stop the exporter before removing it", s.rewrite(ctx)
	case errors.Is(fault, errReplaced):
		done, err = "the other file was opened; what it lacks is asked for again as far as refresh.history reaches", s.openReplacement(ctx)
	case errors.Is(fault, errOverwritten):
		done, err = "what was written over it was opened; what it lacks is asked for again as far as refresh.history reaches", s.openOverwritten(ctx)
	case errors.Is(fault, errShrunk):
		done, err = "nothing is missing in it", s.examineShrunk(ctx)
	default:
		return "", s.failed(ctx, "use", fault)
	}
	if err != nil {
		return "", s.failed(ctx, "open anew", fmt.Errorf("%w, and nothing is written to it any more: %w", fault, err))
	}
	return fmt.Sprintf("%v: %s", fault, done), nil
}

// rewrite writes what is open into a new file at the path. Other processes that have the former one
// open notice that it was replaced.
func (s *Store) rewrite(ctx context.Context) error {
	temporary, err := s.createTemp()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }() // it has another name by then, unless something failed
	if err := copyInto(ctx, s.write, temporary); err != nil {
		return err
	}
	// What is left beside it belongs to the former file.
	if err := s.removeBeside(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.files.target); errors.Is(err, fs.ErrNotExist) {
		err = os.Link(temporary, s.files.target) // fails if there is one by now
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err == nil {
			return s.reopen(ctx)
		}
	}
	if err := os.Rename(temporary, s.files.target); err != nil {
		return err
	}
	return s.reopen(ctx)
}

// openReplacement opens the other file that is at the path.
func (s *Store) openReplacement(ctx context.Context) error {
	// The WAL file of the former one must not be carried out in this one.
	if !isGone(s.files.wal, s.files.target+"-wal") {
		if err := s.removeBeside(); err != nil {
			return err
		}
	}
	return s.reopen(ctx)
}

// openOverwritten opens what was written over the file. It gets a file of its own first: SQLite
// would move what is in the WAL file into it when it closes the former one.
func (s *Store) openOverwritten(ctx context.Context) error {
	temporary, err := s.createTemp()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }() // it has another name by then, unless something failed
	if err := copyFile(s.files.header, temporary); err != nil {
		return err
	}
	if err := s.try(ctx, temporary); err != nil {
		return err // it may still be being written
	}
	if err := s.removeBeside(); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.files.target); err != nil {
		return err
	}
	return s.reopen(ctx)
}

// try opens and closes a file, to see whether it is a whole store.
func (s *Store) try(ctx context.Context, path string) error {
	tried := newStore(path, Options{BusyTimeout: s.busy})
	err := tried.open(ctx)
	return errors.Join(err, tried.close()) //nolint:contextcheck // closing has its own time
}

// examineShrunk looks whether a file that became smaller is whole: others may have compacted it.
func (s *Store) examineShrunk(ctx context.Context) error {
	if err := s.quickCheck(ctx, longCheck); err != nil {
		return err
	}
	main, err := os.Stat(s.path)
	if err == nil {
		s.files.size.Store(main.Size())
	}
	return err
}

// reopen opens what is at the path, and only then closes what was open.
func (s *Store) reopen(ctx context.Context) error {
	fresh := newStore(s.path, s.options)
	if err := fresh.open(ctx); err != nil {
		return errors.Join(err, fresh.close()) //nolint:contextcheck // closing has its own time
	}
	former := s.handle
	s.handle = fresh.handle
	_ = former.close() //nolint:contextcheck // closing has its own time; its file is no longer at the path, so nothing is written to it
	return nil
}

// checkBeforeClose fails if another file is at the path by now, which closing would mix with what is open. Then
// the file is left alone, and its -wal put aside.
func (s *Store) checkBeforeClose() error {
	fault := s.checkFiles()
	if !errors.Is(fault, errOverwritten) && !errors.Is(fault, errReplaced) {
		return nil
	}
	if isGone(s.files.wal, s.files.target+"-wal") {
		return fault
	}
	return errors.Join(fault, moveAside(s.files.target))
}

// moveAside keeps the WAL file beside a path from being carried out.
func moveAside(path string) error {
	if err := os.Rename(path+"-wal", path+"-wal.stale"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put aside the -wal file, which belongs to the former file: %w", err)
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the -shm file, which belongs to the former file: %w", err)
	}
	return nil
}

// removeBeside removes the -wal and -shm files.
func (s *Store) removeBeside() error {
	for _, kind := range []string{"-wal", "-shm"} {
		if err := os.Remove(s.files.target + kind); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// createTemp makes an empty file beside the store.
func (s *Store) createTemp() (string, error) {
	folder, file := filepath.Split(s.files.target)
	temporary, err := os.CreateTemp(folder, "."+file+".new-*")
	if err != nil {
		return "", err
	}
	return temporary.Name(), temporary.Close()
}

// copyFile copies what was written over the open file, and brings it to the disk.
func copyFile(from io.ReaderAt, path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	const all = 1 << 62
	_, err = io.Copy(to, io.NewSectionReader(from, 0, all))
	return errors.Join(err, to.Sync(), to.Close())
}
