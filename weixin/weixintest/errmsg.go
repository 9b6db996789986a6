package weixintest

import (
	"fmt"
	"strconv"
)

// ClientAddress is the address of the client of Transport, and the one in the errmsg of a Fault.
const ClientAddress = "203.0.113.7"

// Error codes that the simulated calls return without a Fault.
const (
	errSystem           = -1
	errNotLatest        = 40001
	errGrantType        = 40002
	errAppID            = 40013
	errMalformedToken   = 40014
	errAppSecret        = 40125
	errAddress          = 40164
	errTokenMissing     = 41001
	errAppIDMissing     = 41002
	errAppSecretMissing = 41004
	errExpired          = 42001
	errRequireGet       = 43001
	errRequirePost      = 43002
	errEmptyBody        = 44002
	errQuota            = 45009
	errNoJSON           = 47001
	errNotAuthorized    = 61003
	errPlatformAddress  = 61004
	errPlatform         = 61011
	errRefreshToken     = 61023
	errDateFormat       = 61500
	errDateRange        = 61501
	errCallbackURL      = 40201
	errCallbackAction   = 40202
	errCallbackOperator = 40203
	errRidUnknown       = 76001
	errRidForm          = 76002
	errRid              = 76003
	errPath             = 76021
	errPathPermission   = 76022
)

// errmsgOf returns the plain errmsg of an errcode: the official documents' list of return
// codes, in the wording of the servers. Some contain the client's address.
func errmsgOf(code int, address string) string {
	switch code {
	case errSystem, 61450:
		return "system error"
	case errNotLatest:
		return "invalid credential, access_token is invalid or not latest"
	case errGrantType:
		return "invalid grant_type"
	case errAppID:
		return "invalid appid"
	case errMalformedToken:
		return "invalid access_token"
	case errAppSecret:
		return "invalid appsecret"
	case errAddress:
		return "invalid ip " + address + " ipv6 " + inIPv6(address) + ", not in whitelist"
	case 40234:
		return "invalid signature"
	case 40243:
		return "app secret frozen"
	case errTokenMissing:
		return "access_token missing"
	case errAppIDMissing:
		return "appid missing"
	case errAppSecretMissing:
		return "appsecret missing"
	case errExpired:
		return "access_token expired"
	case errRequireGet:
		return "require GET method"
	case errRequirePost:
		return "require POST method"
	case errEmptyBody:
		return "empty post data"
	case errNoJSON:
		return "data format error"
	default:
		return errmsgOfPlatform(code, address)
	}
}

// errmsgOfPlatform returns those of third-party platforms.
func errmsgOfPlatform(code int, address string) string {
	switch code {
	case errNotAuthorized:
		return "component is not authorized by this account"
	case errPlatformAddress:
		return "access clientip is not registered requestIP: " + address
	case 61005:
		return "component ticket is expired"
	case 61006:
		return "component ticket is invalid"
	case 61007:
		return "api is unauthorized to component"
	case errPlatform:
		return "invalid component"
	case 61016:
		return "not support legacy mode"
	case errRefreshToken:
		return "refresh_token is invalid"
	case 61024:
		return "should use component_access_token instead of access_token"
	default:
		return errmsgOfLimit(code)
	}
}

// errmsgOfLimit returns those of limits, permissions, dates and unconfirmed addresses.
func errmsgOfLimit(code int) string {
	switch code {
	case errQuota:
		return "reach max api daily quota limit"
	case 45011:
		return "api minute-quota reach limit, mustslower, retry next minute"
	case 47009:
		return "this api has been taken offline"
	case 48001:
		return "api unauthorized"
	case 48004:
		return "api forbidden for irregularities"
	case 48006:
		return "api forbid clear quota because reached limit"
	case 50002:
		return "user limited"
	case errDateFormat:
		return "date format error"
	case errDateRange:
		return "date range error"
	case 61503:
		return "data not ready, please try later"
	case errPath:
		return "cgi_path not found, please check"
	case errPathPermission:
		return "could not use this cgi_path,no permission"
	case errCallbackURL:
		return "invalid url"
	case errCallbackAction:
		return "invalid action"
	case errCallbackOperator:
		return "invalid check_operator"
	case errRidUnknown:
		return "rid not found"
	case errRidForm:
		return "rid is error"
	case errRid:
		return "could not query this rid,no permission"
	case 89501, 89503:
		return "this ip waits for the administrator to confirm"
	case 89506:
		return "the administrator refused this ip, try again 24 hours later"
	case 89507:
		return "the administrator refused this ip, try again 1 hour later"
	default:
		return "unknown error"
	}
}

// refuse returns a response with an errcode and HTTP status 200, as all of Weixin's. With text, the errcode is a
// JSON string, which has been seen as well.
func (s *Server) refuse(r request, code int, text bool) answer {
	var errcode any = code
	if text {
		errcode = strconv.Itoa(code)
	}
	a := jsonAnswer(struct {
		Errcode any    `json:"errcode"`
		Errmsg  string `json:"errmsg"`
	}{errcode, errmsgOf(code, r.address) + s.decoration(r)})
	a.errcode = code
	return a
}

// decoration returns what follows an errmsg: the forms that were seen, in turn.
func (s *Server) decoration(r request) string {
	random := newRandom(s.seed, r.api, "rid", uint64(r.number))
	rid := fmt.Sprintf("%08x-%08x-%08x", uint32(s.now().Unix()), random.Uint32(), random.Uint32())
	switch r.number % 5 {
	case 0:
		return " rid: " + rid
	case 1:
		return ", rid: " + rid
	case 2:
		return fmt.Sprintf(" hint: [%06x]", random.Uint32N(1<<24))
	case 3:
		return fmt.Sprintf(", hints: [ req_id: %08x ]", random.Uint32())
	default:
		return ", more details at https://mmbizurl.cn/s/JtxxFh33r rid: " + rid
	}
}
