package config

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/weixin/secret"
)

// Marshal returns the configuration in force as YAML: defaults filled in, the accounts of all files in
// one list, and every secret as <secret>, also those in http_config and in URLs.
func (c Config) Marshal() ([]byte, error) {
	settings := c
	settings.Accounts = nil
	rest, err := marshal(&settings, func(root *yaml.Node) {
		maskHTTPConfig(value(value(root, "weixin"), "http_config"))
		if !c.Store.Database().IsZero() {
			remove(value(root, "store"), "path") // only one of the two can be given
		}
		if endpoints := value(root, "remote_write"); endpoints != nil {
			for _, endpoint := range endpoints.Content {
				maskHTTPConfig(endpoint)
			}
		}
	})
	if err != nil || len(c.Accounts) == 0 {
		return rest, err
	}
	accounts, err := marshalAccounts(c.Accounts)
	if err != nil {
		return nil, err
	}
	return append(accounts, bytes.TrimPrefix(rest, []byte("accounts: []\n"))...), nil
}

// accountsAtOnce bounds the tree that is made of accounts: it takes twenty times the memory of their
// text.
const accountsAtOnce = 100

// marshalAccounts returns the key "accounts" with the list.
func marshalAccounts(all []Account) ([]byte, error) {
	heading := []byte("accounts:\n")
	text := bytes.Clone(heading)
	for some := range slices.Chunk(all, accountsAtOnce) {
		part, err := marshal(&struct {
			Accounts []Account `yaml:"accounts"`
		}{some}, func(root *yaml.Node) {
			for _, account := range value(root, "accounts").Content {
				maskToken(value(account, "token"))
				maskHTTPConfig(value(value(account, "callback"), "http_config"))
			}
		})
		if err != nil {
			return nil, err
		}
		text = append(text, bytes.TrimPrefix(part, heading)...)
	}
	return text, nil
}

// String returns what Marshal returns.
func (c Config) String() string { return text(c.Marshal()) }

// String returns the section as Config's String has it. Without it, a printed section would show what
// the types of prometheus/common do not mask.
func (w Weixin) String() string {
	return text(marshal(&w, func(root *yaml.Node) { maskHTTPConfig(value(root, "http_config")) }))
}

// String returns the section as Config's String has it, so that a printed account shows no secret.
func (t Token) String() string { return text(marshal(&t, maskToken)) }

// GoString returns what String returns.
func (t Token) GoString() string { return t.String() }

// String returns the section as Config's String has it.
func (t ComponentToken) String() string { return text(marshal(&t, maskToken)) }

// GoString returns what String returns.
func (t ComponentToken) GoString() string { return t.String() }

// String returns the section as Config's String has it, so that a printed account shows no secret.
func (c Callback) String() string {
	return text(marshal(&c, func(root *yaml.Node) { maskHTTPConfig(value(root, "http_config")) }))
}

// GoString returns what String returns.
func (c Callback) GoString() string { return c.String() }

// String returns the endpoint as Config's String has it, so that a printed one shows no secret.
func (w RemoteWrite) String() string { return text(marshal(&w, maskHTTPConfig)) }

// GoString returns what String returns.
func (w RemoteWrite) GoString() string { return w.String() }

func text(out []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// marshal returns v as YAML, masked by mask.
func marshal(v any, mask func(root *yaml.Node)) ([]byte, error) {
	var root yaml.Node
	if err := root.Encode(v); err != nil {
		return nil, fmt.Errorf("writing the configuration as YAML: %w", err)
	}
	mask(&root)
	out, err := yaml.Dump(&root, yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("writing the configuration as YAML: %w", err)
	}
	return out, nil
}

// maskToken masks where a token comes from, and where the platform's token comes from.
func maskToken(token *yaml.Node) {
	for _, source := range []*yaml.Node{token, value(token, "component_access_token")} {
		maskHTTPConfig(value(source, "http_config"))
	}
}

// maskHTTPConfig masks what the types of prometheus/common show: passwords in URLs, and the free
// parameters of OAuth 2, among which passwords and assertions travel.
func maskHTTPConfig(block *yaml.Node) {
	oauth2 := value(block, "oauth2")
	for _, n := range []*yaml.Node{value(block, "proxy_url"), value(oauth2, "proxy_url"), value(oauth2, "token_url")} {
		if n != nil {
			n.Value = maskURL(n.Value)
		}
	}
	for _, n := range []*yaml.Node{value(oauth2, "endpoint_params"), value(oauth2, "claims")} {
		maskValues(n)
	}
}

// maskURL masks a URL's password and query, by text so that the mask is not escaped.
func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return secret.Mask
	}
	text, _, query := strings.Cut(text, "?")
	if _, ok := u.User.Password(); ok {
		scheme, user, rest := cutUser(text)
		user, _, _ = strings.Cut(user, ":")
		text = scheme + user + ":" + secret.Mask + rest
	}
	if query {
		text += "?" + secret.Mask
	}
	return text
}

// cutUser cuts a URL around its user and password: rest begins with the @ after them.
func cutUser(text string) (string, string, string) {
	scheme, rest, _ := strings.Cut(text, "//")
	host, _, _ := strings.Cut(rest, "/")
	at := max(0, strings.LastIndexByte(host, '@'))
	return scheme + "//", rest[:at], rest[at:]
}

// maskValues masks every scalar below the values of a mapping.
func maskValues(n *yaml.Node) {
	if n == nil {
		return
	}
	for i, child := range n.Content {
		switch {
		case child.Kind != yaml.ScalarNode:
			maskValues(child)
		case n.Kind != yaml.MappingNode || i%2 == 1:
			child.SetString(secret.Mask)
		}
	}
}

// remove removes a key from a mapping.
func remove(n *yaml.Node, key string) {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// value returns what a mapping holds under the key; nil if nothing.
func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
