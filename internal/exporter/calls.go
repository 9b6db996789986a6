package exporter

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// calls counts the requests of the day in China. The zero value is ready for use.
type calls struct {
	mu     sync.Mutex
	date   datacube.Date
	counts map[call]int64
}

// call is what requests are counted by.
type call struct{ api, errcode string }

// mostOutcomes bounds how many pairs of a call and an errcode are told apart; there are about a hundred errcodes.
const mostOutcomes = 500

// observe counts a request that ended at now.
func (c *calls) observe(r weixin.Request, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if today := datacube.DateOf(now); c.date != today {
		c.date, c.counts = today, map[call]int64{}
	}
	key := call{string(r.API), r.Errcode}
	if _, ok := c.counts[key]; ok || len(c.counts) < mostOutcomes {
		c.counts[key]++
	}
}

// today returns the counts of a day, success first and then by number.
func (c *calls) today(now time.Time) (datacube.Date, []web.Calls) {
	c.mu.Lock()
	defer c.mu.Unlock()
	today := datacube.DateOf(now)
	if c.date != today {
		return today, nil
	}
	list := make([]web.Calls, 0, len(c.counts))
	for _, key := range slices.SortedFunc(maps.Keys(c.counts), func(a, b call) int {
		return cmp.Or(cmp.Compare(a.api, b.api), cmp.Compare(a.errcode, b.errcode))
	}) {
		list = append(list, web.Calls{API: key.api, Errcode: key.errcode, Number: c.counts[key]})
	}
	return today, list
}
