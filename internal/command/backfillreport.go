package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/weixin/datacube"
)

// writePlan prints the number of calls of a backfill.
func writePlan(w io.Writer, p refresh.BackfillPlan, perSecond float64) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(table.Row{"account", "daily calls", "hourly calls"})
	var total [datacube.APIs]int
	most := 0
	for i, a := range p.Accounts {
		t.AppendRow(table.Row{a.Name, p.Calls[i][datacube.Daily], p.Calls[i][datacube.Hourly]})
		for api, n := range p.Calls[i] {
			total[api] += n
			most = max(most, n)
		}
	}
	t.AppendRow(table.Row{"all", total[datacube.Daily], total[datacube.Hourly]})
	takes := time.Duration(float64(p.Total()) / perSecond * float64(time.Second))
	_, err := fmt.Fprintf(w, "%v to %v: %d calls, none of which was made.\n\n%s\n\n"+
		"At weixin.requests_per_second = %v that is %s at least; each account is asked one call at a time, %d accounts at once.\n"+
		"Weixin allows each account a number of each call in a day and does not publish it; the most that one account takes here is %d.\n",
		p.Since, p.Until, p.Total(), unpadded(t.Render()), perSecond, roughly(takes), p.Concurrency, most)
	return err
}

// unpadded removes trailing spaces from all lines.
func unpadded(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// writeFilled prints the summary of a backfill.
func writeFilled(w io.Writer, p refresh.BackfillPlan, filled []refresh.BackfillResult, stopped bool) error {
	var calls, failures, revisions, vanished, left int
	var learned, confirmed, empty, notThere, damaged [datacube.APIs]int
	for i := range filled {
		a := &filled[i]
		calls += a.Calls
		failures += a.Failures
		revisions += a.Revisions
		vanished += a.Vanished
		for api := range datacube.APIs {
			left += a.Left[api]
			learned[api] += a.Learned[api]
			confirmed[api] += a.Confirmed[api]
			empty[api] += a.Empty[api]
			notThere[api] += a.NotThere[api]
			damaged[api] += a.Damaged[api]
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v to %v, %d accounts: %d calls answered, %d failed, %d left.\n", p.Since, p.Until, len(filled), calls, failures, left)
	for api := range datacube.APIs {
		fmt.Fprintf(&b, "  %v: %d days learned, %d of them without traffic; %d not available yet\n", api, learned[api], empty[api], notThere[api])
		if n := confirmed[api]; n > 0 {
			fmt.Fprintf(&b, "  %v: %d known days fetched again, and stored\n", api, n)
		}
		if n := damaged[api]; n > 0 {
			fmt.Fprintf(&b, "  %v: %d days not filled: the response could not be understood; their known figures are kept\n", api, n)
		}
	}
	if revisions > 0 {
		fmt.Fprintf(&b, "  %d known days came back with other figures, which are stored now\n", revisions)
	}
	if vanished > 0 {
		fmt.Fprintf(&b, "  %d known days with traffic came back without rows; their figures are kept\n", vanished)
	}
	for i := range filled {
		for api, end := range filled[i].GivenUp {
			if end == nil {
				continue
			}
			fmt.Fprintf(&b, "\n%s, %v: %d calls left: %s\n", filled[i].Name, datacube.API(api), filled[i].Left[api], end.Text)
			if end.Advice != "" {
				fmt.Fprintf(&b, "  What to do: %s\n", end.Advice)
			}
		}
	}
	if stopped {
		fmt.Fprintf(&b, "\nstopped; every response is stored; run the same command again to continue\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// roughly formats a duration with its two largest units: 45s, 12m00s, 3h20m, 2d05h.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int((d+time.Second-1)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d/time.Minute), int(d%time.Minute/time.Second))
	case d < day:
		return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
	default:
		return fmt.Sprintf("%dd%02dh", int(d/day), int(d%day/time.Hour))
	}
}
