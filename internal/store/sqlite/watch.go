package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// checkFiles fails if the open file is no longer the one at its path. Then nothing may be read or written,
// since SQLite would mix the two files.
func (s *Store) checkFiles() error {
	if s.files == nil {
		return nil
	}
	return s.files.check()
}

// Fault implements store.Store.
func (s *Store) Fault() error {
	err := s.using(func(*handle) error { return nil })
	if err != nil {
		return fmt.Errorf("%s: %w", name(s.path), err)
	}
	return nil
}

// Recover implements store.Store, where the open file is no longer the one at its path. A file that was deleted, or
// whose -wal was, is written again with all its content, since the process still has it open. A different file at
// the path is opened as it is. If that fails, nothing has changed.
func (s *Store) Recover(ctx context.Context) (string, error) {
	switch err := s.using(func(*handle) error { return nil }); {
	case err == nil:
		return "", nil // without waiting for reads and writes, which would make others wait for this
	case errors.Is(err, errNoResponse):
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
		done, err = "the store was written again with all its content; to start with an empty one, stop the exporter before removing the file", s.rewrite(ctx)
	case s.isEmptied():
		err = errEmptied
	case errors.Is(fault, errReplaced):
		done, err = "the new file was opened; days that it lacks are requested again within refresh.history", s.openReplacement(ctx)
	case errors.Is(fault, errOverwritten):
		done, err = "the new content was opened; days that it lacks are requested again within refresh.history", s.openOverwritten(ctx)
	case errors.Is(fault, errShrunk):
		done, err = "its content is complete", s.examineShrunk(ctx)
	default:
		return "", s.failed(ctx, "use", fault)
	}
	if err != nil {
		return "", s.failed(ctx, "reopen", fmt.Errorf("%w, and the store cannot be used until it is reopened: %w", fault, err))
	}
	return fmt.Sprintf("%v: %s", fault, done), nil
}

// errEmptied keeps a file that a shell has emptied, to write a backup into it, from being taken for a new store.
var errEmptied = errors.New("the file is empty; complete the copy, or restore a backup; to start with an empty store, stop the exporter and remove the file")

func (s *Store) isEmptied() bool {
	main, err := os.Stat(s.path)
	return err == nil && main.Size() == 0
}

// rewrite writes what is open to a new file at the path. Other processes that have the previous file
// open notice that it was replaced.
func (s *Store) rewrite(ctx context.Context) error {
	temporary, err := s.createTemp()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }() // it has been renamed, unless something failed
	if err := copyInto(ctx, s.write, temporary); err != nil {
		return err
	}
	// The files left beside it belong to the previous file.
	if err := s.removeBeside(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.files.target); errors.Is(err, fs.ErrNotExist) {
		err = os.Link(temporary, s.files.target) // fails if a file was created meanwhile
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

// openReplacement opens the new file at the path.
func (s *Store) openReplacement(ctx context.Context) error {
	// The WAL file of the previous file must not be applied to this one.
	if !isGone(s.files.wal, s.files.target+"-wal") {
		if err := s.removeBeside(); err != nil {
			return err
		}
	}
	return s.reopen(ctx)
}

// openOverwritten opens the content that was written over the file. It first copies it to a new file: on
// closing the old one, SQLite would move the content of the WAL file into it.
func (s *Store) openOverwritten(ctx context.Context) error {
	temporary, err := s.createTemp()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }() // it has been renamed, unless something failed
	if err := copyFile(s.files.header, temporary); err != nil {
		return err
	}
	if err := s.try(ctx, temporary); err != nil {
		return err // the content may not be complete yet
	}
	if err := s.removeBeside(); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.files.target); err != nil {
		return err
	}
	return s.reopen(ctx)
}

// try opens and closes a file, to check that it is a complete store.
func (s *Store) try(ctx context.Context, path string) error {
	tried := newStore(path, Options{BusyTimeout: s.busy})
	err := tried.open(ctx)
	return errors.Join(err, tried.close()) //nolint:contextcheck // closing has its own time
}

// examineShrunk checks a file that became smaller for damage: another process may have compacted it. It reads the file again, since
// the connections that are open can have in memory what is no longer in it.
func (s *Store) examineShrunk(ctx context.Context) error {
	fresh := newStore(s.path, Options{})
	var err error
	if fresh.write, fresh.read, err = pools(s.path, s.busy, ""); err != nil {
		return err
	}
	err = fresh.checkIntegrity(ctx, longCheck)
	if err := errors.Join(err, fresh.write.Close(), fresh.read.Close()); err != nil {
		return err
	}
	main, err := os.Stat(s.path)
	if err == nil {
		s.files.size.Store(main.Size())
	}
	return err
}

// reopen opens the file at the path, and only then closes the previous one.
func (s *Store) reopen(ctx context.Context) error {
	fresh := newStore(s.path, s.options)
	if err := fresh.open(ctx); err != nil {
		return errors.Join(err, fresh.close()) //nolint:contextcheck // closing has its own time
	}
	previous := s.handle
	fresh.incarnation = previous.incarnation + 1
	s.handle = fresh.handle
	_ = previous.close() //nolint:contextcheck // closing has its own time; its file is no longer at the path, so an error does no harm
	return nil
}

// checkBeforeClose fails if the file at the path is a different one, which SQLite would mix with the open one on
// closing it. It then moves the -wal file aside, and the caller must not close the open file.
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

// moveAside renames the WAL file beside a path, so that SQLite does not apply it.
func moveAside(path string) error {
	if err := os.Rename(path+"-wal", path+"-wal.stale"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move aside the -wal file, which belongs to the previous file: %w", err)
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the -shm file, which belongs to the previous file: %w", err)
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

// createTemp creates an empty file beside the store.
func (s *Store) createTemp() (string, error) {
	folder, file := filepath.Split(s.files.target)
	temporary, err := os.CreateTemp(folder, "."+file+".new-*")
	if err != nil {
		return "", err
	}
	return temporary.Name(), temporary.Close()
}

// copyFile copies the content of a file to another one, and syncs it.
func copyFile(from io.ReaderAt, path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	const all = 1 << 62
	_, err = io.Copy(to, io.NewSectionReader(from, 0, all))
	return errors.Join(err, to.Sync(), to.Close())
}
