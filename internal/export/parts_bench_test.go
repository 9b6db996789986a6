package export

import (
	"io"
	"testing"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// Benchmarks of unexported parts of OpenMetrics, with a year of one figure.

const benchDays = 365

func benchValues() [datacube.HoursPerDay]int64 {
	var values [datacube.HoursPerDay]int64
	for hour := range values {
		values[hour] = int64(hour*hour)*7919%60_000 + 1
	}
	return values
}

func samplesPerSecond(b *testing.B) {
	b.Helper()
	b.ReportMetric(benchDays*datacube.HoursPerDay*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

func BenchmarkFormatting(b *testing.B) {
	values := benchValues()
	for _, family := range history.Families()[:history.FigureCount] {
		b.Run(family.Name, func(b *testing.B) {
			out := &openMetrics{w: io.Discard}
			out.begin(family)
			out.account("account-wxa")
			for b.Loop() {
				for day := range datacube.Date(benchDays) {
					if err := out.day(periodsOf(datacube.Hourly), day, values[:]); err != nil {
						b.Fatal(err)
					}
				}
			}
			samplesPerSecond(b)
		})
	}
}

// BenchmarkSpooling writes and reads a spool file.
func BenchmarkSpooling(b *testing.B) {
	values := benchValues()
	folder := b.TempDir()
	var n int64
	for b.Loop() {
		s := newSpool(folder, len(values))
		for day := range datacube.Date(benchDays) {
			if day == 0 || day == benchDays/2 { // so that there is a file in any case
				if err := s.flush(); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.put(day, values[:]); err != nil {
				b.Fatal(err)
			}
		}
		s.endAccount()
		if err := s.rewind(); err != nil {
			b.Fatal(err)
		}
		for {
			_, read, err := s.next()
			if err != nil {
				b.Fatal(err)
			}
			if read == nil {
				break
			}
			n += int64(len(read))
		}
		s.close()
	}
	if n != int64(b.N)*benchDays*datacube.HoursPerDay {
		b.Fatalf("%d values", n)
	}
	samplesPerSecond(b)
}
