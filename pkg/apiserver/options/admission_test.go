package options

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

func TestAdmissionPluginsAreThoseOfKubeAPIServerThatLookAtJobs(t *testing.T) {
	o := New().Admission
	want := []string{
		"NamespaceLifecycle", "PodSecurity", "MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}
	if diff := cmp.Diff(want, o.RecommendedPluginOrder); diff != "" {
		t.Errorf("plugins in the order they run (-want +got):\n%s", diff)
	}
	for _, plugin := range want {
		if !slices.Contains(o.Plugins.Registered(), plugin) {
			t.Errorf("%s is not registered", plugin)
		}
		if o.DefaultOffPlugins.Has(plugin) {
			t.Errorf("%s is off by default", plugin)
		}
	}
}

// To list all Pods takes a permission that this server does not have, and their memory.
func TestPodsAreNotWatched(t *testing.T) {
	client := fake.NewClientset()
	shared := informers.NewSharedInformerFactory(client, 0)
	factory := withoutPods{shared, informers.NewSharedInformerFactory(client, 0)}
	factory.Core().V1().Namespaces().Informer()
	factory.Core().V1().Pods().Informer()
	if factory.Core().V1().Pods().Lister() == nil {
		t.Error("there is no lister for the plugin that wants one")
	}

	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	close(stop)
	factory.Shutdown()
	listed := map[string]bool{}
	for _, action := range client.Actions() {
		listed[action.GetResource().Resource] = true
	}
	if diff := cmp.Diff(map[string]bool{"namespaces": true}, listed); diff != "" {
		t.Errorf("what is watched (-want +got):\n%s", diff)
	}
}
