package command_test

import (
	"strings"
	"testing"

	"weixin_exporter/internal/command"
	"weixin_exporter/weixin/weixintest"
)

// A day of which the answer could not be understood is not done, and the exit status says so.
func TestBackfillOfDamagedAnswersFails(t *testing.T) {
	t.Parallel()
	s := newStation(t, "2026-03-10 09:00", "store: {path: store.db}\n")
	options := command.BackfillOptions{Since: date(t, "2026-03-01"), Until: date(t, "2026-03-05")}
	if err := s.run(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	s.sim.Inject(weixintest.Fault{API: "hourly", Garbled: true, Times: 2})
	s.sim.Inject(weixintest.Fault{API: "hourly", NoRows: true, Times: 1})
	options.Force = true
	s.stdout.Reset()
	err := s.run(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "could not be filled: 1 of 1: shop") {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{
		"4 calls answered, 2 failed, 0 left", "hourly: 2 days not filled: the response could not be understood; their known figures are kept",
		"1 known days with traffic came back without rows; their figures are kept",
	} {
		if !strings.Contains(s.stdout.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, &s.stdout)
		}
	}
	if strings.Contains(s.stdout.String(), "came back with other figures") {
		t.Errorf("something is said to be revised:\n%s", &s.stdout)
	}
}
