package remotewrite_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/remotewrite"
)

// FuzzStatus: whatever a server answers that is asked for the status of a Prometheus, the warnings are at most one of each kind, in
// one short line without what the server quotes of the request.
func FuzzStatus(f *testing.F) {
	quoted := func(yaml string) string {
		text, err := json.Marshal(yaml)
		if err != nil {
			f.Fatal(err)
		}
		return `{"data":{"yaml":` + string(text) + `}}`
	}
	f.Add(runtime("15d or 10GiB"), configuration("10d"))
	f.Add(runtime("99999999999999999999y"), configuration("-1d"))
	f.Add(runtime("0s"), configuration("292y1d"))
	f.Add(runtime("key=sim-secret-query"), configuration("key=sim-secret-query"))
	f.Add(`{"data":{"storageRetention":1}}`, `{"data":[]}`)
	f.Add(`{"data":null}`, `{"data":null}`)
	f.Add("<html>", "")
	f.Add(runtime("15d"), quoted("storage: &a {tsdb: *a}"))
	f.Add(runtime("15d"), quoted("a: &a [b, b]\nc: &c [*a, *a]\nstorage: {<<: *c, tsdb: {out_of_order_time_window: *c}}"))
	f.Add(runtime("15d"), quoted("storage: {tsdb: {out_of_order_time_window: 1d, out_of_order_time_window: 2d}}"))
	f.Add(runtime("15d"), quoted("storage: !!binary x\n---\n%YAML 9.9\n"))
	f.Add(runtime("15d"), quoted(strings.Repeat("[", 20000)))
	f.Fuzz(func(t *testing.T, info, settings string) {
		p := &statusReceiver{t: t, write: response{status: http.StatusNoContent}, status: map[string]string{
			"/api/v1/status/runtimeinfo": info, "/api/v1/status/config": settings,
		}}
		got := p.probe("/api/v1/write", remotewrite.V1)
		if got.Fault != "" || len(got.Warnings) > 2 || len(p.requests) > 3 {
			t.Errorf("fault %q and %d warnings after %q", got.Fault, len(got.Warnings), p.requests)
		}
		for _, warning := range got.Warnings {
			text := warning.String()
			if len(text) > 500 || strings.Contains(text, "sim-secret-") || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
				t.Errorf("warning %q", text)
			}
		}
	})
}
