// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// Server is a simulated API server.
type Server struct {
	*kubefake.Clientset
	// Storage holds the Jobs and CronJobs.
	Storage Storage
	// Down makes Batchgate unreachable.
	Down bool
	// Unidentified makes Batchgate omit its header, as earlier versions do.
	Unidentified bool
	// BatchDisabled makes kube-apiserver serve batch/v1 only if Batchgate does.
	BatchDisabled bool
	// Ready is the result of /readyz.
	Ready bool
	// Paths are the paths of OpenAPI.
	Paths []string
	// Metrics is the beginning of the body of /metrics. The feature gates follow.
	Metrics string
	// FeatureGates are the feature gates that /metrics has.
	FeatureGates map[string]bool
	// MetricsForbidden is set if the user may not read /metrics.
	MetricsForbidden bool
	// Fields are the properties that the schemas of the OpenAPI v3 document have, by schema.
	Fields map[string][]string
	// ChangeObject, if set, changes the Jobs and CronJobs that the server returns one at a time.
	ChangeObject func(Object)
	// Change, if set, changes the body that Read returns.
	Change func(path string, body []byte) []byte

	cluster *Cluster
	name    string
}

// Read serves a GET request.
func (s *Server) Read(_ context.Context, path string, opts cluster.ReadOptions) ([]byte, error) {
	var body []byte
	err := s.cluster.Request(s.name+" read "+path, func() (err error) {
		if opts.Header != nil {
			*opts.Header = s.header()
		}
		body, err = s.read(path, opts.Query)
		return err
	})
	if err == nil && s.Change != nil {
		body = s.Change(path, body)
	}
	return body, err
}

// header returns the header of a response to a request for Jobs.
func (s *Server) header() http.Header {
	header := http.Header{}
	if backend, err := s.backend(); err == nil && backend.name == s.cluster.Batchgate.name && !backend.Unidentified {
		header.Set(policy.VersionHeader, "v1.37.2")
	}
	return header
}

// backend returns the server of batch/v1 behind this one: kube-apiserver proxies to Batchgate if
// v1.batch points there.
func (s *Server) backend() (*Server, error) {
	c := s.cluster
	if !c.TakenOver() && s.BatchDisabled {
		return nil, apierrors.NewNotFound(batchv1.Resource(""), "")
	}
	if s == c.Batchgate || !c.TakenOver() {
		return s, nil
	}
	if c.Batchgate.Down || c.available(c.APIService()).Reason != "Passed" {
		return nil, apierrors.NewServiceUnavailable("service unavailable")
	}
	return c.Batchgate, nil
}

func (s *Server) serve(action clienttesting.Action) (bool, runtime.Object, error) {
	switch action.GetResource().Resource {
	case "selfsubjectaccessreviews":
		return true, s.cluster.review(action.(clienttesting.CreateActionImpl).Object.(*authorizationv1.SelfSubjectAccessReview)), nil
	case "jobs", "cronjobs":
		backend, err := s.backend()
		if err != nil {
			return true, nil, err
		}
		obj, err := backend.serveBatch(action)
		return true, obj, err
	}
	return false, nil, nil
}

