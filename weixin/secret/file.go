package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"weixin_exporter/internal/files"
)

// maxFile bounds the size of a file with a secret, in bytes.
const maxFile = 64 << 10

// ErrNotRegular means that a path does not lead to a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ReadFile returns the secret in a file, without the byte order mark and the white space that editors add. All
// files with secrets are read by it. The file must be a regular one, since opening a pipe would block, of at
// most 64 KiB. The error does not name the file.
func ReadFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", files.Cause(err)
	}
	if !info.Mode().IsRegular() {
		return "", ErrNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return "", files.Cause(err)
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", files.Cause(err)
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("file larger than %d KiB", maxFile>>10)
	}
	return string(Trim(content)), nil
}

// Trim removes a byte order mark and white space around a secret.
func Trim(content []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(content), []byte("\uFEFF")))
}
