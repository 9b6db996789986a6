package e2e_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The files in deploy/ are checked here as far as possible without Docker, systemd as the first process, and
// a cluster. A separate module in tools/ has the types with which Docker Compose and Kubernetes parse them.

const deploy = "../deploy"

// composeFile is the part of a compose file that is checked.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Environment map[string]string
		Volumes     []string
		Ports       []string
	}
	Volumes map[string]any
}

// readYAML reads a file into a type that may lack some of its keys.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readCompose(t *testing.T, name string) composeFile {
	t.Helper()
	var file composeFile
	readYAML(t, filepath.Join(deploy, "compose", name), &file)
	if len(file.Services) == 0 {
		t.Fatalf("%s has no services", name)
	}
	return file
}

// mounts returns what a service of compose.yml mounts from this repository: the path in this repository by the path
// in the container.
func (f composeFile) mounts(service string) map[string]string {
	mounted := map[string]string{}
	for _, volume := range f.Services[service].Volumes {
		parts := strings.Split(volume, ":")
		if strings.HasPrefix(parts[0], ".") {
			mounted[parts[1]] = filepath.Join(deploy, "compose", parts[0])
		}
	}
	return mounted
}

// mirror copies a service's files into a folder, as its container has them.
func (f composeFile) mirror(t *testing.T, service string) string {
	t.Helper()
	return f.mirrorBut(t, service, "")
}

// mirrorBut does so without the file or folder of a name, which is not in this repository.
func (f composeFile) mirrorBut(t *testing.T, service, without string) string {
	t.Helper()
	root := t.TempDir()
	mounted := f.mounts(service)
	if len(mounted) == 0 {
		t.Fatalf("%s mounts nothing", service)
	}
	for inside, here := range mounted {
		if filepath.Base(here) == without {
			continue
		}
		path := filepath.Join(root, inside)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(here); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			if err := os.CopyFS(path, os.DirFS(here)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		writeFile(t, path, readFile(t, here))
	}
	return root
}

// output runs a program that must succeed, and returns everything it wrote.
func output(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(path), args, err, mask(string(out)))
	}
	return string(out)
}

func TestComposeMountsWhatExists(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"compose.yml", "compose.real.yml", "compose.zh.yml", "compose.postgres.yml"} {
		file := readCompose(t, name)
		for service, s := range file.Services {
			for inside, here := range file.mounts(service) {
				isConfig := filepath.Base(filepath.Dir(inside)) == "etc" && name != "compose.zh.yml" && strings.HasPrefix(service, "weixin_exporter")
				if isConfig && filepath.Ext(here) != "" {
					t.Errorf("%s: %s mounts the file %s, of which a reload would read the old content", name, service, here)
				}
				_, err := os.Stat(here)
				yours := isConfig && filepath.Base(here) == "config" || name == "compose.zh.yml" && filepath.Base(here) == "secrets"
				if err != nil && !yours {
					t.Errorf("%s: %s mounts %s as %s: %v", name, service, here, inside, err)
				}
			}
			for _, volume := range s.Volumes {
				named, _, _ := strings.Cut(volume, ":")
				if _, ok := file.Volumes[named]; !ok && !strings.HasPrefix(named, ".") {
					t.Errorf("%s: %s mounts the volume %s, which is not declared", name, service, named)
				}
			}
			for _, port := range s.Ports {
				if !strings.HasPrefix(port, "127.0.0.1:") {
					t.Errorf("%s: %s publishes %s on all interfaces", name, service, port)
				}
			}
			if pinned := regexp.MustCompile(`^[a-z/_]+:(v?\d+\.\d+(\.\d+)?|\$\{VERSION:-devel\})$`); s.Image != "" && !pinned.MatchString(s.Image) {
				t.Errorf("%s: %s has the image %s, which is not a pinned version", name, service, s.Image)
			}
		}
	}
}

// The exporter starts with the command line of the stack.
func TestComposeExporterStarts(t *testing.T) {
	t.Parallel()
	x := runExporter(t, readCompose(t, "compose.yml").Services["weixin_exporter"].Command...)
	x.waitReady(t)
}

