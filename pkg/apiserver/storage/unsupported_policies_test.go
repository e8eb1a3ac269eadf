// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	"k8s.io/kubernetes/pkg/apis/batch"

	policyapi "github.com/batchgate/batchgate/pkg/apis/policy"
	_ "github.com/batchgate/batchgate/pkg/apis/policy/install" // imported by pkg/apiserver in production
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

const policyKey = "/registry/policy.batchgate.io/jobupdatepolicies/x"

// storedPolicy returns a stored policy that grants spec.suspend, with more JSON in its spec and at
// its end.
func storedPolicy(spec, end string) string {
	return `{"kind":"JobUpdatePolicy","apiVersion":"policy.batchgate.io/v1alpha1","metadata":{"name":"x","uid":"u","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z"},
		"spec":{"fields":["spec.suspend"],"action":"Allow","namespaceSelector":{},"jobSelector":{}` + spec + `}` + end + `}`
}

func TestPolicyTransformer_TransformFromStorage(t *testing.T) {
	for name, tc := range map[string]struct {
		stored     string
		wantReason string // empty if the policy is unchanged
		want       []string
	}{
		"known fields":                     {storedPolicy("", ""), "", nil},
		"unknown field of status":          {storedPolicy("", `,"status":{"future":1}`), "", nil},
		"unknown field of spec":            {storedPolicy(`,"until":"2027-01-01"`, ""), "UnsupportedFields", []string{"spec.until"}},
		"unknown nested field":             {storedPolicy(`,"subjects":[{"kind":"User","name":"a","only":true}]`, ""), "UnsupportedFields", []string{"spec.subjects[0].only"}},
		"unknown field beside a known one": {storedPolicy(`,"exclude":{},"until":""`, ""), "UnsupportedFields", []string{"spec.exclude", "spec.until"}},
		"unknown top-level field":          {storedPolicy("", `,"limits":{}`), "UnsupportedFields", []string{"limits"}},
		"unknown field after many others": {strings.Replace(storedPolicy(`,"until":"2027-01-01"`, ""), `"name":"x"`,
			`"name":"x","managedFields":[`+strings.Repeat(`{"future":1},`, 150)+`{}]`, 1), "UnsupportedFields", nil},
		"invalid JSON":            {"{", "Undecodable", []string{"unexpected"}},
		"empty":                   {"", "Undecodable", nil},
		"unknown version":         {strings.Replace(storedPolicy("", ""), "v1alpha1", "v9", 1), "Undecodable", []string{"v9"}},
		"unknown type of a field": {storedPolicy(`,"subjects":"all"`, ""), "Undecodable", nil},
		"other kind":              {`{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"x"}}`, "Undecodable", []string{"Job"}},
		"other name":              {strings.Replace(storedPolicy("", ""), `"name":"x"`, `"name":"y"`, 1), "Undecodable", []string{`"y"`}},
	} {
		t.Run(name, func(t *testing.T) {
			transformer := policyTransformer{identity.NewEncryptCheckTransformer()}
			data, _, err := transformer.TransformFromStorage(t.Context(), []byte(tc.stored), value.DefaultContext(policyKey))
			if err != nil {
				t.Fatal(err)
			}
			if tc.wantReason == "" {
				if string(data) != tc.stored {
					t.Errorf("the policy is changed to %s", data)
				}
				return
			}
			p := &v1alpha1.JobUpdatePolicy{}
			if err := json.Unmarshal(data, p); err != nil {
				t.Fatal(err)
			}
			if p.Name != "x" || p.Kind != "JobUpdatePolicy" {
				t.Errorf("got %s %s, want JobUpdatePolicy x", p.Kind, p.Name)
			}
			for _, conditionType := range []string{"Ready", "Supported"} {
				c := meta.FindStatusCondition(p.Status.Conditions, conditionType)
				if c == nil || c.Status != "False" || c.Reason != tc.wantReason || c.ObservedGeneration != p.Generation {
					t.Fatalf("condition %s is %+v, want False with reason %s", conditionType, c, tc.wantReason)
				}
				for _, want := range tc.want {
					if !strings.Contains(c.Message, want) {
						t.Errorf("message %q does not contain %q", c.Message, want)
					}
				}
			}
			if _, invalid := fieldpolicy.Compile([]*v1alpha1.JobUpdatePolicy{p}); invalid["x"] == nil {
				t.Error("the policy grants its fields")
			}
		})
	}
}

// failingTransformer is an encryption provider whose key is not available.
type failingTransformer struct{ value.Transformer }

func (failingTransformer) TransformFromStorage(context.Context, []byte, value.Context) ([]byte, bool, error) {
	return nil, false, errors.New("no key")
}

// A correctly stored policy must not look broken because its encryption key is not available.
func TestPolicyTransformer_DecryptionError(t *testing.T) {
	if _, _, err := (policyTransformer{failingTransformer{}}).TransformFromStorage(t.Context(), nil, value.DefaultContext(policyKey)); err == nil {
		t.Error("got no error")
	}
}

func TestApplyTo_PolicyTransformer(t *testing.T) {
	config := newGenericConfig(t, []string{"--etcd-servers=http://192.0.2.1:2379"})
	transforms := func(config *genericapiserver.Config, example runtime.Object, resource string) bool {
		t.Helper()
		group := policyapi.Resource(resource)
		if _, ok := example.(*batch.Job); ok {
			group = batch.Resource(resource)
		}
		options, err := config.RESTOptionsGetter.GetRESTOptions(group, example)
		if err != nil {
			t.Fatal(err)
		}
		_, ok := options.StorageConfig.Transformer.(policyTransformer)
		return ok
	}
	if !transforms(config, &policyapi.JobUpdatePolicy{}, "jobupdatepolicies") {
		t.Error("policies are stored without the transformer")
	}
	if transforms(config, &batch.Job{}, "jobs") {
		t.Error("Jobs are stored with the transformer of policies")
	}
}
