package weixintest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"weixin_exporter/weixin/datacube"
)

// weekday is the traffic of an ordinary day by the hour: a quiet night, a rise in the morning, lunch, and
// the peak in the evening. Only the proportions matter.
func weekday() [datacube.HoursPerDay]float64 {
	return [...]float64{
		0.35, 0.18, 0.09, 0.06, 0.06, 0.12, 0.40, 0.95, 1.50, 1.85, 2.00, 2.05,
		2.40, 1.95, 1.70, 1.70, 1.80, 1.85, 1.95, 2.35, 2.85, 2.80, 2.00, 0.95,
	}
}

const (
	incidentShare = 0.05 // of the days of an account
	incidentLimit = 5000 // the time that Weixin waits for a callback, in milliseconds
	slowest       = 4800 // of a callback within the limit, in milliseconds
)

// profile has the properties of an account's traffic that do not change.
type profile struct {
	weekday, weekend [datacube.HoursPerDay]float64 // expected callbacks
	latency          float64                       // mean of a callback in milliseconds: 40 to 300
	failures         float64                       // share of callbacks on an ordinary day: up to 0.3 %
}

// newRandom returns the random numbers for one purpose, which do not depend on any other.
func newRandom(seed uint64, appID, purpose string, n uint64) *rand.Rand {
	h := fnv.New64a()
	var b []byte
	b = binary.BigEndian.AppendUint64(b, seed)
	b = binary.BigEndian.AppendUint64(b, n)
	b = append(append(append(b, appID...), 0), purpose...)
	_, _ = h.Write(b) // never fails
	return rand.New(rand.NewPCG(h.Sum64(), seed+n))
}

// between returns a random number in [low, high).
func between(random *rand.Rand, low, high float64) float64 {
	return low + (high-low)*random.Float64()
}

func newProfile(seed uint64, a Account) profile {
	random := newRandom(seed, a.AppID, "profile", 0)
	p := profile{
		latency:  between(random, 40, 300),
		failures: between(random, 0, 0.003),
	}
	lunch, evening := between(random, 0.8, 1.2), between(random, 0.75, 1.3)
	weekend := between(random, 0.5, 0.85) // of a weekday
	if random.IntN(3) == 0 {
		weekend = between(random, 1.25, 1.5)
	}
	var sum float64
	for hour, weight := range weekday() {
		switch {
		case hour >= 11 && hour <= 13:
			weight *= lunch
		case hour >= 19 && hour <= 22:
			weight *= evening
		}
		p.weekday[hour] = weight
		sum += weight
	}
	for hour, weight := range p.weekday {
		p.weekday[hour] = float64(a.CallbacksPerDay) * weight / sum
		p.weekend[hour] = p.weekday[hour] * weekend
		if hour >= 5 && hour < 10 {
			p.weekend[hour] *= 0.6 // people get up later
		}
	}
	return p
}

// revision identifies an hour whose figures were revised.
type revision struct {
	appID string
	date  datacube.Date
	hour  int
}

// Figures returns the true figures of an hour, including revisions. Unknown accounts and hours
// outside of 0 to 23 have no traffic.
func (s *Server) Figures(appID string, date datacube.Date, hour int) datacube.Figures {
	if hour < 0 || hour >= datacube.HoursPerDay {
		return datacube.Figures{}
	}
	return s.Hours(appID, date)[hour]
}

// Day returns the true figures of a day: the sum of its 24 hours.
func (s *Server) Day(appID string, date datacube.Date) datacube.Figures {
	return dayOf(s.Hours(appID, date))
}

func dayOf(hours datacube.Hours) datacube.Figures {
	var day datacube.Figures
	for _, f := range hours {
		day.Callbacks += f.Callbacks
		day.Failures += f.Failures
		day.TimeCostMillis += f.TimeCostMillis
		day.MaxTimeCostMillis = max(day.MaxTimeCostMillis, f.MaxTimeCostMillis)
	}
	return day
}

// Hours returns the true figures of the 24 hours of a day, whether they are available yet or not.
func (s *Server) Hours(appID string, date datacube.Date) datacube.Hours {
	a := s.accounts[appID]
	if a == nil {
		return datacube.Hours{}
	}
	hours := s.unrevised(a, date)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.revised) == 0 {
		return hours
	}
	for hour := range hours {
		if f, ok := s.revised[revision{appID, date, hour}]; ok {
			hours[hour] = f
		}
	}
	return hours
}

// simulatedDay identifies a simulated day.
type simulatedDay struct {
	account *account
	date    datacube.Date
}