func TestComposePrometheus(t *testing.T) {
	t.Parallel()
	file := readCompose(t, "compose.yml")
	promtool := program(t, "PROMTOOL", "promtool")
	config := filepath.Join(file.mirror(t, "prometheus"), "etc/prometheus/prometheus.yml")
	text := output(t, promtool, "check", "config", config)
	if !strings.Contains(text, "1 rule files found") || !strings.Contains(text, "rules found") {
		t.Errorf("promtool check config does not find the rules:\n%s", text)
	}
	checkFlags(t, program(t, "PROMETHEUS", "prometheus"), file.Services["prometheus"].Command)
	if os.Getenv("PROMETHEUS3") != "" {
		checkFlags(t, program(t, "PROMETHEUS3", "prometheus3"), file.Services["prometheus"].Command)
	}
	// The version of the module for 3.16.0 is 0.316.0.
	tested := regexp.MustCompile(`prometheus/prometheus v0\.(\d)(\d+)\.(\d+)`).FindStringSubmatch(readFile(t, "../tools/prometheus/go.mod"))
	if tested == nil || file.Services["prometheus"].Image != fmt.Sprintf("prom/prometheus:v%s.%s.%s", tested[1], tested[2], tested[3]) {
		t.Errorf("the stack has the image %s, the tests run %q", file.Services["prometheus"].Image, tested)
	}

	var scraped struct {
		Jobs []struct {
			Name    string                       `yaml:"job_name"`
			Targets []struct{ Targets []string } `yaml:"static_configs"`
			SD      []struct{ URL string }       `yaml:"http_sd_configs"`
			Files   []struct{ Files []string }   `yaml:"file_sd_configs"`
		} `yaml:"scrape_configs"`
		Alerting struct {
			Managers []struct {
				Targets []struct{ Targets []string } `yaml:"static_configs"`
			} `yaml:"alertmanagers"`
		}
	}
	readYAML(t, config, &scraped)
	checkSecondTarget(t, "/etc/prometheus/"+scraped.Jobs[0].Files[0].Files[0])
	targets := slices.Clone(scraped.Alerting.Managers[0].Targets[0].Targets)
	for _, job := range scraped.Jobs {
		for _, static := range job.Targets {
			targets = append(targets, static.Targets...)
		}
		for _, sd := range job.SD {
			targets = append(targets, strings.TrimPrefix(sd.URL, "http://"))
		}
	}
	for _, target := range targets {
		host, _, _ := strings.Cut(target, ":")
		if _, ok := file.Services[host]; !ok && host != "localhost" {
			t.Errorf("prometheus.yml names %s, which is not a service", target)
		}
	}
}

// checkSecondTarget fails unless the file that compose.postgres.yml mounts where Prometheus looks names its second exporter.
func checkSecondTarget(t *testing.T, pattern string) {
	t.Helper()
	file := readCompose(t, "compose.postgres.yml")
	for inside, here := range file.mounts("prometheus") {
		if matches, err := filepath.Match(pattern, inside); err != nil || !matches {
			t.Errorf("Prometheus reads %s, not %s (%v)", pattern, inside, err)
		}
		var groups []struct{ Targets []string }
		readYAML(t, here, &groups)
		if len(groups) != 1 || !slices.Equal(groups[0].Targets, []string{"weixin_exporter_2:9988"}) || file.Services["weixin_exporter_2"].Image == "" {
			t.Errorf("%s names %+v", here, groups)
		}
		return
	}
	t.Error("Prometheus gets no second target")
}

// checkSame compares two values as YAML.
func checkSame(t *testing.T, what string, got, want any) {
	t.Helper()
	one, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	other, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(one) != string(other) {
		t.Errorf("%s is\n%s\nwant\n%s", what, one, other)
	}
}

// checkFlags fails for flags of a command line that are not in the help of the program.
func checkFlags(t *testing.T, path string, args []string) {
	t.Helper()
	help := output(t, path, "--help")
	if len(args) == 0 {
		t.Errorf("%s has no command line", path)
	}
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`(?m)^ +--(\[no-\])?` + regexp.QuoteMeta(strings.TrimPrefix(flag, "--")) + `\b`).MatchString(help) {
			t.Errorf("%s does not have the flag %s", path, flag)
		}
	}
}

