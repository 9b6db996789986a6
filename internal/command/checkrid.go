package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin"
)

// lookUp prints the request that Weixin answered with the rid.
func lookUp(ctx context.Context, env Env, c CheckOptions, cfg *config.Config) error {
	name := c.Account
	if name == "" {
		if len(cfg.Accounts) > 1 {
			return fmt.Errorf("--rid: %w: name the account whose request it was with --account; Weixin shows it to no other", exporter.ErrUsage)
		}
		name = cfg.Accounts[0].Name
	}
	shared, closeTokens := shareTokens(env, cfg)
	defer closeTokens()
	accounts, err := exporter.WeixinAccounts(cfg, env.Now, shared)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ConfigFile, err)
	}
	logged, err := accounts[name].LookUp(ctx, c.RID)
	if err != nil {
		if failed, ok := errors.AsType[*weixin.Error](err); ok {
			return i18n.Errorf("rid.advice", strconv.Quote(name), err, i18n.Advice(failed.Advice()))
		}
		return i18n.Errorf("rid.failed", strconv.Quote(name), err)
	}
	if c.Output == "json" {
		return writeLoggedJSON(env, c, name, logged)
	}
	return writeLogged(env, c, name, logged)
}

// writeLogged prints a line for each thing that Weixin has logged, aligned on a terminal.
func writeLogged(env Env, c CheckOptions, name string, r weixin.LoggedRequest) error {
	p := env.Texts
	lines := []struct{ label, value string }{
		{p.Text("rid.account"), name},
		{p.Text("rid.rid"), c.RID},
		{p.Text("rid.time"), p.Text("rid.china_time", r.At)},
		{p.Text("rid.took"), r.Cost.String()},
		{p.Text("rid.from"), r.Address},
		{p.Text("rid.query"), r.Query},
		{p.Text("rid.request"), r.Request},
		{p.Text("rid.response"), r.Response},
	}
	width := 0
	for _, l := range lines {
		width = max(width, runewidth.StringWidth(l.label))
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s\n", runewidth.FillRight(l.label, width), l.value)
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}

func writeLoggedJSON(env Env, c CheckOptions, name string, r weixin.LoggedRequest) error {
	encoder := json.NewEncoder(env.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		Account string  `json:"account"`
		RID     string  `json:"rid"`
		Time    string  `json:"time"`
		Seconds float64 `json:"seconds"`
		Address string  `json:"address"`
		Query   string  `json:"query"`
		Request string  `json:"request"`
		Answer  string  `json:"response"`
	}{name, c.RID, r.At.UTC().Format(time.RFC3339), r.Cost.Seconds(), r.Address, r.Query, r.Request, r.Response})
}
