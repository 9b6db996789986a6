package e2e_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBoardsOfSeveralExporters evaluates queries for two exporters with one store, of which the second is a day behind
// and shows larger figures for the earlier day: what the boards say must be of the later day alone. It also has what the
// demonstration, whose store is a file, does not show.
func TestBoardsOfSeveralExporters(t *testing.T) {
	t.Parallel()
	promtool := program(t, "PROMTOOL", "promtool")
	boards := readBoards(t)
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type expectation struct {
		Expr     string   `json:"expr"`
		EvalTime string   `json:"eval_time"`
		Samples  []sample `json:"exp_samples"`
	}
	wanted := map[string][]sample{
		"weixin-overview, Day shown, A":             {{"{}", 172800e3}},
		"weixin-overview, Day shown, B":             {{"{}", 172800e3}},
		"weixin-overview, Callbacks, A":             {{"{}", 100}},
		"weixin-overview, Failure ratio, A":         {{`{verdict="bad"}`, 0.25}},
		"weixin-overview, Longest callback, A":      {{`{verdict="fine"}`, 1}},
		"weixin-overview, Accounts, C":              {{`{account="shop"}`, 100}},
		"weixin-overview, Accounts, D":              {{`{account="shop"}`, 0.25}},
		"weixin-overview, Accounts, E":              {{`{account="shop"}`, 0.5}},
		"weixin-overview, Accounts, F":              {{`{account="shop"}`, 1}},
		"weixin-overview, Accounts, G":              {{`{account="shop"}`, 86400}},
		"weixin-overview, Accounts, J":              {{`{account="shop"}`, 1}},
		"weixin-overview, Highest failure ratio, A": {{`{account="shop"}`, 0.25}},
		"weixin-overview, Longest average time, A":  {{`{account="shop"}`, 0.5}},
		"weixin-overview, Age of the data, A":       {{"{}", 86400}},
		"weixin-overview, Age of the data, B":       {{"{}", 86400}},
		"weixin-account, Age of the data, A":        {{"{}", 86400}},

		"weixin-overview, Exporters alive, A":        {{"{}", 1}},
		"weixin-overview, Slots of each exporter, A": {{`{instance="a"}`, 125}, {`{instance="b"}`, 128}},
		"weixin-overview, Slots of each exporter, B": {{"{}", 3}},
		// The second has read nothing yet: an age since 1970 would say nothing.
		"weixin-overview, Age of what others stored, A":   {{`{instance="a"}`, 5}},
		"weixin-overview, Connections to the database, A": {{`{instance="a"}`, 4}, {`{instance="b"}`, 2}},
		"weixin-overview, Connections to the database, B": {{"{}", 8}},
	}
	var expectations []expectation
	for _, b := range boards {
		for _, in := range b.Panels {
			for _, q := range in.Targets {
				key := b.UID + ", " + in.Title + ", " + q.RefID
				if samples, ok := wanted[key]; ok {
					expectations = append(expectations, expectation{q.expression(time.Minute, everything), "72h", samples})
					delete(wanted, key)
				}
			}
		}
	}
	for key := range wanted {
		t.Errorf("there is no query %s", key)
	}
	type series struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	var input []series
	for _, each := range []struct{ name, labels, first, second string }{
		{"weixin_interface_daily_data_timestamp_seconds", `account="shop"`, "172800", "86400"},
		{"weixin_interface_hourly_data_timestamp_seconds", `account="shop"`, "172800", "86400"},
		{"weixin_interface_daily_callbacks", `account="shop"`, "100", "900"},
		{"weixin_interface_daily_failures", `account="shop"`, "25", "800"},
		{"weixin_interface_daily_average_time_cost_seconds", `account="shop"`, "0.5", "2"},
		{"weixin_interface_daily_max_time_cost_seconds", `account="shop"`, "1", "5"},
		{"weixin_store_exporters", "", "2", "1"},
		{"weixin_store_slots", `state="owned"`, "125", "128"},
		{"weixin_store_slots", `state="unowned"`, "3", "0"},
		{"weixin_store_followed_timestamp_seconds", "", "259195", "0"},
		{"weixin_store_connections", `state="used"`, "4", "2"},
		{"weixin_store_connections", `state="idle"`, "1", "6"},
		{"weixin_store_max_connections", "", "8", "9"},
	} {
		for instance, value := range map[string]string{"a": each.first, "b": each.second} {
			labels := `job="weixin",instance="` + instance + `",` + each.labels
			input = append(input, series{each.name + "{" + labels + "}", value + "x72"})
		}
	}
	// promtool reads YAML, of which JSON is a part.
	text, err := json.Marshal(map[string]any{"tests": []any{map[string]any{"interval": "1h", "input_series": input, "promql_expr_test": expectations}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "boards.yml")
	writeFile(t, file, string(text))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if output, err := exec.CommandContext(ctx, promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
