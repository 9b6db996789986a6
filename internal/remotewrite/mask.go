package remotewrite

import (
	"net/http"
	"strings"

	"weixin_exporter/weixin/secret"
)

// leastHidden is the length in bytes of a header's value that is masked; a shorter one, such as the
// tenant "1", is none.
const leastHidden = 4

// masked returns a text without what was sent to authenticate: receivers and proxies like to repeat the
// request that they do not want.
func (c *Client) masked(text string, sent *http.Request) string {
	hidden := secret.NewURL(sent.URL.String()).Masker()
	for _, value := range c.Headers {
		if len(value.Reveal()) >= leastHidden {
			hidden = append(hidden, value)
		}
	}
	authorization := sent.Header.Get("Authorization")
	_, credentials, _ := strings.Cut(authorization, " ")
	_, password, _ := sent.BasicAuth()
	return hidden.Add(authorization, credentials, password).Mask(text)
}
