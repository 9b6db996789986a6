package remotewrite

import (
	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// samplesPerDay returns how many samples a day of the API has.
func samplesPerDay(api datacube.API) int64 {
	if api == datacube.Hourly {
		return int64(history.FigureCount) * datacube.HoursPerDay
	}
	return int64(history.FigureCount)
}

// samplesOf returns the samples of all pending days of an account, those of each series in the order of
// their times. name is the value of the label "account".
func (e *Endpoint) samplesOf(pending *store.Pending, name string) []Sample {
	labels := append([]Label{{history.AccountLabel, name}}, e.ExternalLabels...)
	var samples []Sample
	for _, family := range history.Families() {
		series := NewSeries(family.Name, Metadata{Type: Gauge, Help: family.Help}, labels...)
		if family.API == datacube.Daily {
			for _, day := range pending.Daily {
				samples = append(samples, Sample{series, history.DayTime(day.Date).UnixMilli(), family.Value(day.Figures)})
			}
			continue
		}
		for _, day := range pending.Hourly {
			for hour, figures := range day.Hours {
				samples = append(samples, Sample{series, history.HourTime(day.Date, hour).UnixMilli(), family.Value(figures)})
			}
		}
	}
	return samples
}

// batch is what is read from the store at once and sent together.
type batch struct {
	accounts []store.Pending
	samples  []Sample
	// tooOld counts the samples that are older than max_age, by app id.
	tooOld map[string]int64
}

func (e *Endpoint) newBatch(accounts []store.Pending) *batch {
	b := &batch{accounts: accounts, tooOld: make(map[string]int64)}
	for i := range accounts {
		a := &accounts[i]
		b.samples = append(b.samples, e.samplesOf(a, e.Accounts[a.AppID])...)
		for api, days := range a.TooOld {
			if days > 0 {
				b.tooOld[a.AppID] += days * samplesPerDay(datacube.API(api))
			}
		}
	}
	return b
}
