// Package manifests_test holds the files below deploy/ against the types of those who read them. It
// is a module of its own, so that the program does not depend on these.
package manifests_test

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const deploy = "../../deploy"

// kinds are the types of the manifests, by apiVersion and kind.
func kinds() map[string]any {
	return map[string]any{
		"v1 Namespace":                            &corev1.Namespace{},
		"v1 ConfigMap":                            &corev1.ConfigMap{},
		"v1 Secret":                               &corev1.Secret{},
		"v1 Service":                              &corev1.Service{},
		"apps/v1 StatefulSet":                     &appsv1.StatefulSet{},
		"apps/v1 Deployment":                      &appsv1.Deployment{},
		"policy/v1 PodDisruptionBudget":           &policyv1.PodDisruptionBudget{},
		"monitoring.coreos.com/v1 ServiceMonitor": &monitoringv1.ServiceMonitor{},
		"monitoring.coreos.com/v1 PrometheusRule": &monitoringv1.PrometheusRule{},
	}
}

// load reads all manifests strictly, as the API server does: a key that a type lacks, be it for a capital
// letter, a value of another type and a duplicate are errors.
func load(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob(deploy + "/kubernetes/*.yml*")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		if texts[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return decode(t, texts, 7)
}

// decode reads as many manifests, one from each text, by apiVersion and kind.
func decode(t *testing.T, texts map[string][]byte, want int) map[string]any {
	t.Helper()
	known := kinds()
	loaded := map[string]any{}
	for name, text := range texts {
		if bytes.Contains(text, []byte("\n---")) {
			t.Errorf("%s has several documents, of which one would be checked", name)
		}
		var header struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(text, &header); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kind := header.APIVersion + " " + header.Kind
		into, ok := known[kind]
		if !ok || loaded[kind] != nil {
			t.Fatalf("%s is of the kind %s, which is not expected, or not again", name, kind)
		}
		encoded, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		faults, err := json.UnmarshalStrict(encoded, into)
		if err != nil || len(faults) > 0 {
			t.Fatalf("%s: %v %v", name, err, faults)
		}
		loaded[kind] = into
	}
	if len(loaded) != want {
		t.Fatalf("%d manifests, want %d", len(loaded), want)
	}
	return loaded
}

// The manifests fit each other.
func TestManifests(t *testing.T) { checkFit(t, load(t)) }

// checkFit compares the names, labels, ports and volumes of manifests with each other. Those of a chart have
// neither a namespace nor a Secret of their own.
func checkFit(t *testing.T, loaded map[string]any) {
	t.Helper()
	set := loaded["apps/v1 StatefulSet"].(*appsv1.StatefulSet)
	service := loaded["v1 Service"].(*corev1.Service)
	monitor := loaded["monitoring.coreos.com/v1 ServiceMonitor"].(*monitoringv1.ServiceMonitor)
	config := loaded["v1 ConfigMap"].(*corev1.ConfigMap)
	secret, _ := loaded["v1 Secret"].(*corev1.Secret)

	pod := set.Spec.Template
	for name, selector := range map[string]map[string]string{
		"the StatefulSet": set.Spec.Selector.MatchLabels, "the Service": service.Spec.Selector,
	} {
		if !includes(pod.Labels, selector) {
			t.Errorf("%s selects %v, the pod has %v", name, selector, pod.Labels)
		}
	}
	if !includes(service.Labels, monitor.Spec.Selector.MatchLabels) {
		t.Errorf("the ServiceMonitor selects %v, the Service has %v", monitor.Spec.Selector.MatchLabels, service.Labels)
	}
	if !strings.Contains(service.Name, "weixin") || set.Spec.ServiceName != service.Name {
		t.Errorf("the service is %s, the StatefulSet wants %s", service.Name, set.Spec.ServiceName)
	}
	if port := monitor.Spec.Endpoints[0].Port; port != service.Spec.Ports[0].Name {
		t.Errorf("the ServiceMonitor scrapes the port %s", port)
	}
	if !monitor.Spec.Endpoints[0].HonorLabels {
		t.Error("the operator's label endpoint takes the place of the one that weixin_remote_write_* have")
	}
	container := pod.Spec.Containers[0]
	port := container.Ports[0]
	if service.Spec.Ports[0].TargetPort.StrVal != port.Name || container.LivenessProbe.HTTPGet.Port.StrVal != port.Name ||
		container.ReadinessProbe.HTTPGet.Port.StrVal != port.Name {
		t.Errorf("service and probes do not go to the port %s", port.Name)
	}
	checkNamespace(t, loaded)
	checkMounts(t, pod.Spec, set.Spec.VolumeClaimTemplates)
	for _, source := range pod.Spec.Volumes[0].Projected.Sources {
		switch {
		case source.ConfigMap != nil && (source.ConfigMap.Name != config.Name || config.Data[source.ConfigMap.Items[0].Key] == ""):
			t.Errorf("no ConfigMap has what the pod mounts: %v", source.ConfigMap)
		case secret != nil && source.Secret != nil && (source.Secret.Name != secret.Name || secret.StringData[source.Secret.Items[0].Key] == ""):
			t.Errorf("no Secret has what the pod mounts: %v", source.Secret)
		}
	}
}

func checkNamespace(t *testing.T, loaded map[string]any) {
	t.Helper()
	for kind, object := range loaded {
		if meta, ok := object.(interface{ GetNamespace() string }); ok && kind != "v1 Namespace" && meta.GetNamespace() != "weixin" {
			t.Errorf("the %s is in the namespace %q", kind, meta.GetNamespace())
		}
	}
}

func includes(labels, selector map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// checkMounts fails unless each mount has its volume, and each volume its mount.
func checkMounts(t *testing.T, pod corev1.PodSpec, claims []corev1.PersistentVolumeClaim) {
	t.Helper()
	var volumes, mounts []string
	for _, volume := range pod.Volumes {
		volumes = append(volumes, volume.Name)
	}
	for _, claim := range claims {
		volumes = append(volumes, claim.Name)
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		mounts = append(mounts, mount.Name)
	}
	slices.Sort(volumes)
	slices.Sort(mounts)
	if !slices.Equal(volumes, mounts) {
		t.Errorf("volumes %q, mounts %q", volumes, mounts)
	}
}

// What the profile "restricted" of Kubernetes demands, and a root file system that cannot be written.
func TestManifestsAreRestricted(t *testing.T) {
	checkRestricted(t, load(t)["apps/v1 StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Spec)
}

func checkRestricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	whole, own := pod.SecurityContext, pod.Containers[0].SecurityContext
	switch {
	case !*whole.RunAsNonRoot, *whole.RunAsUser != 65532, whole.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Errorf("the pod's context is %v", whole)
	case *own.AllowPrivilegeEscalation, !*own.ReadOnlyRootFilesystem, !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}):
		t.Errorf("the container's context is %v", own)
	case *pod.AutomountServiceAccountToken, *pod.EnableServiceLinks:
		t.Error("the pod gets what it does not need")
	case pod.Containers[0].Resources.Limits.Memory().IsZero():
		t.Error("the memory has no limit")
	}
}

// docker compose reads the files as its own library does.
func TestCompose(t *testing.T) {
	for _, files := range [][]string{
		{"compose.yml"}, {"compose.yml", "compose.real.yml"}, {"compose.yml", "compose.zh.yml"},
		{"compose.yml", "compose.real.yml", "compose.postgres.yml"}, {"compose.yml", "compose.zh.yml", "compose.real.yml", "compose.postgres.yml"},
	} {
		var paths []string
		for _, file := range files {
			paths = append(paths, filepath.Join(deploy, "compose", file))
		}
		options, err := cli.NewProjectOptions(paths, cli.WithResolvedPaths(true))
		if err != nil {
			t.Fatal(err)
		}
		project, err := options.LoadProject(t.Context())
		if err != nil {
			t.Errorf("%q: %v", files, err)
			continue
		}
		want := []string{"alertmanager", "grafana", "prometheus", "weixin_exporter"}
		if slices.Contains(files, "compose.postgres.yml") {
			want = []string{"alertmanager", "grafana", "postgres", "prometheus", "weixin_exporter", "weixin_exporter_2"}
			checkTwo(t, project)
		}
		if names := project.ServiceNames(); !slices.Equal(names, want) {
			t.Errorf("%q has the services %q", files, names)
		}
		checkServices(t, project)
		exporter := project.Services["weixin_exporter"]
		if isDemo := exporter.Command[0] == "demo"; isDemo == slices.Contains(files, "compose.real.yml") {
			t.Errorf("%q runs %q", files, exporter.Command)
		}
	}
}

// users are the users that images run as by themselves, where they are not root.
func users() map[string]string {
	return map[string]string{"weixin_exporter": "65532:65532", "prom/prometheus": "65534", "prom/alertmanager": "65534", "grafana/grafana": "472"}
}

// checkServices fails unless each service of a project has as few rights as a container can have, and is reached from
// the host alone.
func checkServices(t *testing.T, project *types.Project) {
	t.Helper()
	for _, service := range project.Services {
		image, _, _ := strings.Cut(service.Image, ":")
		user := cmp.Or(service.User, users()[image])
		if user == "" || user == "root" || strings.HasPrefix(user, "0") {
			t.Errorf("%s runs as %q", service.Name, user)
		}
		if !service.ReadOnly || service.Privileged || !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd)+len(service.Devices) > 0 ||
			!slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) || service.NetworkMode+service.Pid+service.Ipc+service.UserNSMode != "" {
			t.Errorf("%s may do more than it needs: %+v", service.Name, service)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s can be reached from outside at the port %s of %q", service.Name, port.Published, port.HostIP)
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind && !volume.ReadOnly {
				t.Errorf("%s can write to %s of the host", service.Name, volume.Source)
			}
		}
	}
}
