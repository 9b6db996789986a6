package i18n

// commandChinese has the texts of the other commands.
func commandChinese() table {
	return table{
		"backfill.column.account": only("账号"),
		"backfill.column.daily":   only("日数据调用次数"),
		"backfill.column.hourly":  only("分时数据调用次数"),
		"backfill.all":            only("合计"),
		"backfill.no_store":       only(`%[1]s: store.path 为 ""，不保存任何数据：请指定要补录的文件`),
		"backfill.plan":           only("%[1]s 至 %[2]s：需要 %[3]d 次调用，均未执行。"),
		"backfill.plan.takes":     only("weixin.requests_per_second = %[1]s 时至少需要 %[2]s；每个账号逐次调用，最多 %[3]d 个账号同时进行。"),
		"backfill.plan.most":      only("微信对每个账号每天每个接口的调用次数有限制，但未公布具体数值；此处单个账号最多需要 %[1]d 次。"),
		"backfill.summary":        only("%[1]s 至 %[2]s，%[3]d 个账号：成功调用 %[4]d 次，失败 %[5]d 次，剩余 %[6]d 次。"),
		"backfill.learned":        only("%[1]s：新获取 %[2]d 天，其中 %[3]d 天没有被动回复；%[4]d 天尚未发布"),
		"backfill.confirmed":      only("%[1]s：已知的 %[2]d 天重新获取并保存"),
		"backfill.damaged":        only("%[1]s：%[2]d 天未能补录：返回的数据无法解析，已有数据保持不变"),
		"backfill.revisions":      only("已知的 %[1]d 天数据有变化，已保存新数据"),
		"backfill.vanished":       only("%[1]d 天此前有数据，这次返回为空；已有数据保持不变"),
		"backfill.given_up":       only("%[1]s，%[2]s：剩余 %[3]d 次调用：%[4]s"),
		"backfill.stopped":        only("已停止；收到的数据均已保存；再次运行同一命令即可继续"),
		"backfill.failed":         only("%[2]d 个账号中有 %[1]d 个未能补录：%[3]s"),
		"backfill.quota":          only("%[2]d 个账号中有 %[1]d 个当日调用额度已用尽：%[3]s；请在北京时间零点后再次运行同一命令，或加上 --wait"),
		"backfill.pace":           only("每秒 %[1]s 次，剩余 %[2]s"),
		"backfill.pace.unknown":   only("每秒 %[1]s 次，剩余时间未知"),
		"backfill.waits":          only("等待至 %[1]s"),

		"export.no_store":   only(`%[1]s: store.path 为 ""：数据仅保存在内存中，没有可导出的内容`),
		"export.stopped":    only("%[1]s: 导出未完成即被停止"),
		"export.note":       only("%[1]s: 注意：以下账号不在配置中，以 AppID 作为名称：%[2]s"),
		"export.namesake":   only("%[1]s: 账号 %[2]s 的名称 %[3]s 是存储中另一账号的 AppID：请换一个名称"),
		"export.stdout":     only("导出到标准输出：%[1]s"),
		"export.no_room":    only("导出到标准输出：%[1]s；请将 TMPDIR 设为空间充足的目录，或用 --output 写入文件"),
		"export.failed":     only("导出到 %[1]s：%[2]s"),
		"export.incomplete": only("导出到 %[1]s：已读出的部分在 %[2]s：%[3]s"),

		"backup.server":   only("存储位于 PostgreSQL 数据库中：请用 pg_dump --schema=weixin_exporter 备份"),
		"backup.no_store": only(`%[1]s: store.path 为 ""：数据仅保存在内存中，没有可备份的内容`),
		"backup.stopped":  only("%[1]s: 备份未完成即被停止；%[2]s 保持原样"),
		"backup.failed":   only("将存储备份到 %[1]s：%[2]s"),
		"backup.done":     only("%[1]s: 已备份 %[2]s，共 %[3]d 字节"),

		"resend.no_store":    only(`%[1]s: store.path 为 ""：数据仅保存在内存中，下次启动时会全部重新发送`),
		"resend.no_file":     only("%[1]s: 存储不存在：%[2]s"),
		"resend.no_endpoint": only("%[1]s: remote_write 中没有接收端"),
		"resend.too_old":     only("%[1]s: 注意：%[2]s: %[3]s 之前的日期超过 max_age（%[4]s），不会发送"),
		"resend.nothing":     only("%[1]s: 没有需要重新发送的内容：这些日期都未曾发送或放弃"),
		"resend.days":        only("%[1]s: 将由 exporter 重新发送：各账号合计 %[2]d 天"),

		"demo.what":     only("模拟的微信，含 %[1]d 个账号和一个月的历史数据；%[2]s。"),
		"demo.local":    only("数据不会离开本机"),
		"demo.sent":     only("数据会发送到 %[1]s"),
		"demo.overview": only("总览"),
		"demo.metrics":  only("指标"),
		"demo.history":  only("历史"),
		"demo.grafana":  only("%[1]s（在 Grafana 中作为 Prometheus 类型的数据源）"),
		"demo.stop":     only("按 Ctrl-C 停止；不会写入任何文件。"),
	}
}
