package exposition

import (
	"io"

	"github.com/prometheus/common/expfmt"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// flushAt is the number of rendered bytes from which they are written. The account that is being
// rendered at that moment is completed first.
const flushAt = 60 << 10

// form is a format and all families prepared for it.
type form struct {
	families []family
	// cached is false for a format that is rendered for each scrape, because no scraper requests
	// it.
	cached bool
}

// family renders one of families.All in one format.
type family interface {
	// name returns the name of the family.
	name() string
	// appendHead appends what precedes the samples, and reports whether the accounts have any.
	// Without samples, the family is omitted.
	appendHead(b []byte, accounts []*snapshot.Account) ([]byte, bool)
	// appendAccount appends the samples of one account.
	appendAccount(b []byte, a *snapshot.Account) []byte
	// appendTail appends what follows the samples.
	appendTail(b []byte) []byte
}

// forms returns a form for each format that expfmt negotiates.
func forms() map[expfmt.FormatType]*form {
	return map[expfmt.FormatType]*form{
		expfmt.TypeTextPlain:    newForm(true, func(f families.Family) family { return newText(f, false) }),
		expfmt.TypeOpenMetrics:  newForm(true, func(f families.Family) family { return newText(f, true) }),
		expfmt.TypeProtoDelim:   newForm(true, func(f families.Family) family { return newProtobuf(f) }),
		expfmt.TypeProtoText:    newForm(false, func(f families.Family) family { return newDebug(f, true) }),
		expfmt.TypeProtoCompact: newForm(false, func(f families.Family) family { return newDebug(f, false) }),
	}
}

func newForm(cached bool, prepare func(families.Family) family) *form {
	f := &form{cached: cached}
	for _, described := range families.All() {
		f.families = append(f.families, prepare(described))
	}
	return f
}

// render writes the series of the accounts in the families in wanted; nil means all families. It
// buffers in buf, which may grow.
func (f *form) render(w io.Writer, buf *[]byte, accounts []*snapshot.Account, wanted map[string]bool) error {
	b := (*buf)[:0]
	defer func() { *buf = b }()
	for _, fam := range f.families {
		if wanted != nil && !wanted[fam.name()] {
			continue
		}
		var begun bool
		if b, begun = fam.appendHead(b, accounts); !begun {
			continue
		}
		for _, a := range accounts {
			b = fam.appendAccount(b, a)
			if len(b) < flushAt {
				continue
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		b = fam.appendTail(b)
	}
	_, err := w.Write(b)
	return err
}

// hasSamples reports whether any of the accounts has a sample in the family.
func hasSamples(f *families.Family, accounts []*snapshot.Account) bool {
	for _, a := range accounts {
		for i := range f.Values {
			if _, ok := f.Read(a, i); ok {
				return true
			}
		}
	}
	return false
}
