package i18n_test

import (
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/datacube"
)

func TestAccept(t *testing.T) {
	for header, want := range map[string]i18n.Language{
		"":                                      i18n.English,
		"en":                                    i18n.English,
		"zh":                                    i18n.Chinese,
		"zh-CN,zh;q=0.9,en;q=0.8":               i18n.Chinese,
		"zh-TW":                                 i18n.Chinese,
		"zh-Hant-HK,en;q=0.1":                   i18n.Chinese,
		"en-GB,en;q=0.9,zh;q=0.5":               i18n.English,
		"de-CH,de;q=0.9,zh-CN;q=0.5,en;q=0.1":   i18n.Chinese,
		"ja":                                    i18n.English,
		"*":                                     i18n.English,
		"zh;q=0":                                i18n.English,
		"not a header;;;":                       i18n.English,
		strings.Repeat("zh-CN,", 500) + "zh-CN": i18n.English,
	} {
		if got := i18n.Accept(header); got != want {
			t.Errorf("%.60q: %v, want %v", header, got, want)
		}
	}
}

func TestParseAndLocale(t *testing.T) {
	for name, want := range map[string]string{"en": "en", "zh": "zh", "zh-CN": "zh", "zh-Hant": "zh", "en-GB": "en", "ja": "", "": "", "x y": ""} {
		got, ok := i18n.Parse(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("Parse(%q) is %v, %v", name, got, ok)
		}
	}
	for name, want := range map[string]string{
		"zh_CN.UTF-8": "zh", "zh_TW": "zh", "en_US.UTF-8": "en", "C": "", "C.UTF-8": "", "POSIX": "", "": "", "zh_CN@pinyin": "zh", "fr_FR.UTF-8": "",
	} {
		got, ok := i18n.Locale(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("Locale(%q) is %v, %v", name, got, ok)
		}
	}
}

func TestFormats(t *testing.T) {
	c := catalogue(t)
	date, err := datacube.ParseDate("2026-11-28")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 29, 2, 15, 0, 0, time.UTC) // 10:15 in China
	for _, check := range []struct{ name, en, zh string }{
		{"numbers", "1,234,567", "1,234,567"},
		{"percent", "6.69%", "6.69%"},
		{"tiny percent", "<0.01%", "<0.01%"},
		{"no percent", "0.00%", "0.00%"},
		{"seconds", "0.088 s", "0.088 秒"},
		{"long date", "Saturday, 28 November 2026", "2026年11月28日 星期六"},
		{"short date", "28 Nov", "11月28日"},
		{"weekday", "Sat", "周六"},
		{"today", "10:15", "10:15"},
		{"another day", "11-30 00:01", "11-30 00:01"},
		{"another year", "2027-01-01 00:00", "2027-01-01 00:00"},
		{"a minute", "60 seconds", "60 秒"},
		{"minutes", "17 minutes", "17 分钟"},
		{"an hour and a half", "90 minutes", "90 分钟"},
		{"hours", "30 hours", "30 小时"},
		{"days", "3 days", "3 天"},
		{"before now", "0 seconds", "0 秒"},
		{"small size", "900 B", "900 B"},
		{"size", "3.5 MB", "3.5 MB"},
	} {
		for l, want := range []string{check.en, check.zh} {
			p := c.In(i18n.Language(l))
			got := map[string]string{
				"numbers": p.Number(1234567), "percent": p.Percent(0.06692), "tiny percent": p.Percent(0.000001), "no percent": p.Percent(0),
				"seconds": p.Seconds(0.0876), "long date": p.LongDate(date), "short date": p.ShortDate(date), "weekday": p.Weekday(date),
				"today": p.Clock(now, now), "another day": p.Clock(date.End().Add(24*time.Hour+time.Minute), now),
				"another year": p.Clock(time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC), now),
				"a minute":     p.Age(time.Minute), "minutes": p.Age(17*time.Minute + 59*time.Second), "an hour and a half": p.Age(90 * time.Minute),
				"hours": p.Age(30 * time.Hour), "days": p.Age(80 * time.Hour), "before now": p.Age(-time.Hour),
				"small size": p.Bytes(900), "size": p.Bytes(3_670_016),
			}[check.name]
			if got != want {
				t.Errorf("%s in %v: %q, want %q", check.name, p.Language, got, want)
			}
		}
	}
}
