// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// comparedRequests are the requests that compare sends.
var comparedRequests = []string{"get", "list", "create", "patch", "delete"}

// requestErrors has the error of each of the comparedRequests, in their order.
type requestErrors [5]error

// prepareComparison creates the objects that compare needs.
func (s *scenario) prepareComparison() {
	s.t.Helper()
	for _, name := range []string{"kept", "deleted"} {
		if _, err := s.Client.BatchV1().Jobs(metav1.NamespaceDefault).Create(s.t.Context(), framework.NewJob(name), metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := s.Client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(s.t.Context(), configMap, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// compare sends the same requests for Jobs, which Batchgate serves, and for ConfigMaps, which
// kube-apiserver serves. It sends all of them at once. The servers give up after the timeout.
func (s *scenario) compare(timeout time.Duration) (jobs, configMaps requestErrors) {
	s.t.Helper()
	created := metav1.ObjectMeta{GenerateName: "created-"}
	job := framework.NewJob("")
	job.ObjectMeta = created
	var running sync.WaitGroup
	for _, resource := range []struct {
		name   string
		client rest.Interface
		object runtime.Object
		errs   *requestErrors
	}{
		{"jobs", s.Client.BatchV1().RESTClient(), job, &jobs},
		{"configmaps", s.Client.CoreV1().RESTClient(), &corev1.ConfigMap{ObjectMeta: created}, &configMaps},
	} {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"at":"%d"}}}`, time.Now().UnixNano())
		background := metav1.DeletePropagationBackground
		for i, request := range []*rest.Request{
			resource.client.Get().Name("kept"),
			resource.client.Get(),
			resource.client.Post().Body(resource.object),
			resource.client.Patch(types.MergePatchType).Name("kept").Body(patch),
			resource.client.Delete().Name("deleted").Body(&metav1.DeleteOptions{PropagationPolicy: &background}),
		} {
			request.Namespace(metav1.NamespaceDefault).Resource(resource.name).Param("timeout", timeout.String()).MaxRetries(0)
			running.Go(func() { resource.errs[i] = request.Do(s.t.Context()).Error() })
		}
	}
	running.Wait()
	for i, request := range comparedRequests {
		s.t.Logf("%-6s a Job: %s", request, describe(jobs[i]))
		s.t.Logf("%-6s a ConfigMap: %s", request, describe(configMaps[i]))
	}
	return jobs, configMaps
}
