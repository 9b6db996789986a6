package command

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/weixin/datacube"
)

const (
	// mostBars is the highest number of accounts with a bar at the same time.
	mostBars = 10
	// nameWidth is the width of an account's name in columns.
	nameWidth = 20
)

// bars show progress on a terminal. Text that is written to them appears above the bars; if there are none, it
// is written to the output unchanged.
type bars struct {
	out      io.Writer
	texts    i18n.Printer
	terminal int // its file descriptor, -1 if there is none

	container *mpb.Progress // nil while there are no bars
	total     *bar
	accounts  map[string]*bar
	made      int // the number of bars made so far; they are shown in that order
}

// bar is one of them.
type bar struct {
	*mpb.Bar
	text atomic.Pointer[string] // shown to the right of it
}

// newBars returns bars on the standard error, which are shown only if it is a terminal.
func newBars(env Env) *bars {
	b := &bars{out: env.Stderr, texts: env.Texts, terminal: -1, accounts: map[string]*bar{}}
	file, ok := env.Stderr.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		b.terminal = int(file.Fd())
	}
	return b
}

// leftmost begins each write in the first column. A terminal shows a typed ^C at the end of the bars, and they
// would be redrawn to the right of it.
type leftmost struct{ io.Writer }

func (l leftmost) Write(p []byte) (int, error) {
	n, err := l.Writer.Write(append([]byte{'\r'}, p...))
	return max(0, n-1), err
}

// shown reports whether there are bars.
func (b *bars) shown() bool { return b.container != nil }

// Write implements io.Writer.
func (b *bars) Write(p []byte) (int, error) {
	if b.shown() {
		if n, err := b.container.Write(p); err == nil {
			return n, nil
		}
	}
	return b.out.Write(p)
}

// begin shows the bar of the total under a name, if there is a terminal.
func (b *bars) begin(name string) {
	if b.terminal < 0 {
		return
	}
	console := cupwriter.New(leftmost{b.out}, false)
	console.SetTermFd(b.terminal)
	b.container = mpb.New(mpb.WithConsoleWriter(console), mpb.WithRefreshRate(200*time.Millisecond))
	b.total = b.add(name, math.MaxInt)
}

// end removes all bars.
func (b *bars) end() {
	if !b.shown() {
		return
	}
	for _, one := range b.accounts {
		one.Abort(true)
	}
	b.total.Abort(true)
	b.container.Wait()
	b.container = nil
}

// show updates the bars of an account and of the total.
func (b *bars) show(s refresh.BackfillStatus, done, left int, text string) {
	b.total.set(done, left, text)
	one := b.accounts[s.Account]
	switch {
	case s.Ended && one != nil:
		one.Abort(true)
		delete(b.accounts, s.Account)
	case s.Ended:
	case one == nil && len(b.accounts) < mostBars:
		b.made++
		one = b.add(s.Account, b.made)
		b.accounts[s.Account] = one
		fallthrough
	case one != nil:
		waits := ""
		if !s.Resume.IsZero() {
			waits = b.texts.Text("backfill.waits", s.Resume.In(datacube.China).Format("15:04:05 MST"))
		}
		one.set(s.Done, s.Left, waits)
	}
}

// add adds a bar; bars of a lower priority are shown above.
func (b *bars) add(name string, priority int) *bar {
	one := &bar{}
	one.text.Store(new(string))
	name = runewidth.FillRight(runewidth.Truncate(name, nameWidth, "…"), nameWidth)
	one.Bar = b.container.New(0, mpb.BarStyle(), // 0: it is ended by Abort
		mpb.BarPriority(priority),
		mpb.PrependDecorators(decor.Name(name)),
		mpb.AppendDecorators(
			decor.Any(func(s decor.Statistics) string { return fmt.Sprintf(" %d/%d", s.Current, s.Total) }, decor.WCSyncWidthR),
			decor.Any(func(decor.Statistics) string { return " " + *one.text.Load() }, decor.WCSyncWidthR),
		),
	)
	return one
}

// set updates the numbers of calls and the text of the bar.
func (b *bar) set(done, left int, text string) {
	b.text.Store(&text)
	b.SetTotal(int64(done+left), false)
	b.SetCurrent(int64(done))
}
