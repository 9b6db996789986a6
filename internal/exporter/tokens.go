package exporter

import (
	"strings"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/internal/tokens"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// SharedTokens is where processes keep the tokens of accounts together. The zero value is for a store that no other
// machine can share.
type SharedTokens struct {
	store store.Tokens
	state *tokens.State
}

// ShareTokens returns the tokens that a command shares with exporters through the store of the configuration, which is
// opened when a token is needed, and a function that closes it. report is called if access tokens cannot be shared, and
// with nil if they can again.
func ShareTokens(cfg *config.Config, report func(error)) (SharedTokens, func() error) {
	if cfg.Store.Sealing() == nil {
		return SharedTokens{}, func() error { return nil }
	}
	kept, closeStore := engine.DeferTokens(cfg.Store)
	return SharedTokens{kept, tokens.NewState(report)}, closeStore
}

// LogTokens returns a function for ShareTokens that writes to a log.
func LogTokens(logger log.Logger) func(error) {
	return func(err error) {
		if err == nil {
			level.Info(logger).Log("msg", "access tokens are shared through the database again")
			return
		}
		level.Warn(logger).Log("msg", "access tokens cannot be shared through the database; this process goes on with its own", "err", err)
	}
}

// sharedTokens returns the tokens that this exporter shares with others through its open store.
func (x *exporter) sharedTokens(db store.Store) SharedTokens {
	report := LogTokens(x.Logger)
	return SharedTokens{engine.Tokens(db), tokens.NewState(func(err error) {
		if store.KindOf(err) != store.Unreachable { // recoverStore reports that
			report(err)
		}
	})}
}

// keeper returns what keeps the tokens of the accounts of a configuration; nil if they are not shared.
func (s SharedTokens) keeper(cfg *config.Config) *tokens.Keeper {
	keys := cfg.Store.Sealing()
	if s.store == nil || keys == nil {
		return nil
	}
	return tokens.New(tokens.Options{Store: s.store, Keys: keys, State: s.state})
}

// kept returns source with the tokens that other processes have got for the account, if they are shared.
func (s *sources) kept(a config.Account, source weixin.TokenSource) weixin.TokenSource {
	if s.keeper == nil {
		return source
	}
	obtained := []string{s.baseURL, string(a.Token.Type), a.Token.ComponentAppID, a.Secret().Reveal()}
	return s.api.KeptToken(source, s.keeper.Access(a.AppID, secret.New(strings.Join(obtained, "\n"))))
}

// refreshToken returns the store of the account's refresh token: the database if tokens are shared, or else the file.
func (s *sources) refreshToken(a config.Account) weixin.RefreshTokenStore {
	if s.keeper == nil {
		return weixin.NewRefreshTokenFile(a.Token.RefreshTokenFile)
	}
	return s.keeper.Refresh(a.AppID, a.Token.RefreshTokenFile)
}
