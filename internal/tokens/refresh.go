package tokens

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"weixin_exporter/internal/seal"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

const (
	// lockLife is how long the lock of a command that has died lasts; that of an exporter ends with its slots. It must be longer
	// than an exchange.
	lockLife = 30 * time.Second
	// lockMargin is how much less than that the holder trusts it.
	lockMargin = 5 * time.Second
	// lockWait bounds how long Lock waits for another process.
	lockWait = 20 * time.Second
	// lockCheck is how often it is checked whether a lock lasts.
	lockCheck = time.Second
	// firstInterval and lastInterval are the times between two attempts, which double.
	firstInterval = 10 * time.Millisecond
	lastInterval  = 320 * time.Millisecond
	// unlockTime bounds how long ending a lock may take.
	unlockTime = 5 * time.Second
	// maxSeeds bounds how many seeds are remembered. Each needs a new authorization by a person.
	maxSeeds = 100
)

// refresh is what is sealed of a refresh token.
type refresh struct {
	Token plainText `json:"token"`
	// Seeds are hashes of the contents of files that were taken, the oldest one first. None of them is taken again.
	Seeds [][]byte `json:"seeds"`
}

func (r *refresh) knows(seed secret.Value) bool {
	hash := sha256.Sum256([]byte(seed.Reveal()))
	return slices.ContainsFunc(r.Seeds, func(known []byte) bool { return string(known) == string(hash[:]) })
}

// take makes a seed the token.
func (r *refresh) take(seed secret.Value) {
	hash := sha256.Sum256([]byte(seed.Reveal()))
	r.Token, r.Seeds = plainText{seed}, append(r.Seeds, hash[:])
	r.Seeds = r.Seeds[max(0, len(r.Seeds)-maxSeeds):]
}

// refreshTokens implements weixin.RefreshTokenStore.
type refreshTokens struct {
	keeper *Keeper
	key    store.TokenKey
	file   *weixin.RefreshTokenFile
	// owner is that of all locks, of which the caller has one at a time: so it need not wait for one that could not be ended.
	owner string
}

// Refresh returns the store of the refresh token of an account. The file is where an operator puts one: its content
// is taken if there is none in the store, and if it was never taken before. It is not changed. Lock must not be
// called before the unlock of the former one.
func (k *Keeper) Refresh(appID, file string) weixin.RefreshTokenStore {
	return &refreshTokens{k, store.TokenKey{AppID: appID, Kind: store.RefreshToken}, weixin.NewRefreshTokenFile(file), rand.Text()}
}

// Lock implements weixin.RefreshTokenStore.
func (r *refreshTokens) Lock(ctx context.Context) (context.Context, func(), error) {
	waiting, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	taken := false
	for interval := firstInterval; ; interval = min(2*interval, lastInterval) {
		locked, end := context.WithTimeout(ctx, lockLife-lockMargin) // from before the lock begins
		lasts, err := r.keeper.Store.LockToken(waiting, r.key, r.owner, lockLife)
		if err == nil && lasts != nil {
			go endAfter(locked, lasts, end)
			return locked, func() { end(); r.unlock(ctx) }, nil
		}
		end()
		if err != nil && waiting.Err() == nil {
			return nil, nil, faulty(err)
		}
		taken = taken || err == nil
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
			continue
		case <-waiting.Done():
			timer.Stop()
		}
		r.unlock(ctx) // the answer to the last attempt may have been lost
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case !taken:
			return nil, nil, faulty(err) // there was no answer at all
		}
		return nil, nil, &weixin.RefreshTokenError{Fault: weixin.RefreshTokenLocked, Err: errors.New("another process is exchanging the refresh token")}
	}
}

// endAfter calls end when a lock may have ended, unless the context does so before.
func endAfter(ctx context.Context, lasts store.Lasts, end func()) {
	for left := lasts(); left > 0; left = lasts() {
		// Timers stop while the machine is suspended.
		timer := time.NewTimer(min(left, lockCheck))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
	end()
}

// unlock ends the lock, even after the end of the call. If that fails again and again, others wait until it ends by itself.
func (r *refreshTokens) unlock(call context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(call), unlockTime)
	defer cancel()
	for interval := firstInterval; r.keeper.Store.UnlockToken(ctx, r.key, r.owner) != nil; interval = min(2*interval, lastInterval) {
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
		case <-call.Done(): // an end of the process need not wait
		}
		timer.Stop()
		return
	}
}

// Load implements weixin.RefreshTokenStore. It also seals the token again if its key is not the first one any more.
func (r *refreshTokens) Load(ctx context.Context) (secret.Value, error) {
	seed, seedErr := r.file.Load(ctx)
	for range replacements {
		var known refresh
		row, current, err := r.keeper.load(ctx, r.key, &known)
		if err != nil {
			return secret.Value{}, faulty(err)
		}
		switch {
		case known.Token.IsZero() && seedErr != nil:
			return secret.Value{}, fmt.Errorf("the database has none, and %w", seedErr)
		case seedErr == nil && !known.knows(seed):
			known.take(seed)
		case current:
			return known.Token.Value, nil
		}
		done, err := r.keeper.replace(ctx, r.key, row, &known, 0)
		if err != nil {
			return secret.Value{}, faulty(err)
		}
		if done {
			return known.Token.Value, nil
		}
	}
	return secret.Value{}, errContended()
}

// Save implements weixin.RefreshTokenStore.
func (r *refreshTokens) Save(ctx context.Context, used, successor secret.Value) error {
	for range replacements {
		var known refresh
		row, _, err := r.keeper.load(ctx, r.key, &known)
		switch {
		case err != nil:
			return faulty(err)
		case known.Token.Equal(successor):
			return nil
		case known.Token.IsZero(): // someone has deleted it
			known.take(used)
		case !known.Token.Equal(used):
			return &weixin.RefreshTokenError{Fault: weixin.RefreshTokenReplaced, Err: errors.New("the database has another refresh token by now")}
		}
		known.Token = plainText{successor}
		if done, err := r.keeper.replace(ctx, r.key, row, &known, 0); done || err != nil {
			return faulty(err)
		}
	}
	return errContended()
}

func errContended() error {
	return &weixin.RefreshTokenError{Fault: weixin.RefreshTokenLocked, Err: errors.New("other processes keep replacing the refresh token")}
}

// faulty says what is known of an error; nil if it is nil.
func faulty(err error) error {
	if err == nil {
		return nil
	}
	_, unknown := errors.AsType[*seal.UnknownKeyError](err)
	_, sealed := errors.AsType[*sealedError](err)
	if unknown || sealed {
		return &weixin.RefreshTokenError{Fault: weixin.RefreshTokenSealed, Err: err}
	}
	return &weixin.RefreshTokenError{Fault: weixin.RefreshTokenDatabase, Err: err}
}
