// Package racetest tells tests whether they run with the race detector.
package racetest

import "runtime/debug"

// Enabled reports whether this program was built with the race detector, with which it takes many times as long.
func Enabled() bool {
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
