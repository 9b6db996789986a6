package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// emptyQueries returns the queries without series in the demonstration, and why they have none.
func emptyQueries() map[string]string {
	const file = "the demonstration's store is a file" // TestBoardsOfSeveralExporters evaluates these
	return map[string]string{
		"weixin-overview, Share of calls left today, A":   "the demonstration does not request the quota",
		"weixin-account, Certificate expires, A":          "the demonstration's callbacks have no TLS",
		"weixin-overview, Exporters alive, A":             file,
		"weixin-overview, Slots of each exporter, A":      file,
		"weixin-overview, Slots of each exporter, B":      file,
		"weixin-overview, Age of what others stored, A":   file,
		"weixin-overview, Connections to the database, A": file,
		"weixin-overview, Connections to the database, B": file,
	}
}

// everything is the value of a variable if all accounts, jobs or instances are selected.
const everything = ".*"

// Every query of every board is evaluated by a real Prometheus that scrapes the demonstration, has samples of the
// day before, and receives the history.
func TestBoards(t *testing.T) {
	t.Parallel()
	boards := readBoards(t)
	servers, x := boardServers(t, prometheuses(t))
	for name, p := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.waitDemo(t)
			empty := emptyQueries()
			for _, b := range boards {
				checkVariables(t, p, b)
				for _, panel := range b.Panels {
					for _, q := range panel.Targets {
						key := b.UID + ", " + panel.Title + ", " + q.RefID
						checkQuery(t, p, b, panel, q, key, empty[key])
						delete(empty, key)
					}
				}
			}
			for key := range empty {
				t.Errorf("%s is listed as empty, but does not exist", key)
			}
			checkHistory(t, p, boards["weixin-history"], x.metrics(t))
			checkDayBefore(t, p, boards["weixin-account"])
			draw(t, p, boards, name)
		})
	}
}

// checkQuery evaluates a query as Grafana would: for all accounts, for two of them, and for one whose name
// needs escaping.
func checkQuery(t *testing.T, p prometheus, b board, in panel, q target, key, whyEmpty string) {
	t.Helper()
	eventually(t, key, func() error {
		found, err := p.show(t, b, in, q, everything)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", key, err)
		case whyEmpty == "" && len(found) == 0:
			return errors.New("no series")
		case whyEmpty != "" && len(found) > 0:
			t.Errorf("%s has %d series, although %s", key, len(found), whyEmpty)
		}
		return nil
	})
	if !strings.Contains(q.Expr, "${account:regex}") {
		return
	}
	// Probes are a target for each account, so that not all of them have samples at the same moment.
	eventually(t, key+", two accounts", func() error {
		found, err := p.show(t, b, in, q, "("+regexOf("support-bot")+"|"+regexOf("not-verified")+")")
		if err == nil && len(found) == 0 && whyEmpty == "" {
			err = errors.New("no series")
		}
		return err
	})
	if _, err := p.show(t, b, in, q, regexOf(`客服 "机器人" \ №2 (a.b|c/d) '`)); err != nil {
		t.Errorf("%s, an account whose name needs escaping: %v", key, err)
	}
}

// checkVariables queries the values of a board's variables and its annotations, as Grafana does.
func checkVariables(t *testing.T, p prometheus, b board) {
	t.Helper()
	for _, v := range b.Templating.List {
		if v.Definition == "" {
			continue
		}
		definition := target{Expr: v.Definition}.expression(time.Minute, everything)
		metric, label, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(definition, "label_values("), ")"), ", ")
		var response struct{ Data []string }
		s := b.spanOf(clock())
		text := p.get(t, fmt.Sprintf("/api/v1/label/%s/values?match[]=%s&start=%d&end=%d", label, url.QueryEscape(metric), s.from.Unix(), s.to.Unix())).body
		if err := json.Unmarshal([]byte(text), &response); err != nil {
			t.Fatalf("%s: %v: %s", v.Definition, err, text)
		}
		known, refused := demoAccounts()
		known = append(known, demoQuiet)
		if b.UID != "weixin-history" {
			known = append(known, refused)
		}
		slices.Sort(known)
		switch {
		case v.Name == "job" && slices.Equal(response.Data, []string{"demo"}):
		case v.Name == "instance" && len(response.Data) == 1:
		case v.Name == "account" && slices.Equal(response.Data, known):
		default:
			t.Errorf("the variable %[2]s of %[1]s has the values %[3]q", b.UID, v.Name, response.Data)
		}
	}
	for _, a := range b.Annotations.List {
		if a.Expr == "" {
			continue
		}
		if _, err := p.show(t, b, panel{}, target{Expr: a.Expr, Range: true}, everything); err != nil {
			t.Errorf("%s, annotation %s: %v", b.UID, a.Name, err)
		}
	}
}

// line is a series in a panel, with its values by Unix time.
type line struct {
	labels map[string]string
	points map[int64]float64
}

