package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"weixin_exporter/internal/check"
)

// writeReports writes the reports to standard output, as a table or as JSON.
func writeReports(env Env, reports []check.Report, output string) error {
	if output == "json" {
		return writeJSON(env.Stdout, reports)
	}
	return writeTable(env.Stdout, reports, coloured(env.Stdout))
}

func writeJSON(w io.Writer, reports []check.Report) error {
	type account struct {
		check.Report
		Healthy bool `json:"healthy"`
	}
	accounts := make([]account, len(reports))
	for i := range reports {
		accounts[i] = account{reports[i], reports[i].Healthy()}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(map[string]any{"accounts": accounts})
}

// coloured reports whether colours are wanted: on a terminal, unless NO_COLOR is set.
func coloured(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
}

// paint colours a text by its state, with ANSI escape sequences.
func paint(state check.State, text string, colours bool) string {
	if !colours {
		return text
	}
	number := map[check.State]int{check.OK: 32, check.Waiting: 33, check.Fault: 31, check.Skipped: 90}[state]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", number, text)
}

// writeTable writes a line for each account and, below, the faults and what to do about them.
func writeTable(w io.Writer, reports []check.Report, colours bool) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	header := table.Row{"account", "token from", "token", "daily", "hourly", "yesterday", "daily quota", "hourly quota"}
	if slices.ContainsFunc(reports, func(r check.Report) bool { return r.Callback != nil }) {
		header = append(header, "callback", "route")
	}
	t.AppendHeader(header)
	for i := range reports {
		r := &reports[i]
		row := table.Row{r.Account, r.TokenSource}
		for _, c := range r.Checks() {
			row = append(row, paint(c.State, cell(c.Check), colours))
		}
		t.AppendRow(row)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", t.Render()); err != nil {
		return err
	}
	for i := range reports {
		for _, c := range reports[i].Checks() {
			if c.State != check.Fault {
				continue
			}
			_, err := fmt.Fprintf(w, "\n%s, %s: %s\n  What to do: %s\n", reports[i].Account, c.Name, paint(c.State, c.Text, colours), c.Advice)
			if err != nil {
				return err
			}
		}
		for _, warning := range reports[i].Warnings {
			if _, err := fmt.Fprintf(w, "\n%s: warning: %s\n", reports[i].Account, warning); err != nil {
				return err
			}
		}
	}
	return nil
}

// cell returns the text of a check in the table; the text of a fault is below the table.
func cell(c *check.Check) string {
	switch {
	case c.Finding.Code == check.Reached && c.State == check.OK:
		return "resolved" // the addresses are long
	case c.State == check.Fault && c.Errcode != 0:
		return fmt.Sprintf("fault %d", c.Errcode)
	case c.State == check.OK && c.Text != "":
		return c.Text
	default:
		return string(c.State)
	}
}