func TestComposeGrafana(t *testing.T) {
	t.Parallel()
	file := readCompose(t, "compose.yml")
	container := file.mirror(t, "grafana")
	root := filepath.Join(container, "etc/grafana/provisioning")
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct{ Name, UID, Type, URL string }
	}
	readYAML(t, filepath.Join(root, "datasources/weixin.yml"), &sources)
	addresses := map[string]string{}
	for _, s := range sources.Datasources {
		if s.Type == "prometheus" {
			addresses[s.UID] = s.URL
		}
	}
	want := map[string]string{"prometheus": "http://prometheus:9090", "weixin_exporter": "http://weixin_exporter:9988"}
	if sources.APIVersion != 1 || len(sources.Datasources) != len(want) || !maps.Equal(addresses, want) {
		t.Errorf("the data sources are %+v", sources)
	}

	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	readYAML(t, filepath.Join(root, "dashboards/weixin.yml"), &boards)
	if boards.APIVersion != 1 || len(boards.Providers) != 1 || boards.Providers[0].Type != "file" {
		t.Fatalf("the boards come from %+v", boards)
	}
	folder := boards.Providers[0].Options.Path
	found, err := filepath.Glob(filepath.Join(container, folder, "*.json"))
	if err != nil || len(found) == 0 {
		t.Errorf("no boards are in %s of the container: %v", folder, err)
	}
	home := file.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if !slices.Contains(found, filepath.Join(container, home)) {
		t.Errorf("the home page, %s, is not among the boards %q", home, found)
	}
	chinese := readCompose(t, "compose.zh.yml").Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if _, err := os.Stat(filepath.Join(container, chinese)); err != nil {
		t.Errorf("the Chinese home page, %s, is not among the boards: %v", chinese, err)
	}
}

// systemd accepts the unit, which is well secured.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	analyze := program(t, "SYSTEMD_ANALYZE", "systemd-analyze")
	const command = "ExecStart=/usr/local/bin/weixin_exporter "
	text := readFile(t, filepath.Join(deploy, "systemd/weixin_exporter.service"))
	if !strings.Contains(text, "\n"+command) {
		t.Fatalf("the unit does not have %s", command)
	}
	unit := filepath.Join(t.TempDir(), "weixin_exporter.service")
	writeFile(t, unit, strings.Replace(text, command, "ExecStart="+suite.binary+" ", 1))
	if said := output(t, analyze, "verify", unit); strings.TrimSpace(said) != "" {
		t.Errorf("systemd-analyze verify says\n%s", said)
	}
	// The threshold is in tenths: 1.5 of 10, where 10 is unprotected.
	output(t, analyze, "security", "--offline=true", "--threshold=15", unit)

	// README.md next to it names these.
	for _, want := range []string{"StateDirectory=weixin_exporter", "User=weixin_exporter"} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the unit lacks %s", want)
		}
	}
}

// The rules for the Prometheus operator are the same rules.
func TestKubernetesRules(t *testing.T) {
	t.Parallel()
	head, spec, _ := strings.Cut(readFile(t, filepath.Join(deploy, "kubernetes/prometheusrule.yml")), "\nspec:\n")
	if !strings.Contains(head, "\nkind: PrometheusRule\n") {
		t.Errorf("the head is\n%s", head)
	}
	want := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(readFile(t, rulesFile), "  $1")
	if spec != want {
		t.Error("prometheusrule.yml differs from alerts/weixin.rules.yml: see deploy/kubernetes/README.md")
	}
}

// The configuration in the manifests is valid, and its files are where the pod has them.
func TestKubernetesConfiguration(t *testing.T) {
	t.Parallel()
	if text := checkConfigMap(t, "kubernetes", nil); !strings.Contains(text, "path: /var/lib/weixin_exporter/") {
		t.Errorf("the database is not on the volume:\n%s", text)
	}
}

// So is that for exporters with PostgreSQL.
func TestKubernetesPostgresConfiguration(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	text := checkConfigMap(t, "kubernetes-postgres", map[string]string{
		"store-url": server.URL("postgres"), "sealing-key": base64.StdEncoding.EncodeToString(make([]byte, 32)),
	})
	if !strings.Contains(text, "url_file: ") || strings.Contains(text, "/var/lib/") {
		t.Errorf("the store is not in the database alone:\n%s", text)
	}
}

// checkConfigMap has the exporter check the configuration of a folder's ConfigMap, with these secrets, and returns it.
func checkConfigMap(t *testing.T, manifests string, secrets map[string]string) string {
	t.Helper()
	var manifest struct{ Data map[string]string }
	readYAML(t, filepath.Join(deploy, manifests, "configmap.yml"), &manifest)
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "shop"), "sim-secret-kubernetes")
	for name, content := range secrets {
		writeFile(t, filepath.Join(folder, name), content)
	}
	text := manifest.Data["config.yml"]
	writeFile(t, filepath.Join(folder, "config.yml"), strings.NewReplacer("/etc/weixin_exporter/secrets/", folder+"/", "/var/lib/weixin_exporter/", folder+"/").Replace(text))
	output(t, suite.binary, "check", "--config.file="+filepath.Join(folder, "config.yml"))
	return text
}
