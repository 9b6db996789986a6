package tokens_test

import (
	"context"
	"os"
	"testing"

	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/weixin/secret"
)

// server is the server of all tests; nil if PostgreSQL is not installed.
var server *postgrestest.Server

// template is a database with the schema.
const template = "template_tokens"

func TestMain(m *testing.M) {
	os.Exit(postgrestest.Main(m, func(s *postgrestest.Server) error {
		server = s
		if s == nil {
			return nil
		}
		ctx := context.Background()
		if err := s.Execute(ctx, "postgres", "CREATE DATABASE "+template); err != nil {
			return err
		}
		db, err := postgres.Open(ctx, secret.NewURL(s.URL(template)), postgres.Options{})
		if err != nil {
			return err
		}
		return db.Close()
	}))
}
