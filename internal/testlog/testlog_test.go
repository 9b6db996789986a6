package testlog_test

import (
	"fmt"
	"slices"
	"testing"

	"weixin_exporter/internal/testlog"
)

func TestLines(t *testing.T) {
	log := testlog.New(t)
	if lines := log.Lines(); len(lines) != 0 {
		t.Errorf("an empty log has the lines %q", lines)
	}
	fmt.Fprint(log, "level=info msg=a\nlevel=warn")
	fmt.Fprint(log, " msg=a\nlevel=warn msg=b\n")
	for _, c := range []struct{ texts, want []string }{
		{nil, []string{"level=info msg=a\n", "level=warn msg=a\n", "level=warn msg=b\n"}},
		{[]string{"msg=a"}, []string{"level=info msg=a\n", "level=warn msg=a\n"}},
		{[]string{"msg=a", "level=warn"}, []string{"level=warn msg=a\n"}},
		{[]string{"level=error"}, nil},
	} {
		if got := log.Lines(c.texts...); !slices.Equal(got, c.want) {
			t.Errorf("lines with %q: %q, want %q", c.texts, got, c.want)
		}
	}
}
