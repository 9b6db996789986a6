package i18n

import (
	"time"

	"weixin_exporter/weixin"
)

// WeixinError says what was being done and why it failed, as the error itself does in English.
func WeixinError(e *weixin.Error) Message {
	detail := WeixinDetail(e)
	doing := M("doing." + string(e.API))
	if e.FromOrigin() {
		doing = M("doing.origin", Origin(e.Origin))
	}
	if detail.IsZero() {
		return doing
	}
	return M("error.why", doing, detail)
}

// WeixinDetail is WeixinError without what was being done; zero if nothing else is known. Errmsg and the causes of
// failed connections stay as they are.
func WeixinDetail(e *weixin.Error) Message {
	without := *e
	without.Note, without.RID = weixin.NoNote, ""
	parts := M("error.other", without.Detail())
	switch {
	case e.Note != weixin.SameToken:
		if without.Detail() == "" && e.RID == "" {
			return Message{}
		}
	case e.Origin.IsZero():
		parts = M("error.same_token", parts)
	default:
		parts = M("error.same_token_from", parts, Origin(e.Origin))
	}
	if e.RID != "" {
		return M("error.rid", parts, e.RID)
	}
	return parts
}

// Rate writes how many calls Weixin allows within a time.
func Rate(r weixin.CallRate) Message {
	switch r.Per {
	case time.Second:
		return M("rate.second", r.Calls)
	case time.Minute:
		return M("rate.minute", r.Calls)
	default:
		return M("rate.period", r.Calls, r.Per.String())
	}
}
