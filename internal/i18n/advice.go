package i18n

import "weixin_exporter/weixin"

// Cause names in a few words what an advice is about.
func Cause(a weixin.Advice) Message { return M("cause."+a.Code, Origin(a.Origin)) }

// Advice says what to do about an error of Weixin; zero if there is no advice.
func Advice(a weixin.Advice) Message {
	if a.Code == "" {
		return Message{}
	}
	address := M("address.own")
	if a.Address != "" {
		address = M("address.seen", a.Address)
	}
	return M("advice."+a.Code, address, Origin(a.Origin))
}

// Origin names where a token or secret comes from.
func Origin(o weixin.Origin) Message {
	switch {
	case o.File != "":
		return M("origin.file", o.File)
	case o.URL != "":
		return M("origin.url", o.URL)
	default:
		return M("origin.weixin")
	}
}