// show evaluates a query over the time range of the board. Warnings and infos of Prometheus are errors.
func (p prometheus) show(t *testing.T, b board, in panel, q target, accounts string) ([]line, error) {
	t.Helper()
	s := b.spanOf(clock())
	step := s.step(t, in, q)
	form := url.Values{"query": {q.expression(step, accounts)}}
	path := "/api/v1/query"
	switch {
	case q.Instant && !q.Range:
		form.Set("time", strconv.FormatInt(s.to.Unix(), 10))
	case q.Range && !q.Instant:
		path = "/api/v1/query_range"
		form.Set("start", strconv.FormatInt(aligned(s.from, step).Unix(), 10))
		form.Set("end", strconv.FormatInt(aligned(s.to, step).Unix(), 10))
		form.Set("step", strconv.Itoa(int(step.Seconds())))
	default:
		return nil, errors.New("neither an instant query nor one over a range")
	}
	var response struct {
		Status, Error   string
		Warnings, Infos []string
		Data            struct {
			Result []struct {
				Metric map[string]string
				Value  json.RawMessage
				Values []json.RawMessage
			}
		}
	}
	reply := p.ask(t, http.MethodGet, path+"?"+form.Encode())
	if err := json.Unmarshal([]byte(reply.body), &response); err != nil {
		return nil, fmt.Errorf("%w: %s", err, reply.body)
	}
	if remarks := append(response.Warnings, response.Infos...); response.Status != "success" || len(remarks) > 0 {
		return nil, fmt.Errorf("%s %q %s", response.Error, remarks, form.Get("query"))
	}
	lines := make([]line, len(response.Data.Result))
	for i, result := range response.Data.Result {
		lines[i] = line{result.Metric, map[int64]float64{}}
		if result.Value != nil {
			result.Values = append(result.Values, result.Value)
		}
		for _, pair := range result.Values {
			at, value, err := point(pair)
			if err != nil {
				return nil, err
			}
			lines[i].points[at] = value
		}
	}
	return lines, nil
}

// point parses a pair of time and value.
func point(pair json.RawMessage) (int64, float64, error) {
	var at float64
	var text string
	if err := json.Unmarshal(pair, &[]any{&at, &text}); err != nil {
		return 0, 0, err
	}
	value, err := strconv.ParseFloat(text, 64)
	return int64(at), value, err
}

// only returns the points of a query that has one series.
func (p prometheus) only(t *testing.T, b board, title, ref string) map[int64]float64 {
	t.Helper()
	in, q := b.find(t, title, ref)
	lines, err := p.show(t, b, in, q, everything)
	if err != nil || len(lines) != 1 {
		t.Fatalf("%s, %s: %d series, %v", title, ref, len(lines), err)
	}
	return lines[0].points
}

// checkHistory compares the latest day on the history board with what is scraped.
func checkHistory(t *testing.T, p prometheus, b board, scraped samples) {
	t.Helper()
	start := int64(scraped[series("weixin_interface_hourly_data_timestamp_seconds", "account", "shop")])
	of := func(metric string, labels ...string) float64 {
		var sum float64
		known, _ := demoAccounts()
		for _, account := range known {
			sum += scraped[series(metric, append([]string{"account", account}, labels...)...)]
		}
		return sum
	}
	want := func(what string, got map[int64]float64, at int64, value float64) {
		t.Helper()
		if shown, ok := got[at]; !ok || !near(shown, value) {
			t.Errorf("%s at %v: %v (there: %v), want %v", what, time.Unix(at, 0).In(datacube.China), shown, ok, value)
		}
	}
	const hour, day = 3600, 24 * 3600
	hours := p.only(t, b, "Callbacks an hour", "A")
	for h := range datacube.HoursPerDay {
		name := fmt.Sprintf("%02d", h)
		callbacks := of("weixin_interface_hourly_callbacks", "hour", name)
		ref := string(rune('A' + h))
		want("hour "+name, hours, start+int64(h)*hour, callbacks)
		// In a heat map, a point is at the end of its cell.
		want("the cell of hour "+name, p.only(t, b, "Callbacks, hour × day", ref), start+day, callbacks)
		want("the failures' cell of hour "+name, p.only(t, b, "Failure ratio, hour × day", ref), start+day,
			of("weixin_interface_hourly_failures", "hour", name)/callbacks)
		if _, q := b.find(t, "Failure ratio, hour × day", ref); q.LegendFormat != name {
			t.Errorf("the row of hour %s is named %q", name, q.LegendFormat)
		}
	}
	days := p.only(t, b, "Callbacks and the same weekday a week before", "A")
	want("the day", days, start, of("weixin_interface_daily_callbacks"))
	if len(days) != history {
		t.Errorf("%d days of history, want %d", len(days), history)
	}
	before := p.only(t, b, "Callbacks and the same weekday a week before", "B")
	hoursBefore := p.only(t, b, "Callbacks an hour", "B")
	for ago := range int64(7) {
		want("the week before", before, start-ago*day, days[start-(ago+7)*day])
		want("the hour a week before", hoursBefore, start-ago*day+9*hour, hours[start-(ago+7)*day+9*hour])
	}
	for _, latest := range p.only(t, b, "Latest day", "A") {
		if latest != float64(start*1000) {
			t.Errorf("the latest day begins at %v, want %v", latest, start*1000)
		}
	}
}

// checkDayBefore compares the figures that were scraped a day ago with the current ones.
func checkDayBefore(t *testing.T, p prometheus, b board) {
	t.Helper()
	in, now := b.find(t, "Callbacks, against the day before", "A")
	_, then := b.find(t, "Callbacks, against the day before", "B")
	sum := func(q target) float64 {
		lines, err := p.show(t, b, in, q, everything)
		if err != nil || len(lines) != datacube.HoursPerDay {
			t.Fatalf("%s: %d hours, %v", q.Expr, len(lines), err)
		}
		var sum float64
		for _, l := range lines {
			for _, value := range l.points {
				sum += value
			}
		}
		return sum
	}
	if got, want := sum(then), 0.75*sum(now); !near(got, want) {
		t.Errorf("%v callbacks the day before, want %v", got, want)
	}
}
