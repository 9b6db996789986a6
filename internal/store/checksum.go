package store

import "weixin_exporter/weixin/datacube"

// Checksum stands for the callbacks, failures and time cost of a day, so that the figures of
// the daily call can be held against those of the hourly call without keeping either. It is
// additive: that of 24 hours is that of a day whose figures are their sums, without a sum that
// overflows. It is never 0. Migration 5 has the same formula.
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
