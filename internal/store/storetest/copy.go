package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// RunCopy tests copies from stores of one engine to new stores of another.
func RunCopy(t *testing.T, from, to Engine) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, from, to Engine){
		"Everything": testCopyOfEverything, "Empty": testCopyOfNothing, "ManyAccounts": testCopyOfManyAccounts,
		"OfOneInstant": testCopyIsOfOneInstant, "Differences": testDifferencesOfACopy, "Damage": testCopyOfDamage,
		"Interrupted": testInterruptedCopy, "NotEmpty": testCopyToAStore, "Killed": testAKilledCopy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, from, to)
		})
	}
}

// The endpoints of remote write of the stores that are copied.
const (
	mainEndpoint  = "main"
	otherEndpoint = "andere Seite"
)

// fillEverything stores something of each kind.
func fillEverything(t *testing.T, s store.Store) {
	t.Helper()
	odd := Daily(Shop, FirstDay+2, 7)
	odd.State = store.State{
		Status: store.Known, Asks: 3, AskedAt: Asked().Add(time.Hour), KnownAt: Asked(), Rechecked: true, Damaged: 2, Rechecks: 15,
		Checksum: store.Checksum(*odd.Daily),
	}
	empty := Hourly(Shop, FirstDay, datacube.Hours{})
	empty.State.Empty = true
	waits := store.Record{AppID: Bot, API: datacube.Hourly, Date: FirstDay, State: store.State{Status: store.NotReady, Empty: true, Asks: 9, AskedAt: Asked()}}
	Save(t, s, empty, Daily(Shop, FirstDay, 1), Hourly(Shop, FirstDay+1, datacube.Hours{0: {Callbacks: 1 << 62}, 23: {MaxTimeCostMillis: 4}}), odd, waits)
	Save(t, s, Daily(Bot, FirstDay, 5), Daily(Bot, FirstDay+1, 6), Daily("小店 ", FirstDay+1, 0))
	var pending []store.Pending
	for _, limit := range []int{4, 1000} { // so that one account is at a position in between
		more, err := s.ReadPending(t.Context(), mainEndpoint, 0, limit, Bot, Shop)
		if err != nil || len(more) == 0 {
			t.Fatal(more, err)
		}
		if pending = more; limit == 4 {
			pending = more[:1]
		}
		if err := s.MarkDelivered(t.Context(), mainEndpoint, Asked(), pending...); err != nil {
			t.Fatal(err)
		}
	}
	if more, err := s.ReadPending(t.Context(), otherEndpoint, 0, 4, Bot); err != nil || s.MarkDelivered(t.Context(), otherEndpoint, time.Time{}, more...) != nil {
		t.Fatal(err)
	}
	if n, err := s.Resend(t.Context(), mainEndpoint, FirstDay, FirstDay, Shop, Bot); err != nil || n != 2 {
		t.Fatalf("%d days, %v", n, err)
	}
	Save(t, s, Daily(Shop, FirstDay, 2)) // a revision, which is pending
	for _, err := range []error{
		s.SaveHolds(t.Context(), []store.Hold{
			{AppID: Shop, API: datacube.Hourly, Since: Asked(), Until: Asked().Add(time.Minute), Date: FirstDay, Attempts: 4, Fingerprint: []byte{0, 255}, Detail: `{"a":"b"}`},
			{AppID: "wxonlyheld", API: datacube.Daily, Since: Asked(), Until: Asked().Add(time.Hour), Date: FirstDay, Fingerprint: []byte{1}, Detail: "{}"},
		}),
		s.RecordTime(t.Context(), Asked().Add(24*time.Hour)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// view is everything that the users of a store can see.
type view struct {
	Accounts  map[string]*store.Account
	Daily     map[string][]datacube.Day
	Hourly    map[string][]datacube.HourlyDay
	Holds     []store.Hold
	Recorded  time.Time
	Changed   []string
	Mark      store.Mark
	Endpoints map[string]delivered
}

// delivered is what a user can see of an endpoint.
type delivered struct {
	Last        time.Time
	Undelivered []string
	Counted     map[string][datacube.APIs]int64
	Pending     []store.Pending
}

func viewOf(t *testing.T, s store.Store) view {
	t.Helper()
	v := view{Accounts: Load(t, s, 0), Daily: map[string][]datacube.Day{}, Hourly: map[string][]datacube.HourlyDay{}, Endpoints: map[string]delivered{}}
	var appIDs []string
	ReadFigures(t, s, func(r *store.FigureReader) {
		var err error
		if appIDs, err = r.Accounts(); err != nil {
			t.Fatal(err)
		}
		for _, appID := range appIDs {
			v.Daily[appID], v.Hourly[appID] = FiguresOf(t, r, appID, BeforeAll, AfterAll)
		}
	})
	var errs [8]error
	v.Holds, errs[0] = s.Holds(t.Context(), appIDs...)
	slices.SortFunc(v.Holds, func(a, b store.Hold) int { return strings.Compare(a.AppID, b.AppID) })
	v.Recorded, errs[1] = s.RecordedTime(t.Context())
	v.Changed, v.Mark, errs[2] = s.Changed(t.Context(), 1)
	slices.Sort(v.Changed)
	for _, endpoint := range []string{mainEndpoint, otherEndpoint, "a new one"} {
		var d delivered
		d.Last, errs[3] = s.LastDelivery(t.Context(), endpoint)
		d.Undelivered, errs[4] = s.Undelivered(t.Context(), endpoint)
		slices.Sort(d.Undelivered)
		d.Counted, errs[5] = s.CountPending(t.Context(), endpoint, 0)
		d.Pending, errs[6] = s.ReadPending(t.Context(), endpoint, 0, 1000, appIDs...)
		v.Endpoints[endpoint] = d
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// copyTo copies an open store to a new place.
func copyTo(ctx context.Context, s store.Store, to Place, wrap func(store.Restorer) store.Restorer) (store.CopyReport, error) {
	var report store.CopyReport
	imager, ok := s.(store.Imager)
	if !ok {
		return report, errors.New("this engine cannot be copied")
	}
	err := imager.ReadImage(ctx, func(image store.Image) error {
		return to.Restore(ctx, func(r store.Restorer) error {
			if wrap != nil {
				r = wrap(r)
			}
			var err error
			report, err = store.Copy(ctx, image, r, nil)
			return err
		})
	})
	return report, err
}

func testCopyOfEverything(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	fillEverything(t, original)
	want := viewOf(t, original)
	if len(want.Endpoints[mainEndpoint].Pending) == 0 || len(want.Holds) != 2 || len(want.Accounts) != 4 {
		t.Fatalf("the test is of no use: %+v", want)
	}
	report, err := copyTo(t.Context(), original, place, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Accounts != 4 || report.Days != 5 || report.Hours != 48 || report.Bytes < 1000 || report.Head.Mark != want.Mark {
		t.Errorf("the report is %+v", report)
	}
	if diff := cmp.Diff(want, viewOf(t, original)); diff != "" {
		t.Errorf("the original was changed:\n%s", diff)
	}
	s := place.Open(t)
	if diff := cmp.Diff(want, viewOf(t, s)); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
	// The copy can be used like any store.
	if revisions := Save(t, s, Daily("wxlater", FirstDay, 1), Daily(Shop, FirstDay, 3)); len(revisions) != 1 || revisions[0].Before.Callbacks != 2 {
		t.Errorf("revisions: %+v", revisions)
	}
	changed, mark, err := s.Changed(t.Context(), want.Mark)
	if slices.Sort(changed); err != nil || mark != want.Mark+1 || !slices.Equal(changed, []string{Shop, "wxlater"}) {
		t.Errorf("changed: %v, mark %d after %d, %v", changed, mark, want.Mark, err)
	}
	if days, err := s.Prune(t.Context(), FirstDay+1); err != nil || days != 5 {
		t.Errorf("%d days were deleted, %v", days, err)
	}
	if got := Load(t, s, 0)[Shop].Days; got != [datacube.APIs]int64{1, 1} {
		t.Errorf("%v days are left", got)
	}
}

func testCopyOfNothing(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	report, err := copyTo(t.Context(), original, place, nil)
	if err != nil || report != (store.CopyReport{}) {
		t.Fatalf("%+v, %v", report, err)
	}
	s := place.Open(t)
	Save(t, s, Daily(Shop, FirstDay, 1))
	if got := Load(t, s, 0); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// testCopyOfManyAccounts copies more than fits into one portion.
func testCopyOfManyAccounts(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	const accounts, days = 1100, 1
	Fill(t, original, accounts, days)
	years := make([]store.Record, 6000)
	for i := range years {
		years[i] = Daily(Shop, datacube.FirstDate+datacube.Date(i), int64(i))
	}
	Save(t, original, years...)
	report, err := copyTo(t.Context(), original, place, nil)
	if err != nil || report.Accounts != accounts+1 || report.Days != accounts*days+int64(len(years)) || report.Hours != accounts*days*24 {
		t.Fatalf("%+v, %v", report, err)
	}
	s := place.Open(t)
	if diff := cmp.Diff(Load(t, original, 0), Load(t, s, 0)); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
}

// testCopyIsOfOneInstant: what is saved during a copy is not in it, neither in part.
func testCopyIsOfOneInstant(t *testing.T, from, to Engine) {
	if from.Alone {
		t.Skip("no one else can write")
	}
	source := from.New(t)
	original, other, place := source.Open(t), source.Open(t), to.New(t)
	fillEverything(t, original)
	want := viewOf(t, original)
	saved := false
	_, err := copyTo(t.Context(), original, place, func(r store.Restorer) store.Restorer {
		return tampered{Restorer: r, put: func([]store.AccountImage) {
			if !saved {
				saved = true
				Save(t, other, Daily("wxlater", FirstDay, 1), Daily(Shop, FirstDay, 300), Daily(Bot, FirstDay+9, 1))
			}
		}}
	})
	if err != nil || !saved {
		t.Fatal(err, saved)
	}
	if diff := cmp.Diff(want, viewOf(t, place.Open(t))); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
}

// tampered is a Restorer that changes what it is given.
type tampered struct {
	store.Restorer

	put  func([]store.AccountImage)
	head func(*store.ImageHead)
}

// PutAccounts implements store.Restorer.
func (f tampered) PutAccounts(ctx context.Context, accounts []store.AccountImage) error {
	if f.put != nil {
		f.put(accounts)
	}
	return f.Restorer.PutAccounts(ctx, accounts)
}

// PutHead implements store.Restorer.
func (f tampered) PutHead(ctx context.Context, head store.ImageHead) error {
	if f.head != nil {
		f.head(&head)
	}
	return f.Restorer.PutHead(ctx, head)
}

// testDifferencesOfACopy: whatever differs in the copy is found and named, and the copy is not kept.
func testDifferencesOfACopy(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	fillEverything(t, original)
	shop := func(change func(*store.AccountImage)) func(store.Restorer) store.Restorer {
		return func(r store.Restorer) store.Restorer {
			return tampered{Restorer: r, put: func(accounts []store.AccountImage) {
				change(&accounts[slices.IndexFunc(accounts, func(a store.AccountImage) bool { return a.AppID == Shop })])
			}}
		}
	}
	for want, wrap := range map[string]func(store.Restorer) store.Restorer{
		"the store as a whole": func(r store.Restorer) store.Restorer {
			return tampered{Restorer: r, head: func(h *store.ImageHead) { h.Recorded = h.Recorded.Add(time.Second) }}
		},
		Shop + ", mark: ": shop(func(a *store.AccountImage) { a.Changed++ }),
		"app ID of an account: " + Shop + " in the original, " + Shop + "x in the copy": shop(func(a *store.AccountImage) { a.AppID += "x" }),
		Shop + ", daily, 2026-11-01, figures 0: {Callbacks:2 ":                          shop(func(a *store.AccountImage) { a.Days[datacube.Daily][0].Figures[0].Callbacks++ }),
		Shop + ", hourly, 2026-11-02, figures 23: ":                                     shop(func(a *store.AccountImage) { a.Days[datacube.Hourly][1].Figures[23].Failures = 1 }),
		Shop + ", hourly, 2026-11-02, figures, number: 24 in the original, 0 in the copy": shop(func(a *store.AccountImage) {
			a.Days[datacube.Hourly][1].Figures = nil
		}),
		Shop + ", daily, 2026-11-03, state: ":                    shop(func(a *store.AccountImage) { a.Days[datacube.Daily][1].State.Rechecks-- }),
		Shop + ", hourly, 2026-11-01, mark: ":                    shop(func(a *store.AccountImage) { a.Days[datacube.Hourly][0].Changed++ }),
		Shop + ", daily, days: 2 in the original, 1 in the copy": shop(func(a *store.AccountImage) { a.Days[datacube.Daily] = a.Days[datacube.Daily][:1] }),
		Shop + ", delivery 0: ":                                  shop(func(a *store.AccountImage) { a.Deliveries[0].Position.Date-- }),
		Shop + ", day to be sent again, number: 1 ":              shop(func(a *store.AccountImage) { a.Resends = nil }),
		Shop + ", hourly, hold until 2026-11-02 09:01:00":        shop(func(a *store.AccountImage) { a.Holds[0].Fingerprint[0]++ }),
		"accounts: 4 in the original, 3 in the copy":             func(r store.Restorer) store.Restorer { return forgetful{r} },
	} {
		_, err := copyTo(t.Context(), original, place, wrap)
		if err == nil || !strings.Contains(err.Error(), "the copy differs from the original") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := copyTo(t.Context(), original, place, nil); err != nil {
		t.Fatalf("the copies with differences left something: %v", err)
	}
}

// forgetful is a Restorer that loses an account.
type forgetful struct{ store.Restorer }

// PutAccounts implements store.Restorer.
func (f forgetful) PutAccounts(ctx context.Context, accounts []store.AccountImage) error {
	return f.Restorer.PutAccounts(ctx, accounts[1:])
}

// testCopyOfDamage: figures that do not match their checksum are named, and not copied.
func testCopyOfDamage(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	wrong := Hourly(Bot, FirstDay+3, datacube.Hours{4: {Callbacks: 1}})
	wrong.State.Checksum = 1 // that of a day without traffic
	Save(t, original, Daily(Shop, FirstDay, 1), wrong)
	_, err := copyTo(t.Context(), original, place, nil)
	if err == nil || store.KindOf(err) != store.Damaged || !strings.Contains(err.Error(), "2026-11-04 of "+Bot+", hourly: the stored figures do not match") {
		t.Errorf("error %v", err)
	}
	wrong.State.Checksum = store.Checksum(wrong.Hourly[:]...)
	Save(t, original, wrong) // as backfill --force does
	if _, err := copyTo(t.Context(), original, place, nil); err != nil {
		t.Errorf("after the day was stored again: %v", err)
	}
}

// testInterruptedCopy: a copy that is stopped leaves nothing, at whatever point that is.
func testInterruptedCopy(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	fillEverything(t, original)
	broken := 0
	for n := int64(1); ; n += 1 + n/4 {
		ctx := NewCountdown(t.Context(), n)
		_, err := copyTo(ctx, original, place, nil)
		ctx.Cancel()
		if err == nil {
			break
		}
		if broken++; !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %d: %v", n, err)
		}
	}
	if broken < 3 {
		t.Errorf("interrupted %d times", broken)
	}
	if diff := cmp.Diff(viewOf(t, original), viewOf(t, place.Open(t))); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
}

// testCopyToAStore: a store is not overwritten.
func testCopyToAStore(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	fillEverything(t, original)
	there := place.Open(t)
	Save(t, there, Daily(Bot, FirstDay, 77))
	want := viewOf(t, there)
	_, err := copyTo(t.Context(), original, place, nil)
	if err == nil || !strings.Contains(err.Error(), "never overwritten") || !strings.Contains(err.Error(), place.Name) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(want, viewOf(t, there)); diff != "" {
		t.Errorf("the store was changed:\n%s", diff)
	}
}

// restoredPlace is the environment variable with the place that a process fills until it is killed.
const restoredPlace = "WEIXIN_EXPORTER_STORETEST_RESTORE"

// MainOfRestore must be called by TestMain of each engine: in a process that testAKilledCopy has started it fills a store
// until it is killed, and otherwise it does nothing.
func MainOfRestore(restore func(ctx context.Context, place string, fill func(store.Restorer) error) error) {
	place := os.Getenv(restoredPlace)
	if place == "" {
		return
	}
	ctx := context.Background()
	err := restore(ctx, place, func(r store.Restorer) error {
		day := store.DayImage{Date: FirstDay, State: Known(), Figures: []datacube.Figures{{Callbacks: 1}}}
		account := store.AccountImage{AppID: Shop, Changed: 1, Days: [datacube.APIs][]store.DayImage{{day}}}
		if err := errors.Join(r.PutHead(ctx, store.ImageHead{Mark: 1}), r.PutAccounts(ctx, []store.AccountImage{account})); err != nil {
			return err
		}
		fmt.Println("filled")
		select {} // until it is killed
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// testAKilledCopy: a process that is killed while it copies leaves nothing that matters, and the next one can copy.
func testAKilledCopy(t *testing.T, from, to Engine) {
	original, place := from.New(t).Open(t), to.New(t)
	fillEverything(t, original)
	filler := exec.CommandContext(t.Context(), os.Args[0])
	filler.Env = append(os.Environ(), restoredPlace+"="+place.Address)
	var failure strings.Builder
	filler.Stderr = &failure
	output, err := filler.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := filler.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	filled := lines.Scan() && lines.Text() == "filled"
	_ = filler.Process.Kill() // Wait reports what happened
	if err := filler.Wait(); !filled {
		t.Fatalf("nothing was filled: %v, %s", err, failure.String())
	}
	// A server notices after a moment that the process has gone.
	end := time.Now().Add(2 * time.Minute) //nolint:forbidigo // it waits for a real process
	for {
		_, err = copyTo(t.Context(), original, place, nil)
		if store.KindOf(err) != store.Locked || time.Now().After(end) { //nolint:forbidigo // as above
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(viewOf(t, original), viewOf(t, place.Open(t))); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
}
