package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

const healthPath = "/health"

// healthView is what the template of the page about the exporter shows.
type healthView struct {
	*page
	Ready     bool
	Notices   []groupView
	Status    Status
	Queue     []fact
	Calls     []callsRow
	CallsDate string
	Quota     []quotaRow
	MoreQuota string
	Store     []fact
	Exporters []exporterRow
	Receivers []receiverRow
	Config    []fact
	Fault     string
	Program   []fact
	Lifecycle bool
}

type callsRow struct {
	API, Outcome, Number string
	Bad                  bool
}

type quotaRow struct{ Name, URL, API, Said, Until string }

type exporterRow struct {
	Name, Slots, Note string
	Bad               bool
}

type receiverRow struct {
	Label, State, Pending, Success string
	Failing                        bool
}

func (r *renderer) serveHealth(w http.ResponseWriter, request *http.Request) {
	p := r.newPage(request, "health", healthPath[1:])
	p.Title = p.T("health.title") + " – weixin_exporter"
	v := healthView{page: p, Notices: p.notices(), Lifecycle: r.Lifecycle}
	if r.Status != nil {
		v.Status = r.Status()
	}
	if s := r.Source.Load(); s != nil {
		v.Ready = true
		if s.Store != nil {
			v.Notices = append(v.Notices, p.storeNotice(s.Store))
		}
		v.quota(s)
		v.queue(s.Store != nil)
	} else {
		v.queue(false)
	}
	v.calls()
	v.store()
	v.receivers()
	v.config()
	v.Program = []fact{{Name: v.T("health.version"), Value: v.Version()}, v.since("health.started", v.Status.Started.IsZero(), func() fact {
		return fact{Value: v.T("fact.fresh.ago", v.Now.Sub(v.Status.Started)), Time: stamp(v.Status.Started)}
	})}
	r.write(w, p, http.StatusOK, v)
}

// since returns a fact about a time, or that it is not known.
func (v *healthView) since(key string, unknown bool, known func() fact) fact {
	f := fact{Value: dash}
	if !unknown {
		f = known()
	}
	f.Name = v.T(key)
	return f
}

// queue shows what is due. While the store cannot be written no call is made, whenever one is due.
func (v *healthView) queue(paused bool) {
	q := v.Status.Queue
	v.Queue = []fact{
		{Name: v.T("health.queue.underway"), Value: v.Number(int64(q.Underway))},
		{Name: v.T("health.queue.ready"), Value: v.Number(int64(q.Ready))},
		{Name: v.T("health.queue.waiting"), Value: v.Number(int64(q.Waiting))},
		v.since("health.queue.next", q.Next.IsZero() && !paused, func() fact {
			switch {
			case paused:
				return fact{Value: v.T("health.queue.paused")}
			case !q.Next.After(v.Now):
				return fact{Value: v.T("health.queue.now")}
			}
			return fact{Value: v.Clock(q.Next, v.Now), Time: stamp(q.Next)}
		}),
	}
}

func (v *healthView) calls() {
	if v.Status.CallsDate != 0 {
		v.CallsDate = v.Status.CallsDate.String()
	}
	for _, c := range v.Status.Calls {
		row := callsRow{API: v.apiName(c.API), Outcome: v.T("outcome.0"), Number: v.Number(c.Number), Bad: c.Errcode != "0"}
		switch c.Errcode {
		case "0":
		case "http":
			row.Outcome = v.T("outcome.http")
		default:
			row.Outcome = v.outcome(c.Errcode)
		}
		v.Calls = append(v.Calls, row)
	}
}

// outcome names an errcode with its meaning.
func (p *page) outcome(errcode string) string {
	code, err := strconv.Atoi(errcode)
	if err != nil {
		return errcode
	}
	return p.T("group.code", p.Message(i18n.Cause(weixin.AdviceOn(code))), errcode)
}

func (p *page) apiName(api string) string {
	if key := "api." + api; p.Has(key) {
		return p.T(key)
	}
	return api
}

