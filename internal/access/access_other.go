//go:build !linux

// Package access checks what this process may do with a file or folder, without doing it.
package access

import "os"

// Write returns an error if the path does not exist. On this system a lack of permission only shows when
// something is written.
func Write(path string) error {
	_, err := os.Stat(path)
	return err
}
