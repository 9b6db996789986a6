package exposition

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"

	"weixin_exporter/families"
	"weixin_exporter/snapshot"
)

// flushAt is the number of rendered bytes from which on they are handed on. The account that
// is being rendered at that time may add to them.
const flushAt = 60 << 10

// family is one of families.All with its texts as they are written in one format.
type family struct {
	families.Family
	head  string   // the HELP and TYPE lines
	begin string   // of a line, up to the account's name
	own   string   // between the account's name and the value of the account's own label; or ""
	ends  []string // of the labels and what follows up to the value, for each of Values
}

// form is one of the two formats that are rendered here, with the families in it.
type form struct {
	openMetrics bool
	families    []family
}

func newForm(openMetrics bool) *form {
	f := &form{openMetrics: openMetrics}
	for _, described := range families.All() {
		f.families = append(f.families, f.prepare(described))
	}
	return f
}

func (f *form) prepare(described families.Family) family {
	// In OpenMetrics, it is the sample of a counter that has the suffix, not the family, and
	// quotes are escaped in HELP texts, too.
	name, escapes := described.Name, []string{`\`, `\\`, "\n", `\n`}
	if f.openMetrics {
		escapes = append(escapes, `"`, `\"`)
	}
	kind := "gauge"
	if described.Counter {
		kind = "counter"
		if f.openMetrics {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	made := family{
		Family: described,
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

// render writes the series of the accounts that the families in wanted have; nil are all. It
// uses buf, which may grow, for what is not written yet.
func (f *form) render(w io.Writer, buf *[]byte, accounts []*snapshot.Account, wanted map[string]bool) error {
	lines := (*buf)[:0]
	defer func() { *buf = lines }()
	for i := range f.families {
		fam := &f.families[i]
		if wanted != nil && !wanted[fam.Name] {
			continue
		}
		begun := false
		for _, a := range accounts {
			lines, begun = f.appendAccount(lines, fam, a, begun)
			if len(lines) < flushAt {
				continue
			}
			if _, err := w.Write(lines); err != nil {
				return err
			}
			lines = lines[:0]
		}
	}
	_, err := w.Write(lines)
	return err
}

// appendAccount appends the lines that an account has in a family, the first of all after the
// family's head. It returns whether the family has begun.
func (f *form) appendAccount(lines []byte, fam *family, a *snapshot.Account, begun bool) ([]byte, bool) {
	from, to := 0, 0 // where the part is that all lines have in common
	for i, end := range fam.ends {
		value, ok := fam.Read(a, i)
		if !ok {
			continue
		}
		if !begun {
			lines, begun = append(lines, fam.head...), true
		}
		if to == 0 {
			from = len(lines)
			lines = appendEscaped(append(lines, fam.begin...), a.Name)
			if fam.own != "" {
				lines = appendEscaped(append(lines, fam.own...), fam.OwnValue(a))
			}
			to = len(lines)
		} else {
			lines = append(lines, lines[from:to]...)
		}
		lines = append(lines, end...)
		lines = append(f.appendValue(lines, value), '\n')
	}
	return lines, begun
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

// appendValue appends a number in the shortest form from which it can be read again, as both
// formats have it; OpenMetrics marks whole numbers with a ".0".
func (f *form) appendValue(line []byte, v float64) []byte {
	const limit = 1e6 // from here on numbers have an exponent
	if v >= 0 && v < limit {
		// Counts and milliseconds: the digits of a whole number are sooner found.
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

func (f *form) appendThousandths(line []byte, n int64) []byte {
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
