package e2e_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the exporter's own driver, to modify its files

	"weixin_exporter/internal/store/sqlite"
)

// TestScripts tests the command line with scripts and exact texts. In addition to the usual commands of testscript, they have:
//
//	exits CODE [ARG...]  runs the exporter with the arguments; it must exit with the code
//	listen VARIABLE      opens a port and stores its address in the variable
//	database FILE        creates a store of the exporter
//	newer FILE           creates a store of a newer version
//	damage FILE FROM     overwrites the pages of a file from the given one on; -1 is the last one
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		UpdateScripts:      os.Getenv("E2E_UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("WEIXIN_EXPORTER_WEB_LISTEN_ADDRESS", "127.0.0.1:0")
			env.Setenv("VERSION", stampedVersion)
			env.Setenv("REVISION", stampedRevision)
			env.Setenv("GOVERSION", runtime.Version())
			env.Setenv("PLATFORM", platform())
			return nil
		},
		Condition: func(condition string) (bool, error) { return condition == "root" && os.Geteuid() == 0, nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"listen":   listen,
			"database": makeDatabase,
			"newer":    makeNewer,
			"damage":   damage,
		},
	})
}

// exits runs the exporter in the script's folder and records its output.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite.binary, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environment(ts.Getenv("WORK"))
	for _, name := range []string{
		"CONFIG_FILE", "LANG", "LOG_LEVEL", "LOG_FORMAT", "WEB_TELEMETRY_PATH", "WEB_LISTEN_ADDRESS", "WEB_SYSTEMD_SOCKET", "WEB_ENABLE_LIFECYCLE", "WEB_ROUTE_PREFIX",
		"OUTPUT", "ACCOUNT", "CHECK_OUTPUT", "CHECK_ACCOUNT", "CHECK_ONLINE", "EXPORT_OUTPUT", "EXPORT_FORMAT", "HELP", "VERSION",
	} {
		if value := ts.Getenv("WEIXIN_EXPORTER_" + name); value != "" || name == "WEB_LISTEN_ADDRESS" {
			cmd.Env = append(cmd.Env, "WEIXIN_EXPORTER_"+name+"="+value)
		}
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	stdout, stderr := newStream(), newStream()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(stdout, ts.Stdout()), io.MultiWriter(stderr, ts.Stderr())
	code, err := exitCode(cmd.Run())
	suite.recorder.record("TestScripts/"+ts.Name(), "stdout", stdout.String())
	suite.recorder.record("TestScripts/"+ts.Name(), "stderr", stderr.String())
	ts.Check(err)
	if code != want {
		ts.Fatalf("exit code %d, want %d:\n%s", code, want, mask(stderr.String()))
	}
}

func listen(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	ts.Setenv(args[0], listener.Addr().String())
}

func makeDatabase(ts *testscript.TestScript, _ bool, args []string) {
	s, err := sqlite.Open(context.Background(), ts.MkAbs(args[0]), sqlite.Options{})
	ts.Check(err)
	ts.Check(s.Close())
}

func makeNewer(ts *testscript.TestScript, neg bool, args []string) {
	makeDatabase(ts, neg, args)
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	ts.Check(err)
	ts.Check(db.Close())
}

func damage(ts *testscript.TestScript, _ bool, args []string) {
	const size = 4096
	content, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	pages := len(content) / size
	for i := (from + pages) % pages * size; i < len(content); i++ {
		content[i] = 0xaa
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}
