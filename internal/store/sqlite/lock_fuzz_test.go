//go:build unix && !solaris && !illumos && !aix

package sqlite_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// FuzzLockFile: whatever a killed process, or anyone else, left in the file of the lock, the store opens. The -wal file counts, or is
// moved aside whole; the latter only if there is a record that may say that it belongs to another file.
func FuzzLockFile(f *testing.F) {
	const days = 20
	living := filepath.Join(f.TempDir(), "store.db")
	s := open(f, living)
	for day := range datacube.Date(days) {
		save(f, s, daily(shop, firstDay+day, 1))
	}
	left := map[string][]byte{}
	for _, kind := range []string{"", "-wal"} {
		content, err := os.ReadFile(living + kind)
		if err != nil || len(content) == 0 {
			f.Fatalf("the file has %d bytes: %v", len(content), err)
		}
		left[kind] = content
	}
	record := regexp.MustCompile(`file\s+\S+\s+wal\s+\S+\s+mark\s+[+0-9]`)
	for _, content := range []string{
		"", "process 1\nsomething else\n", "\n", "\n\n\n", "process 1 on host gone since 2014-12-01T00:00:00Z\n", "process 1\nfile FILE wal WAL mark 0\n", "process 1\nfile FILE wal WAL mark 4294967295\n",
		"process 1\nfile FILE wal WAL mark 4294967296\n", "process 1\nfile FILE wal WAL mark -1\n", "process 1\nfile 1 wal WAL mark 1\n", "process 1\nfile none wal none mark 1\n",
		"process 1\nfile FILE wal", "process 1\n file FILE wal WAL mark 1 2 3\n", "process 1\r\nfile FILE wal WAL mark 1\r\n", "\x00\xff\nfile \x00 wal \x1b mark 0x7\n",
		"process 1\nfile " + strings.Repeat("9", 2000) + " wal WAL mark 1\n", strings.Repeat("process ", 1000),
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "store.db")
		for kind, bytes := range left {
			write(t, path+kind, bytes)
		}
		content = bytes.ReplaceAll(content, []byte("FILE"), []byte(inode(t, path)))
		content = bytes.ReplaceAll(content, []byte("WAL"), []byte(inode(t, path+"-wal")))
		write(t, path+".lock", content)
		s, held := served(t, path)
		got := stored(t, s)
		aside, err := filepath.Glob(path + "-wal.*")
		if err != nil {
			t.Fatal(err)
		}
		switch len(aside) {
		case 0:
			if got != days {
				t.Errorf("%d of %d days", got, days)
			}
		case 1:
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, left["-wal"]) {
				t.Errorf("the file that was moved aside has changed: %v", err)
			}
			if !record.Match(content) {
				t.Error("the -wal file was moved aside without a record")
			}
		default:
			t.Errorf("there are %q", aside)
		}
		want := fmt.Sprintf("another weixin_exporter uses it (process %d on host ", os.Getpid())
		if _, err := sqlite.TakeLock(path, firstDay.Start()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it is locked by %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := held.Release(); err != nil {
			t.Error(err)
		}
	})
}

// inode returns the number by which a record names a file.
func inode(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Ino), 10) //nolint:unconvert // other systems have other types
}
