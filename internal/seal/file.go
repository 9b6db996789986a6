package seal

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"weixin_exporter/weixin/secret"
)

// How a file of keys can be wrong.
const (
	// NotAKey is a line that is not 32 bytes in base64 or hex.
	NotAKey Fault = "not_a_key"
	// Repeated is a line with the key of a line before it.
	Repeated Fault = "repeated"
	// Empty is a file without a key.
	Empty Fault = "empty"
)

// Fault says how a file of keys is wrong.
type Fault string

// FileError is a fault of the content of a file of keys. It shows nothing of the content.
type FileError struct {
	File string
	// Line is counted from 1; 0 if it is the whole file.
	Line  int
	Fault Fault
}

// Error implements error.
func (e *FileError) Error() string {
	switch e.Fault {
	case Repeated:
		return fmt.Sprintf("%s, line %d: the same key as on a line before it", e.File, e.Line)
	case Empty:
		return e.File + ": no key"
	default:
		return fmt.Sprintf("%s, line %d: not 32 bytes in base64 or hex", e.File, e.Line)
	}
}

// ReadFile reads a file with a key on each line: 32 bytes in base64 or hex. The first one seals and all of them open.
// Empty lines are skipped. The error is a *FileError, or the cause, without the name of the file, if it cannot be read.
func ReadFile(path string) (*Keys, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

func parse(file, text string) (*Keys, error) {
	k := &Keys{file: file}
	seen := map[[idSize]byte]bool{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		given := decode(line)
		if given == nil {
			return nil, &FileError{file, i + 1, NotAKey}
		}
		made, err := newKey(given)
		if err != nil {
			return nil, err
		}
		if seen[made.id] {
			return nil, &FileError{file, i + 1, Repeated}
		}
		seen[made.id] = true
		k.keys = append(k.keys, made)
	}
	if len(k.keys) == 0 {
		return nil, &FileError{File: file, Fault: Empty}
	}
	return k, nil
}

// IsKey reports whether a text is a key, and not, for example, the name of a file with one.
func IsKey(text string) bool { return decode(strings.TrimSpace(text)) != nil }

// decode returns the key on a line; nil if it is none.
func decode(line string) []byte {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.Strict().DecodeString, base64.RawStdEncoding.Strict().DecodeString,
		base64.URLEncoding.Strict().DecodeString, base64.RawURLEncoding.Strict().DecodeString,
	} {
		if key, err := decode(line); err == nil && len(key) == keySize {
			return key
		}
	}
	return nil
}
