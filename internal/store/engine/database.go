package engine

import (
	"context"
	"net/url"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/weixin/secret"
)

// inDatabase is the engine of a store in a database.
type inDatabase struct{ url secret.URL }

func (d inDatabase) serve(ctx context.Context, o ServeOptions) (store.Store, error) {
	return postgres.Open(ctx, d.url, postgres.Options{Duty: store.Refreshing, Now: o.Now, Lease: o.Lease})
}

func (d inDatabase) open(ctx context.Context, o Options) (store.Store, error) {
	return postgres.Open(ctx, d.url, postgres.Options{BusyTimeout: o.Busy, Duty: o.Duty, Now: o.Now})
}

func (d inDatabase) read(ctx context.Context) (Reader, error) {
	return postgres.OpenReadOnly(ctx, d.url, postgres.Options{})
}

func (inDatabase) backup(context.Context) (Copier, error) {
	return nil, i18n.Errorf("backup.server")
}

func (d inDatabase) restore(ctx context.Context, _ func() time.Time, fill func(store.Restorer) error) error {
	return postgres.Restore(ctx, d.url, fill)
}

func (d inDatabase) user(ctx context.Context) (string, error) { return postgres.User(ctx, d.url) }

func (d inDatabase) examine(ctx context.Context) error { return postgres.Examine(ctx, d.url) }

func (inDatabase) files() []string { return nil }

func (d inDatabase) describe() (string, string) { return "PostgreSQL", place(d.url) }

// place returns of the URL of a database what says where it is: the server and the name, without user and settings.
func place(address secret.URL) string {
	u, err := address.Parse()
	if err != nil {
		return address.Redacted()
	}
	at := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if host := u.Query().Get("host"); host != "" { // mostly the folder of a Unix socket
		at.RawQuery = "host=" + host
	}
	return at.String()
}
