package command

import (
	"context"
	"errors"
	"fmt"

	"weixin_exporter/config"
	"weixin_exporter/doctor"
	"weixin_exporter/weixin"
)

// Checkup says what the check command is to do.
type Checkup struct {
	ConfigFile string
	// Online examines the accounts against Weixin, too.
	Online bool
	// Account is the name of the only account to examine; "" examines all.
	Account string
	// Output is "text" or "json"; it concerns Online alone.
	Output string
}

// Check reads the configuration and says what is wrong with it: on stderr, one line for
// each fault. Online it says the same of each account. The returned error tells how many
// faults or faulty accounts there are.
func Check(ctx context.Context, env Env, c Checkup) error {
	cfg, err := config.Load(c.ConfigFile)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			fmt.Fprintf(env.Stderr, "%v\n", f)
		}
		return fmt.Errorf("%s: faults: %d", c.ConfigFile, len(faults))
	}
	if err != nil {
		return err
	}
	notes := env.Stdout
	if c.Online && c.Output == "json" {
		notes = env.Stderr // standard output is for machines
	}
	for _, warning := range cfg.Warnings() {
		fmt.Fprintf(notes, "warning: %v\n", warning)
	}
	fmt.Fprintf(notes, "%s: no fault found; accounts: %d\n", c.ConfigFile, len(cfg.Accounts))
	if !c.Online {
		return nil
	}
	err = examine(ctx, env, c, cfg)
	if c.Account == "" && ctx.Err() == nil {
		err = oneFault(err, checkEndpoints(ctx, env, notes, cfg))
	}
	return err
}

// examine looks at the accounts online and writes what it found.
func examine(ctx context.Context, env Env, c Checkup, cfg *config.Config) error {
	patients, err := patientsOf(env, cfg, c.Account)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ConfigFile, err)
	}
	reports, err := doctor.Examine(ctx, patients, cfg.Weixin.Concurrency, env.Now)
	if err != nil {
		return err
	}
	if err := writeReports(env, reports, c.Output); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	faulty := 0
	for i := range reports {
		if !reports[i].Healthy() {
			faulty++
		}
	}
	if faulty > 0 {
		return fmt.Errorf("accounts with faults: %d of %d", faulty, len(reports))
	}
	return nil
}

// patientsOf returns the accounts to examine: the named one, or all.
func patientsOf(env Env, cfg *config.Config, name string) ([]doctor.Patient, error) {
	made := clients{now: env.Now, observe: func(weixin.Request) {}}
	if _, err := made.replace(cfg); err != nil {
		return nil, err
	}
	var patients []doctor.Patient
	for _, a := range cfg.Accounts {
		if name == "" || a.Name == name {
			patients = append(patients, doctor.Patient{
				Name: a.Name, AppID: a.AppID, Token: tokenOrigin(a.Token), Caller: made.kept.accounts[a.AppID].weixin,
			})
		}
	}
	if len(patients) == 0 {
		return nil, fmt.Errorf("no account has the name %q", name)
	}
	return patients, nil
}
