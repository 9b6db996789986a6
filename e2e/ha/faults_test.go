package ha_test

import (
	"syscall"
	"time"
)

// lease is how long an exporter that does not renew its slots keeps others from claiming them: less than in practice, so
// that a round does not take long.
const lease = 5 * time.Second

// episode is a fault under way.
type episode struct {
	// victims are the members that lose their slots without handing them back.
	victims []int
	// heal ends the fault.
	heal func()
	// alone means that the other members must complete the day before the fault ends.
	alone bool
	// quiet means that every exporter runs and reaches the database, so that no token is requested twice.
	quiet bool
	circumstances
}

// fault is something that happens to a fleet.
type fault struct {
	name   string
	strike func(*fleet) episode
}

func faults() []fault {
	return []fault{
		{"nothing", func(*fleet) episode { return episode{heal: func() {}, quiet: true} }},
		{"kill", kill},
		{"kill of two", killTwo},
		{"kill and start", func(f *fleet) episode { e := kill(f); e.alone = false; return e }},
		{"stop", stop},
		{"stop and start", func(f *fleet) episode { e := stop(f); e.alone = false; return e }},
		{"suspension", suspend},
		{"short suspension", suspendBriefly},
		{"partition", partition},
		{"short partition", partitionBriefly},
		{"broken connections", breakConnections},
		{"crash of PostgreSQL", crashPostgres},
		{"restart of the pooler", restartPooler},
		{"clock set", setClock},
		{"reload", reload},
	}
}

// victim returns any member.
func (f *fleet) victim() *member { return f.members[f.random.IntN(members)] }

// upTo returns any time up to a longest one.
func (f *fleet) upTo(longest time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(longest)))
}

func kill(f *fleet) episode {
	m := f.victim()
	m.exporter.Kill()
	return episode{victims: []int{m.index}, heal: func() { f.start(m) }, alone: true}
}

func killTwo(f *fleet) episode {
	survivor := f.random.IntN(members)
	var e episode
	for _, m := range f.members {
		if m.index != survivor {
			m.exporter.Kill()
			e.victims = append(e.victims, m.index)
		}
	}
	e.alone = true
	e.heal = func() {
		for _, index := range e.victims {
			f.start(f.members[index])
		}
	}
	return e
}

func stop(f *fleet) episode {
	m := f.victim()
	m.exporter.Stop(f.t)
	return episode{heal: func() { f.start(m) }, alone: true, circumstances: circumstances{stopped: []int{m.index}}}
}

func suspend(f *fleet) episode {
	m := f.victim()
	m.exporter.Send(f.t, syscall.SIGSTOP)
	return episode{victims: []int{m.index}, heal: func() { m.exporter.Send(f.t, syscall.SIGCONT) }, alone: true}
}

func suspendBriefly(f *fleet) episode {
	m := f.victim()
	m.exporter.Send(f.t, syscall.SIGSTOP)
	// On a slow machine it lasts longer than the lease.
	return episode{victims: []int{m.index}, heal: func() {
		pause(f.t, f.upTo(lease/2))
		m.exporter.Send(f.t, syscall.SIGCONT)
	}}
}

func partition(f *fleet) episode {
	m := f.victim()
	m.proxy.Silence()
	return episode{victims: []int{m.index}, heal: m.proxy.Resume, alone: true}
}

func partitionBriefly(f *fleet) episode {
	m := f.victim()
	m.proxy.Silence()
	// A renewal may be due when it begins, and connections end late.
	return episode{victims: []int{m.index}, heal: func() {
		pause(f.t, f.upTo(lease/2))
		m.proxy.Resume()
	}}
}

func breakConnections(f *fleet) episode {
	f.victim().proxy.Break()
	return episode{heal: func() {}}
}

func crashPostgres(f *fleet) episode {
	if err := f.postgres.Kill(); err != nil {
		f.t.Fatal(err)
	}
	return episode{victims: f.all(), heal: func() {
		pause(f.t, f.upTo(lease+lease/3))
		if err := f.postgres.Run(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}}
}

// restartPooler does the same as breaking all connections if there is no pooler.
func restartPooler(f *fleet) episode {
	if f.pooler == nil {
		for _, m := range f.members {
			m.proxy.Break()
		}
		return episode{heal: func() {}}
	}
	if err := f.pooler.Kill(); err != nil {
		f.t.Fatal(err)
	}
	return episode{heal: func() {
		pause(f.t, f.upTo(lease/2))
		if err := f.pooler.Run(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}}
}

func setClock(f *fleet) episode {
	m := f.victim()
	skew := f.skew()
	m.clock.Set(f.t, skew-m.skew)
	m.skew = skew
	return episode{heal: func() {}, quiet: true}
}

func reload(f *fleet) episode {
	for _, m := range f.members {
		m.exporter.Send(f.t, syscall.SIGHUP)
	}
	return episode{heal: func() {}, quiet: true, circumstances: circumstances{forgiven: true}}
}

// all returns all members.
func (f *fleet) all() []int {
	var all []int
	for _, m := range f.members {
		all = append(all, m.index)
	}
	return all
}
