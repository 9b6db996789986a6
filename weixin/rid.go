package weixin

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"weixin_exporter/weixin/secret"
)

// LoggedRequest is a request as Weixin has logged it. Tokens and secrets in it are masked.
type LoggedRequest struct {
	At   time.Time
	Cost time.Duration
	// Query is what stood in the URL, Request and Response are the bodies.
	Query, Request, Response string
	// Address is where the request came from.
	Address string
}

// LookUp returns the request that Weixin answered with the rid: the call /cgi-bin/openapi/rid/get (查询rid信息, at
// developers.weixin.qq.com under doc/service/api/apimanage/api_getridinfo.html). Weixin keeps it for 7 days and shows it to
// the account that made the request.
//
// The error is an *Error, with errcode 76001 if Weixin does not know the rid, or wraps ctx's own error once ctx has ended.
func (a *Account) LookUp(ctx context.Context, rid string) (LoggedRequest, error) {
	type body struct {
		RID string `json:"rid"`
	}
	var logged LoggedRequest
	err := a.call(ctx, RIDAPI, "/cgi-bin/openapi/rid/get", body{rid}, func(e envelope) error {
		var err error
		logged, err = readLogged(e)
		return err
	})
	return logged, err
}

func readLogged(e envelope) (LoggedRequest, error) {
	var r struct {
		At       integer         `json:"invoke_time"`
		Cost     integer         `json:"cost_in_ms"`
		URL      json.RawMessage `json:"request_url"`
		Request  json.RawMessage `json:"request_body"`
		Response json.RawMessage `json:"response_body"`
		Address  json.RawMessage `json:"client_ip"`
	}
	if e.Request == nil || json.Unmarshal(e.Request, &r) != nil || !r.At.ok || !r.Cost.ok {
		return LoggedRequest{}, errors.New("the response has no request")
	}
	const longest = int64(24 * time.Hour / time.Millisecond)
	return LoggedRequest{
		At: time.Unix(r.At.value, 0), Cost: time.Duration(max(0, min(r.Cost.value, longest))) * time.Millisecond,
		Query: maskQuery(e.shortened(r.URL, maxLogged)), Request: maskJSON(e.shortened(r.Request, maxLogged)),
		Response: maskJSON(e.shortened(r.Response, maxLogged)), Address: e.foreign(r.Address),
	}, nil
}

// maxLogged bounds how much of a logged body is kept, in characters.
const maxLogged = 4096

// secretNames matches the names of parameters and keys whose values are secrets.
var secretNames = regexp.MustCompile(`(?i)token|secret|ticket|code|key|sign|encrypt`)

// maskQuery masks the values of a query that are secrets. What is not a query is masked as a whole.
func maskQuery(query string) string {
	before, after, hasPath := strings.Cut(query, "?")
	if hasPath {
		query = after
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		switch {
		case !ok && part != "" || err != nil:
			parts[i] = secret.Mask
		case value != "" && secretNames.MatchString(plain):
			parts[i] = name + "=" + secret.Mask
		}
	}
	query = strings.Join(parts, "&")
	if hasPath {
		return before + "?" + query
	}
	return query
}

// secretValue matches a key of JSON that names a secret, with its value as a string, also where the JSON itself
// stands in a string or was cut off.
var secretValue = regexp.MustCompile(`(?i)(\\?"[a-z_]*(?:token|secret|ticket|key|sign|encrypt)[a-z_]*\\?"\s*:\s*\\?")(?:[^"\\]|\\[^"])*`)

// maskJSON masks the values of keys that name a secret.
func maskJSON(body string) string {
	return secretValue.ReplaceAllString(body, "${1}"+secret.Mask)
}
