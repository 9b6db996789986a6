package config

import (
	"net/url"
	"strings"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"weixin_exporter/internal/i18n"
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

func scalar(target any) (i18n.Message, func(text string) bool) {
	switch t := target.(type) {
	case *secret.Value:
		return i18n.M("want.text"), func(text string) bool { *t = secret.New(text); return true }
	case *secret.URL:
		return i18n.M("want.text"), func(text string) bool { *t = secret.NewURL(text); return true }
	case *promconfig.Secret:
		return i18n.M("want.text"), func(text string) bool { *t = promconfig.Secret(text); return true }
	case *model.Duration:
		return i18n.M("want.duration"), func(text string) bool {
			value, err := model.ParseDuration(text)
			*t = value
			return err == nil
		}
	case *promconfig.TLSVersion:
		return i18n.M("want.tls_version"), func(text string) bool {
			value, ok := promconfig.TLSVersions[text]
			*t = value
			return ok
		}
	case *promconfig.URL:
		return i18n.M("want.proxy_url"), func(text string) bool {
			value, err := url.Parse(text)
			t.URL = value
			return err == nil && isProxy(value)
		}
	}
	return i18n.Message{}, nil
}
