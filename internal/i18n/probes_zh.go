package i18n

// probesChinese has the texts about probes of callbacks.
func probesChinese() table {
	return table{
		"nav.probes":         only("回调探测"),
		"column.now":         only("当前"),
		"now.answers":        only("正常，%[1]s"),
		"now.down":           only("异常：%[1]s"),
		"now.none":           only("未探测"),
		"now.label":          only("回调服务器当前状态："),
		"probes.title":       only("回调服务器探测"),
		"probes.of":          only("%[1]s 的回调服务器探测"),
		"probes.about":       only("Exporter 按微信验证服务器地址（URL）的方式请求回调服务器的结果。此处反映当前状态；其他页面的数据滞后一天。"),
		"probes.kept":        only("自 Exporter 启动起，保留最近 %[1]d 次探测，以及更早的 %[1]d 次失败。"),
		"probes.none":        only("尚无探测。Prometheus 每次抓取 /probe?account=NAME 时探测一次，抓取目标由 /sd?probes=1 提供。"),
		"probes.all":         only("全部账号"),
		"probes.caption":     only("探测记录，最近的在前"),
		"probes.failed":      only("失败：%[1]s"),
		"probes.succeeded":   only("正常"),
		"column.time":        only("时间"),
		"column.took":        only("耗时"),
		"column.log":         only("日志"),
		"probes.log":         only("日志"),
		"probe.dns":          only("域名解析失败"),
		"probe.connect":      only("无法连接"),
		"probe.tls":          only("TLS 或证书错误"),
		"probe.timeout":      only("响应超时"),
		"probe.status":       only("HTTP 状态码异常"),
		"probe.redirect":     only("被重定向"),
		"probe.signature":    only("签名被拒绝"),
		"probe.body":         only("未原样返回 echostr"),
		"probe.reply":        only("对消息的回复不合法"),
		"probe.address":      only("地址不允许连接"),
		"error.probe":        only("没有这次探测"),
		"error.probe.advice": only("它不在最近的探测中，也不在更早的失败记录中。"),
	}
}
