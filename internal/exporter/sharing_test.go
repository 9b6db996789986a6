package exporter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/web"
)

func TestDivisionIsLoggedOnce(t *testing.T) {
	var out strings.Builder
	d := division{logger: log.NewLogfmtLogger(&out)}
	expect := func(parts ...string) {
		t.Helper()
		if lines := strings.Count(out.String(), "\n"); len(parts) == 0 && lines > 0 || len(parts) > 0 && lines != 1 {
			t.Errorf("logged:\n%s", out.String())
		}
		for _, part := range parts {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%q lacks %q", out.String(), part)
			}
		}
		out.Reset()
	}
	d.renewed(store.SharingStatus{})
	expect()
	s := store.SharingStatus{Shared: true, Owned: 100, Others: 60, Unowned: 40, Unused: 56, Peers: []store.Peer{{Name: "one", Self: true, Accounts: 5}, {Name: "two", Accounts: 5}}}
	d.renewed(s)
	expect("level=info", "slots=100 of=200 exporters=2")
	s.Others, s.Unowned = 100, 0 // of no interest to this exporter
	d.renewed(s)
	expect()
	d.failed(store.WithKind(errors.New("no connection"), store.Unreachable))
	expect("level=error", `err="no connection"`)
	d.failed(store.WithKind(errors.New("starting"), store.Unreachable))
	expect()
	d.failed(store.WithKind(errors.New("a standby"), store.ReadOnly))
	expect("level=error", `err="a standby"`)
	d.renewed(s)
	expect("level=info", "renewed again")

	for range 2 {
		s.Peers[1].Accounts = 7
		for range differRounds {
			d.renewed(s)
			expect()
		}
		d.renewed(s)
		expect("level=warn", "other accounts", "exporters=two")
		for range 3 * differRounds {
			d.renewed(s)
			expect()
		}
		s.Peers[1].Accounts = 5
		d.renewed(s)
		expect("level=info", "same accounts again")
	}
	s.Peers[1].Accounts = 7 // for a moment
	d.renewed(s)
	s.Peers[1].Accounts = 5
	d.renewed(s)
	expect()
}

func TestShownSharing(t *testing.T) {
	if got := shownSharing(store.SharingStatus{}); got != nil {
		t.Errorf("a store that is not shared: %+v", got)
	}
	at := time.Unix(1_700_000_000, 0)
	got := shownSharing(store.SharingStatus{
		Shared: true, Known: true, Renewed: at, Owned: 1, Others: 2, Unowned: 3, Unused: 250,
		Peers: []store.Peer{{Name: "one", Slots: 1, Accounts: 5, Self: true}, {Name: "two", Slots: 2, Accounts: 6}, {Name: "three", Accounts: 5}},
	})
	want := &web.Sharing{Known: true, Wanted: 6, Owned: 1, Unowned: 3, Renewed: at, Exporters: []web.SharingExporter{
		{Name: "one", Self: true, Slots: 1}, {Name: "two", Slots: 2, Differs: true}, {Name: "three"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
