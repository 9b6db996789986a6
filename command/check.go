package command

import (
	"errors"
	"fmt"

	"weixin_exporter/config"
)

// Check reads the configuration and says what is wrong with it: on stderr, one line for
// each fault. The returned error tells how many there are.
func Check(env Env, configFile string) error {
	cfg, err := config.Load(configFile)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			fmt.Fprintf(env.Stderr, "%v\n", f)
		}
		return fmt.Errorf("%s: faults: %d", configFile, len(faults))
	}
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings() {
		fmt.Fprintf(env.Stdout, "warning: %v\n", warning)
	}
	fmt.Fprintf(env.Stdout, "%s: no fault found; accounts: %d\n", configFile, len(cfg.Accounts))
	return nil
}
