package refresh

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

const (
	// dailyAttempts limits the failed attempts of each call of an account in a China day, whatever the causes and
	// even if it succeeds in between. Two an hour are plenty for figures that change once a day, and few enough for
	// Weixin and the quotas when thousands of accounts fail all day. The second half is spread over the rest of
	// the day.
	dailyAttempts = 48
	// mostAttempts is the limit if reloads keep ending holds.
	mostAttempts = 2 * dailyAttempts
	// addressEvery is the minimum time between two releases of accounts whose address was refused, because hosts with
	// several addresses use a different one each time.
	addressEvery = 10 * time.Minute
	// recentHold is how long after its end a hold is restored, so that a restart then does not make the problem a new one
	// and its next attempts more frequent.
	recentHold = time.Hour
	saltLength = 16
)

// spread counts a failed attempt and returns the time of the next one, which is not before next.
func (s *callState) spread(now, next time.Time) time.Time {
	today := datacube.DateOf(now)
	if s.date != today {
		s.date, s.attempts = today, 0
	}
	s.attempts++
	midnight := today.End().Add(pastMidnight)
	left := dailyAttempts - s.attempts
	switch {
	case next.After(midnight):
		return next
	case left <= 0:
		return midnight
	case left < dailyAttempts/2:
		if even := now.Add(midnight.Sub(now) / time.Duration(left+1)); even.After(next) {
			return even
		}
	}
	return next
}

// fingerprint returns a salted hash of the account's app id and credentials. If salt is too short, it creates one.
func (a Account) fingerprint(salt []byte) []byte {
	if len(salt) < saltLength {
		salt = make([]byte, saltLength)
		_, _ = rand.Read(salt) // never fails
	}
	salt = salt[:saltLength]
	hash := hmac.New(sha256.New, salt)
	hash.Write([]byte(a.AppID + "\n" + a.Credentials.Reveal()))
	return hash.Sum(append(make([]byte, 0, saltLength+sha256.Size), salt...))
}

// holdDetail is the part of a hold that the store keeps as JSON: what to show, and the cause.
type holdDetail struct {
	Cause   snapshot.Cause `json:"cause"`
	Purpose Purpose        `json:"purpose"`
	Since   time.Time      `json:"since"`
	Text    string         `json:"text"`
	// Advice is zero in details that an earlier version has stored, which had its text instead.
	Advice weixin.Advice `json:"what_to_do,omitzero"`
}

// markHoldUnsaved notes that the account's hold must be stored.
func (r *Refresher) markHoldUnsaved(a *account, api datacube.API) {
	a.calls[api].holdUnsaved = true
	r.unsavedHolds[a] = struct{}{}
}

// heldRecords returns the holds that must be stored.
func (r *Refresher) heldRecords() []store.Hold {
	var holds []store.Hold
	for a := range r.unsavedHolds {
		for api := range a.calls {
			state := &a.calls[api]
			if !state.holdUnsaved {
				continue
			}
			h := store.Hold{
				AppID: a.AppID, API: datacube.API(api), Since: a.holds[api].since, Until: a.holds[api].until,
				Date: state.date, Attempts: state.attempts, Fingerprint: a.fingerprint(nil), Detail: "{}",
			}
			detail := holdDetail{Cause: a.holds[api].cause, Purpose: state.purpose}
			if t := a.shown.Work[api].Problem; t != nil {
				detail.Since, detail.Text, detail.Advice = t.Since, t.Text, t.Advice
			}
			if text, err := json.Marshal(detail); err == nil {
				h.Detail = string(text)
			}
			holds = append(holds, h)
		}
	}
	return holds
}

// saveHolds stores holds, so that they survive a restart.
func (r *Refresher) saveHolds() {
	if len(r.unsavedHolds) == 0 || r.storeFailing() {
		return
	}
	r.holdsSaved(r.storeHolds())
}

