package remotewrite

import (
	"slices"

	"weixin_exporter/weixin/secret"
)

// masked removes the credentials of a request from a text: receivers and proxies may quote the request that
// they refuse.
func (c *Client) masked(text string, sent *secret.Sent) string {
	return slices.Concat(c.URL.Masker(), sent.Masker()).Mask(text)
}
