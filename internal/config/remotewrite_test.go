package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/config"
)

func TestRemoteWrite(t *testing.T) {
	c := mustLoad(t, "testdata/remotewrite.yml")
	if len(c.RemoteWrite) != 3 {
		t.Fatalf("%d endpoints", len(c.RemoteWrite))
	}
	var got []string
	for _, w := range c.RemoteWrite {
		got = append(got, w.Key()+" "+w.Label())
	}
	want := []string{
		"http://prometheus:9090/api/v1/write prometheus:9090/api/v1/write (http://prometheus:9090/api/v1/write)",
		"mimir mimir.example/api/v1/push",
		"again prometheus:9090/api/v1/write (again)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys and labels differ (-want +got):\n%s", diff)
	}
	plain, full := c.RemoteWrite[0], c.RemoteWrite[1]
	if time.Duration(plain.RemoteTimeout) != 30*time.Second || plain.MaxSamplesPerSend != 2000 ||
		time.Duration(plain.MaxAge) != 30*24*time.Hour || plain.ProtobufMessage != config.WriteV1 || !plain.HTTPClient.EnableHTTP2 {
		t.Errorf("the defaults are %v", plain)
	}
	if full.ProtobufMessage != config.WriteV2 || full.Headers["x_number"].Reveal() != "12" || full.ExternalLabels["Zone_2"] != "7" ||
		full.HTTPClient.BasicAuth.PasswordFile != "testdata/secrets/unix" || full.HTTPClient.EnableHTTP2 {
		t.Errorf("read as %v", full)
	}
	warnings := fmt.Sprint(c.Warnings())
	if len(c.Warnings()) != 1 || !strings.Contains(warnings, "remote_write[1].tls_config.insecure_skip_verify") || !strings.Contains(warnings, "the receiver") {
		t.Errorf("warnings: %s", warnings)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		mustNotLeak(t, fmt.Sprintf(verb, c.RemoteWrite))
		mustNotLeak(t, fmt.Sprintf(verb, full))
	}
}

func TestNewRemoteWrite(t *testing.T) {
	got, err := config.NewRemoteWrite("http://a/write", "https://user:sim-secret-1@b/write?key=1")
	if err != nil || len(got) != 2 || got[0].Label() != "a/write" || got[1].Label() != "b/write" || got[1].Key() != "https://b/write" {
		t.Errorf("%v, %v", got, err)
	}
	for _, urls := range [][]string{{"a/write"}, {"http://a/write", ""}, {"http://a", "http://a?x=sim-secret-1"}} {
		_, err := config.NewRemoteWrite(urls...)
		if err == nil {
			t.Errorf("%q are endpoints", urls)
			continue
		}
		mustNotLeak(t, err.Error())
	}
	if (config.RemoteWrite{}).Key() != "" {
		t.Error("without a URL there is a key")
	}
}