func (s *Server) serveBatch(action clienttesting.Action) (runtime.Object, error) {
	resource := action.GetResource().Resource
	switch a := action.(type) {
	case clienttesting.ListActionImpl:
		objects, revision, err := s.Storage.List(resource)
		if err != nil {
			return nil, err
		}
		meta := metav1.ListMeta{ResourceVersion: strconv.FormatInt(revision, 10)}
		if resource == "cronjobs" {
			list := &batchv1.CronJobList{ListMeta: meta}
			for _, obj := range objects {
				list.Items = append(list.Items, *obj.(*batchv1.CronJob))
			}
			return list, nil
		}
		list := &batchv1.JobList{ListMeta: meta}
		for _, obj := range objects {
			list.Items = append(list.Items, *obj.(*batchv1.Job))
		}
		return list, nil
	case clienttesting.GetActionImpl:
		obj, err := s.get(resource, a.Namespace, a.Name)
		if err == nil && s.ChangeObject != nil {
			s.ChangeObject(obj)
		}
		return obj, err
	}
	// Everything else writes.
	if err := s.admit(); err != nil {
		return nil, err
	}
	switch a := action.(type) {
	case clienttesting.CreateActionImpl:
		obj := a.Object.DeepCopyObject().(Object)
		if obj.GetName() == "" {
			obj.SetName(obj.GetGenerateName() + s.cluster.nextVersion())
		}
		obj.SetUID(s.cluster.newUID())
		obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
		if slices.Contains(a.CreateOptions.DryRun, metav1.DryRunAll) {
			return obj, nil
		}
		if job, ok := obj.(*batchv1.Job); ok && job.Spec.Suspend != nil && *job.Spec.Suspend && !s.cluster.BlindControllers {
			job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}
		}
		return obj, s.Storage.Put(resource, obj)
	case clienttesting.PatchActionImpl:
		obj, err := s.get(resource, a.Namespace, a.Name)
		if err != nil || slices.Contains(a.PatchOptions.DryRun, metav1.DryRunAll) {
			return obj, err
		}
		var patch struct {
			Metadata struct{ Labels map[string]string }
		}
		if err := json.Unmarshal(a.Patch, &patch); err != nil {
			return nil, err
		}
		obj.SetLabels(patch.Metadata.Labels) // merge patches of other fields are not simulated
		return obj, s.Storage.Put(resource, obj)
	case clienttesting.DeleteActionImpl:
		obj, err := s.get(resource, a.Namespace, a.Name)
		if err != nil {
			return nil, err
		}
		if p := a.DeleteOptions.PropagationPolicy; p != nil && *p == metav1.DeletePropagationForeground && s.cluster.BlindControllers {
			return obj, nil // the garbage collector does not see it
		}
		return obj, s.Storage.Delete(resource, a.Namespace, a.Name)
	}
	return nil, fmt.Errorf("not simulated: %v", action)
}

func (s *Server) get(resource, namespace, name string) (Object, error) {
	objects, _, err := s.Storage.List(resource)
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		if obj.GetNamespace() == namespace && obj.GetName() == name {
			return obj, nil
		}
	}
	return nil, apierrors.NewNotFound(batchv1.Resource(resource), name)
}

// admit evaluates the ValidatingAdmissionPolicies of the cluster.
func (s *Server) admit() error {
	tracker := s.cluster.KubeAPIServer.Tracker()
	for _, name := range []string{policy.FreezeName, policy.GuardName} {
		obj, err := tracker.Get(admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings"), "", name)
		if err != nil {
			continue
		}
		binding := obj.(*admissionv1.ValidatingAdmissionPolicyBinding)
		if !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) {
			continue
		}
		if binding.Labels[policy.EnforcedByLabel] == policy.EnforcedByKubeAPIServer && s == s.cluster.Batchgate {
			continue
		}
		obj, err = tracker.Get(admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies"), "", binding.Spec.PolicyName)
		if err != nil {
			continue
		}
		return invalid(name, obj.(*admissionv1.ValidatingAdmissionPolicy).Spec.Validations[0].Message)
	}
	return nil
}

// listPage returns a page of Jobs or CronJobs as JSON.
func (s *Server) listPage(resource string, query url.Values) ([]byte, error) {
	backend, err := s.backend()
	if err != nil {
		return nil, err
	}
	objects, revision, err := backend.Storage.List(resource)
	if err != nil {
		return nil, err
	}
	if wanted, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64); wanted > revision {
		return nil, apierrors.NewTimeoutError("Too large resource version", 1)
	}
	from, _ := strconv.Atoi(query.Get("continue"))
	end, next := len(objects), ""
	if limit, _ := strconv.Atoi(query.Get("limit")); limit > 0 && from+limit < end {
		end = from + limit
		next = strconv.Itoa(end)
	}
	items := []runtime.Object{}
	for _, obj := range objects[min(from, end):end] {
		items = append(items, obj)
	}
	kind := map[string]string{"jobs": "JobList", "cronjobs": "CronJobList"}[resource]
	return json.Marshal(map[string]any{
		"apiVersion": "batch/v1", "kind": kind, "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.FormatInt(revision, 10), "continue": next},
	})
}
