// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

var apiServices = apiregistrationv1.SchemeGroupVersion.WithResource("apiservices")

// APIService returns v1.batch, or nil if it does not exist.
func (c *Cluster) APIService() *apiregistrationv1.APIService {
	obj, err := c.Aggregator.Tracker().Get(apiServices, "", policy.BatchAPIService)
	if err != nil {
		return nil
	}
	return obj.(*apiregistrationv1.APIService)
}

// Touch changes v1.batch as another client does. Unlike a request, it does not call Before and
// After.
func (c *Cluster) Touch(changes ...func(*apiregistrationv1.APIService)) {
	a := c.APIService().DeepCopy()
	for _, change := range changes {
		change(a)
	}
	a.ResourceVersion = c.nextVersion()
	if err := c.Aggregator.Tracker().Update(apiServices, a, ""); err != nil {
		panic(err)
	}
}

// TakenOver reports whether v1.batch points to Batchgate.
func (c *Cluster) TakenOver() bool {
	a := c.APIService()
	return a != nil && a.Spec.Service != nil
}

// serveAPIServices computes the condition Available when an APIService is read, and tracks
// whether kube-apiserver asks Batchgate for its part of discovery.
func (c *Cluster) serveAPIServices(action clienttesting.Action) (bool, runtime.Object, error) {
	obj, err := c.track(c.Aggregator.Tracker(), action)
	if action.GetVerb() == "delete" && err == nil {
		c.inDiscovery = false
	}
	if a, ok := obj.(*apiregistrationv1.APIService); ok && err == nil && action.GetSubresource() == "status" {
		c.Blocked = c.Blocked && !slices.ContainsFunc(a.Status.Conditions, func(condition apiregistrationv1.APIServiceCondition) bool {
			return condition.Type == apiregistrationv1.Available && condition.Status == apiregistrationv1.ConditionTrue
		})
	}
	c.inDiscovery = c.inDiscovery || c.TakenOver()
	if a, ok := obj.(*apiregistrationv1.APIService); ok && err == nil {
		a = a.DeepCopy()
		a.Status.Conditions = []apiregistrationv1.APIServiceCondition{c.available(a)}
		obj = a
	}
	return true, obj, err
}

func (c *Cluster) available(a *apiregistrationv1.APIService) apiregistrationv1.APIServiceCondition {
	condition := apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, Reason: "Passed", Message: "all checks passed"}
	switch s := a.Spec.Service; {
	case s == nil:
		condition.Reason, condition.Message = "Local", "Local APIServices are always available"
	case c.Batchgate.Down || s.Port != nil && *s.Port != Service.Port:
		condition.Status, condition.Reason, condition.Message = apiregistrationv1.ConditionFalse, "FailedDiscoveryCheck", "no response"
	}
	return condition
}

// discovery returns the aggregated discovery document.
func (c *Cluster) discovery() ([]byte, error) {
	v := apidiscoveryv2.APIVersionDiscovery{Version: "v1", Freshness: apidiscoveryv2.DiscoveryFreshnessStale}
	if !c.inDiscovery || !c.Batchgate.Down {
		v.Freshness = apidiscoveryv2.DiscoveryFreshnessCurrent
		v.Resources = []apidiscoveryv2.APIResourceDiscovery{{Resource: "jobs"}}
	}
	return json.Marshal(apidiscoveryv2.APIGroupDiscoveryList{Items: []apidiscoveryv2.APIGroupDiscovery{
		{ObjectMeta: metav1.ObjectMeta{Name: "apps"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "batch"}, Versions: []apidiscoveryv2.APIVersionDiscovery{v}},
	}})
}

// read serves a GET request.
func (s *Server) read(path string, query url.Values) ([]byte, error) {
	switch path {
	case "/readyz":
		if !s.Ready || s == s.cluster.KubeAPIServer && s.cluster.Blocked {
			return nil, apierrors.NewInternalError(errors.New("etcd failed"))
		}
		return []byte("ok"), nil
	case "/readyz/autoregister-completion":
		if s.cluster.Blocked {
			return nil, apierrors.NewInternalError(errors.New("missing APIService: [v1.batch]"))
		}
		return []byte("ok"), nil
	case "/apis/apiregistration.k8s.io/v1/apiservices/v1.batch":
		a := s.cluster.APIService()
		if a == nil {
			return nil, apierrors.NewNotFound(apiServices.GroupResource(), policy.BatchAPIService)
		}
		a = a.DeepCopy()
		a.Status.Conditions = []apiregistrationv1.APIServiceCondition{s.cluster.available(a)}
		return json.Marshal(a)
	case "/apis":
		return s.cluster.discovery()
	case "/openapi/v2":
		paths := map[string]any{}
		for _, p := range s.Paths {
			paths[p] = map[string]any{}
		}
		return json.Marshal(map[string]any{"paths": paths})
	case "/metrics":
		if s.MetricsForbidden {
			return nil, apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("/metrics is forbidden"))
		}
		var metrics strings.Builder
		metrics.WriteString(s.Metrics)
		for gate, enabled := range s.FeatureGates {
			value := map[bool]int{true: 1}[enabled]
			fmt.Fprintf(&metrics, "kubernetes_feature_enabled{name=%q,stage=\"BETA\"} %d\n", gate, value)
		}
		return []byte(metrics.String()), nil
	case "/openapi/v3":
		// kube-apiserver lists batch/v1, too, if only Batchgate serves it.
		paths := map[string]any{"apis/apps/v1": map[string]any{}, "apis/batch/v1": map[string]any{}}
		if !s.BatchDisabled {
			paths[policy.NativeBatchDocument] = map[string]any{}
		}
		return json.Marshal(map[string]any{"paths": paths})
	case "/openapi/v3/apis/batch/v1":
		schemas := map[string]any{}
		for name, fields := range s.Fields {
			properties := map[string]any{}
			for _, field := range fields {
				properties[field] = map[string]any{}
			}
			schemas[name] = map[string]any{"properties": properties}
		}
		return json.Marshal(map[string]any{"components": map[string]any{"schemas": schemas}})
	case "/api/v1/namespaces":
		_, revision, err := s.Storage.List("jobs")
		if err != nil {
			return nil, err
		}
		return json.Marshal(metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(revision, 10)}})
	}
	return s.listPage(strings.TrimPrefix(path, "/apis/batch/v1/"), query)
}
