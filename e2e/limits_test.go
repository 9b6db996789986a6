package e2e_test

import "testing"

// All metrics but those of Go and the process remain.
func TestDisableExporterMetrics(t *testing.T) {
	t.Parallel()
	w := newFixture(t, someAccounts()...)
	x := serve(t, w.config, "--web.disable-exporter-metrics")
	got := x.metrics(t)
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s exists", name)
		}
	}
	for _, name := range []string{
		series("weixin_exporter_config_last_reload_successful"), series("weixin_api_requests_total", "api", "daily", "errcode", "http"),
		series("weixin_account_info", "account", "shop", "app_id", w.accounts[0].AppID),
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}
