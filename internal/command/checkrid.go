package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
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
	accounts, err := exporter.WeixinAccounts(cfg, env.Now)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ConfigFile, err)
	}
	logged, err := accounts[name].LookUp(ctx, c.RID)
	if err != nil {
		if failed, ok := errors.AsType[*weixin.Error](err); ok {
			return fmt.Errorf("account %q: %w: %s", name, err, failed.Advice())
		}
		return fmt.Errorf("account %q: %w", name, err)
	}
	if c.Output == "json" {
		return writeLoggedJSON(env, c, name, logged)
	}
	_, err = fmt.Fprintf(env.Stdout, "account:  %s\nrid:      %s\ntime:     %s, China time\ntook:     %s\nfrom:     %s\nquery:    %s\nrequest:  %s\nresponse: %s\n",
		name, c.RID, logged.At.In(datacube.China).Format("2006-01-02 15:04:05"), logged.Cost, logged.Address, logged.Query, logged.Request, logged.Response)
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
