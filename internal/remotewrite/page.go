package remotewrite

import (
	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// samplesPerDay is how many samples a day of the API has.
func samplesPerDay(api datacube.API) int64 {
	if api == datacube.Hourly {
		return int64(history.FigureCount) * datacube.HoursPerDay
	}
	return int64(history.FigureCount)
}

// samplesOf returns the samples of all days of an account, those of each series in the order of
// their times. The account's label is name.
func (e *Endpoint) samplesOf(due *store.Pending, name string) []Sample {
	labels := append([]Label{{history.AccountLabel, name}}, e.ExternalLabels...)
	var samples []Sample
	for _, family := range history.Families() {
		series := NewSeries(family.Name, Metadata{Type: Gauge, Help: family.Help}, labels...)
		if family.API == datacube.Daily {
			for _, day := range due.Daily {
				samples = append(samples, Sample{series, history.DayTime(day.Date).UnixMilli(), family.Value(day.Figures)})
			}
			continue
		}
		for _, day := range due.Hourly {
			for hour, figures := range day.Hours {
				samples = append(samples, Sample{series, history.HourTime(day.Date, hour).UnixMilli(), family.Value(figures)})
			}
		}
	}
	return samples
}

// page is what is read of the store and sent at once.
type page struct {
	dues    []store.Pending
	samples []Sample
	// tooOld counts, for each account, samples that are passed over.
	tooOld map[string]int64
}

func (e *Endpoint) page(dues []store.Pending) *page {
	p := &page{dues: dues, tooOld: make(map[string]int64)}
	for i := range dues {
		p.samples = append(p.samples, e.samplesOf(&dues[i], e.Accounts[dues[i].AppID])...)
		for api, days := range dues[i].TooOld {
			if days > 0 {
				p.tooOld[dues[i].AppID] += days * samplesPerDay(datacube.API(api))
			}
		}
	}
	return p
}
