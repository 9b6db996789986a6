package store

import "weixin_exporter/weixin/datacube"

// Checksum returns a checksum of the callbacks, failures and time cost of a day, by which the figures
// of the daily and the hourly call can be compared without keeping either. It is additive: 24 hours
// have the checksum of a day whose figures are their sums, even if the sums would overflow. It is never
// 0. Migration 5 has the same formula.
func Checksum(figures ...datacube.Figures) uint32 {
	const prime = 1<<31 - 1
	var sum uint64
	for _, f := range figures {
		sum += uint64(f.Callbacks)%prime*1000003%prime +
			uint64(f.Failures)%prime*1566083941%prime +
			uint64(f.TimeCostMillis)%prime*1812433253%prime
	}
	return uint32(1 + sum%prime)
}
