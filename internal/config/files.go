package config

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

// accountFile is a file that a pattern of account_files matches.
type accountFile struct {
	path string
	// key is that of the first pattern.
	key string
}

// readAccountFiles adds the accounts of the files that account_files names to c, and returns the
// files' documents in the order of their names.
func (d *document) readAccountFiles(c *Config) []*document {
	before := len(d.Faults())
	for i := range c.AccountFiles {
		key := strictyaml.Item("account_files", i)
		if !d.Broken(key) {
			d.validatePattern(key, &c.AccountFiles[i])
		}
	}
	files := d.matches(c.AccountFiles)
	var documents []*document
	for _, file := range files {
		content, err := readRegular(file.path)
		if err != nil {
			d.Fault(file.key, problemOf(err))
			continue
		}
		read := newDocument(file.path, d.shared)
		c.Accounts = append(c.Accounts, read.accounts(content)...)
		documents = append(documents, read)
	}
	sound := len(d.Faults()) == before && !slices.ContainsFunc(documents, func(read *document) bool { return len(read.Faults()) > 0 })
	switch {
	case len(c.Accounts) > 0 || !sound || d.Broken("accounts") || d.Broken("account_files"):
	case d.Has("account_files"):
		d.Fault("account_files", i18n.M("fault.no_account_in_files"))
	default:
		d.Fault("accounts", i18n.M("fault.no_account"))
	}
	return documents
}

// accounts reads a file that holds a list of accounts, which may be empty.
func (d *document) accounts(content []byte) []Account {
	if !d.Parse(content) {
		return nil
	}
	var accounts []Account
	d.Decode(&accounts, i18n.M("want.accounts"))
	d.validateAccounts(accounts, "")
	return accounts
}

// validatePattern joins a pattern with the folder of the file.
func (d *document) validatePattern(key string, pattern *string) {
	if *pattern == "" {
		d.Fault(key, i18n.M("fault.empty", i18n.M("want.pattern")))
		return
	}
	if _, err := filepath.Match(*pattern, ""); err != nil {
		d.Fault(key, i18n.M("fault.pattern"))
		return
	}
	if !filepath.IsAbs(*pattern) {
		*pattern = filepath.Join(quoted(filepath.Dir(d.File)), *pattern)
	}
}

// matches returns the files that the patterns match, each once, sorted by name.
func (d *document) matches(patterns []string) []accountFile {
	var found []accountFile
	for i, pattern := range patterns {
		key := strictyaml.Item("account_files", i)
		if d.Broken(key) {
			continue
		}
		wild := wildcard(pattern) >= 0
		if wild {
			folder := fixedFolder(pattern)
			// What cannot be listed matches nothing, which must not pass for an empty folder.
			if _, err := os.ReadDir(folder); err != nil && !os.IsNotExist(err) {
				d.Fault(key, i18n.M("fault.unlistable", folder, files.Cause(err)))
				continue
			}
		}
		paths, err := filepath.Glob(pattern)
		if err == nil && len(paths) == 0 && !wild {
			d.Fault(key, i18n.M("fault.no_file", unquoted(pattern), i18n.M("want.pattern")))
		}
		for _, path := range paths {
			found = append(found, accountFile{filepath.Clean(path), key})
		}
	}
	slices.SortStableFunc(found, func(a, b accountFile) int { return strings.Compare(a.path, b.path) })
	seen, own := map[string]bool{}, realName(d.File)
	return slices.DeleteFunc(found, func(f accountFile) bool {
		path := realName(f.path)
		if path == own {
			d.Fault(f.key, i18n.M("fault.matches_itself"))
		}
		again := seen[path] || path == own
		seen[path] = true
		return again
	})
}

// readRegular returns the content of a file. What is not a regular file might never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = secret.ErrNotRegular
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return content, nil
}

// realName returns the one name of a file that has several because of links.
func realName(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return absolute(path)
}

// escapes reports whether \ takes the meaning from the next character of a pattern.
func escapes() bool { return runtime.GOOS != "windows" }

// quoted returns a pattern that matches the name and nothing else.
func quoted(name string) string {
	if !escapes() {
		return name
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// unquoted returns the name that a pattern without wildcards matches.
func unquoted(pattern string) string {
	if !escapes() {
		return pattern
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// wildcard returns where the first wildcard of a pattern is; -1 if there is none.
func wildcard(pattern string) int {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			if escapes() {
				i++
			}
		case '*', '?', '[':
			return i
		}
	}
	return -1
}

// fixedFolder returns the folder that has everything that a pattern with a wildcard can match.
func fixedFolder(pattern string) string {
	return filepath.Dir(unquoted(pattern[:wildcard(pattern)]) + "x")
}
