package manifests_test

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize returns the manifests that a folder below deploy builds, by their kinds.
func kustomize(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(deploy, folder))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		texts[resource.GetKind()] = text
	}
	return texts
}

// The kustomization has the manifests of its folder, and nothing else.
func TestKustomization(t *testing.T) {
	texts := kustomize(t, "kubernetes")
	want := load(t)
	delete(want, "v1 Secret") // an example
	got := decode(t, texts, len(want))
	checkFit(t, got)
	for kind := range want {
		if !reflect.DeepEqual(got[kind], want[kind]) {
			t.Errorf("kustomize makes another %s:\n%+v\nwant\n%+v", kind, got[kind], want[kind])
		}
	}
}

// render returns the chart's manifests as Helm makes them.
func render(t *testing.T, values map[string]any) (map[string][]byte, error) {
	t.Helper()
	chart, err := loader.Load(filepath.Join(deploy, "helm/weixin-exporter"))
	if err != nil {
		t.Fatal(err)
	}
	if err := chart.Validate(); err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: "weixin-exporter", Namespace: "weixin", IsInstall: true}
	prepared, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	engine := engine.Engine{Strict: true}
	rendered, err := engine.Render(chart, prepared)
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for name, text := range rendered {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			texts[filepath.Base(name)] = []byte(text)
		}
	}
	return texts, nil
}

// The chart makes what the plain manifests are, and takes its values strictly.
func TestChart(t *testing.T) {
	texts, err := render(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	alone := decode(t, texts, 3)
	checkRestricted(t, alone["apps/v1 StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Spec)

	texts, err = render(t, map[string]any{
		"serviceMonitor": map[string]any{"enabled": true}, "prometheusRule": map[string]any{"enabled": true},
		"extraArgs": []any{"--log.format=json"}, "image": map[string]any{"tag": "1.2.3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, plain := decode(t, texts, 5), load(t)
	checkFit(t, got)
	pod := got["apps/v1 StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Spec
	checkRestricted(t, pod)
	want := plain["apps/v1 StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Spec
	container := &pod.Containers[0]
	if !slices.Contains(container.Args, "--log.format=json") || !strings.HasSuffix(container.Image, ":1.2.3") {
		t.Errorf("the container runs %s with %q", container.Image, container.Args)
	}
	// What the values say differs; the rest is that of the plain manifests.
	container.Args, container.Image, container.ImagePullPolicy = want.Containers[0].Args, want.Containers[0].Image, want.Containers[0].ImagePullPolicy
	if !reflect.DeepEqual(pod, want) {
		t.Errorf("the chart's pod is\n%+v\nthat of the plain manifests\n%+v", pod, want)
	}
	const rule = "monitoring.coreos.com/v1 PrometheusRule"
	if !reflect.DeepEqual(got[rule].(*monitoringv1.PrometheusRule).Spec, plain[rule].(*monitoringv1.PrometheusRule).Spec) {
		t.Error("the chart has other rules")
	}

	for name, values := range map[string]map[string]any{
		"a misspelt value":         {"serviceMonitors": map[string]any{"enabled": true}},
		"a value of another type":  {"prometheusRule": map[string]any{"enabled": "yes"}},
		"an image without a name":  {"image": map[string]any{"repository": ""}},
		"an interval of no number": {"serviceMonitor": map[string]any{"interval": "soon"}},
	} {
		if _, err := render(t, values); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if names := slices.Sorted(maps.Keys(texts)); len(names) != 5 {
		t.Errorf("the chart makes %q", names)
	}
}
