package core

import (
	"context"
	"strings"
	"testing"
)

// cert-manager does not run here. Its annotations are there as it needs them: by them it writes a
// CA, without a look at whether kube-apiserver would have it.
func TestPluginKeepsTheAnnotationsOfCertManager(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	const policies, annotation, value = "v1alpha1.policy.batchgate.io", "cert-manager.io/inject-ca-from", "batchgate-system/batchgate-serving"
	annotations := func() string {
		return s.run("get", "apiservice", "v1.batch", "--output=jsonpath={.metadata.annotations}")
	}
	s.run("annotate", "apiservice", policies, annotation+"="+value)
	t.Cleanup(func() {
		if _, _, err := cluster.Kubectl().Run(context.Background(), "annotate", "apiservice", policies, annotation+"-"); err != nil {
			t.Error(err)
		}
	})

	s.expectPlugin(0, []string{"takeover"}, "v1.batch points to")
	if got := annotations(); !strings.Contains(got, `"`+annotation+`":"`+value+`"`) {
		t.Errorf("taken over, the annotations are %s", got)
	}
	s.expectPlugin(0, []string{"takeover"}, "already")
	s.expectPlugin(2, []string{"certificates"}, "cert-manager maintains the CA bundle of APIService "+policies, "nothing was changed")
	s.expectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver")
	if got := annotations(); strings.Contains(got, "cert-manager") {
		t.Errorf("rolled back, the annotations are %s", got)
	}
	s.refused([]string{"patch", "apiservice", "v1.batch", "--type=merge", "--patch", `{"spec":{"caBundle":"Y2E="}}`}, "local APIServices may not have a caBundle")

	s.expectPlugin(0, []string{"takeover"}, "v1.batch points to")
	s.run("patch", "apiservice", "v1.batch", "--type=merge", "--patch-file=artifacts/apiservice/rollback/patch.yaml")
	if got := annotations(); strings.Contains(got, "cert-manager") {
		t.Errorf("rolled back by hand, the annotations are %s", got)
	}
}