// quota lists the calls that wait for the next day's quota.
func (v *healthView) quota(s *snapshot.Snapshot) {
	more := 0
	for _, a := range s.Accounts {
		for api := range datacube.APIs {
			t := a.Work[api].Problem
			if t == nil || t.Cause.Reason != weixin.Quota {
				continue
			}
			if len(v.Quota) == perPage {
				more++
				continue
			}
			row := quotaRow{Name: a.Name, URL: v.accountURL(a.Name), API: v.apiName(api.String()), Until: v.Clock(t.Next, v.Now)}
			if q := a.Work[api].Quota; q != nil {
				row.Said = v.T("health.quota.used", q.Used, q.Limit)
			}
			v.Quota = append(v.Quota, row)
		}
	}
	if more > 0 {
		v.MoreQuota = v.T("health.quota.more", int64(more))
	}
}

func (v *healthView) store() {
	s := v.Status.Store
	v.Store = []fact{{Name: v.T("health.store.engine"), Value: cmp.Or(s.Engine, dash)}}
	if s.OnServer {
		v.Store = append(v.Store, fact{Name: v.T("health.store.file"), Value: s.Path})
		v.sharing()
		return
	}
	if s.Path == "" {
		v.Store = append(v.Store, fact{Name: v.T("health.store.file"), Value: v.T("health.store.memory")})
	} else {
		v.Store = append(v.Store, fact{Name: v.T("health.store.file"), Value: s.Path}, fact{Name: v.T("health.store.size"), Value: v.Bytes(s.Bytes)})
	}
	v.Store = append(v.Store, v.since("health.store.written", s.LastWrite.IsZero(), func() fact {
		return fact{Value: v.T("fact.fresh.ago", v.Now.Sub(s.LastWrite)), Time: stamp(s.LastWrite)}
	}))
}

// sharing shows which exporters are alive and how they divide the accounts.
func (v *healthView) sharing() {
	s := v.Status.Store.Sharing
	if s == nil {
		return
	}
	own := fact{Name: v.T("health.slots"), Value: v.T("health.slots.owned", s.Owned, s.Wanted)}
	if !s.Known {
		own.Value, own.Bad = v.T("health.slots.ended"), true
	}
	v.Store = append(v.Store, own)
	if s.Unowned > 0 {
		v.Store = append(v.Store, fact{Name: v.T("health.slots.unowned"), Value: v.Number(int64(s.Unowned))})
	}
	v.Store = append(v.Store, v.since("health.slots.renewed", s.Renewed.IsZero(), func() fact {
		return fact{Value: v.T("fact.fresh.ago", v.Now.Sub(s.Renewed)), Time: stamp(s.Renewed)}
	}))
	for _, e := range s.Exporters[:min(perPage, len(s.Exporters))] {
		row := exporterRow{Name: e.Name, Slots: v.Number(int64(e.Slots))}
		switch {
		case e.Self:
			row.Note = v.T("health.exporters.self")
		case e.Differs:
			row.Note, row.Bad = v.T("health.exporters.differs"), true
		}
		v.Exporters = append(v.Exporters, row)
	}
}

// behindAfter is how long samples may be pending without any being accepted: more than a pause between attempts.
const behindAfter = 15 * time.Minute

func (v *healthView) receivers() {
	for _, e := range v.Status.Receivers {
		row := receiverRow{Label: e.Label, State: v.T("health.remote.ok"), Pending: dash, Success: v.T("fact.fresh.never")}
		if e.Pending >= 0 {
			row.Pending = v.Number(e.Pending)
		}
		if !e.LastSuccess.IsZero() {
			row.Success = v.T("fact.fresh.ago", v.Now.Sub(e.LastSuccess))
		}
		switch {
		case e.Pending < 0:
			row.State = v.T("health.remote.starting")
		case e.Pending > 0 && v.Now.Sub(e.LastSuccess) > behindAfter && v.Now.Sub(v.Status.Started) > behindAfter:
			row.State, row.Failing = v.T("health.remote.behind"), true
		case e.Pending > 0:
			row.State = v.T("health.remote.sending")
		}
		v.Receivers = append(v.Receivers, row)
	}
	slices.SortStableFunc(v.Receivers, func(a, b receiverRow) int { return cmp.Compare(a.Label, b.Label) })
}

func (v *healthView) config() {
	c := v.Status.Config
	v.Config = []fact{v.since("health.config.since", c.Since.IsZero(), func() fact {
		return fact{Value: v.Clock(c.Since, v.Now), Time: stamp(c.Since)}
	})}
	if c.Fault != "" {
		v.Fault = v.T("health.config.fault", v.Clock(c.FaultAt, v.Now))
	}
}
