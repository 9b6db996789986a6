package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"weixin_exporter/internal/check"
	"weixin_exporter/internal/i18n"
)

// writeReports writes the reports to standard output, as a table or as JSON.
func writeReports(env Env, reports []check.Report, output string) error {
	for i := range reports {
		reports[i].Translate(env.Texts)
	}
	if output == "json" {
		return writeJSON(env.Stdout, reports)
	}
	return reportTable{env.Texts, coloured(env.Stdout)}.write(env.Stdout, reports)
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

// reportTable writes reports for people.
type reportTable struct {
	texts   i18n.Printer
	colours bool
}

// paint colours a text by its state, with ANSI escape sequences.
func (t reportTable) paint(state check.State, text string) string {
	if !t.colours {
		return text
	}
	number := map[check.State]int{check.OK: 32, check.Waiting: 33, check.Fault: 31, check.Skipped: 90}[state]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", number, text)
}

// header returns the names of the columns.
func (t reportTable) header(reports []check.Report) table.Row {
	columns := []string{"account", "source", "token", "daily", "hourly", "yesterday", "daily_quota", "hourly_quota"}
	if slices.ContainsFunc(reports, func(r check.Report) bool { return r.Callback != nil }) {
		columns = append(columns, "callback", "route")
	}
	var header table.Row
	for _, column := range columns {
		header = append(header, t.texts.Text("check.column."+column))
	}
	return header
}

// write writes a line for each account and, below, the faults and what to do about them.
func (t reportTable) write(w io.Writer, reports []check.Report) error {
	lines := plainTable()
	lines.AppendHeader(t.header(reports))
	for i := range reports {
		r := &reports[i]
		row := table.Row{r.Account, r.TokenSource}
		for _, c := range r.Checks() {
			row = append(row, t.paint(c.State, t.cell(c.Check)))
		}
		lines.AppendRow(row)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", lines.Render()); err != nil {
		return err
	}
	for i := range reports {
		for _, c := range reports[i].Checks() {
			if c.State != check.Fault {
				continue
			}
			fault := t.texts.Text("check.fault", reports[i].Account, c.Name, t.paint(c.State, c.Text))
			if _, err := fmt.Fprintf(w, "\n%s\n  %s\n", fault, t.texts.Text("check.to_do", c.Advice)); err != nil {
				return err
			}
		}
		for _, warning := range reports[i].WarningTexts {
			if _, err := fmt.Fprintf(w, "\n%s\n", t.texts.Text("check.account_warning", reports[i].Account, warning)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cell returns the text of a check in the table; the text of a fault is below the table.
func (t reportTable) cell(c *check.Check) string {
	switch {
	case c.Finding.Code == check.Reached && c.State == check.OK:
		return t.texts.Text("check.state.resolved") // the addresses are long
	case c.State == check.Fault && c.Errcode != 0:
		return t.texts.Text("check.fault_code", strconv.Itoa(c.Errcode))
	case c.State == check.OK && c.Text != "":
		return c.Text
	default:
		return t.texts.Text("check.state." + string(c.State))
	}
}
