package store_test

import (
	"slices"
	"testing"

	"weixin_exporter/internal/store"
)

// TestSlotOf: processes of different versions must agree, so the slots of these app IDs must never change.
func TestSlotOf(t *testing.T) {
	t.Parallel()
	for appID, want := range map[string]int{"wx0000000000000001": 4, "wx0000000000000002": 141, "": 153} {
		if got := store.SlotOf(appID); got != want {
			t.Errorf("%q: slot %d, want %d", appID, got, want)
		}
	}
}

func TestSlotSet(t *testing.T) {
	t.Parallel()
	var s store.SlotSet
	for _, slot := range []int{255, 0, 63, 64, 64} {
		s.Add(slot)
	}
	s.Remove(63)
	s.Remove(63)
	if got, want := slices.Collect(s.All()), []int{0, 64, 255}; !slices.Equal(got, want) || s.Len() != len(want) {
		t.Errorf("%v (%d), want %v", got, s.Len(), want)
	}
	if !s.Has(255) || s.Has(63) || s.Has(1) {
		t.Error("Has disagrees with All")
	}
	all := store.AllSlots()
	if all.Len() != store.Slots {
		t.Errorf("%d slots in all, want %d", all.Len(), store.Slots)
	}
	for slot := range s.All() {
		if slot != 0 {
			t.Errorf("All continued after the end with %d", slot)
		}
		break
	}
}

func TestWorkOf(t *testing.T) {
	t.Parallel()
	one, other := store.WorkOf("wx2", "wx1"), store.WorkOf("wx1", "wx2")
	if one != other {
		t.Error("the order of the accounts matters")
	}
	if !one.Slots.Has(store.SlotOf("wx1")) || !one.Slots.Has(store.SlotOf("wx2")) || one.Slots.Len() > 2 {
		t.Errorf("slots %v", slices.Collect(one.Slots.All()))
	}
	if store.WorkOf("wx1").Accounts == one.Accounts {
		t.Error("different accounts look the same")
	}
}

// TestAlone: who works alone owns all slots, and nothing says that the store is shared.
func TestAlone(t *testing.T) {
	t.Parallel()
	var s store.Sharing = store.Alone{}
	s.Want(store.Work{})
	if err := s.KeepSlots(t.Context()); err != nil {
		t.Error(err)
	}
	for slot, epoch := range s.Owned() {
		release, ok := s.Use(slot)
		if epoch == 0 || !ok {
			t.Fatalf("slot %d is not owned", slot)
		}
		release()
	}
	if s.Sharing().Shared {
		t.Error("it is shared")
	}
}
