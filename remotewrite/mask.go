package remotewrite

import (
	"cmp"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"weixin_exporter/secret"
)

// leastHidden is the length in bytes of what is masked; shorter texts, such as the tenant "1", stand in
// many an innocent word.
const leastHidden = 4

// masked returns a text without what was sent to authenticate: receivers and proxies like to repeat the
// request that they do not want.
func (c *Client) masked(text string, sent *http.Request) string {
	hidden := queryTexts(sent.URL)
	if password, ok := sent.URL.User.Password(); ok {
		hidden = append(hidden, password)
	}
	for _, value := range c.Headers {
		hidden = append(hidden, value.Reveal())
	}
	authorization := sent.Header.Get("Authorization")
	_, credentials, _ := strings.Cut(authorization, " ")
	_, password, _ := sent.BasicAuth()
	hidden = append(hidden, authorization, credentials, password)
	for _, value := range slices.Clone(hidden) {
		hidden = append(hidden, url.QueryEscape(value), url.PathEscape(value), html.EscapeString(value))
	}
	// The longest first, since it may hold others.
	slices.SortFunc(hidden, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, value := range hidden {
		if len(value) >= leastHidden {
			pairs = append(pairs, value, secret.Mask)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// queryTexts returns the query of a URL and its values, as they stand there and decoded.
func queryTexts(u *url.URL) []string {
	texts := []string{u.RawQuery}
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, ok := strings.Cut(part, "=")
		if !ok {
			value = part
		}
		texts = append(texts, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			texts = append(texts, plain)
		}
	}
	return texts
}