// storeHolds stores the unsaved holds, and drops those of accounts that another process has taken over.
func (r *Refresher) storeHolds() error {
	current := r.slots.current()
	for a := range r.unsavedHolds {
		if r.slots.isOver(&a.baseAccount, &current) {
			delete(r.unsavedHolds, a)
		}
	}
	for {
		err := r.holds.SaveHolds(r.runCtx, r.heldRecords())
		lost := notOwned(err)
		dropped := 0
		for a := range r.unsavedHolds {
			if slices.Contains(lost, a.AppID) {
				delete(r.unsavedHolds, a)
				r.slots.refuse(&a.baseAccount)
				dropped++
			}
		}
		if dropped == 0 {
			return err
		}
		r.logTakenOver(dropped)
	}
}

func (r *Refresher) holdsSaved(err error) {
	if err != nil {
		r.storeFailed(err)
		return
	}
	for a := range r.unsavedHolds {
		for api := range a.calls {
			a.calls[api].holdUnsaved = false
		}
	}
	clear(r.unsavedHolds)
}

// restore restores holds from before a restart, except for accounts whose credentials have changed, which are tried
// at once.
func (r *Refresher) restore(holds []store.Hold, added map[string]bool) {
	now := r.now()
	for _, h := range holds {
		a := r.accounts[h.AppID]
		if a == nil || !added[h.AppID] || !hmac.Equal(h.Fingerprint, a.fingerprint(h.Fingerprint)) {
			continue
		}
		state := &a.calls[h.API]
		state.date, state.attempts = h.Date, h.Attempts
		var detail holdDetail
		if json.Unmarshal([]byte(h.Detail), &detail) != nil || now.Sub(h.Until) >= recentHold || isAhead(h.Since, now) || detail.Cause.Reason >= snapshot.Reasons {
			continue
		}
		f := failure{err: errors.New(detail.Text), reason: detail.Cause.Reason, cause: detail.Cause, policy: policies[detail.Cause.Reason], advice: detail.Advice}
		if !slices.Contains(weixin.AdviceCodes(), f.advice.Code) {
			f.advice = f.reason.Advice() // an earlier or a later version stored the detail
			if f.cause.Code != 0 {
				f.advice = weixin.AdviceOn(f.cause.Code)
				f.advice.Address = f.cause.Address
			}
		}
		a.holds[h.API] = hold{since: h.Since, until: h.Until, reason: f.reason, cause: f.cause}
		if f.backsOff() {
			a.retries[h.API] = newRetries()
			for range min(h.Attempts, 10) {
				a.retries[h.API].NextBackOff()
			}
		}
		a.change()
		if detail.Text == "" {
			continue // held because of the other call
		}
		work := &a.shown.Work[h.API]
		work.Succeeded = false
		work.Failures[f.reason]++ // so that alerts on it survive the restart
		work.Problem = f.problem(detail.Since, h.Since, h.Until)
		call := Call{API: h.API, Purpose: detail.Purpose}
		r.causes.fail(&state.group, failedCall{a, call, f, h.Until}, now)
	}
}

// releaseOtherAddresses ends the holds of accounts for which a different address was refused: the host now uses a
// new one, which may be allowed.
func (r *Refresher) releaseOtherAddresses(f failure, now time.Time) {
	address := f.cause.Address
	if f.reason != weixin.AllowList || address == "" || !reached(r.nextRelease, now, addressEvery) {
		return
	}
	for _, a := range r.ordered {
		for api := range a.calls {
			held := &a.holds[api]
			if held.cause.Address == "" || held.cause.Address == address || !now.Before(held.ends(now)) {
				continue
			}
			*held = hold{}
			r.nextRelease = now.Add(addressEvery)
			r.nextPlan = now // which plans all accounts
		}
	}
}

// loadHolds returns the stored holds of the accounts that are new in c and whose calls this process makes, and the set of
// their app ids.
func (r *Refresher) loadHolds(c Config) ([]store.Hold, map[string]bool, error) {
	var appIDs []string
	added := map[string]bool{}
	for _, a := range c.Accounts {
		if r.accounts[a.AppID] == nil && r.slots.isReady(store.SlotOf(a.AppID)) {
			appIDs, added[a.AppID] = append(appIDs, a.AppID), true
		}
	}
	if len(appIDs) == 0 {
		return nil, nil, nil
	}
	holds, err := r.holds.Holds(r.runCtx, appIDs...)
	return holds, added, err
}
