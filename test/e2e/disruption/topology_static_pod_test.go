// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

func TestStaticPodOnSharedEtcdServesJobs(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{EtcdTLS: true})
	if err := s.InstallStaticPod(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.takeOverAndBack(s.clusterEtcd(), nil)
	s.checkMirrorPod()
	log, err := os.ReadFile(s.Batchgate.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(strings.ReplaceAll(line, `\"`, `"`), `User "`+framework.Name+`" cannot`) {
			t.Errorf("Batchgate lacks a permission: %s", line)
		}
	}
}

// checkMirrorPod checks that the Service selects the mirror Pod, and that the mirror Pod needs a
// namespace that does not enforce the restricted Pod Security Standard. This is why the overlay
// changes the namespace.
func (s *scenario) checkMirrorPod() {
	s.t.Helper()
	static, err := framework.StaticPod()
	if err != nil {
		s.t.Fatal(err)
	}
	content, err := os.ReadFile("../../../artifacts/base/service.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	var service corev1.Service
	if err := yaml.UnmarshalStrict(content, &service); err != nil {
		s.t.Fatal(err)
	}
	if selector := labels.SelectorFromSet(service.Spec.Selector); !selector.Matches(labels.Set(static.Labels)) {
		s.t.Errorf("the Service selects %s, but the static Pod has the labels %v", selector, static.Labels)
	}
	restricted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := s.Client.CoreV1().Namespaces().Create(s.t.Context(), restricted, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	mirror := framework.MirrorPod(static, "fake-1")
	mirror.Namespace = restricted.Name
	_, err = s.Client.CoreV1().Pods(restricted.Name).Create(s.t.Context(), mirror, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "violates PodSecurity") {
		s.t.Errorf("creating a mirror Pod in a restricted namespace: %v, want a violation of PodSecurity", err)
	}
}
