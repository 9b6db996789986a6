package web_test

import (
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

func TestHealthPage(t *testing.T) {
	s, _ := newPages(t)
	quota := refused("quota", 45009, weixin.Quota, false)
	quota.Work[datacube.Daily].Quota = &weixin.CallQuota{Limit: 500, Used: 500}
	quota.Work[datacube.Daily].Problem.Next = now().Add(14 * time.Hour)
	s.publish(quota, &snapshot.Account{Name: "other"})
	s.options.Status = func() web.Status {
		return web.Status{
			Started: now().Add(-50 * time.Hour), Queue: web.Queue{Underway: 4, Ready: 12, Waiting: 9_984, Next: now().Add(time.Minute)},
			CallsDate: yesterday() + 1,
			Calls: []web.Calls{
				{API: "daily", Errcode: "0", Number: 9_000}, {API: "daily", Errcode: "48001", Number: 27}, {API: "daily", Errcode: "99999", Number: 1},
				{API: "token", Errcode: "http", Number: 3}, {API: "new", Errcode: "odd", Number: 1},
			},
			Store:     web.StoreStatus{Engine: "SQLite", Path: "/data/weixin_exporter.db", Bytes: 73_400_320, LastWrite: now().Add(-9 * time.Minute)},
			Receivers: []web.Receiver{{Label: "b:9090", Pending: 12_345, LastSuccess: now().Add(-time.Hour)}, {Label: "a:9090", LastSuccess: now()}, {Label: "c:9090", Pending: -1}, {Label: "d:9090", Pending: 5, LastSuccess: now()}},
			Config:    web.ConfigStatus{Since: now().Add(-3 * time.Hour), Fault: "config.yml:3:5: accounts[0].name: bad", FaultAt: now().Add(-time.Hour)},
		}
	}
	page := text(s.ask("GET", "/health").Body.String())
	for _, want := range []string{
		"Accounts being queried 4 Due 12 Waiting 9,984 Next call 10:01", "daily success 9,000", "daily Not verified, or no right to the statistics (48001) 27",
		"daily Unknown error (99999) 1", "access token no response, or an invalid one 3", "new odd 1",
		"quota daily 500 of 500 used 11-30 00:00", "quota hourly –", "Engine SQLite Where /data/weixin_exporter.db Size 70.0 MB Last write 9 minutes ago",
		"a:9090 up to date 0 0 seconds ago b:9090 behind; see the log 12,345 60 minutes ago c:9090 starting – none yet d:9090 sending 5",
		"In force since 07:00", "The reload at 09:00 failed; the configuration before it stays in force config.yml:3:5: accounts[0].name: bad",
		"or POST to /-/reload.", "Version 1.2.3 Started 2 days ago",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	s.options.Lifecycle = false
	page = text(s.ask("GET", "/health?lang=zh").Body.String())
	for _, want := range []string{"接口分析数据（日） 未认证或没有接口分析权限（48001） 27", "已用 500 / 500", "需以 --web.enable-lifecycle 启动", "09:00 重新加载失败"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestHealthPageOfNothing(t *testing.T) {
	s := newSurface(t)
	page := text(s.ask("GET", "/health").Body.String())
	for _, want := range []string{"The store is being read.", "No call was made today", "No call has used up its quota.", "in memory; lost when the exporter stops", "No receiver is configured.", "In force since –"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	s.board.Publish(&snapshot.Snapshot{Store: &snapshot.Problem{Text: "the disk is full", Since: now(), Next: now(), OutlastsReload: true}})
	s.options.Status = func() web.Status { return web.Status{Queue: web.Queue{Next: now().Add(time.Minute)}} }
	if page := text(s.ask("GET", "/health").Body.String()); !strings.Contains(page, "The store cannot be written Make the database writable.") ||
		!strings.Contains(page, "the disk is full") || !strings.Contains(page, "Next call none until the store can be written") {
		t.Errorf("a store that fails:\n%s", page)
	}
	many := make([]*snapshot.Account, 60)
	for i := range many {
		many[i] = refused("a", 45009, weixin.Quota, false)
	}
	s.publish(many...)
	if page := text(s.ask("GET", "/health").Body.String()); !strings.Contains(page, "and 70 more") {
		t.Error("the list of calls without quota has no bound")
	}
}

func TestHealthPageOfSeveralExporters(t *testing.T) {
	s, _ := newPages(t)
	s.options.Status = func() web.Status {
		return web.Status{Store: web.StoreStatus{
			Engine: "PostgreSQL", Path: "postgres://db/x", OnServer: true,
			Sharing: &web.Sharing{
				Known: true, Wanted: 200, Owned: 67, Unowned: 3, Renewed: now().Add(-4 * time.Minute),
				Exporters: []web.SharingExporter{{Name: "one, process 1", Slots: 66}, {Name: "<two>", Self: true, Slots: 67}, {Name: "three", Slots: 64, Differs: true}},
			},
		}}
	}
	for lang, wanted := range map[string][]string{
		"en": {
			"Engine PostgreSQL Where postgres://db/x Slots of this exporter 67 of 200 Slots of no exporter 3 Renewed 4 minutes ago", "Exporters with this store",
			"one, process 1 66 –", "<two> 67 this one", "three 64 has other accounts in its configuration",
		},
		"zh": {"本机的槽位 67 / 200 无人负责的槽位 3 最近续期", "three 64 其配置中的账号与本机不同"},
	} {
		page := text(s.ask("GET", "/health?lang="+lang).Body.String())
		for _, want := range wanted {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q:\n%s", want, page)
			}
		}
	}
	s.options.Status = func() web.Status {
		return web.Status{Store: web.StoreStatus{OnServer: true, Sharing: &web.Sharing{Wanted: 0, Renewed: now().Add(-time.Minute)}}}
	}
	for lang, want := range map[string]string{
		"en": "Slots of this exporter none, because they were not renewed in time; see the log Renewed 60 seconds ago",
		"zh": "本机的槽位 无，因为未能及时续期，见日志 最近续期",
	} {
		if page := text(s.ask("GET", "/health?lang="+lang).Body.String()); !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
}
