package command

import (
	"fmt"

	"weixin_exporter/config"
)

// Check reads the configuration and says what is wrong with it. The returned error lists
// all faults, one a line.
func Check(env Env, configFile string) error {
	cfg, err := config.Load(configFile)
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings() {
		fmt.Fprintf(env.Stdout, "warning: %v\n", warning)
	}
	fmt.Fprintf(env.Stdout, "%s: no fault found; accounts: %d\n", configFile, len(cfg.Accounts))
	return nil
}
