// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes/fake"

	_ "github.com/batchgate/batchgate/pkg/apis/policy/install" // imported by pkg/apiserver in production
	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apiserver/openapi"
)

// The MutatingAdmissionPolicy plugin finds the types of all resources in a cluster whose
// kube-apiserver has no OpenAPI document.
func TestWithOpenAPI(t *testing.T) {
	config := &genericapiserver.Config{}
	openapi.ApplyTo(config)
	client, err := withOpenAPI(fake.NewClientset(), config.OpenAPIV3Config)
	if err != nil {
		t.Fatal(err)
	}
	// As the plugin does.
	manager := patch.NewTypeConverterManager(nil, client.Discovery().OpenAPIV3())
	go manager.Run(t.Context())
	for _, gvk := range []schema.GroupVersionKind{
		batchv1.SchemeGroupVersion.WithKind("Job"),
		batchv1.SchemeGroupVersion.WithKind("CronJob"),
		schema.GroupVersion(policyv1alpha1.GroupVersion).WithKind("JobUpdatePolicy"),
	} {
		apiVersion, kind := gvk.ToAPIVersionAndKind()
		spec := map[string]any{"suspend": true}
		if kind == "JobUpdatePolicy" {
			spec = map[string]any{"action": "Warn"}
		}
		converter := manager.GetTypeConverter(gvk)
		for range 500 {
			if converter != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
			converter = manager.GetTypeConverter(gvk)
		}
		if converter == nil {
			t.Fatalf("%s has no type converter", kind)
		}
		var want runtime.Object = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "pi"},
			"spec": spec,
		}}
		typed, err := converter.ObjectToTyped(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := converter.TypedToObject(typed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unexpected %s (-want +got):\n%s", kind, diff)
		}
		if _, err := converter.ObjectToTyped(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": apiVersion, "kind": kind, "spec": map[string]any{"unknown": true},
		}}); err == nil {
			t.Errorf("an unknown field of a %s is accepted", kind)
		}
	}
}
