package config

import (
	"net/url"
	"strings"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

// newTypes returns how values of types of other packages are read.
func newTypes() *strictyaml.Types {
	return &strictyaml.Types{
		Scalar: scalar,
		// References to a secret manager, which this program does not have.
		Skip: func(key string) bool { return strings.HasSuffix(key, "_ref") },
	}
}

func scalar(target any) (string, func(text string) bool) {
	switch t := target.(type) {
	case *secret.Value:
		return "text", func(text string) bool { *t = secret.New(text); return true }
	case *secret.URL:
		return "text", func(text string) bool { *t = secret.NewURL(text); return true }
	case *promconfig.Secret:
		return "text", func(text string) bool { *t = promconfig.Secret(text); return true }
	case *model.Duration:
		return "a duration such as 10s, 15m or 30d", func(text string) bool {
			value, err := model.ParseDuration(text)
			*t = value
			return err == nil
		}
	case *promconfig.TLSVersion:
		return "TLS10, TLS11, TLS12 or TLS13", func(text string) bool {
			value, ok := promconfig.TLSVersions[text]
			*t = value
			return ok
		}
	case *promconfig.URL:
		return "a URL of the form http://host:port, also https, socks5 or socks5h", func(text string) bool {
			value, err := url.Parse(text)
			t.URL = value
			return err == nil && isProxy(value)
		}
	}
	return "", nil
}
