package exposition

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// text is a family in the text format of Prometheus or in OpenMetrics.
type text struct {
	families.Family
	openMetrics bool

	head  string   // the HELP and TYPE lines
	begin string   // the beginning of a line, up to the account's name
	own   string   // what is between the account's name and the value of Own; "" without Own
	ends  []string // the rest of the labels and what follows up to the value, for each of Values
}

func newText(described families.Family, openMetrics bool) *text {
	// In OpenMetrics, the sample of a counter has the suffix, but not the family, and quotes are
	// also escaped in HELP texts.
	name, escapes := described.Name, []string{`\`, `\\`, "\n", `\n`}
	if openMetrics {
		escapes = append(escapes, `"`, `\"`)
	}
	kind := "gauge"
	if described.Counter {
		kind = "counter"
		if openMetrics {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	made := &text{
		Family: described, openMetrics: openMetrics,
		head: "# HELP " + name + " " + strings.NewReplacer(escapes...).Replace(described.Help) + "\n" +
			"# TYPE " + name + " " + kind + "\n",
		begin: described.Name + `{account="`,
	}
	if described.Own != "" {
		made.own = `",` + described.Own + `="`
	}
	for _, values := range described.Values {
		end := []byte{'"'}
		for i, value := range values {
			end = append(end, ","+described.Labels[i]+`="`...)
			end = append(appendEscaped(end, value), '"')
		}
		made.ends = append(made.ends, string(end)+"} ")
	}
	return made
}

func (f *text) name() string { return f.Name }

func (f *text) appendHead(b []byte, accounts []*snapshot.Account) ([]byte, bool) {
	if !hasSamples(&f.Family, accounts) {
		return b, false
	}
	return append(b, f.head...), true
}

func (f *text) appendTail(b []byte) []byte { return b }

func (f *text) appendAccount(lines []byte, a *snapshot.Account) []byte {
	from, to := 0, 0 // the common part of all lines
	for i, end := range f.ends {
		value, ok := f.Read(a, i)
		if !ok {
			continue
		}
		if to == 0 {
			from = len(lines)
			lines = appendEscaped(append(lines, f.begin...), a.Name)
			if f.own != "" {
				lines = appendEscaped(append(lines, f.own...), f.OwnValue(a))
			}
			to = len(lines)
		} else {
			lines = append(lines, lines[from:to]...)
		}
		lines = append(lines, end...)
		lines = append(f.appendValue(lines, value), '\n')
	}
	return lines
}

// appendEscaped appends the value of a label without its quotes.
func appendEscaped(line []byte, value string) []byte {
	if !strings.ContainsAny(value, "\"\\\n") {
		return append(line, value...)
	}
	for _, c := range []byte(value) {
		switch c {
		case '"', '\\':
			line = append(line, '\\', c)
		case '\n':
			line = append(line, '\\', 'n')
		default:
			line = append(line, c)
		}
	}
	return line
}

// appendValue appends a number in the shortest form that represents it exactly, as in both formats.
// OpenMetrics adds ".0" to whole numbers.
func (f *text) appendValue(line []byte, v float64) []byte {
	const limit = 1e6 // numbers from here on have an exponent
	if v >= 0 && v < limit {
		// Counts and milliseconds: formatting a whole number is faster.
		if n := int64(v*1000 + 0.5); float64(n)/1000 == v {
			return f.appendThousandths(line, n)
		}
	}
	from := len(line)
	switch {
	case math.IsInf(v, +1):
		return append(line, "+Inf"...)
	case math.IsInf(v, -1) || math.IsNaN(v):
		return strconv.AppendFloat(line, v, 'g', -1, 64)
	}
	line = strconv.AppendFloat(line, v, 'g', -1, 64)
	if f.openMetrics && !bytes.ContainsAny(line[from:], "e.") {
		line = append(line, ".0"...)
	}
	return line
}

func (f *text) appendThousandths(line []byte, n int64) []byte {
	line = strconv.AppendInt(line, n/1000, 10)
	rest := n % 1000
	switch {
	case rest == 0 && f.openMetrics:
		return append(line, ".0"...)
	case rest == 0:
		return line
	}
	line = append(line, '.', byte('0'+rest/100))
	if rest %= 100; rest > 0 {
		line = append(line, byte('0'+rest/10))
		if rest %= 10; rest > 0 {
			line = append(line, byte('0'+rest))
		}
	}
	return line
}
