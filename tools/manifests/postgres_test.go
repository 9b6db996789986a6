package manifests_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// The variant with PostgreSQL has two pods without a volume in place of the StatefulSet, and is otherwise the same.
func TestKustomizationForPostgres(t *testing.T) {
	texts := kustomize(t, "kubernetes-postgres")
	example, err := os.ReadFile(filepath.Join(deploy, "kubernetes-postgres/secret.yml.example"))
	if err != nil {
		t.Fatal(err)
	}
	texts["Secret"] = example
	got, plain := decode(t, texts, 8), load(t)
	if got["apps/v1 StatefulSet"] != nil {
		t.Fatal("the StatefulSet is still there")
	}
	checkNamespace(t, got)
	for _, kind := range []string{"v1 Namespace", "v1 Service", "monitoring.coreos.com/v1 ServiceMonitor", "monitoring.coreos.com/v1 PrometheusRule"} {
		if !reflect.DeepEqual(got[kind], plain[kind]) {
			t.Errorf("the %s is\n%+v\nwithout PostgreSQL\n%+v", kind, got[kind], plain[kind])
		}
	}

	deployment := got["apps/v1 Deployment"].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	checkRestricted(t, pod.Spec)
	checkMounts(t, pod.Spec, nil)
	checkSecret(t, pod.Spec, got["v1 Secret"].(*corev1.Secret), got["v1 ConfigMap"].(*corev1.ConfigMap).Data["config.yml"])
	checkSpread(t, deployment, got["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget))
	if !includes(pod.Labels, got["v1 Service"].(*corev1.Service).Spec.Selector) {
		t.Errorf("the Service does not select pods with %v", pod.Labels)
	}

	// What was checked above differs; the rest is the pod of the StatefulSet.
	want := plain["apps/v1 StatefulSet"].(*appsv1.StatefulSet).Spec.Template.DeepCopy()
	same := pod.DeepCopy()
	same.Spec.TopologySpreadConstraints = nil
	mounts := &want.Spec.Containers[0].VolumeMounts
	*mounts = slices.DeleteFunc(*mounts, func(m corev1.VolumeMount) bool { return m.Name == "data" })
	secret := same.Spec.Volumes[0].Projected.Sources[1].Secret
	secret.Items = slices.DeleteFunc(secret.Items, func(item corev1.KeyToPath) bool { return item.Key == "store-url" || item.Key == "sealing-key" })
	if !reflect.DeepEqual(same, want) {
		t.Errorf("the pod is\n%+v\nthat of the StatefulSet\n%+v", same, want)
	}
}

// With a store in PostgreSQL the chart makes what the kustomization for it has, with as many pods as the values say.
func TestChartForPostgres(t *testing.T) {
	const folder = "/etc/weixin_exporter/secrets/"
	values := func(replicas int, store map[string]any) map[string]any {
		return map[string]any{
			"replicas": replicas, "config": map[string]any{"store": store},
			"secrets": map[string]any{"keys": []any{"shop", "store-url", "sealing-key"}},
		}
	}
	inDatabase := map[string]any{"url_file": folder + "store-url", "sealing_key_file": folder + "sealing-key"}
	texts, err := render(t, values(2, inDatabase))
	if err != nil {
		t.Fatal(err)
	}
	got, plain := decode(t, texts, 4), decode(t, kustomize(t, "kubernetes-postgres"), 7)
	checkNamespace(t, got)
	deployment := got["apps/v1 Deployment"].(*appsv1.Deployment)
	checkMounts(t, deployment.Spec.Template.Spec, nil)
	checkRestricted(t, deployment.Spec.Template.Spec)
	checkSpread(t, deployment, got["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget))
	config := got["v1 ConfigMap"].(*corev1.ConfigMap).Data["config.yml"]
	var made, written any
	if err := yaml.Unmarshal([]byte(config), &made); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(plain["v1 ConfigMap"].(*corev1.ConfigMap).Data["config.yml"]), &written); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(made, written) {
		t.Errorf("the chart's configuration is\n%s\nwant that of the kustomization", config)
	}

	// What the values say, and the chart's labels, differ; the rest is that of the kustomization.
	pod, want := deployment.Spec.Template.Spec.DeepCopy(), plain["apps/v1 Deployment"].(*appsv1.Deployment).Spec.Template.Spec
	pod.TopologySpreadConstraints[0].LabelSelector = want.TopologySpreadConstraints[0].LabelSelector
	pod.Containers[0].Image, pod.Containers[0].ImagePullPolicy = want.Containers[0].Image, want.Containers[0].ImagePullPolicy
	if !reflect.DeepEqual(*pod, want) {
		t.Errorf("the chart's pod is\n%+v\nthat of the kustomization\n%+v", *pod, want)
	}

	texts, err = render(t, values(1, map[string]any{"url": "postgres://db.example/weixin"}))
	if err != nil {
		t.Fatal(err)
	}
	if single := decode(t, texts, 3)["apps/v1 Deployment"].(*appsv1.Deployment); *single.Spec.Replicas != 1 {
		t.Errorf("one exporter has %d replicas", *single.Spec.Replicas)
	}
	if _, err := render(t, values(2, nil)); err == nil || !strings.Contains(err.Error(), "replicas above 1 need config.store.url_file") {
		t.Errorf("several exporters with a file: %v", err)
	}
	if _, err := render(t, values(0, inDatabase)); err == nil {
		t.Error("no exporter at all is accepted")
	}
}

// checkSecret fails unless each key of the Secret is a file of the pod that the configuration names.
func checkSecret(t *testing.T, pod corev1.PodSpec, secret *corev1.Secret, config string) {
	t.Helper()
	var keys []string
	for _, source := range pod.Volumes[0].Projected.Sources {
		if source.Secret == nil {
			continue
		}
		if source.Secret.Name != secret.Name {
			t.Errorf("the pod mounts the Secret %s, the example is %s", source.Secret.Name, secret.Name)
		}
		for _, item := range source.Secret.Items {
			keys = append(keys, item.Key)
			if !strings.Contains(config, "_file: "+pod.Containers[0].VolumeMounts[0].MountPath+"/"+item.Path+"\n") {
				t.Errorf("the configuration does not name the file %s:\n%s", item.Path, config)
			}
		}
	}
	slices.Sort(keys)
	if want := slices.Sorted(maps.Keys(secret.StringData)); !slices.Equal(keys, want) {
		t.Errorf("the pod mounts the keys %q, the Secret has %q", keys, want)
	}
	if strings.Count(config, "_file: ") != len(keys) {
		t.Errorf("the configuration names other files than %q:\n%s", keys, config)
	}
}

// checkSpread fails unless there are several pods, on different nodes, of which a drained node takes one at a time.
func checkSpread(t *testing.T, deployment *appsv1.Deployment, budget *policyv1.PodDisruptionBudget) {
	t.Helper()
	labels := deployment.Spec.Template.Labels
	if *deployment.Spec.Replicas < 2 || !includes(labels, deployment.Spec.Selector.MatchLabels) {
		t.Errorf("%d replicas with %v, selected by %v", *deployment.Spec.Replicas, labels, deployment.Spec.Selector)
	}
	if budget.Spec.MaxUnavailable.IntValue() != 1 || !includes(labels, budget.Spec.Selector.MatchLabels) {
		t.Errorf("the budget is %+v for pods with %v", budget.Spec, labels)
	}
	spread := deployment.Spec.Template.Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname || !includes(labels, spread[0].LabelSelector.MatchLabels) {
		t.Errorf("pods with %v are spread by %+v", labels, spread)
	}
}

// checkTwo fails unless both exporters of a project differ in the port of the host alone, the database cannot be reached
// from outside, and each secret has a file.
func checkTwo(t *testing.T, project *types.Project) {
	t.Helper()
	one, two := project.Services["weixin_exporter"], project.Services["weixin_exporter_2"]
	for name, exporter := range map[string]types.ServiceConfig{"the first": one, "the second": two} {
		if len(exporter.Ports) != 1 || exporter.Ports[0].Target != 9988 || exporter.DependsOn["postgres"].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s has the ports %+v and depends on %+v", name, exporter.Ports, exporter.DependsOn)
		}
	}
	if one.Ports[0].Published == two.Ports[0].Published {
		t.Errorf("both have the port %s", one.Ports[0].Published)
	}
	if project.Services["postgres"].HealthCheck == nil || len(project.Services["postgres"].Ports) > 0 {
		t.Error("the database has no health check, or can be reached from outside")
	}
	for _, service := range project.Services {
		for _, needed := range service.Secrets {
			if project.Secrets[needed.Source].File == "" {
				t.Errorf("%s has the secret %s without a file", service.Name, needed.Source)
			}
		}
	}

	// The second has neither the image's build nor the volume, which the store does not need.
	one.Name, one.Ports, one.Build, one.PullPolicy = two.Name, two.Ports, two.Build, two.PullPolicy
	one.Volumes = slices.DeleteFunc(slices.Clone(one.Volumes), func(v types.ServiceVolumeConfig) bool { return v.Source == "exporter" })
	if !reflect.DeepEqual(one, two) {
		t.Errorf("the first exporter is\n%+v\nthe second\n%+v", one, two)
	}
}
