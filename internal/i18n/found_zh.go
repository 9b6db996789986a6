package i18n

// foundChinese has what a probe of a callback server finds.
func foundChinese() table {
	return table{
		"found.echo":            only("服务器原样返回了 echostr"),
		"found.message":         only("服务器原样返回了 echostr，对消息的回复也符合微信的要求"),
		"found.redirect":        only("服务器返回 HTTP 状态码 %[1]s，重定向到 %[2]s；微信要求直接响应，不会跟随重定向"),
		"found.address":         only("%[1]s 是云厂商元数据服务的地址或链路本地地址，不会是回调服务器；除非设置 callback.allow_metadata_address，否则不会连接"),
		"found.dns":             only("无法解析域名 %[1]s：%[2]s"),
		"found.timeout":         only("%[1]s 内未收到完整响应：仍在%[2]s"),
		"found.tls":             only("TLS 连接失败：%[1]s"),
		"found.ended":           only("%[1]s时连接中断：%[2]s"),
		"found.connect":         only("无法建立连接：%[1]s"),
		"found.refused":         only("服务器返回 HTTP 状态码 %[1]s：其 Token 与配置的不同，或请求被防火墙等前置设备拒绝；%[2]s"),
		"found.status":          only("服务器返回 HTTP 状态码 %[1]s；%[2]s"),
		"found.long":            only("响应超过 %[1]d KiB；应只有 echostr；%[2]s"),
		"found.around":          only("响应中有 echostr，但前后还有%[1]s（之前 %[2]d 字节，之后 %[3]d 字节）；应只有 echostr；%[4]s"),
		"found.around.text":     only("引号或其他文本"),
		"found.around.mark":     only("字节顺序标记（BOM，可能来自程序的源文件）"),
		"found.around.space":    only("空白字符"),
		"found.word":            only("响应不是 echostr：服务器的 Token 与配置的不同，或程序没有在此路径验证 URL；%[1]s"),
		"found.page":            only("响应不是 echostr：在此 URL 响应的似乎不是处理微信请求的程序；%[1]s"),
		"found.not_made":        only("无法生成消息：%[1]s"),
		"found.message.status":  only("服务器对消息返回 HTTP 状态码 %[1]s；%[2]s"),
		"found.message.long":    only("对消息的回复超过 %[1]d KiB"),
		"found.message.refused": only("微信不会接受对消息的回复：%[1]s；%[2]s"),
		"found.message.text":    only("对测试文本应回复文本 %[1]s"),
		"found.body.empty":      only("响应内容为空"),
		"found.body.begins":     only("响应内容开头为 %[1]s"),
		"found.body":            only("响应内容为 %[1]s"),

		"phase.resolve":    only("解析域名"),
		"phase.connect":    only("建立连接"),
		"phase.tls":        only("进行 TLS 握手"),
		"phase.processing": only("等待响应"),
		"phase.transfer":   only("接收响应"),
	}
}
