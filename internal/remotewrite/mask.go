package remotewrite

import (
	"net/http"
	"strings"

	"weixin_exporter/weixin/secret"
)

// minSecret is the length in bytes from which the value of a header is masked. A shorter one, such as the
// tenant "1", is not a secret.
const minSecret = 4

// masked removes the credentials of a request from a text: receivers and proxies may quote the request that
// they refuse.
func (c *Client) masked(text string, sent *http.Request) string {
	hidden := secret.NewURL(sent.URL.String()).Masker()
	for _, value := range c.Headers {
		if len(value.Reveal()) >= minSecret {
			hidden = append(hidden, value)
		}
	}
	authorization := sent.Header.Get("Authorization")
	_, credentials, _ := strings.Cut(authorization, " ")
	_, password, _ := sent.BasicAuth()
	return hidden.Add(authorization, credentials, password).Mask(text)
}
