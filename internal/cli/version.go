package cli

import (
	"cmp"
	"runtime/debug"
)

// BuildVersion returns the version that the linker stamped or, if there is none, that of the module or of the
// commit, so that programs built with "go build", "go run" and "go install" have a version, too.
func BuildVersion(stamped string, read func() (*debug.BuildInfo, bool)) string {
	info, ok := read()
	if stamped != "" || !ok {
		return cmp.Or(stamped, "unknown")
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return "devel"
	}
	revision = revision[:min(len(revision), 12)]
	if settings["vcs.modified"] == "true" {
		revision += "-dirty"
	}
	return revision
}
