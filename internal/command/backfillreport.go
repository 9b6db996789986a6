package command

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/weixin/datacube"
)

// writePlan prints the number of calls of a backfill.
func writePlan(env Env, p refresh.BackfillPlan, perSecond float64) error {
	texts := env.Texts
	t := plainTable()
	t.AppendHeader(table.Row{texts.Text("backfill.column.account"), texts.Text("backfill.column.daily"), texts.Text("backfill.column.hourly")})
	var total [datacube.APIs]int
	most := 0
	for i, a := range p.Accounts {
		t.AppendRow(table.Row{a.Name, p.Calls[i][datacube.Daily], p.Calls[i][datacube.Hourly]})
		for api, n := range p.Calls[i] {
			total[api] += n
			most = max(most, n)
		}
	}
	t.AppendRow(table.Row{texts.Text("backfill.all"), total[datacube.Daily], total[datacube.Hourly]})
	takes := time.Duration(float64(p.Total()) / perSecond * float64(time.Second))
	_, err := fmt.Fprintf(env.Stdout, "%s\n\n%s\n\n%s\n%s\n",
		texts.Text("backfill.plan", p.Since, p.Until, p.Total()), unpadded(t.Render()),
		texts.Text("backfill.plan.takes", strconv.FormatFloat(perSecond, 'g', -1, 64), roughly(takes), p.Concurrency),
		texts.Text("backfill.plan.most", most))
	return err
}

// plainTable returns a table without lines. Its columns fit names of any script.
func plainTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	return t
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
func writeFilled(env Env, p refresh.BackfillPlan, filled []refresh.BackfillResult, stopped bool) error {
	var calls, failures, revisions, vanished, left int
	var learned, confirmed, empty, notReady, damaged [datacube.APIs]int
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
			notReady[api] += a.NotReady[api]
			damaged[api] += a.Damaged[api]
		}
	}
	var b strings.Builder
	say := func(before, key string, args ...any) { b.WriteString(before + env.Texts.Text(key, args...) + "\n") }
	say("", "backfill.summary", p.Since, p.Until, len(filled), calls, failures, left)
	for api := range datacube.APIs {
		name := i18n.M("call." + api.String())
		say("  ", "backfill.learned", name, learned[api], empty[api], notReady[api])
		if n := confirmed[api]; n > 0 {
			say("  ", "backfill.confirmed", name, n)
		}
		if n := damaged[api]; n > 0 {
			say("  ", "backfill.damaged", name, n)
		}
	}
	if revisions > 0 {
		say("  ", "backfill.revisions", revisions)
	}
	if vanished > 0 {
		say("  ", "backfill.vanished", vanished)
	}
	for i := range filled {
		for api, end := range filled[i].GivenUp {
			if end == nil {
				continue
			}
			say("\n", "backfill.given_up", filled[i].Name, i18n.M("call."+datacube.API(api).String()), filled[i].Left[api], end.Problem)
			if !end.Advice.IsZero() {
				say("  ", "check.to_do", end.Advice)
			}
		}
	}
	if stopped {
		say("\n", "backfill.stopped")
	}
	_, err := io.WriteString(env.Stdout, b.String())
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
