package web_test

import (
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

func TestAccountPage(t *testing.T) {
	s, store := newPages(t)
	w := s.ask("GET", "/accounts/incident")
	page := text(w.Body.String())
	for _, want := range []string{
		"incident wx0000000000000001", "Callbacks timed out, ", "Saturday, 28 November 2026", "Callbacks 60,000", "Longest time 5.003 s",
		"2026-10-30 to 2026-11-28", "‹ Previous day", "2026-11-21 Sat 3,000", "10:00 2,200 1,100 50.00% 2.500 s 5.003 s",
		"Make the account's server respond at once", "The 24 hours of 2026-11-28", "many failed at 10:00",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "Next day") {
		t.Error("there is a day after the latest one")
	}
	if n := strings.Count(w.Body.String(), "<svg"); n != 1+3+30 { // the program's sign, three charts, a strip for each day
		t.Errorf("%d drawings", n)
	}
	if t.Failed() {
		t.Log(page)
	}

	// Any other day, with the days around it.
	page = text(s.ask("GET", "/accounts/incident?date=2026-11-21&lang=zh").Body.String())
	for _, want := range []string{"2026年11月21日 星期六", "前一天", "后一天", "2026-10-30 至 2026-11-28"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of an earlier day does not say %q", want)
		}
	}
	store.days["wx0000000000000001"][yesterday()-100] = datacube.Figures{Callbacks: 4711}
	page = text(s.ask("GET", "/accounts/incident?date="+(yesterday()-100).String()).Body.String())
	for _, want := range []string{"4,711", "Only the totals of this day are available, not its hours.", (yesterday() - 129).String() + " to " + (yesterday() - 100).String()} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a day long ago does not say %q", want)
		}
	}
	if store.asked != 30 {
		t.Errorf("%d days were read at once", store.asked)
	}
}

// What is not known is not shown as zero.
func TestUnknownDays(t *testing.T) {
	s, store := newPages(t)
	appID := "wx0000000000000000"
	delete(store.days[appID], yesterday()-3)
	delete(store.hours[appID], yesterday()-3)
	delete(store.days[appID], yesterday()-4)
	body := s.ask("GET", "/accounts/shop?date="+(yesterday()-3).String()).Body.String()
	for _, want := range []string{"There are no figures for this day.", "Callbacks – Failures – Failure ratio –", (yesterday() - 3).String() + " Wed unknown", "00:00 unknown"} {
		if !strings.Contains(text(body), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !strings.Contains(body, `class="lv-unknown"`) {
		t.Error("the charts do not show that nothing is known")
	}
	page := text(s.ask("GET", "/accounts/shop?date="+(yesterday()-4).String()).Body.String())
	if !strings.Contains(page, "the totals are the sums of its hours") || !strings.Contains(page, "Callbacks 3,000") {
		t.Error("the hours of a day without total are not summed")
	}
	// Before the first answer there is nothing, and what Weixin has not published says so.
	page = text(s.ask("GET", "/accounts/fresh").Body.String())
	if !strings.Contains(page, "Not asked yet") || !strings.Contains(page, "There are no figures for this day.") {
		t.Error("an account that was not asked for yet is shown otherwise")
	}
	waiting := &snapshot.Account{Name: "waiting"}
	waiting.Work[datacube.Hourly].NotReady = true
	waiting.Work[datacube.Hourly].LastSuccess = now()
	s.publish(waiting)
	if page := text(s.ask("GET", "/accounts/waiting").Body.String()); !strings.Contains(page, "Weixin has not published this day yet.") {
		t.Error("a day that is not published yet is shown otherwise")
	}
}

func TestAccountWithoutTheStore(t *testing.T) {
	s, store := newPages(t)
	store.fault = errNoDisk
	store.days, store.hours = nil, nil
	w := s.ask("GET", "/accounts/shop")
	page := text(w.Body.String())
	if w.Code != http.StatusOK || !strings.Contains(page, "The stored figures cannot be read now.") || !strings.Contains(page, "Callbacks 999,99") {
		t.Errorf("%d\n%s", w.Code, page)
	}
	if w := s.ask("GET", "/accounts/shop?format=csv"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a CSV file with a part of the days: %d", w.Code)
	}
}

func TestCSV(t *testing.T) {
	s, store := newPages(t)
	delete(store.days["wx0000000000000000"], yesterday()-3)
	delete(store.hours["wx0000000000000000"], yesterday()-3)
	read := func(query string) ([][]string, http.Header) {
		w := s.ask("GET", "/accounts/shop?format=csv&date=2026-11-28&of="+query)
		records, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d, %v", w.Code, err)
		}
		return records, w.Header()
	}
	days, header := read("days")
	if len(days) != 31 || days[1][0] != "2026-10-30" || days[30][0] != "2026-11-28" || !strings.HasPrefix(days[30][1], "999") || days[27][1] != "" {
		t.Errorf("days %q", days)
	}
	if got := header.Get("Content-Disposition"); got != `attachment; filename="weixin-shop-2026-10-30_2026-11-28.csv"; filename*=UTF-8''weixin-shop-2026-10-30_2026-11-28.csv` {
		t.Errorf("Content-Disposition: %s", got)
	}
	hours, _ := read("hours")
	if len(hours) != 25 || strings.Join(hours[0], ",") != "ref_date,hour,callbacks,failures,time_cost_ms,max_time_cost_ms" || hours[24][1] != "23" || hours[24][2] != "80000" {
		t.Errorf("hours %q", hours)
	}
	name := "小店\r\n\"; x=y"
	s.publish(store.newAccount(name, ordinary(10)))
	w := s.ask("GET", "/accounts/"+url.PathEscape(name)+"?format=csv")
	if got := w.Header().Get("Content-Disposition"); w.Code != http.StatusOK || strings.ContainsAny(got, "\r\n小") || !strings.Contains(got, `filename="weixin-_____`) {
		t.Errorf("%d, Content-Disposition: %q", w.Code, got)
	}
}

// The days of the map and of the table lead to the page of each day.
func TestDaysAreLinked(t *testing.T) {
	s, _ := newPages(t)
	page := s.ask("GET", "/accounts/shop?lang=zh").Body.String()
	days := map[string]int{}
	for _, match := range regexp.MustCompile(`href="([^"]*)#day"`).FindAllStringSubmatch(page, -1) {
		link, err := url.Parse("http://x/accounts/shop")
		if err == nil {
			link, err = link.Parse(html.UnescapeString(match[1]))
		}
		if err != nil || link.Path != "/accounts/shop" || link.Query().Get("lang") != "zh" {
			t.Fatalf("%q leads to %v: %v", match[1], link, err)
		}
		days[link.Query().Get("date")]++
	}
	for i := range 30 {
		if date := fmt.Sprint(yesterday() - datacube.Date(i)); days[date] != 2 {
			t.Errorf("%s is linked %d times", date, days[date])
		}
	}
}