// unrevised returns the figures of a day without revisions. Those of the last days are kept, since simulating a day takes
// longer than all else that a request does.
func (s *Server) unrevised(a *account, date datacube.Date) datacube.Hours {
	const most = 4096 // 3 MB
	key := simulatedDay{a, date}
	s.mu.Lock()
	hours, ok := s.simulated[key]
	s.mu.Unlock()
	if ok {
		return hours
	}
	hours = s.simulate(a, date)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.simulated) >= most {
		clear(s.simulated)
	}
	s.simulated[key] = hours
	return hours
}

// Revise changes the figures of an hour. They are returned without a check; the zero value removes the row.
// It panics if the hour is not one of 0 to 23.
func (s *Server) Revise(appID string, date datacube.Date, hour int, f datacube.Figures) {
	if hour < 0 || hour >= datacube.HoursPerDay {
		panic(fmt.Sprintf("weixintest: %d is not an hour", hour))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revised[revision{appID, date, hour}] = f
}

// simulate returns the figures of a day, which depend only on the seed, the account and the date.
func (s *Server) simulate(a *account, date datacube.Date) datacube.Hours {
	var hours datacube.Hours
	if a.CallbacksPerDay <= 0 {
		return hours
	}
	random := newRandom(s.seed, a.AppID, "day", uint64(date))
	expected := a.profile.weekday
	if day := date.Start().Weekday(); day == time.Saturday || day == time.Sunday {
		expected = a.profile.weekend
	}
	busy := between(random, 0.88, 1.12)
	first, last := incidentOf(random)
	if random.Float64() >= incidentShare && !slices.Contains(a.Incidents, date) {
		first, last = datacube.HoursPerDay, -1
	}
	for hour := range hours {
		random := newRandom(s.seed, a.AppID, "hour", uint64(date)*datacube.HoursPerDay+uint64(hour))
		callbacks := poisson(random, expected[hour]*busy*between(random, 0.94, 1.06))
		if hour >= first && hour <= last {
			hours[hour] = incident(random, a.profile, callbacks)
		} else {
			hours[hour] = ordinary(random, a.profile, callbacks)
		}
	}
	return hours
}

// incidentOf returns the first and the last hour that an incident of the day would have: two or three hours
// between 09:00 and 22:00.
func incidentOf(random *rand.Rand) (int, int) {
	first := 9 + random.IntN(11)
	return first, first + 1 + random.IntN(2)
}

// poisson returns a random number of events with the given mean.
func poisson(random *rand.Rand, expected float64) int64 {
	if expected > 50 {
		return int64(math.Round(max(0, expected+math.Sqrt(expected)*random.NormFloat64())))
	}
	n, p := int64(0), random.Float64()
	for floor := math.Exp(-expected); p > floor; n++ {
		p *= random.Float64()
	}
	return n
}

// ordinary returns the figures of an hour in which the account's server works.
func ordinary(random *rand.Rand, p profile, callbacks int64) datacube.Figures {
	if callbacks == 0 {
		return datacube.Figures{}
	}
	mean := p.latency * between(random, 0.9, 1.15)
	// The longest time grows with the number of callbacks.
	longest := mean * (1 + between(random, 0.3, 0.6)*math.Log(float64(callbacks)))
	failures := min(callbacks, poisson(random, float64(callbacks)*p.failures))
	if failures > 0 && random.IntN(20) == 0 {
		longest = between(random, 2000, 4000) // a slow failure
	}
	return figures(callbacks, failures, float64(callbacks)*mean, min(longest, slowest))
}

// incident returns the figures of an hour in which many callbacks time out. Weixin repeats those, so that there
// are more callbacks; a small account has some as well.
func incident(random *rand.Rand, p profile, callbacks int64) datacube.Figures {
	share := between(random, 0.2, 0.6)
	callbacks = int64(math.Round(float64(max(callbacks, 5)) * (1 + share)))
	// An integer that is within the bounds even for few callbacks.
	failures := max((callbacks+4)/5, min(callbacks*3/5, int64(math.Round(float64(callbacks)*share))))
	mean := p.latency * between(random, 1.2, 2.5)
	longest := float64(incidentLimit - 5 + random.IntN(15))
	total := float64(callbacks-failures)*mean + float64(failures)*between(random, 0.9, 1)*longest
	return figures(callbacks, failures, total, longest)
}

// figures rounds the values and ensures that max ≤ total ≤ callbacks × max.
func figures(callbacks, failures int64, total, longest float64) datacube.Figures {
	f := datacube.Figures{
		Callbacks:      callbacks,
		Failures:       failures,
		TimeCostMillis: max(1, int64(math.Round(total))),
	}
	mean := (f.TimeCostMillis + callbacks - 1) / callbacks
	f.MaxTimeCostMillis = min(f.TimeCostMillis, max(mean, int64(math.Round(longest))))
	return f
}
