package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFile bounds what is read of a file that holds a secret, in bytes.
const maxFile = 64 << 10

// ReadFile returns what a file with a secret holds, without what editors put around it: a byte order
// mark and white space. Everything that reads such a file reads it here. It takes regular files alone,
// since opening a pipe would block, of at most 64 KiB. The error does not name the file.
func ReadFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", withoutPath(err)
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("file larger than %d KiB", maxFile>>10)
	}
	return string(Trim(content)), nil
}

// Trim drops a byte order mark and white space from around a secret.
func Trim(content []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(content), []byte("\uFEFF")))
}

// withoutPath returns err of package os without the name of the file, and without the operation where
// that tells an operator nothing.
func withoutPath(err error) error {
	fault, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	if fault.Op == "stat" || fault.Op == "open" {
		return fault.Err
	}
	return fmt.Errorf("%s: %w", fault.Op, fault.Err)
}
