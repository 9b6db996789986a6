package export

import (
	"io"
	"strconv"
	"strings"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// bufferSize is how many bytes are buffered before they are written.
const bufferSize = 64 << 10

// OpenMetrics writes the families of package history in the OpenMetrics text format: family by family, and
// within a family by account and time. Timestamps are in seconds.
//
// The figures of each API are read once, although they belong to four families: the first family is written
// immediately and the others are spooled. Job.Spool configures other ways.
func OpenMetrics(w io.Writer, j Job) error {
	out := &openMetrics{w: w, buffer: make([]byte, 0, bufferSize+bufferSize/8)}
	accounts := j.inOrder()
	var parts []*part
	for families := range split(history.Families(), j.together()) {
		if j.wants(families[0].API) {
			p := newPart(&j, families)
			defer p.close()
			parts = append(parts, p)
		}
	}
	if j.Spool.Ahead && !j.Spool.Off {
		for _, p := range parts {
			if err := p.read(&j, accounts, out); err != nil {
				return err
			}
		}
	}
	for _, p := range parts {
		if err := p.write(&j, accounts, out); err != nil {
			return err
		}
	}
	out.buffer = append(out.buffer, "# EOF\n"...)
	return out.flush()
}

// together returns the number of families for which the source is read at once.
func (j *Job) together() int {
	if j.Spool.Off {
		return 1
	}
	return int(history.FigureCount)
}

// split yields the families in groups of this size.
func split(families []history.Family, size int) func(func([]history.Family) bool) {
	return func(yield func([]history.Family) bool) {
		for len(families) > 0 && yield(families[:size]) {
			families = families[size:]
		}
	}
}

// part is a group of families of one API, which are read at once.
type part struct {
	periods periods
	// direct is the family that is written while it is read; nil if all are spooled.
	direct *history.Family
	// spooled are the others, each with its spool.
	spooled []history.Family
	spools  []*spool
}

func newPart(j *Job, families []history.Family) *part {
	p := &part{periods: periodsOf(families[0].API), spooled: families}
	if !j.Spool.Ahead || j.Spool.Off {
		p.direct, p.spooled = &families[0], families[1:]
	}
	for range p.spooled {
		p.spools = append(p.spools, newSpool(j.Spool.Folder, p.periods.number))
	}
	return p
}

func (p *part) close() {
	for _, s := range p.spools {
		s.close()
	}
}

// read fills and rewinds the spools, and writes the direct family.
func (p *part) read(j *Job, accounts []Account, o *openMetrics) error {
	if p.direct != nil {
		o.begin(*p.direct)
	}
	for _, account := range accounts {
		if p.direct != nil {
			o.account(account.Name)
		}
		for day, err := range j.days(p.periods.api, account.AppID) {
			if err == nil {
				err = p.put(day, o)
			}
			if err != nil {
				return err
			}
		}
		for _, s := range p.spools {
			s.endAccount()
		}
	}
	for _, s := range p.spools {
		if err := s.rewind(); err != nil {
			return err
		}
	}
	return nil
}

// put adds a day to the spools, and writes it if it belongs to the direct family.
func (p *part) put(day store.DayFigures, o *openMetrics) error {
	var values [datacube.HoursPerDay]int64
	take := func(f history.Family) []int64 {
		for i := range day.Figures {
			values[i] = f.Figure.Of(day.Figures[i])
		}
		return values[:len(day.Figures)]
	}
	for i, s := range p.spools {
		if err := s.put(day.Date, take(p.spooled[i])); err != nil {
			return err
		}
	}
	if p.direct == nil {
		return nil
	}
	return o.day(p.periods, day.Date, take(*p.direct))
}

// write writes the families, which it reads first unless all are spooled already.
func (p *part) write(j *Job, accounts []Account, o *openMetrics) error {
	if p.direct != nil {
		if err := p.read(j, accounts, o); err != nil {
			return err
		}
	}
	for i, s := range p.spools {
		o.begin(p.spooled[i])
		if err := o.replay(p.periods, accounts, s); err != nil {
			return err
		}
		s.close()
	}
	return nil
}

// replay writes the samples of a family from its spool.
func (o *openMetrics) replay(p periods, accounts []Account, s *spool) error {
	for _, account := range accounts {
		o.account(account.Name)
		for {
			date, values, err := s.next()
			if err != nil {
				return err
			}
			if values == nil {
				break
			}
			if err := o.day(p, date, values); err != nil {
				return err
			}
		}
	}
	return nil
}

// openMetrics formats samples of the current family and account.
type openMetrics struct {
	w      io.Writer
	buffer []byte
	family history.Family
	// series is the start of each sample of the current account, up to the value.
	series []byte
}

// begin starts a family.
func (o *openMetrics) begin(f history.Family) {
	o.family = f
	o.buffer = append(o.buffer, "# HELP "+f.Name+" "+escaper().Replace(f.Help)+"\n# TYPE "+f.Name+" gauge\n"...)
	if f.Figure.InMillis() {
		o.buffer = append(o.buffer, "# UNIT "+f.Name+" seconds\n"...)
	}
}

// account starts the next account of the family.
func (o *openMetrics) account(name string) {
	name = escaper().Replace(strings.ToValidUTF8(name, "\uFFFD"))
	o.series = append(o.series[:0], o.family.Name+"{"+history.AccountLabel+`="`+name+`"} `...)
}

// escaper escapes special characters in label values and HELP texts.
func escaper() *strings.Replacer { return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`) }

// day writes the samples of one day.
func (o *openMetrics) day(p periods, date datacube.Date, values []int64) error {
	b, end := o.buffer, p.first(date)
	millis := o.family.Figure.InMillis()
	for _, v := range values {
		b = append(b, o.series...)
		if millis {
			b = appendSeconds(b, v)
		} else {
			b = strconv.AppendInt(b, v, 10)
		}
		b = append(b, ' ')
		b = strconv.AppendInt(b, end, 10)
		b = append(b, '\n')
		end += p.step
	}
	o.buffer = b
	if len(b) < bufferSize {
		return nil
	}
	return o.flush()
}

func (o *openMetrics) flush() error {
	_, err := o.w.Write(o.buffer)
	o.buffer = o.buffer[:0]
	return err
}

// appendSeconds appends milliseconds as seconds, exactly and without trailing zeros.
func appendSeconds(b []byte, millis int64) []byte {
	whole, rest := millis/1000, millis%1000
	if millis < 0 {
		b = append(b, '-')
		whole, rest = -whole, -rest
	}
	b = strconv.AppendInt(b, whole, 10)
	if rest == 0 {
		return b
	}
	b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}
