// Package storetest has the tests that every engine of package store passes, and the benchmarks by which engines
// are compared.
package storetest

import (
	"context"
	"testing"
	"time"

	"weixin_exporter/internal/store"
)

// Engine is what the tests need of an engine.
type Engine struct {
	// New returns the place of a new store. What is there is removed at the end of the test.
	New func(tb testing.TB) Place
	// Divided is true if processes divide the work among themselves: places have Join and Expire.
	Divided bool
	// Alone is true if a store exists only as long as it is open, and only in its process. The functions of its
	// places apart from Open are not used, and Open returns the same store each time.
	Alone bool
}

// Place is where one store is. Opening it several times is like opening it in several processes.
type Place struct {
	// Open opens the store; it is closed at the end of the test.
	Open func(tb testing.TB) store.Store
	// Try opens the store with a time for which writes wait for others.
	Try func(ctx context.Context, busy time.Duration) (store.Store, error)
	// Join opens the store for a process with a duty; it is closed at the end of the test. nil if processes do not share
	// the work.
	Join func(tb testing.TB, m Member) store.Store
	// Expire makes the lease of the member with this name end, as if it had not renewed its slots for long.
	Expire func(tb testing.TB, name string)
	// Restore fills the store, which must not have been opened before; nil if that is not possible.
	Restore func(ctx context.Context, fill func(store.Restorer) error) error
	// Name is contained in errors.
	Name string
	// Address identifies the place to Main in another process.
	Address string
	// Block keeps writers from writing, as another process would, until the returned function is called.
	Block func(tb testing.TB) (unblock func())
	// MakeNewer changes the number of the schema to that of a future version.
	MakeNewer func(tb testing.TB)
	// RemoveTable removes the table of the hours.
	RemoveTable func(tb testing.TB)
	// Processor returns the processor time that the server has taken so far; nil if there is no server.
	Processor func() time.Duration
}

// Run tests an engine.
func Run(t *testing.T, e Engine) {
	t.Helper()
	tests := []struct {
		name   string
		test   func(*testing.T, Engine)
		shared bool // needs a store that several processes can open
	}{
		{name: "WithoutADuty", test: testWithoutADuty},
		{name: "SaveAndLoad", test: testSaveAndLoad},
		{name: "TimesAreStoredToTheSecond", test: testTimesAreStoredToTheSecond},
		{name: "AnEmptyStore", test: testAnEmptyStore},
		{name: "ADayBecomesKnown", test: testADayBecomesKnown},
		{name: "AnyNumberOfHours", test: testAnyNumberOfHours},
		{name: "NilFiguresKeepTheStoredOnes", test: testNilFiguresKeepTheStoredOnes},
		{name: "Revisions", test: testRevisions},
		{name: "RevisionsAreInTheOrderOfTheRecords", test: testRevisionsAreInTheOrderOfTheRecords},
		{name: "RecordsOfOneDay", test: testRecordsOfOneDay},
		{name: "OutdatedRecords", test: testOutdatedRecords},
		{name: "SaveRefusesInvalidRecords", test: testSaveRefusesInvalidRecords},
		{name: "Prune", test: testPrune},
		{name: "LoadSinceTheBeginning", test: testLoadSinceTheBeginning},
		{name: "Figures", test: testFigures},
		{name: "FiguresOfSeveralAccounts", test: testFiguresOfSeveralAccounts},
		{name: "FiguresOfManyAccounts", test: testFiguresOfManyAccounts},
		{name: "FiguresOfManyYears", test: testFiguresOfManyYears},
		{name: "FiguresOneQueryAtATime", test: testFiguresOneQueryAtATime},
		{name: "FiguresAreOfOneInstant", test: testFiguresAreOfOneInstant, shared: true},
		{name: "ReadFiguresReturnsTheReadersErrors", test: testReadFiguresReturnsTheReadersErrors},
		{name: "ReadFiguresEndsWithTheContext", test: testReadFiguresEndsWithTheContext},
		{name: "KnownDays", test: testKnownDays},
		{name: "Holds", test: testHolds},
		{name: "RecordedTime", test: testRecordedTime},
		{name: "Changed", test: testChanged},
		{name: "ChangedByAnotherProcess", test: testChangedByAnotherProcess, shared: true},
		{name: "VersionOfOtherProcesses", test: testVersionOfOtherProcesses, shared: true},
		{name: "Delivery", test: testDelivery},
		{name: "PendingDaysApart", test: testPendingDaysApart},
		{name: "PendingInPortions", test: testPendingInPortions},
		{name: "DeliveryMovesForward", test: testDeliveryMovesForward},
		{name: "DeliveryOfALaterState", test: testDeliveryOfALaterState},
		{name: "DeliveryFails", test: testDeliveryFails},
		{name: "Resend", test: testResend},
		{name: "ResendInParts", test: testResendInParts},
		{name: "TwoProcesses", test: testTwoProcesses, shared: true},
		{name: "LoadBesideSave", test: testLoadBesideSave},
		{name: "WritersOfTheSameAccounts", test: testWritersOfTheSameAccounts, shared: true},
		{name: "InterruptedSaveStoresAllOrNothing", test: testInterruptedSaveStoresAllOrNothing},
		{name: "InterruptedLoad", test: testInterruptedLoad},
		{name: "InterruptedPrune", test: testInterruptedPrune},
		{name: "AKilledWriter", test: testAKilledWriter, shared: true},
		{name: "ABlockedWrite", test: testABlockedWrite, shared: true},
		{name: "ANewerSchema", test: testANewerSchema, shared: true},
		{name: "AMissingTable", test: testAMissingTable, shared: true},
	}
	for _, test := range tests {
		if test.shared && e.Alone {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, e)
		})
	}
	if e.Divided {
		runSharing(t, e)
	}
}

// runSharing tests how processes divide the work.
func runSharing(t *testing.T, e Engine) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Engine){
		"FairShares":              testFairShares,
		"FewSlots":                testFewSlots,
		"DifferentWork":           testDifferentWork,
		"Takeover":                testTakeover,
		"OnlyLostAccountsRefused": testOnlyLostAccountsAreRefused,
		"UseKeepsASlot":           testUseKeepsASlot,
		"LostWhileInUse":          testLostWhileInUse,
		"Duties":                  testDuties,
		"Trust":                   testTrust,
		"RandomMembers":           testRandomMembers,
		"MembersAtTheSameTime":    testMembersAtTheSameTime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// each runs a test with an open store, which reopen closes and opens again.
func each(t *testing.T, e Engine, test func(t *testing.T, s store.Store, reopen func() store.Store)) {
	t.Helper()
	place := e.New(t)
	s := place.Open(t)
	test(t, s, func() store.Store {
		if e.Alone {
			return s
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = place.Open(t)
		return s
	})
}
