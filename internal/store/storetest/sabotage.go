package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// killedPlace is the environment variable with the place of the store in a process that will be killed.
const killedPlace = "WEIXIN_EXPORTER_STORETEST_PLACE"

// Main must be called by TestMain of each engine: in a process that testAKilledWriter has started it writes to
// the store until it is killed, and otherwise it does nothing.
func Main(open func(ctx context.Context, place string) (store.Store, error)) {
	place := os.Getenv(killedPlace)
	if place == "" {
		return
	}
	ctx := context.Background()
	s, err := open(ctx, place)
	for n := int64(1); err == nil; n++ {
		if _, err = s.Save(ctx, versionOf(n)); err == nil {
			_, err = fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// versionOf returns records in which everything tells the same number.
func versionOf(n int64) []store.Record {
	var records []store.Record
	for account := range 20 {
		hours := datacube.Hours{}
		for h := range hours {
			hours[h].Callbacks = n
		}
		records = append(records, Hourly(AppID(account), FirstDay, hours), Daily(AppID(account), FirstDay, n))
	}
	return records
}

// testAKilledWriter kills a process while it saves. Of each Save all is stored or nothing, and nothing that was reported
// as stored is lost.
func testAKilledWriter(t *testing.T, e Engine) {
	place := e.New(t)
	s := place.Open(t)
	for range 3 {
		reported := killWriter(t, place.Address)
		accounts := Load(t, s, FirstDay)
		stored := accounts[AppID(0)].Daily.Figures.Callbacks
		for appID, account := range accounts {
			for hour, figures := range account.Hourly.Hours {
				if figures.Callbacks != stored || account.Daily.Figures.Callbacks != stored {
					t.Fatalf("%s has version %d in hour %d and %d of the day, another account %d", appID,
						figures.Callbacks, hour, account.Daily.Figures.Callbacks, stored)
				}
			}
		}
		if stored != reported && stored != reported+1 {
			t.Errorf("version %d is stored, but %d was the last that was reported", stored, reported)
		}
	}
}

// killWriter starts a writer, kills it after some versions and returns the last one that it reported.
func killWriter(t *testing.T, place string) int64 {
	t.Helper()
	writer := exec.CommandContext(t.Context(), os.Args[0])
	writer.Env = append(os.Environ(), killedPlace+"="+place)
	var failure strings.Builder
	writer.Stderr = &failure
	output, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	var last int64
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Fatalf("the writer printed %q", lines.Text())
		}
		const enough = 5
		if last == enough {
			_ = writer.Process.Kill() // Wait reports what happened
		}
	}
	if err := writer.Wait(); last == 0 {
		t.Fatalf("the writer wrote nothing: %v, %s", err, failure.String())
	}
	return last
}

// testABlockedWrite: a write that waits too long fails and stores nothing; reading does not wait.
func testABlockedWrite(t *testing.T, e Engine) {
	place := e.New(t)
	s, err := place.Try(t.Context(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	Save(t, s, Daily(Shop, FirstDay, 1))
	unblock := place.Block(t)
	_, err = s.Save(t.Context(), []store.Record{Daily(Shop, FirstDay, 2)})
	if err == nil || store.KindOf(err) != store.Locked || !strings.Contains(err.Error(), place.Name) {
		t.Errorf("a blocked write: %v, of the kind %s", err, store.KindOf(err))
	}
	if got := Load(t, s, FirstDay)[Shop]; got.Daily.Figures.Callbacks != 1 {
		t.Errorf("the failed write was stored: %+v", got.Daily)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Save(ctx, []store.Record{Daily(Shop, FirstDay, 2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	unblock()
	if revisions := Save(t, s, Daily(Shop, FirstDay, 1)); len(revisions) > 0 {
		t.Errorf("one of the failed writes was stored: %v", revisions)
	}
}

// testANewerSchema: an older program does not use the store of a newer one.
func testANewerSchema(t *testing.T, e Engine) {
	place := e.New(t)
	s := place.Open(t)
	Save(t, s, Daily(Shop, FirstDay, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	place.MakeNewer(t)
	opened, err := place.Try(t.Context(), time.Second)
	if err == nil {
		_ = opened.Close() // it should not be open
	}
	if err == nil || !strings.Contains(err.Error(), "a newer weixin_exporter") || !strings.Contains(err.Error(), place.Name) {
		t.Errorf("opened the store of a newer version: %v", err)
	}
}

// testAMissingTable: what cannot be read is an error, not a day without traffic.
func testAMissingTable(t *testing.T, e Engine) {
	place := e.New(t)
	s := place.Open(t)
	Save(t, s, Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}}))
	place.RemoveTable(t)
	if got, err := s.Load(t.Context(), FirstDay); err == nil || !strings.Contains(err.Error(), place.Name) {
		t.Errorf("loaded %v, %v", got, err)
	}
	err := s.ReadFigures(t.Context(), func(r *store.FigureReader) error {
		for day, err := range r.Figures(AllOf(datacube.Hourly)) {
			if err != nil {
				return err
			}
			t.Errorf("read %v", day)
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), place.Name) {
		t.Errorf("read the figures: %v", err)
	}
	if _, err := s.Save(t.Context(), []store.Record{Hourly(Shop, FirstDay, datacube.Hours{2: {Callbacks: 1}})}); err == nil {
		t.Error("saved hours without their table")
	}
}
