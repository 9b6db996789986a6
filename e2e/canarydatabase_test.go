package e2e_test

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestCanariesInADatabase is TestCanaries with a store in PostgreSQL whose URL is in a file, and with tokens that are sealed
// in it. Nothing but the sealed tokens may get into the database, and nothing into the server's log.
func TestCanariesInADatabase(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	w := newCanaryFixture(t)
	withPassword := strings.Replace(server.URL("postgres"), "postgres@", "postgres:"+secretMarker+"store-of-the-database@", 1)
	w.put(t, "store-url", withPassword+"\n")
	wanted := w.leak(t, inADatabase)
	for _, text := range w.sim.Secrets() { // with the tokens that it has issued
		wanted.add("the simulated Weixin", text)
	}
	sealingKey, err := base64.StdEncoding.DecodeString(strings.TrimSpace(readFile(t, w.path("sealing-key"))))
	if err != nil {
		t.Fatal(err)
	}
	wanted.add("store.sealing_key_file", string(sealingKey))

	dump, err := server.Dump(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	_, tokens, _ := strings.Cut(dump, "\nCOPY weixin_exporter.token ")
	tokens, _, _ = strings.Cut(tokens, "\n\\.\n")
	for _, kind := range []string{"access", "refresh"} {
		if !strings.Contains(tokens, "\t"+kind+"\t\\\\x") {
			t.Errorf("no %s token is in the database:\n%s", kind, mask(tokens))
		}
	}
	suite.recorder.record(t.Name(), "database", dump)
	log, err := server.Log()
	if err != nil {
		t.Fatal(err)
	}
	suite.recorder.record(t.Name(), "log of the database", log)
	wanted.check(t)
}
