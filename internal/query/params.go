package query

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// request is a request to the API with its parameters, from the URL and a form in the body.
type request struct {
	*http.Request

	now time.Time
}

// errorAbout says which parameter is wrong.
func errorAbout(parameter string, err error) error {
	return &apiError{badData, fmt.Errorf("invalid parameter %q: %w", parameter, err)}
}

// limit returns how many results are wanted at most; 0 means all.
func (r *request) limit() (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err == nil && limit < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, errorAbout("limit", err)
	}
	return limit, nil
}

// duration returns a parameter that is a duration; 0 if there is none.
func (r *request) duration(name string) (time.Duration, error) {
	duration, err := parseDuration(r.FormValue(name))
	if err != nil {
		return 0, errorAbout(name, err)
	}
	return duration, nil
}

// parseDuration parses a number of seconds or a Prometheus duration; 0 if the text is empty.
func parseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		nanoseconds := seconds * float64(time.Second)
		if math.IsNaN(nanoseconds) || math.Abs(nanoseconds) >= math.MaxInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text)
		}
		return time.Duration(nanoseconds), nil
	}
	parsed, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
	}
	return time.Duration(parsed), nil
}

// timeout returns the time that the client allows for a query; 0 if it does not say.
func (r *request) timeout() (time.Duration, error) {
	timeout, err := r.duration("timeout")
	if err == nil && timeout <= 0 && r.FormValue("timeout") != "" {
		err = errorAbout("timeout", fmt.Errorf("timeout must be positive, got %s", timeout))
	}
	return timeout, err
}

// Times that mean no bound. They are what clients of Prometheus send for it, too.
const (
	firstTime int64 = math.MinInt64/1000 + 62135596801
	lastTime  int64 = math.MaxInt64/1000 - 62135596801
)

func minTime() time.Time { return time.Unix(firstTime, 0).UTC() }

func maxTime() time.Time { return time.Unix(lastTime, 999999999).UTC() }

// time returns a parameter that is an instant: Unix seconds or RFC 3339.
func (r *request) time(name string, missing time.Time) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" && !missing.IsZero() {
		return missing, nil
	}
	at, err := parseTime(text)
	if err != nil {
		if !missing.IsZero() {
			err = fmt.Errorf("invalid time value for '%s': %w", name, err)
		}
		return time.Time{}, errorAbout(name, err)
	}
	return at, nil
}

func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(seconds) {
		whole, fraction := math.Modf(seconds)
		if whole < float64(firstTime) || whole > float64(lastTime) {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
		}
		millis := math.Round(fraction * 1000)
		return time.Unix(int64(whole), int64(millis)*int64(time.Millisecond)).UTC(), nil
	}
	// The bounds have years of more than four digits, which package time can write but not read.
	switch text {
	case minTime().Format(time.RFC3339Nano):
		return minTime(), nil
	case maxTime().Format(time.RFC3339Nano):
		return maxTime(), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
	}
	return at, nil
}

// between returns the parameters start and end, which may be missing.
func (r *request) between() (start, end time.Time, err error) { //nolint:nonamedreturns // two of a kind need names
	if start, err = r.time("start", minTime()); err != nil {
		return start, end, err
	}
	end, err = r.time("end", maxTime())
	return start, end, err
}

// matchers returns the selectors of the parameters match[].
func (a *API) matchers(r *request) ([][]*labels.Matcher, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &apiError{badData, fmt.Errorf("error parsing form values: %w", err)}
	}
	sets, err := a.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return nil, &apiError{badData, err}
	}
	if slices.ContainsFunc(sets, matchesEmpty) {
		return nil, &apiError{badData, errors.New("match[] must contain at least one non-empty matcher")}
	}
	return sets, nil
}

func matchesEmpty(set []*labels.Matcher) bool {
	for _, m := range set {
		if !m.Matches("") {
			return false
		}
	}
	return true
}
