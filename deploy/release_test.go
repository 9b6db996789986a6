package deploy_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/internal/repotest"

	"go.yaml.in/yaml/v4"
)

// The content of a release is checked as far as possible without publishing one.

// releaseFile is the part of .goreleaser.yml that is checked.
type releaseFile struct {
	Builds []struct {
		Env, Goarch, Flags, Ldflags []string
	}
	Archives []struct{ Files []string }
	Packages []struct {
		Name     string `yaml:"package_name"`
		FileName string `yaml:"file_name_template"`
		Formats  []string
		Bindir   string
		Scripts  map[string]string
		Contents []struct{ Src, Dst string }
	} `yaml:"nfpms"`
	Images []struct {
		Dockerfile string
		Labels     map[string]string
	} `yaml:"dockers_v2"`
}

func readRelease(t *testing.T) releaseFile {
	t.Helper()
	var file releaseFile
	if err := yaml.Unmarshal([]byte(repotest.Text(t, ".goreleaser.yml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Builds) != 1 || len(file.Packages) != 1 || len(file.Images) != 1 || len(file.Archives) != 1 {
		t.Fatalf(".goreleaser.yml has %+v", file)
	}
	return file
}

// A release has the program that make builds: static, and with the same stamps.
func TestReleaseBuildsAsMakeDoes(t *testing.T) {
	build := readRelease(t).Builds[0]
	makefile := repotest.Text(t, "Makefile")
	flags := strings.Join(build.Ldflags, " ")
	for stamp := range repotest.Found(`-X \$\(STAMP\)\.(\w+)=`, makefile) {
		if !strings.Contains(flags, "-X github.com/prometheus/common/version."+stamp+"=") {
			t.Errorf("a release is not stamped with %s", stamp)
		}
	}
	if !strings.Contains(strings.Join(build.Env, " "), "CGO_ENABLED=0") || !strings.Contains(makefile, "CGO_ENABLED=0 go build -trimpath") ||
		strings.Join(build.Flags, " ") != "-trimpath" || strings.Join(build.Goarch, " ") != "amd64 arm64" {
		t.Errorf("a release is built with %+v", build)
	}
}

func TestReleaseHasWhatItNames(t *testing.T) {
	file := readRelease(t)
	sources := file.Archives[0].Files
	pack := file.Packages[0]
	installed := map[string]bool{}
	for _, content := range pack.Contents {
		if content.Src != "" {
			sources = append(sources, content.Src)
		}
		installed[content.Dst] = true
	}
	for _, script := range pack.Scripts {
		sources = append(sources, script)
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", repotest.Path(t, script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
	for _, source := range append(sources, file.Images[0].Dockerfile) {
		if matches, err := filepath.Glob(repotest.Path(t, source)); err != nil || len(matches) == 0 {
			t.Errorf("a release has %s, which does not exist (%v)", source, err)
		}
	}
	for _, path := range []string{
		"/usr/lib/systemd/system/weixin_exporter.service", "/usr/lib/sysusers.d/weixin_exporter.conf",
		"/usr/share/doc/weixin-exporter/config.example.yml",
	} {
		if !installed[path] {
			t.Errorf("the packages lack %s", path)
		}
	}
	// Without the template the files would have the operating system in their names.
	names := regexp.MustCompile(`\./`+pack.Name+`_\d+\.\d+\.\d+_amd64\.deb\b`).FindAllString(repotest.Text(t, "docs/deployment.md"), -1)
	if pack.FileName != "{{ .ConventionalFileName }}" || len(names) == 0 {
		t.Errorf("the packages are named by %q, and docs/deployment.md installs %q", pack.FileName, names)
	}
	// The unit starts what the packages install, with the arguments that it has anyway.
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin(/.*)$`).FindStringSubmatch(repotest.Text(t, "deploy/systemd/weixin_exporter.service"))
	if command == nil || !strings.Contains(repotest.Text(t, "deploy/packages/10-package.conf"), "\nExecStart=\n"+"ExecStart="+pack.Bindir+command[1]+"\n") {
		t.Errorf("the packages start something else than the unit, %q", command)
	}
}

// The image of a release is that of the Dockerfile at the top, but for where the program comes from.
func TestReleaseImage(t *testing.T) {
	last := func(path string) []string {
		text := repotest.Text(t, path)
		var lines []string
		for line := range strings.SplitSeq(text[strings.LastIndex(text, "\nFROM "):], "\n") {
			word, _, _ := strings.Cut(line, " ")
			switch word {
			case "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD":
				lines = append(lines, line)
			}
		}
		return lines
	}
	image := readRelease(t).Images[0]
	built, released := last("Dockerfile"), last(image.Dockerfile)
	if strings.Join(built, "\n") != strings.Join(released, "\n") || len(built) < 7 {
		t.Errorf("the images differ:\n%q\n%q", built, released)
	}
	for label := range repotest.Found(`(org\.opencontainers\.image\.[a-z]+)=`, repotest.Text(t, "Dockerfile")) {
		if image.Labels[label] == "" {
			t.Errorf("the image of a release lacks the label %s", label)
		}
	}
}

// The workflows run the same commands as developers do.
func TestWorkflows(t *testing.T) {
	for name, command := range map[string]string{"test": ".ci/run", "release": "goreleaser/goreleaser-action"} {
		path := filepath.Join(".github/workflows", name+".yml")
		var workflow struct {
			On   any
			Jobs map[string]struct {
				Steps []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(repotest.Text(t, path)), &workflow); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		runs := false
		for _, step := range workflow.Jobs[name].Steps {
			runs = runs || strings.HasPrefix(step.Uses+step.Run, command)
			if step.Uses != "" && !regexp.MustCompile(`@v\d+$`).MatchString(step.Uses) {
				t.Errorf("%s uses %s, which is not pinned to a version", path, step.Uses)
			}
		}
		if !runs {
			t.Errorf("%s does not run %s", path, command)
		}
	}
	if !repotest.Exists(t, ".ci/run") {
		t.Error("there is no .ci/run")
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(repotest.Text(t, "go.mod"))[1]
	if !strings.Contains(repotest.Text(t, ".github/workflows/test.yml"), "golang:"+version+"-") {
		t.Errorf("the tests do not run with Go %s", version)
	}
}
