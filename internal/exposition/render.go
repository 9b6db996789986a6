package exposition

import (
	"io"

	"github.com/prometheus/common/expfmt"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// flushAt is the number of rendered bytes at which they are handed on. The account that is being
// rendered at that moment may add to them.
const flushAt = 60 << 10

// form is a format with all families prepared for it.
type form struct {
	families []family
	// kept is false for a format that is rendered for each scrape, because nobody asks for it
	// regularly.
	kept bool
}

// family renders one of families.All in one format.
type family interface {
	// name returns the name of the family.
	name() string
	// appendHead appends what stands before the samples of the accounts, and reports whether they
	// have any; without samples there is no family.
	appendHead(b []byte, accounts []*snapshot.Account) ([]byte, bool)
	// appendAccount appends the samples of one account.
	appendAccount(b []byte, a *snapshot.Account) []byte
	// appendTail appends what stands after the samples.
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

func newForm(kept bool, prepare func(families.Family) family) *form {
	f := &form{kept: kept}
	for _, described := range families.All() {
		f.families = append(f.families, prepare(described))
	}
	return f
}

// render writes the series of the accounts that the families in wanted have; nil means all. It
// uses buf, which may grow, for what is not written yet.
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
