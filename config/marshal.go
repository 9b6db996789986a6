package config

import (
	"fmt"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/secret"
)

// Marshal returns the configuration in force as YAML: defaults filled in, every secret as <secret>,
// also those in http_config and the passwords in its URLs.
func (c Config) Marshal() ([]byte, error) { return marshal(&c, "weixin", "http_config") }

// String returns what Marshal returns.
func (c Config) String() string { return text(c.Marshal()) }

// String returns the section as Config's String has it. Without it, a printed section would show what
// the types of prometheus/common do not mask.
func (w Weixin) String() string { return text(marshal(&w, "http_config")) }

func text(out []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// marshal returns v as YAML; the keys lead to its http_config.
func marshal(v any, keys ...string) ([]byte, error) {
	var root yaml.Node
	if err := root.Encode(v); err != nil {
		return nil, fmt.Errorf("writing the configuration as YAML: %w", err)
	}
	block := &root
	for _, key := range keys {
		block = value(block, key)
	}
	maskHTTPConfig(block)
	out, err := yaml.Dump(&root, yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("writing the configuration as YAML: %w", err)
	}
	return out, nil
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
		scheme, rest, _ := strings.Cut(text, "//")
		end := strings.IndexByte(rest+"/", '/')
		user, _, _ := strings.Cut(rest, ":")
		text = scheme + "//" + user + ":" + secret.Mask + rest[strings.LastIndexByte(rest[:end], '@'):]
	}
	if query {
		text += "?" + secret.Mask
	}
	return text
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
