// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// cert-manager does not run here; the test checks only the annotations. cert-manager writes a CA into
// every APIService with the annotation, and kube-apiserver rejects a CA in a local APIService.
func TestPluginKeepsCertManagerAnnotations(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	const policies, annotation, value = "v1alpha1.policy.batchgate.io", "cert-manager.io/inject-ca-from", "batchgate-system/batchgate-serving"
	annotations := func() string {
		return s.Run("get", "apiservice", "v1.batch", "--output=jsonpath={.metadata.annotations}")
	}
	s.Run("annotate", "apiservice", policies, annotation+"="+value)
	t.Cleanup(func() {
		if _, _, err := cluster.Kubectl().Run(context.Background(), "annotate", "apiservice", policies, annotation+"-"); err != nil {
			t.Error(err)
		}
	})

	s.ExpectPlugin(0, []string{"takeover"}, "v1.batch points to")
	if got := annotations(); !strings.Contains(got, `"`+annotation+`":"`+value+`"`) {
		t.Errorf("after takeover, annotations are %s", got)
	}
	s.ExpectPlugin(0, []string{"takeover"}, "already")
	s.ExpectPlugin(2, []string{"certificates"}, "cert-manager maintains the CA bundle of APIService "+policies, "nothing was changed")
	s.ExpectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver")
	if got := annotations(); strings.Contains(got, "cert-manager") {
		t.Errorf("after rollback, annotations are %s", got)
	}
	s.ExpectError([]string{"patch", "apiservice", "v1.batch", "--type=merge", "--patch", `{"spec":{"caBundle":"Y2E="}}`}, "local APIServices may not have a caBundle")

	s.ExpectPlugin(0, []string{"takeover"}, "v1.batch points to")
	s.Run("patch", "apiservice", "v1.batch", "--type=merge", "--patch-file=artifacts/apiservice/rollback/patch.yaml")
	if got := annotations(); strings.Contains(got, "cert-manager") {
		t.Errorf("after rollback by patch, annotations are %s", got)
	}
}
