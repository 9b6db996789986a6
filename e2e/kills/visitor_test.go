package kills_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/datacube"
)

const (
	// askEvery is the time between two requests to the exporter.
	askEvery = 10 * time.Millisecond
	// restless is how many requests an exporter may answer after its last request to Weixin until it says that it has nothing
	// to do. A machine so slow that storing takes longer answers fewer.
	restless = 1000
)

// visitor scrapes, queries and probes an exporter.
type visitor struct {
	*world

	listening chan struct{} // closed when the exporter listens
	rests     chan struct{} // closed when it first has nothing to do

	right   int       // answers
	wrong   []string  // answers
	metrics string    // those of the latest scrape
	queue   []string  // how many accounts are being queried, due, and waiting, by the latest page
	rested  time.Time // when the latest page was requested that says that it has nothing to do
	busy    int       // answers since its latest request to Weixin
}

// ask asks an exporter until it ends, the context does, or an answer is wrong.
func (v *visitor) ask(ctx context.Context, x *exportertest.Process) {
	address, ok := x.Address(ctx.Done())
	if !ok {
		return
	}
	close(v.listening)
	query := url.Values{"query": {`sum by (account) (weixin_history_daily_callbacks)`}}.Encode()
	pages := [...]struct {
		path string
		note func(asked time.Time, body string) bool // reports whether it is right
	}{
		{"/metrics", v.noteMetrics},
		{"/api/v1/query?" + query, has(`"status":"success"`)},
		{"/probe?account=shop+0", has("\nprobe_success ")},
		{"/", has("</html>")},
		{"/health", v.noteHealth},
	}
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	requests := 0
	for n := 0; ctx.Err() == nil && len(v.wrong) == 0; n++ {
		page, now := pages[n%len(pages)], v.clock.Now()
		status, body, err := v.get(ctx, "http://"+address+page.path)
		if err != nil {
			return // it was killed
		}
		if status == http.StatusOK && page.note(now, body) {
			v.right++
		} else {
			v.wrong = append(v.wrong, fmt.Sprintf("%s was answered with %d: %.1000s", page.path, status, body))
		}
		v.busy++
		if sum := v.requests.count(); sum != requests {
			requests, v.busy = sum, 0
		}
		if v.busy > restless && v.rested.IsZero() {
			v.wrong = append(v.wrong, fmt.Sprintf("%d requests after its last request to Weixin the exporter is still not idle: %v", v.busy, v.queue))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (v *visitor) get(ctx context.Context, target string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := v.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// has returns what checks that an answer has some text.
func has(text string) func(time.Time, string) bool {
	return func(_ time.Time, body string) bool { return strings.Contains(body, text) }
}

func (v *visitor) noteMetrics(_ time.Time, body string) bool {
	v.metrics = body
	return strings.Contains(body, "\nweixin_store_usable ")
}

var queue = regexp.MustCompile(`(?s)<dt>Accounts being queried</dt><dd>(\d+)</dd>.*<dt>Due</dt><dd>(\d+)</dd>.*<dt>Waiting</dt><dd>(\d+)</dd>`)

// noteHealth notes whether the exporter says that it has nothing to do: all accounts wait.
func (v *visitor) noteHealth(asked time.Time, body string) bool {
	found := queue.FindStringSubmatch(body)
	if found == nil {
		return false
	}
	if v.queue = found[1:]; slices.Equal(v.queue, []string{"0", "0", strconv.Itoa(len(v.appIDs))}) {
		if v.rested.IsZero() {
			close(v.rests)
		}
		v.rested = asked
	}
	return true
}

var dataTimestamp = regexp.MustCompile(`(?m)^weixin_interface_(daily|hourly)_data_timestamp_seconds\{account="([^"]+)"\} (\S+)$`)

// shown returns the days whose figures the latest scrape has.
func (v *visitor) shown() iter.Seq[day] {
	return func(yield func(day) bool) {
		for _, found := range dataTimestamp.FindAllStringSubmatch(v.metrics, -1) {
			seconds, err := strconv.ParseFloat(found[3], 64)
			if err != nil {
				v.t.Error(err)
				return
			}
			api := datacube.Daily
			if found[1] == datacube.Hourly.String() {
				api = datacube.Hourly
			}
			if !yield(day{v.appIDs[found[2]], api, datacube.DateOf(time.Unix(int64(seconds), 0))}) {
				return
			}
		}
	}
}

// noteAnswers counts the right answers, and fails if one was wrong. idles means that the exporter was to have nothing to do.
func (w *world) noteAnswers(v *visitor, idles bool) {
	w.t.Helper()
	w.answers += v.right
	for _, wrong := range v.wrong {
		w.t.Errorf("before kill %d: %s", w.kills, wrong)
	}
	if !idles {
		return
	}
	if w.idles++; v.rested.IsZero() {
		w.t.Errorf("before kill %d the exporter always had something to do", w.kills)
	}
}
