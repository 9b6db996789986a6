package config

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"weixin_exporter/internal/i18n"
)

const maxHistoryDays = 4000

// Refresh says which days are requested, and when.
type Refresh struct {
	// Interval is how often the exporter checks what is due.
	Interval model.Duration `yaml:"interval" allowed:"want.interval"`
	// ReadyAt is the China time before which yesterday is not requested.
	ReadyAt TimeOfDay `yaml:"ready_at" allowed:"want.ready_at"`
	// History is how far back days are filled: whole days, 1d is only yesterday.
	History model.Duration `yaml:"history" allowed:"want.history"`
	// RecheckAfter is how long after its first response a day is requested once more; 0 is never.
	RecheckAfter model.Duration `yaml:"recheck_after" allowed:"want.recheck_after"`
}

// HistoryDays returns History as a number of days.
func (r Refresh) HistoryDays() int { return int(time.Duration(r.History) / day) }

// TimeOfDay is the time since midnight, a whole number of minutes below 24 hours.
type TimeOfDay time.Duration

// Offset returns the time since midnight.
func (t TimeOfDay) Offset() time.Duration { return time.Duration(t) }

// String returns the form HH:MM.
func (t TimeOfDay) String() string {
	minutes := int(time.Duration(t) / time.Minute)
	return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
}

// MarshalYAML writes the form HH:MM.
func (t TimeOfDay) MarshalYAML() (any, error) { return t.String(), nil }

// Allowed implements strictyaml.Scalar.
func (t *TimeOfDay) Allowed() i18n.Message { return i18n.M("want.time_of_day") }

// SetText implements strictyaml.Scalar.
func (t *TimeOfDay) SetText(text string) bool {
	value, err := time.Parse("15:04", text)
	*t = TimeOfDay(time.Duration(value.Hour())*time.Hour + time.Duration(value.Minute())*time.Minute)
	return err == nil && len(text) == len("15:04")
}

func (d *document) validateRefresh(r *Refresh) {
	if r.Interval <= 0 || time.Duration(r.Interval) > day {
		d.Refuse("refresh.interval")
	}
	if !wholeDays(time.Duration(r.History)) || r.HistoryDays() < 1 || r.HistoryDays() > maxHistoryDays {
		d.Refuse("refresh.history")
	}
}

func wholeDays(d time.Duration) bool { return d >= 0 && d%day == 0 }
