package e2e_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

func TestJSONLog(t *testing.T) {
	t.Parallel()
	failing := newAccount("failing", 9, 50)
	failing.Errcode = 48001
	day := datacube.DateOf(clock())
	w := newFixture(t, newAccount("小店", 1, 9000), failing)
	x := serve(t, w.config, "--log.format=json")
	w.waitComplete(t, x.web, w.accounts[0])
	x.stop(t, syscall.SIGTERM)
	messages := map[string]int{}
	inOrder := regexp.MustCompile(`^\{"ts":"[^"]+","level":"[a-z]+","caller":"[^"]+","msg":"`)
	for _, line := range x.stderr.lines() {
		var fields struct{ TS, Level, Msg, Caller, Account, Reason, Err, Next, Advice string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("not a JSON object: %s", mask(line))
			continue
		}
		if !inOrder.MatchString(line) {
			t.Errorf("the first keys are not ts, level, caller and msg: %s", mask(line))
		}
		if _, err := time.Parse(time.RFC3339Nano, fields.TS); err != nil || fields.Level == "" || fields.Msg == "" || fields.Caller == "" {
			t.Errorf("ts, level, msg or caller is missing: %s", mask(line))
		}
		if fields.Msg == "refresh failed" && (fields.Level != "error" || fields.Account != "failing" || fields.Reason != "permission" ||
			fields.Err == "" || fields.Next == "" || fields.Advice == "") {
			t.Errorf("a failure with missing keys: %s", mask(line))
		}
		messages[fields.Msg]++
	}
	// There is a line for each of the two calls that succeed, one for the common reason of those that fail, and
	// none for single days of the history.
	for msg, want := range map[string]int{
		"starting weixin_exporter": 1, "Listening on": 1, "figures of yesterday received": 2, "refresh failed": 1,
		"stopping; running requests may end": 1, "stopped": 1, "days stored": 0,
	} {
		if got := messages[msg]; got != want && day == datacube.DateOf(clock()) { // a new day has further lines
			t.Errorf("%d lines %q, want %d", got, msg, want)
		}
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	level := regexp.MustCompile(`(?:^| )level=(\w+) `)
	for _, c := range []struct {
		level  string
		levels []string // the levels that occur, from the lowest
	}{
		{"debug", []string{"debug", "info", "error"}},
		{"info", []string{"info", "error"}},
		{"warn", []string{"error"}},
		{"error", []string{"error"}},
	} {
		t.Run(c.level, func(t *testing.T) {
			t.Parallel()
			failing := newAccount("failing", 9, 50)
			failing.Errcode = 48001
			w := newFixture(t, newAccount("shop", 1, 9000), failing)
			p := start(t, suite.binary, "--config.file="+w.config, "--web.listen-address=127.0.0.1:0", "--log.level="+c.level)
			p.logged(t, "refresh failed", "account=failing")
			eventually(t, "days of the history", func() error {
				if len(w.callsFor(w.accounts[0], 0)) < history {
					return errNotYet
				}
				return nil
			})
			p.stop(t, syscall.SIGTERM)
			seen := map[string]bool{}
			for _, line := range p.stderr.lines() {
				found := level.FindStringSubmatch(line)
				if found == nil {
					t.Errorf("no level: %s", mask(line))
					continue
				}
				seen[found[1]] = true
			}
			if len(seen) != len(c.levels) {
				t.Errorf("levels %v, want %v", seen, c.levels)
			}
			for _, level := range c.levels {
				if !seen[level] {
					t.Errorf("no line of level %s", level)
				}
			}
		})
	}
}

// Each line has a time, a level, a place in the program and a message, once.
func TestLogKeys(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	x.stop(t, syscall.SIGTERM)
	inOrder := regexp.MustCompile(`^ts=\S+ level=\S+ caller=\S+ msg=`)
	for _, line := range x.stderr.lines() {
		for _, key := range []string{"ts", "level", "caller", "msg"} {
			if n := strings.Count(" "+line, " "+key+"="); n != 1 {
				t.Errorf("%s occurs %d times: %s", key, n, mask(line))
			}
		}
		if !inOrder.MatchString(line) {
			t.Errorf("the first keys are not ts, level, caller and msg: %s", mask(line))
		}
		if strings.Contains(" "+line, " time=") {
			t.Errorf("another time in addition to ts: %s", mask(line))
		}
	}
	if out := x.stdout.String(); out != "" {
		t.Errorf("serve writes to stdout: %s", mask(out))
	}
}
