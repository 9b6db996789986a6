package exportertest

import "runtime/debug"

// RaceDetector reports whether this program, and so each Command, was built with the race detector, with which a start
// takes many times as long.
func RaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}
